#!/usr/bin/env python3
"""Publishes events to channel-sync: one CloudEvent a line, from a file or from standard input.

    export AMQP_URL=amqp://user:password@rabbitmq.example:5672/%2f
    python3 publish.py events.jsonl

Needs pika 1.2 or later: apt-get install python3-pika, or pip install pika. What each part is for stands in
docs/publishing.md. Exit code: 0 where the broker has every event, 1 otherwise.
"""

import json
import os
import sys
import time

import pika
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

EXCHANGE = "channel-sync.events"
PAUSE_SECONDS_MAX = 30.0
# The broker refuses us, or has no exchange or no queue for the event: more attempts change nothing.
FOR_A_PERSON = (
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)


def routing_key(event):
    """Events of one organization are told from others by the key's second part."""
    if event["type"].rsplit(".", 1)[-1] == "partnership-changed":
        return "partnership-changed." + event["data"]["upstream_id"]
    return "setting-changed." + event["data"]["organization_id"]


class Publisher:
    """Publishes one event after another, each until the broker has it: their order stays."""

    def __init__(self, url):
        self._parameters = pika.URLParameters(url)
        self._connection = None
        self._channel = None

    def publish(self, event):
        """Returns when the broker has stored the event on its disks. Until then it tries again."""
        body = json.dumps(event, ensure_ascii=False).encode()
        pause = 0.1
        while True:
            try:
                self._open_channel().basic_publish(
                    exchange=EXCHANGE,
                    routing_key=routing_key(event),
                    body=body,
                    properties=pika.BasicProperties(
                        content_type="application/cloudevents+json",
                        delivery_mode=2,  # persistent: survives the broker's restart
                    ),
                    mandatory=True,  # an error, where no queue takes it
                )
                return
            except FOR_A_PERSON:
                raise
            except (AMQPError, OSError) as error:
                # Not connected, or refused since the queue is full. The broker may have it all the same, and
                # only its confirm was lost: the same event again does no harm.
                print(f"{event['id']}: again in {pause:.1f} s: {error!r}", file=sys.stderr)
                self.close()
                time.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def close(self):
        connection, self._connection, self._channel = self._connection, None, None
        try:
            if connection is not None:
                connection.close()
        except (AMQPError, OSError):
            pass

    def _open_channel(self):
        if self._channel is None:
            self._connection = pika.BlockingConnection(self._parameters)
            channel = self._connection.channel()
            channel.confirm_delivery()  # from now on basic_publish waits for the broker's confirm
            self._channel = channel
        return self._channel


def main():
    publisher = Publisher(os.environ["AMQP_URL"])
    published = 0
    with open(sys.argv[1], encoding="utf-8") if len(sys.argv) > 1 else sys.stdin as lines:
        for line in lines:
            if line.strip():
                publisher.publish(json.loads(line))
                published += 1
    publisher.close()
    print(f"{published} events published")


if __name__ == "__main__":
    try:
        main()
    except FOR_A_PERSON as error:
        sys.exit(f"not published: {error!r}")
