//! The permissions of RabbitMQ, as `deploy/rabbitmq/permissions.json` gives them, and what `broker check` says of a
//! broker that somebody declared by hand.

use std::process::{Command, Stdio};

use channel_sync::broker::{BrokerError, CheckState, Consumer, Publisher};
use channel_sync::config::BrokerConfig;
use channel_sync::operations::{BrokerCheck, broker_check};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
    QueuePurgeOptions,
};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;

use crate::support::broker::{Vhost, broker_config, eventually};
use crate::support::certificates::{Authority, Folder, Protocol, Terminator};
use crate::support::database::Database;
use crate::support::events::edit;
use crate::support::platform::lines;
use crate::support::proxy::server;
use crate::{config, long, start};

const DEFINITIONS: &str = include_str!("../../deploy/rabbitmq/definitions.json");
const PERMISSIONS: &str = include_str!("../../deploy/rabbitmq/permissions.json");

/// A virtual host with the shipped topology, and users of this test's own with the shipped permissions.
async fn shipped(test: &str) -> (Vhost, [String; 2]) {
    let vhost = Vhost::create().await;
    vhost.import(DEFINITIONS).await;
    let names = ["service", "publisher"].map(|user| format!("{test}-{user}-{}", std::process::id()));
    let mut permissions = PERMISSIONS.to_owned();
    for (name, shipped) in names.iter().zip(["channel-sync-service", "channel-sync-publisher"]) {
        vhost.permit(name, Some("pw"), ["^$", "^$", "^$"]).await;
        permissions = permissions.replace(&format!("\"{shipped}\""), &format!("\"{name}\""));
    }
    vhost.import(&permissions).await;
    (vhost, names)
}

fn url_of(vhost: &Vhost, user: &str) -> String {
    let mut url = url::Url::parse(vhost.url()).unwrap();
    url.set_username(user).unwrap();
    url.set_password(Some("pw")).unwrap();
    url.to_string()
}

fn config_of(vhost: &Vhost, user: &str) -> BrokerConfig {
    BrokerConfig { declare_topology: false, ..broker_config(&url_of(vhost, user)) }
}

/// What a user is refused by (a reply code), each on a channel of its own: to consume, to purge, to bind, to
/// declare a queue, and to publish to an exchange.
async fn refusals(url: &str, exchanges: &[(&str, &str)]) -> Vec<String> {
    const EVENTS: &str = "channel-sync.events";
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let mut refused = Vec::new();
    let mut note = |what: &str, error: Option<lapin::Error>| {
        if let Some(error) = error {
            assert!(error.to_string().contains("ACCESS_REFUSED"), "{what}: {error}");
            refused.push(what.to_owned());
        }
    };
    let channel = async || connection.create_channel().await.unwrap();
    let fresh = channel().await;
    let consumed =
        fresh.basic_consume(EVENTS.into(), "e".into(), Default::default(), Default::default()).await;
    note("consume events", consumed.err());
    let purged = channel().await.queue_purge(EVENTS.into(), QueuePurgeOptions::default()).await;
    note("purge", purged.err());
    let (options, arguments) = (BasicConsumeOptions::default(), Default::default());
    let fresh = channel().await;
    let consumed =
        fresh.basic_consume("channel-sync.dead-letter".into(), "x".into(), options, arguments).await;
    note("consume dead letters", consumed.err());
    let (options, arguments) = (QueueBindOptions::default(), Default::default());
    let bound =
        channel().await.queue_bind(EVENTS.into(), EVENTS.into(), "#".into(), options, arguments).await;
    note("bind", bound.err());
    let declared = channel()
        .await
        .queue_declare("mine".into(), QueueDeclareOptions::durable(), Default::default())
        .await;
    note("declare", declared.err());
    for (exchange, key) in exchanges {
        let channel = channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        let confirm =
            channel.basic_publish((*exchange).into(), (*key).into(), options, b"{}", properties).await;
        let confirmed = match confirm {
            Ok(confirm) => confirm.await.map(|_| ()),
            Err(error) => Err(error),
        };
        note(&format!("publish to {exchange:?} by {key}"), confirmed.err());
    }
    refused
}

