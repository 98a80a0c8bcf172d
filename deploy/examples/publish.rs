//! Publishes events to channel-sync: one CloudEvent a line, from standard input.
//!
//! ```sh
//! export AMQP_URL=amqp://user:password@rabbitmq.example:5672/%2f
//! cargo run --example publish < events.jsonl
//! ```
//!
//! What each part is for stands in `docs/publishing.md`. It stops at the first event that the broker did not
//! take, and says which. The program's own command, `channel-sync publish`, keeps up to a thousand events on
//! their way at once.

use std::io::BufRead as _;

use anyhow::{Context as _, bail};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;

const EXCHANGE: &str = "channel-sync.events";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("AMQP_URL").context("AMQP_URL says where RabbitMQ is")?;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            let event: Value = serde_json::from_str(&line).context("read an event")?;
            publish(&channel, &event).await.with_context(|| format!("publish {}", event["id"]))?;
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Returns when the broker has stored the event on its disks. After an error it may have it all the same:
/// publish the event again, as it was.
async fn publish(channel: &Channel, event: &Value) -> anyhow::Result<()> {
    // An error where no queue takes it.
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let properties = BasicProperties::default()
        .with_content_type("application/cloudevents+json".into())
        // Persistent: survives the broker's restart.
        .with_delivery_mode(2);
    let (key, body) = (routing_key(event)?, event.to_string());
    let confirm = channel.basic_publish(EXCHANGE.into(), key.into(), options, body.as_bytes(), properties);
    match confirm.await?.await? {
        Confirmation::Ack(None) => Ok(()),
        // A mandatory message that no queue takes comes back, and is confirmed all the same.
        Confirmation::Ack(Some(_)) => bail!("no queue takes it"),
        Confirmation::Nack(_) => bail!("the broker refused it, as it does when its queue is full"),
        Confirmation::NotRequested => bail!("the channel is not in confirm mode"),
    }
}

fn routing_key(event: &Value) -> anyhow::Result<String> {
    let name = event["type"].as_str().and_then(|name| name.rsplit('.').next());
    let (name, organization) = match name {
        Some(name @ "partnership-changed") => (name, &event["data"]["upstream_id"]),
        Some(name) => (name, &event["data"]["organization_id"]),
        None => bail!("an event has a type"),
    };
    let organization = organization.as_str().context("an event names its organization")?;
    Ok(format!("{name}.{organization}"))
}
