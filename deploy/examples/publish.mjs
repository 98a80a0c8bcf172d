// @ts-check
/**
 * Publishes events to channel-sync: one CloudEvent a line, from a file or from standard input.
 *
 *     npm install amqplib
 *     export AMQP_URL=amqp://user:password@rabbitmq.example:5672/%2f
 *     node publish.mjs events.jsonl
 *
 * Up to BATCH events are on their way at once: fast, and still in order. What each part is for stands in
 * docs/publishing.md. Exit code: 0 where the broker has every event, 1 otherwise.
 */

import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import amqp from "amqplib";

/** @typedef {{ id: string, type: string, data: Record<string, any> }} CloudEvent */

const EXCHANGE = "channel-sync.events";
const BATCH = 100;
const PAUSE_MS_MAX = 30_000;

/** More attempts change nothing: it is for a person. */
class NotRouted extends Error {}

/** @param {CloudEvent} event */
function routingKey(event) {
  return event.type.split(".").pop() === "partnership-changed"
    ? `partnership-changed.${event.data.upstream_id}`
    : `setting-changed.${event.data.organization_id}`;
}

/**
 * Publishes `events` in their order over one connection; returns when the broker has confirmed them all.
 * @param {string} url
 * @param {CloudEvent[]} events
 */
async function attempt(url, events) {
  const connection = await amqp.connect(url, { timeout: 10_000 });
  connection.on("error", () => {}); // what is unconfirmed fails below
  try {
    const channel = await connection.createConfirmChannel();
    /** @type {Error | undefined} */
    let refusal;
    channel.on("error", (error) => (refusal = error)); // such as 404, no such exchange
    /** @type {string[]} */
    const returned = [];
    // A mandatory message that no queue takes comes back, and is confirmed all the same.
    channel.on("return", (message) => returned.push(message.properties.messageId));
    for (const event of events) {
      channel.publish(EXCHANGE, routingKey(event), Buffer.from(JSON.stringify(event)), {
        contentType: "application/cloudevents+json",
        persistent: true,
        mandatory: true,
        messageId: event.id,
      });
    }
    // Fails where the broker refuses one, or the connection ends.
    await channel.waitForConfirms().catch((error) => Promise.reject(refusal ?? error));
    if (returned.length > 0) throw new NotRouted(`no queue takes ${returned.join(", ")}`);
  } finally {
    await connection.close().catch(() => {});
  }
}

/**
 * The same, until it succeeds. A batch that failed half-way is published again whole: an event that comes
 * twice takes effect once.
 * @param {string} url
 * @param {CloudEvent[]} events
 */
async function publish(url, events) {
  for (let wait = 100; ; wait = Math.min(wait * 2, PAUSE_MS_MAX)) {
    try {
      return await attempt(url, events);
    } catch (error) {
      // The broker closed the channel: we may not publish (403), or there is no such exchange (404).
      if (error instanceof NotRouted || [403, 404].includes(/** @type {any} */ (error).code)) throw error;
      console.error(`again in ${wait} ms: ${error}`);
      await pause(wait);
    }
  }
}

const { AMQP_URL } = process.env;
if (AMQP_URL === undefined) throw new Error("AMQP_URL says where RabbitMQ is, and is not set");
const lines = readFileSync(process.argv[2] ?? 0, "utf8").split("\n").filter((line) => line.trim() !== "");
/** @type {CloudEvent[]} */
const events = lines.map((line) => JSON.parse(line));
for (let start = 0; start < events.length; start += BATCH) {
  await publish(AMQP_URL, events.slice(start, start + BATCH));
}
console.log(`${events.length} events published`);