#[tokio::test]
async fn the_service_reads_and_the_publisher_writes_and_neither_does_more() {
    let (vhost, [service, publisher]) = shipped("least").await;
    let publish = [
        ("channel-sync.events", "setting-changed.helios"),
        ("channel-sync.events", "partnership-changed.helios"),
        ("channel-sync.events", "something-else"),
        ("channel-sync.dead-letter", "x"),
        ("", "channel-sync.events"),
    ];
    assert_eq!(
        refusals(&url_of(&vhost, &service), &publish).await,
        [
            "consume dead letters",
            "bind",
            "declare",
            "publish to \"channel-sync.events\" by setting-changed.helios",
            "publish to \"channel-sync.events\" by partnership-changed.helios",
            "publish to \"channel-sync.events\" by something-else",
            "publish to \"channel-sync.dead-letter\" by x",
            "publish to \"\" by channel-sync.events",
        ]
    );
    assert_eq!(
        refusals(&url_of(&vhost, &publisher), &publish).await,
        [
            "consume events",
            "purge",
            "consume dead letters",
            "bind",
            "declare",
            "publish to \"channel-sync.events\" by something-else",
            "publish to \"channel-sync.dead-letter\" by x",
            "publish to \"\" by channel-sync.events",
        ]
    );
    let error = Consumer::open(&config_of(&vhost, &publisher), 1).await.err().unwrap();
    assert!(matches!(error, BrokerError::Forbidden { .. }), "{error:?}");
    for user in [&service, &publisher] {
        vhost.dismiss(user).await;
    }
    vhost.remove().await;
}

#[tokio::test]
async fn the_whole_service_works_with_these_permissions() {
    let (vhost, [service, publisher]) = shipped("whole").await;
    let own = Database::create().await;
    let url = url_of(&vhost, &service);
    // Short, so that what it does while nothing comes is seen too.
    let mut process = start(&[
        ("BROKER__URL", &url),
        ("BROKER__DECLARE_TOPOLOGY", "false"),
        ("BROKER__WATCHDOG_SECONDS", "1"),
        ("DATABASE__URL", own.url()),
    ]);
    process.ready().await;
    // As the platform does, by the command as well.
    let folder = Folder::create();
    let event = json!({
        "specversion": "1.0", "id": "by-command", "source": "s", "type": "setting-changed",
        "data": { "organization_id": "helios", "category": "equipment", "snapshot": { "k": 1 } },
    });
    let file = folder.write("event.json", &event.to_string());
    let published = Command::new(env!("CARGO_BIN_EXE_channel-sync"))
        .args(["publish", &file])
        .env(long("BROKER__URL"), url_of(&vhost, &publisher))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    let mut by_library = Publisher::connect(&config_of(&vhost, &publisher)).await.unwrap();
    let message = edit("by-library", "helios", "equipment", &[("module/a", json!(1))]);
    by_library.publish("channel-sync.events", "setting-changed.helios", &message).await.unwrap();
    by_library.flush().await.unwrap();
    by_library.close().await;
    let client = own.client().await;
    let done = "select count(*) from channel_sync.event_view where state = 'done'";
    eventually("both are done", async || lines(&client, done).await == "2\n").await;
    process.logged("the link to the broker is up").await;
    assert!(!process.log().contains("ACCESS_REFUSED"), "{}", process.log());
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.log());
    for user in [&service, &publisher] {
        vhost.dismiss(user).await;
    }
    vhost.remove().await;
}

fn management_url() -> String {
    std::env::var("AMQP_MANAGEMENT_URL").unwrap()
}

/// What is not right, each as state, object and what was found.
fn not_right(check: &BrokerCheck) -> String {
    let mut text = String::new();
    for finding in check.findings.iter().filter(|finding| finding.state != CheckState::Right) {
        text.push_str(&format!("{:?} {}: {}\n", finding.state, finding.object, finding.found));
    }
    text
}

#[tokio::test]
async fn the_shipped_definitions_pass_the_check() {
    let vhost = Vhost::create().await;
    vhost.import(DEFINITIONS).await;
    let check = broker_check(&vhost.config(), Some(&management_url())).await.unwrap();
    assert_eq!(not_right(&check), "");
    // Two exchanges, two queues, three bindings, five parts of the policy.
    assert_eq!(check.findings.len(), 12);
    let check = broker_check(&vhost.config(), None).await.unwrap();
    assert_eq!(not_right(&check), "Unknown bindings and policy: AMQP cannot tell\n");
    vhost.remove().await;
}

#[tokio::test]
async fn the_management_api_is_believed_as_the_broker_is() {
    let (vhost, folder) = (Vhost::create().await, Folder::create());
    vhost.import(DEFINITIONS).await;
    let (ours, other) = (Authority::create(), Authority::create());
    let target = server("AMQP_MANAGEMENT_URL", 15_672);
    let https = Terminator::before(&target, Protocol::Amqp, &ours.issue("localhost", 2100), None).await;
    let url = format!("https://localhost:{}", https.port());
    let identity = ours.issue("localhost", 2100);
    let broker = Terminator::before(&server("AMQP_URL", 5672), Protocol::Amqp, &identity, None).await;
    let mut amqps = vhost.tls_url();
    amqps.set_port(Some(broker.port())).unwrap();
    let trusting = |ca: &str| config(&[("BROKER__URL", amqps.as_str()), ("BROKER__TLS_CA_FILE", ca)]).broker;
    let trusted = trusting(&folder.write("ca.pem", &ours.pem()));
    let check = broker_check(&trusted, Some(&url)).await.unwrap();
    assert_eq!(not_right(&check), "");
    // The user and the password are those of the broker's URL; the certificate is verified.
    let strange = Terminator::before(&target, Protocol::Amqp, &other.issue("localhost", 2100), None).await;
    let strange = format!("https://localhost:{}", strange.port());
    let error = broker_check(&trusted, Some(&strange)).await.unwrap_err().to_string();
    assert!(error.contains("comes from an authority that is not trusted"), "{error}");
    vhost.remove().await;
}

