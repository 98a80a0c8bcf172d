//! The link to a real RabbitMQ: each test on a virtual host of its own.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use channel_sync::broker::{BrokerError, Consumer, Delivery, Link, LinkState, Publisher};
use channel_sync::config::BrokerConfig;
use channel_sync::contract::{Message, Properties};
use serde_json::json;
use tokio::io::AsyncReadExt;

use support::broker::{DEADLINE, Vhost, broker_config, eventually};
use support::proxy::{Fault, Proxy};
use support::raw::{RawPublisher, long, short};

const EVENTS: &str = "channel-sync.events";
const KEY: &str = "setting-changed.helios";

/// Waits for something that must come about.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("still not: {what}"))
}

fn message(text: &str) -> Message {
    Message { body: text.as_bytes().to_vec(), properties: Properties::default() }
}

async fn publish(config: &BrokerConfig, texts: impl IntoIterator<Item = String>) {
    let mut publisher = Publisher::connect(config).await.unwrap();
    for text in texts {
        publisher.publish(EVENTS, KEY, &message(&text)).await.unwrap();
    }
    soon("all are confirmed", publisher.flush()).await.unwrap();
    publisher.close().await;
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.message.body.clone()).unwrap()).collect()
}

/// Takes this many deliveries, acknowledging nothing.
async fn take(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(soon("a delivery", consumer.next_batch(count - taken.len())).await.unwrap());
    }
    taken
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

// --- topology ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_topology_may_be_declared_any_number_of_times() {
    let vhost = Vhost::create().await;
    let mut config = vhost.config();
    let first = Consumer::open(&config, 1).await.unwrap();
    let second = Consumer::open(&config, 2).await.unwrap();
    first.close().await;
    second.close().await;
    config.declare_topology = false;
    Consumer::open(&config, 3).await.unwrap().close().await;

    let queue = vhost.queue(EVENTS).await.unwrap();
    assert_eq!(queue["arguments"], json!({ "x-queue-type": "quorum", "x-single-active-consumer": true }));
    assert_eq!(queue["durable"], json!(true));
    vhost.remove().await;
}

#[tokio::test]
async fn the_shipped_definitions_are_the_topology_that_is_declared() {
    let definitions = include_str!("../../deploy/rabbitmq/definitions.json");
    let vhost = Vhost::create().await;
    vhost.import(definitions).await;
    let mut config = vhost.config();
    // Neither conflicts with the other, …
    Consumer::open(&config, 1).await.unwrap().close().await;
    // … and the definitions alone are enough.
    let vhost = Vhost::create().await;
    vhost.import(definitions).await;
    config = BrokerConfig { declare_topology: false, ..vhost.config() };
    let mut consumer = Consumer::open(&config, 2).await.unwrap();
    publish(&config, numbered(2)).await;
    assert_eq!(texts(&take(&mut consumer, 2).await), ["0", "1"]);
    let mut publisher = Publisher::connect(&config).await.unwrap();
    publisher.publish("channel-sync.dead-letter", "", &message("x")).await.unwrap();
    publisher.flush().await.unwrap();
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_a_clear_error() {
    let vhost = Vhost::create().await;
    vhost.declare_queue(EVENTS, json!({ "x-queue-type": "classic", "x-single-active-consumer": true })).await;
    let error = Consumer::open(&vhost.config(), 1).await.err().unwrap();
    assert!(matches!(error, BrokerError::Conflict { .. }), "{error:?}");
    assert!(!error.is_transient());
    let text = error.to_string();
    let start = "declare the queue channel-sync.events: the broker has it already, with other arguments: ";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("x-queue-type") && text.contains("'classic'"), "{text}");
    assert!(text.contains("broker.prefix") && text.contains("broker.declare_topology = false"), "{text}");

    // What the text offers does work.
    let as_it_is = BrokerConfig { declare_topology: false, ..vhost.config() };
    Consumer::open(&as_it_is, 2).await.unwrap().close().await;
    let other_names = BrokerConfig { prefix: "other".to_owned(), ..vhost.config() };
    Consumer::open(&other_names, 3).await.unwrap().close().await;
}