#[tokio::test]
async fn what_was_declared_wrongly_is_found_with_what_to_do() {
    let vhost = Vhost::create().await;
    vhost.declare_exchange("channel-sync.events", "topic").await;
    vhost.declare_queue("channel-sync.events", json!({ "x-queue-type": "quorum" })).await;
    vhost.declare_exchange("channel-sync.dead-letter", "direct").await;
    vhost
        .import(&json!({
            "bindings": [
                { "source": "channel-sync.events", "destination": "channel-sync.events",
                  "destination_type": "queue", "routing_key": "setting-changed.#", "arguments": {} },
                { "source": "channel-sync.events", "destination": "channel-sync.events",
                  "destination_type": "queue", "routing_key": "#", "arguments": {} },
            ],
            "policies": [
                { "name": "mine", "pattern": "^channel-sync\\.events$", "apply-to": "queues", "priority": 0,
                  "definition": { "delivery-limit": 5, "overflow": "drop-head" } },
            ],
        }).to_string())
        .await;
    let check = broker_check(&vhost.config(), Some(&management_url())).await.unwrap();
    assert_eq!(
        not_right(&check),
        "\
Wrong exchange channel-sync.dead-letter: type \"direct\", durable true, auto_delete false, internal false
Wrong queue channel-sync.events: durable true, auto_delete false, arguments {\"x-queue-type\":\"quorum\"}
Wrong binding channel-sync.events → channel-sync.events by \"partnership-changed.#\": it is not there: such messages \
are returned to publishers, or lost
Advice binding channel-sync.events → channel-sync.events by \"#\": bound
Wrong policy of channel-sync.events: dead-letter-exchange: it says nothing of it
Wrong policy of channel-sync.events: dead-letter-strategy: it says nothing of it
Wrong policy of channel-sync.events: overflow: \"drop-head\"
Advice policy of channel-sync.events: max-length: it says nothing of it
Wrong queue channel-sync.dead-letter: it is not there
"
    );
    // By AMQP alone, as far as that goes.
    let check = broker_check(&vhost.config(), None).await.unwrap();
    let found = not_right(&check);
    for part in [
        "Wrong exchange channel-sync.dead-letter: ",
        "Wrong queue channel-sync.events: ",
        "Wrong queue channel-sync.dead-letter: it is not there",
    ] {
        assert!(found.contains(part), "{found}");
    }
    // Nothing was made.
    assert!(vhost.queue("channel-sync.dead-letter").await.is_none());

    // By the command: the exit code says that something is wrong; passwords are not shown.
    let run = |management: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_channel-sync"))
            .args(["broker", "check"])
            .env(long("BROKER__URL"), vhost.url())
            .env("AMQP_MANAGEMENT_URL", management)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let (code, said) = run(&management_url());
    assert!(code == Some(3) && said.contains("rabbitmqctl set_policy -p 'test-"), "{said}");
    assert!(said.contains("rabbitmqadmin declare binding source=channel-sync.events"), "{said}");
    let (code, said) = run("amqp://me:sesame@host");
    assert!(code == Some(2) && said.contains("the scheme is http or https"), "{said}");
    let wrong = management_url().replace("guest:guest", "guest:sesame");
    let (code, wrong_said) = run(&wrong);
    assert!(code == Some(1) && wrong_said.contains("status 401"), "{wrong_said}");
    assert!(!said.contains("sesame") && !wrong_said.contains("sesame"), "{said} {wrong_said}");
    vhost.remove().await;
}

#[tokio::test]
async fn a_user_without_permissions_is_told_what_cannot_be_seen() {
    let (vhost, [service, publisher]) = shipped("blind").await;
    let check = broker_check(&config_of(&vhost, &service), None).await.unwrap();
    assert_eq!(check.count(CheckState::Wrong), 0, "{}", not_right(&check));
    assert_eq!(check.count(CheckState::Unknown), 5, "{}", not_right(&check));
    assert!(not_right(&check).contains("without the permission to configure it"), "{}", not_right(&check));
    for user in [&service, &publisher] {
        vhost.dismiss(user).await;
    }
    vhost.remove().await;
}