#[tokio::test]
async fn an_exchange_of_another_type_is_a_clear_error() {
    let vhost = Vhost::create().await;
    vhost.declare_exchange("channel-sync.dead-letter", "topic").await;
    let error = Consumer::open(&vhost.config(), 1).await.err().unwrap();
    let BrokerError::Conflict { object, reason } = &error else { panic!("{error:?}") };
    assert_eq!(object, "exchange channel-sync.dead-letter");
    assert!(reason.contains("'topic'"), "{reason}");
    // At start, the link gives up instead of trying again and again.
    let mut link = Link::new(&vhost.config());
    assert_eq!(soon("the link gives up", link.next_batch(1)).await.err(), Some(error));
}

#[tokio::test]
async fn a_missing_topology_is_a_clear_error_where_none_is_declared() {
    let vhost = Vhost::create().await;
    let config = BrokerConfig { declare_topology: false, ..vhost.config() };
    let error = Consumer::open(&config, 1).await.err().unwrap();
    assert!(matches!(error, BrokerError::Missing { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("consume from channel-sync.events: topology missing: "), "{text}");
    assert!(text.ends_with("or import deploy/rabbitmq/definitions.json"), "{text}");
    assert!(text.contains("broker.declare_topology = true"), "{text}");

    let mut publisher = Publisher::connect(&config).await.unwrap();
    publisher.publish(EVENTS, KEY, &message("x")).await.unwrap();
    let error = soon("the channel closes", publisher.flush()).await.unwrap_err();
    assert!(matches!(error, BrokerError::Missing { .. }), "{error:?}");
}

// --- connecting --------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_wrong_password_or_virtual_host_is_a_permanent_error() {
    let vhost = Vhost::create().await;
    let mut wrong_password = url::Url::parse(vhost.url()).unwrap();
    wrong_password.set_password(Some("wrong")).unwrap();
    let mut wrong_vhost = url::Url::parse(vhost.url()).unwrap();
    wrong_vhost.set_path("/no-such-vhost");
    for (url, named) in [(wrong_password, vhost.name()), (wrong_vhost, "no-such-vhost")] {
        let config = broker_config(url.as_str());
        let error = Consumer::open(&config, 1).await.err().unwrap();
        let BrokerError::Refused { vhost, reason, .. } = &error else { panic!("{url}: {error:?}") };
        assert_eq!(vhost, named);
        assert!(!reason.is_empty() && !error.is_transient());
        let published = Publisher::connect(&config).await.err().unwrap();
        assert!(matches!(published, BrokerError::Refused { .. }), "{published:?}");

        let mut link = Link::new(&config);
        let state = link.state();
        assert_eq!(soon("the link gives up", link.next_batch(1)).await.err(), Some(error.clone()));
        let last_error = Some(error.to_string());
        assert_eq!(*state.borrow(), LinkState::Connecting { attempt: 1, last_error });
    }
}

#[tokio::test]
async fn a_closed_port_is_a_transient_error_and_the_link_tries_again() {
    let vhost = Vhost::create().await;
    let proxy = Proxy::before_broker().await;
    proxy.set(Fault::Refuse);
    let config = broker_config(&vhost.url_through(&proxy));
    let error = Consumer::open(&config, 1).await.err().unwrap();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().starts_with("connect to the broker: "), "{error}");

    let mut link = Link::new(&config);
    let mut state = link.state();
    assert_eq!(*state.borrow(), LinkState::Down);
    let working = tokio::spawn(async move {
        link.consumer().await.unwrap();
        link
    });
    let third = |state: &LinkState| matches!(state, LinkState::Connecting { attempt, last_error: Some(_) } if *attempt >= 3);
    soon("a third attempt", state.wait_for(third)).await.unwrap();
    proxy.restore();
    let mut link = soon("the link is up", working).await.unwrap();
    assert!(matches!(*state.borrow(), LinkState::Up { .. }));
    link.close().await;
    assert_eq!(*state.borrow(), LinkState::Down);
}

#[tokio::test]
async fn an_attempt_at_a_silent_peer_ends_in_time_and_leaves_nothing_behind() {
    const ATTEMPTS: usize = 100;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = broker_config(&format!("amqp://{address}"));
    config.connect_timeout = Duration::from_secs(1);
    let attempts: Vec<_> = (0..ATTEMPTS)
        .map(|_| {
            let config = config.clone();
            tokio::spawn(async move { Consumer::open(&config, 1).await.err().unwrap() })
        })
        .collect();
    let mut sockets = Vec::new();
    for _ in 0..ATTEMPTS {
        sockets.push(listener.accept().await.unwrap().0);
    }
    // Some are given up by who made them, …
    for attempt in &attempts[..ATTEMPTS / 2] {
        attempt.abort();
    }
    // … the others by their time.
    for attempt in attempts.into_iter().skip(ATTEMPTS / 2) {
        let error = soon("an attempt ends", attempt).await.unwrap();
        assert!(matches!(error, BrokerError::Timeout { .. }), "{error:?}");
        assert_eq!(error.to_string(), "connect to the broker: no answer within 1 s");
    }
    for mut socket in sockets {
        let mut greeting = Vec::new();
        soon("the socket is closed", socket.read_to_end(&mut greeting)).await.unwrap();
        // Empty where it was given up before it said a word.
        assert!(greeting.is_empty() || greeting.starts_with(b"AMQP"));
    }
    // The tests beside this one have threads of that name, too, but few.
    eventually("the threads of the attempts have ended", async || threads("lapin-io-loop") < ATTEMPTS / 2)
        .await;
}

fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

// --- publishing and consuming ------------------------------------------------------------------------------

#[tokio::test]
async fn what_is_published_is_delivered_whole_and_gone_once_acknowledged() {
    let vhost = Vhost::create().await;
    let mut consumer = Consumer::open(&vhost.config(), 7).await.unwrap();
    assert_eq!(consumer.generation(), 7);
    let headers = BTreeMap::from([
        ("cloudEvents:id".to_owned(), json!("e-1")),
        ("cloudEvents:specversion".to_owned(), json!("1.0")),
        ("number".to_owned(), json!(-17)),
        ("fraction".to_owned(), json!(0.25)),
        ("flag".to_owned(), json!(true)),
        ("nothing".to_owned(), json!(null)),
        ("list".to_owned(), json!([1, "two", { "three": 3 }])),
        ("bytes".to_owned(), json!({ "bytes": "00ff" })),
    ]);
    let text = |text: &str| Some(text.to_owned());
    let properties = Properties {
        content_type: text("application/json"),
        content_encoding: text("identity"),
        delivery_mode: Some(1),
        priority: Some(3),
        correlation_id: text("c"),
        reply_to: text("r"),
        expiration: text("3600000"),
        message_id: text("m"),
        timestamp: Some(1_700_000_000),
        type_: text("t"),
        user_id: text("somebody else"),
        app_id: text("a"),
        cluster_id: None,
        exchange: text("elsewhere"),
        routing_key: text("elsewhere"),
        redelivered: Some(true),
        headers,
    };
    let mut publisher = Publisher::connect(&vhost.config()).await.unwrap();
    let sent = Message { body: vec![0, 255, b'{'], properties: properties.clone() };
    publisher.publish(EVENTS, KEY, &sent).await.unwrap();
    soon("a confirm", publisher.flush()).await.unwrap();
    publisher.close().await;

    let delivery = take(&mut consumer, 1).await.remove(0);
    assert_eq!(delivery.message.body, sent.body);
    let expected = Properties {
        delivery_mode: Some(2),
        user_id: None,
        exchange: text(EVENTS),
        routing_key: text(KEY),
        redelivered: Some(false),
        ..properties
    };
    assert_eq!(delivery.message.properties, expected);
    consumer.ack_through(&delivery.receipt).await.unwrap();
    consumer.close().await;
    assert_eq!(vhost.ready(EVENTS).await, 0);
}

#[tokio::test]
async fn a_batch_is_acknowledged_as_one_and_keeps_the_order_of_the_queue() {
    const COUNT: usize = 2_500;
    let vhost = Vhost::create().await;
    let mut consumer = Consumer::open(&vhost.config(), 1).await.unwrap();
    // More than fit into the publisher's window, and than the broker hands over at once.
    publish(&vhost.config(), numbered(COUNT)).await;
    let mut received = Vec::new();
    while received.len() < COUNT {
        let batch = soon("a batch", consumer.next_batch(400)).await.unwrap();
        assert!((1..=400).contains(&batch.len()));
        received.extend(texts(&batch));
        consumer.ack_through(&batch.last().unwrap().receipt).await.unwrap();
    }
    assert_eq!(received, numbered(COUNT));
    consumer.close().await;
    assert_eq!(vhost.ready(EVENTS).await, 0);
}

#[tokio::test]
async fn a_wait_for_a_batch_that_is_given_up_loses_nothing() {
    let vhost = Vhost::create().await;
    let mut consumer = Consumer::open(&vhost.config(), 1).await.unwrap();
    let config = vhost.config();
    let publishing = tokio::spawn(async move { publish(&config, numbered(20)).await });
    let mut received = Vec::new();
    let receiving = async {
        while received.len() < 20 {
            // Given up whenever it has to wait, thousands of times.
            tokio::select! {
                biased;
                batch = consumer.next_batch(3) => received.extend(texts(&batch.unwrap())),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    soon("all deliveries", receiving).await;
    publishing.await.unwrap();
    assert_eq!(received, numbered(20));
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_an_error_though_the_broker_confirms_it() {
    let vhost = Vhost::create().await;
    let mut consumer = Consumer::open(&vhost.config(), 1).await.unwrap();
    let mut publisher = Publisher::connect(&vhost.config()).await.unwrap();
    let mut astray = message("astray");
    astray.properties.message_id = Some("m-1".to_owned());
    for number in 0..50 {
        publisher.publish(EVENTS, KEY, &message(&number.to_string())).await.unwrap();
        if number % 10 == 0 {
            publisher.publish(EVENTS, "setting-forgotten", &astray).await.unwrap();
        }
    }
    let error = soon("all are answered", publisher.flush()).await.unwrap_err();
    assert!(!error.is_transient());
    let BrokerError::NotTaken(refused) = &error else { panic!("{error:?}") };
    assert_eq!(refused.len(), 5);
    for refusal in refused {
        assert_eq!(refusal.exchange.as_deref(), Some(EVENTS));
        assert_eq!(refusal.routing_key.as_deref(), Some("setting-forgotten"));
        assert_eq!(refusal.message_id.as_deref(), Some("m-1"));
    }
    assert_eq!(
        error.to_string(),
        "publish: the broker did not take a message to the exchange channel-sync.events with the routing key \
         setting-forgotten (message id m-1): no queue takes it (NO_ROUTE); 4 more like it"
    );
    // The others were taken, and the publisher goes on.
    publisher.publish(EVENTS, KEY, &message("50")).await.unwrap();
    soon("a confirm", publisher.flush()).await.unwrap();
    assert_eq!(texts(&take(&mut consumer, 51).await), numbered(51));
}

#[tokio::test]
async fn a_message_that_amqp_cannot_carry_is_refused_alone() {
    let vhost = Vhost::create().await;
    let mut consumer = Consumer::open(&vhost.config(), 1).await.unwrap();
    let mut publisher = Publisher::connect(&vhost.config()).await.unwrap();
    let long = "x".repeat(256);
    let error = publisher.publish(EVENTS, &long, &message("no")).await.unwrap_err();
    assert_eq!(error.to_string(), "publish: the routing key has 256 bytes; expected at most 255");
    let mut too_long = message("no");
    too_long.properties.content_type = Some(long.clone());
    let error = publisher.publish(EVENTS, KEY, &too_long).await.unwrap_err();
    assert_eq!(error.to_string(), "publish: the content_type has 256 bytes; expected at most 255");
    too_long = message("no");
    too_long.properties.headers.insert(long, json!(1));
    let error = publisher.publish(EVENTS, KEY, &too_long).await.unwrap_err();
    assert_eq!(error.to_string(), "publish: the name of a header has 256 bytes; expected at most 255");
    publisher.publish(EVENTS, KEY, &message("yes")).await.unwrap();
    soon("a confirm", publisher.flush()).await.unwrap();
    assert_eq!(texts(&take(&mut consumer, 1).await), ["yes"]);
}

#[tokio::test]
async fn a_full_queue_is_an_error() {
    let vhost = Vhost::create().await;
    let arguments = json!({ "x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish" });
    vhost.declare_queue("small", arguments).await;
    let mut publisher = Publisher::connect(&vhost.config()).await.unwrap();
    // A quorum queue takes a few more than it should.
    let mut refused = None;
    while refused.is_none() {
        publisher.publish("", "small", &message("x")).await.unwrap();
        refused = soon("an answer", publisher.flush()).await.err();
    }
    let Some(BrokerError::NotTaken(refused)) = refused else { panic!("{refused:?}") };
    assert!(refused[0].reason.contains("nack"), "{refused:?}");
}

// --- the end of a generation -------------------------------------------------------------------------------

#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let vhost = Vhost::create().await;
    let mut first = Consumer::open(&vhost.config(), 1).await.unwrap();
    publish(&vhost.config(), numbered(10)).await;
    let taken = take(&mut first, 10).await;
    first.ack_through(&taken[3].receipt).await.unwrap();
    // Without a goodbye, as when the process is killed.
    drop(first);
    let mut second = Consumer::open(&vhost.config(), 2).await.unwrap();
    let again = take(&mut second, 6).await;
    assert_eq!(texts(&again), ["4", "5", "6", "7", "8", "9"]);
    assert!(again.iter().all(|delivery| delivery.message.properties.redelivered == Some(true)));

    // In order, with deliveries that nobody took yet.
    second.close().await;
    let mut third = Consumer::open(&vhost.config(), 3).await.unwrap();
    let again = take(&mut third, 6).await;
    assert_eq!(texts(&again), ["4", "5", "6", "7", "8", "9"]);
    third.ack_through(&again[5].receipt).await.unwrap();
    third.close().await;
    assert_eq!(vhost.ready(EVENTS).await, 0);
}

#[tokio::test]
async fn a_receipt_of_an_earlier_generation_acknowledges_nothing() {
    let vhost = Vhost::create().await;
    let mut first = Consumer::open(&vhost.config(), 1).await.unwrap();
    publish(&vhost.config(), numbered(3)).await;
    let old = take(&mut first, 3).await;
    drop(first);
    let mut second = Consumer::open(&vhost.config(), 2).await.unwrap();
    let new = take(&mut second, 3).await;
    assert_eq!(second.ack_through(&old[2].receipt).await, Err(BrokerError::Stale));
    assert!(BrokerError::Stale.is_transient());
    // A receipt is good once.
    second.ack_through(&new[0].receipt).await.unwrap();
    assert_eq!(second.ack_through(&new[0].receipt).await, Err(BrokerError::Stale));
    drop(second);
    let mut third = Consumer::open(&vhost.config(), 3).await.unwrap();
    assert_eq!(texts(&take(&mut third, 2).await), ["1", "2"]);
}

#[tokio::test]
async fn a_deleted_queue_ends_the_generation() {
    let vhost = Vhost::create().await;
    let mut consumer = Consumer::open(&vhost.config(), 1).await.unwrap();
    vhost.delete_queue(EVENTS).await;
    let error = soon("the consumer ends", consumer.next_batch(1)).await.unwrap_err();
    assert_eq!(error, BrokerError::Ended { queue: EVENTS.to_owned() });
    assert!(error.is_transient());
}

#[tokio::test]
async fn one_consumer_at_a_time_is_served_and_the_next_takes_over() {
    let vhost = Vhost::create().await;
    let mut first = Consumer::open(&vhost.config(), 1).await.unwrap();
    let mut second = Consumer::open(&vhost.config(), 2).await.unwrap();
    publish(&vhost.config(), numbered(5)).await;
    let taken = take(&mut first, 5).await;
    first.ack_through(&taken[1].receipt).await.unwrap();
    first.close().await;
    assert_eq!(texts(&take(&mut second, 3).await), ["2", "3", "4"]);
}

#[tokio::test]
async fn a_peer_that_hangs_is_noticed_by_the_heartbeat() {
    let vhost = Vhost::create().await;
    let proxy = Proxy::before_broker().await;
    let mut config = broker_config(&vhost.url_through(&proxy));
    config.heartbeat = Duration::from_secs(1);
    let mut link = Link::new(&config);
    let mut state = link.state();
    soon("the link is up", link.consumer()).await.unwrap();
    proxy.set(Fault::BlackHole);
    let started = Instant::now();
    let working = tokio::spawn(async move { link.next_batch(10).await });
    let down = |state: &LinkState| matches!(state, LinkState::Connecting { last_error: Some(_), .. });
    soon("the link notices", state.wait_for(down)).await.unwrap();
    // Twice the heartbeat, as the protocol has it, and three seconds for a machine with much else to do.
    let limit = config.heartbeat * 2 + Duration::from_secs(3);
    assert!(started.elapsed() < limit, "noticed after {:?}", started.elapsed());
    // What is frozen stays so; the link comes back over a new connection.
    proxy.set(Fault::Refuse);
    proxy.restore();
    soon("the link is up again", state.wait_for(|state| matches!(state, LinkState::Up { .. })))
        .await
        .unwrap();
    publish(&vhost.config(), numbered(1)).await;
    assert_eq!(texts(&soon("a delivery", working).await.unwrap().unwrap()), ["0"]);
}

// --- the link ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_link_outlives_a_connection_that_an_operator_closes() {
    let vhost = Vhost::create().await;
    let mut link = Link::new(&vhost.config());
    let mut state = link.state();
    soon("the link is up", link.consumer()).await.unwrap();
    let LinkState::Up { generation: first, .. } = *state.borrow_and_update() else { panic!("not up") };
    publish(&vhost.config(), numbered(2)).await;
    let batch = soon("a delivery", link.next_batch(1)).await.unwrap();
    assert_eq!(texts(&batch), ["0"]);

    assert_eq!(vhost.close_connections().await.len(), 1);
    // Not acknowledged, so it comes again; the old receipt is of no use.
    let again = soon("a delivery over a new link", async {
        loop {
            let batch = link.next_batch(10).await.unwrap();
            // The one that was buffered may still come over the old link.
            if batch[0].message.properties.redelivered == Some(true) {
                return batch;
            }
        }
    })
    .await;
    assert_eq!(texts(&again)[0], "0");
    let LinkState::Up { generation: second, since } = *state.borrow_and_update() else { panic!("not up") };
    assert!(second > first);
    assert_eq!(link.ack_through(&batch[0].receipt).await, Err(BrokerError::Stale));
    // Which does no harm to the live generation.
    assert_eq!(*state.borrow(), LinkState::Up { generation: second, since });
    link.ack_through(&again[0].receipt).await.unwrap();
}

#[tokio::test]
async fn the_link_declares_a_deleted_queue_again() {
    let vhost = Vhost::create().await;
    let mut link = Link::new(&vhost.config());
    let mut state = link.state();
    soon("the link is up", link.consumer()).await.unwrap();
    let LinkState::Up { generation: first, .. } = *state.borrow_and_update() else { panic!("not up") };
    vhost.delete_queue(EVENTS).await;
    let working = tokio::spawn(async move {
        let batch = link.next_batch(10).await.unwrap();
        link.ack_through(&batch.last().unwrap().receipt).await.unwrap();
        link.close().await;
        texts(&batch)
    });
    let anew = |state: &LinkState| matches!(state, LinkState::Up { generation, .. } if *generation > first);
    soon("the link is up again", state.wait_for(anew)).await.unwrap();
    publish(&vhost.config(), numbered(1)).await;
    assert_eq!(soon("a delivery", working).await.unwrap(), ["0"]);
    assert_eq!(*state.borrow(), LinkState::Down);
    assert_eq!(vhost.ready(EVENTS).await, 0);
}

#[tokio::test]
async fn once_it_was_up_the_link_waits_for_a_person_to_put_things_right() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    Consumer::open(&config, 1).await.unwrap().close().await;
    let mut link = Link::new(&BrokerConfig { declare_topology: false, ..config.clone() });
    let mut state = link.state();
    soon("the link is up", link.consumer()).await.unwrap();
    vhost.delete_queue(EVENTS).await;
    let working = tokio::spawn(async move { texts(&link.next_batch(10).await.unwrap()) });
    let missing = |state: &LinkState| matches!(state, LinkState::Connecting { last_error: Some(error), .. } if error.contains("topology missing"));
    soon("the link says what is missing", state.wait_for(missing)).await.unwrap();
    Consumer::open(&config, 2).await.unwrap().close().await;
    publish(&config, numbered(1)).await;
    assert_eq!(soon("a delivery", working).await.unwrap(), ["0"]);
}

#[tokio::test]
async fn a_link_that_was_closed_gives_everything_back_and_can_be_used_again() {
    let vhost = Vhost::create().await;
    let mut link = Link::new(&vhost.config());
    soon("the link is up", link.consumer()).await.unwrap();
    publish(&vhost.config(), numbered(3)).await;
    let batch = soon("a delivery", link.next_batch(1)).await.unwrap();
    link.close().await;
    assert_eq!(link.ack_through(&batch[0].receipt).await, Err(BrokerError::Stale));
    assert_eq!(*link.state().borrow(), LinkState::Down);
    let mut again = Vec::new();
    while again.len() < 3 {
        again.extend(texts(&soon("deliveries", link.next_batch(10)).await.unwrap()));
    }
    assert_eq!(again, numbered(3));
}

// --- what the library could not read --------------------------------------------------------------------------

/// The header of a content that somebody might send: mostly as it should be, whatever the bytes of its texts, and now
/// and then with a few bytes changed.
fn any_header(random: &mut dyn FnMut(usize) -> usize, body: usize) -> Vec<u8> {
    fn text(random: &mut dyn FnMut(usize) -> usize) -> Vec<u8> {
        const BYTES: &[u8] = b"a:\0\xc3\xa4\xe9\xff";
        (0..random(6)).map(|_| BYTES[random(BYTES.len())]).collect()
    }
    fn table(random: &mut dyn FnMut(usize) -> usize, depth: usize) -> Vec<u8> {
        let entries = (0..random(4)).flat_map(|_| [short(&text(random)), value(random, depth)].concat());
        long(&entries.collect::<Vec<u8>>())
    }
    fn value(random: &mut dyn FnMut(usize) -> usize, depth: usize) -> Vec<u8> {
        // All that mean something to somebody, and one that means nothing.
        const KINDS: &[u8] = b"tbBsUuIifLldTDSxVAFAFAFAFAFAFAF?";
        let kind = KINDS[random(if depth == 1 { KINDS.len() } else { KINDS.len() - 1 })];
        let value = match kind {
            b'A' | b'F' if depth > 40 => long(b""),
            b'A' => long(&(0..random(4)).flat_map(|_| value(random, depth + 1)).collect::<Vec<u8>>()),
            b'F' => table(random, depth + 1),
            b'S' | b'x' => long(&text(random)),
            b'V' => Vec::new(),
            b't' | b'b' | b'B' => vec![1],
            b's' | b'U' | b'u' => vec![0xff; 2],
            b'D' => vec![3; 5],
            b'I' | b'i' | b'f' => vec![0xfe; 4],
            _ => vec![0x7f; 8],
        };
        [vec![kind], value].concat()
    }
    let flags = random(1 << 14) << 2 | if random(20) == 0 { random(4) } else { 0 };
    let mut header =
        [&[0, 60, 0, 0], &(body as u64).to_be_bytes()[..], &(flags as u16).to_be_bytes()].concat();
    for place in (0..14).filter(|place| flags & (1 << (15 - place)) != 0) {
        header.extend(match place {
            2 => table(random, 1),
            3 | 4 => vec![2],
            // The broker reads it as milliseconds.
            7 => short(b"600000"),
            9 => vec![0; 8],
            // The broker compares it with who publishes.
            11 => short(b"guest"),
            _ => short(&text(random)),
        });
    }
    for _ in 0..[0, 0, 0, 0, 1][random(5)] {
        // Behind the size of the body.
        let at = 12 + random(header.len() - 12);
        header[at] = random(256) as u8;
    }
    header
}

#[tokio::test]
async fn whatever_properties_the_broker_takes_the_message_is_delivered() {
    let count = std::env::var("ODD_HEADERS").map_or(200, |count| count.parse().unwrap());
    let vhost = Vhost::create().await;
    let mut consumer = Consumer::open(&vhost.config(), 1).await.unwrap();
    // What looks random and is the same each time.
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut publisher = RawPublisher::connect(vhost.url()).await;
    let (mut confirmed, mut refused) = (Vec::new(), 0);
    for number in 0..count {
        let text = number.to_string();
        let header = any_header(&mut random, text.len());
        let key = [b"setting-changed.", &[random(256) as u8][..]].concat();
        if publisher.offer(EVENTS, &key, &header, text.as_bytes()).await {
            confirmed.push(text);
        } else {
            refused += 1;
            publisher = RawPublisher::connect(vhost.url()).await;
        }
        if confirmed.len() == 50 || number + 1 == count {
            let taken = take(&mut consumer, confirmed.len()).await;
            assert_eq!(texts(&taken), confirmed);
            confirmed.clear();
            if let Some(last) = taken.last() {
                consumer.ack_through(&last.receipt).await.unwrap();
            }
        }
    }
    assert!(refused > count / 20 && refused < count * 19 / 20, "{refused} of {count} are refused");
    vhost.remove().await;
}
