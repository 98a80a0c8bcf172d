//! TLS on both links: who is believed and who is not, and that the error says which.

use std::time::{Duration, Instant};

use channel_sync::broker::{BrokerError, Consumer, Publisher};
use channel_sync::config::{BrokerConfig, DatabaseConfig};
use channel_sync::store::{Store, StoreError};
use serde_json::json;

use crate::support::broker::{Vhost, eventually};
use crate::support::certificates::{Authority, Folder, Protocol, Terminator, postgres_without_tls};
use crate::support::database::{Database, admin_client};
use crate::support::events::edit;
use crate::support::platform::lines;
use crate::support::proxy::{Fault, Proxy, server};
use crate::support::raw::{RawMessage, RawPublisher};
use crate::support::stage::EVENTS;
use crate::{config, create_role_with_password, server_file, start};

/// What is said of the host `localhost` by an attempt with this configuration.
async fn broker_says(config: &BrokerConfig) -> String {
    let error = Consumer::open(config, 1).await.err().expect("it is refused");
    assert!(matches!(error, BrokerError::Untrusted { .. }) && !error.is_transient(), "{error:?}");
    let published = Publisher::connect(config).await.err().expect("it is refused");
    assert_eq!(published, error);
    error.to_string()
}

async fn database_says(config: &DatabaseConfig) -> String {
    let error = Store::new(config).unwrap().ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Untrusted { .. }) && !error.is_transient(), "{error:?}");
    error.to_string()
}

fn broker(variables: &[(&str, &str)]) -> BrokerConfig {
    config(variables).broker
}

fn database(variables: &[(&str, &str)]) -> DatabaseConfig {
    config(variables).database
}

/// A database by TLS, whose certificate is for localhost.
fn by_tls(url: &str, port: Option<u16>) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_host(Some("localhost")).unwrap();
    if let Some(port) = port {
        url.set_port(Some(port)).unwrap();
    }
    url.query_pairs_mut().append_pair("sslmode", "verify-full");
    url.to_string()
}

#[tokio::test]
async fn the_broker_that_is_trusted() {
    let vhost = Vhost::create().await;
    let ca = server_file("ca.pem");
    let trusting = broker(&[("BROKER__URL", vhost.tls_url().as_str()), ("BROKER__TLS_CA_FILE", &ca)]);
    let mut consumer = Consumer::open(&trusting, 1).await.unwrap();
    // What comes is put right before the library reads it, as without TLS.
    let (routing_key, body) = (b"setting-changed.caf\xe9".to_vec(), b"x".to_vec());
    let odd = RawMessage { routing_key, body, ..RawMessage::default() };
    RawPublisher::connect(vhost.url()).await.publish(EVENTS, &odd).await;
    let taken = consumer.next_batch(1).await.unwrap();
    assert_eq!(taken[0].message.properties.routing_key.as_deref(), Some("setting-changed.caf?"));
    consumer.close().await;
    vhost.remove().await;
}

#[tokio::test]
async fn a_broker_that_is_not_trusted() {
    let (vhost, folder) = (Vhost::create().await, Folder::create());
    let (ca, other) = (server_file("ca.pem"), Authority::create());
    let other_ca = folder.write("ca.pem", &other.pem());
    let url = vhost.tls_url();

    let said =
        broker_says(&broker(&[("BROKER__URL", url.as_str()), ("BROKER__TLS_CA_FILE", &other_ca)])).await;
    let expected = "connect to the broker at localhost: its certificate comes from an authority that is not trusted \
                    here; expected one of tls_ca_file or, without that, of this system";
    assert_eq!(said, expected);
    // The system's authorities do not know it either; those that are given replace them.
    let said = broker_says(&broker(&[("BROKER__URL", url.as_str())])).await;
    assert_eq!(said, expected);

    let mut address = url.clone();
    address.set_host(Some("127.0.0.1")).unwrap();
    let said = broker_says(&broker(&[("BROKER__URL", address.as_str()), ("BROKER__TLS_CA_FILE", &ca)])).await;
    assert!(said.contains("at 127.0.0.1: its certificate is for another host: expected 127.0.0.1"), "{said}");
    assert!(said.contains("localhost"), "{said}");

    let plain = server("AMQP_URL", 5672);
    let expired = other.issue("localhost", 2021);
    let old = Terminator::before(&plain, Protocol::Amqp, &expired, None).await;
    let mut at_old = url.clone();
    at_old.set_port(Some(old.port())).unwrap();
    let said =
        broker_says(&broker(&[("BROKER__URL", at_old.as_str()), ("BROKER__TLS_CA_FILE", &other_ca)])).await;
    assert!(said.ends_with("at localhost: its certificate expired at 2021-01-01T00:00:00Z"), "{said}");

    let mut no_tls = url.clone();
    no_tls.set_port(plain.rsplit(':').next().unwrap().parse().ok()).unwrap();
    let said = broker_says(&broker(&[("BROKER__URL", no_tls.as_str()), ("BROKER__TLS_CA_FILE", &ca)])).await;
    assert!(said.ends_with("at localhost: what answers there does not speak TLS"), "{said}");
    vhost.remove().await;
}

#[tokio::test]
async fn a_broker_that_asks_for_a_certificate() {
    let (vhost, folder) = (Vhost::create().await, Folder::create());
    let authority = Authority::create();
    let ca = folder.write("ca.pem", &authority.pem());
    let (ours, strangers) = (authority.issue("us", 2100), Authority::create().issue("us", 2100));
    let asking = Terminator::before(
        &server("AMQP_URL", 5672),
        Protocol::Amqp,
        &authority.issue("localhost", 2100),
        Some(&authority),
    )
    .await;
    let mut url = vhost.tls_url();
    url.set_port(Some(asking.port())).unwrap();
    let url = [("BROKER__URL", url.as_str()), ("BROKER__TLS_CA_FILE", ca.as_str())];

    let said = broker_says(&broker(&url)).await;
    assert!(
        said.ends_with("it asks for a client certificate; expected tls_certificate_file and tls_key_file"),
        "{said}"
    );
    let with = |name: &str, identity: &crate::support::certificates::Identity| {
        let certificate = folder.write(&format!("{name}.pem"), &identity.certificate);
        let key = folder.write(&format!("{name}-key.pem"), &identity.key);
        let mut variables = url.to_vec();
        variables.extend([
            ("BROKER__TLS_CERTIFICATE_FILE", certificate.as_str()),
            ("BROKER__TLS_KEY_FILE", key.as_str()),
        ]);
        broker(&variables)
    };
    let said = broker_says(&with("stranger", &strangers)).await;
    assert!(said.contains("it refuses the client certificate of tls_certificate_file"), "{said}");
    Consumer::open(&with("ours", &ours), 1).await.unwrap().close().await;
    vhost.remove().await;
}

#[tokio::test]
async fn a_certificate_in_place_of_a_password() {
    let vhost = Vhost::create().await;
    let files = [server_file("ca.pem"), server_file("client.pem"), server_file("client-key.pem")];
    let mut url = vhost.tls_url();
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    let external = broker(&[
        ("BROKER__URL", url.as_str()),
        ("BROKER__AUTH", "external"),
        ("BROKER__TLS_CA_FILE", &files[0]),
        ("BROKER__TLS_CERTIFICATE_FILE", &files[1]),
        ("BROKER__TLS_KEY_FILE", &files[2]),
    ]);
    // The certificate's name is that of a user who is not there yet, …
    vhost.dismiss("channel_sync").await;
    let error = Consumer::open(&external, 1).await.err().unwrap();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
    // … and now is.
    vhost.permit("channel_sync", None, [".*", ".*", ".*"]).await;
    Consumer::open(&external, 2).await.unwrap().close().await;
    vhost.dismiss("channel_sync").await;
    vhost.remove().await;
}

#[tokio::test]
async fn the_postgres_that_is_trusted() {
    let (own, ca) = (Database::create().await, server_file("ca.pem"));
    let url = by_tls(own.url(), None);
    let store = Store::new(&database(&[("DATABASE__URL", &url), ("DATABASE__TLS_CA_FILE", &ca)])).unwrap();
    store.ping().await.unwrap();
    let backends = "select count(*) > 0 and bool_and(ssl) from pg_stat_activity join pg_stat_ssl using (pid)
                     where datname = current_database() and pid <> pg_backend_pid()";
    assert_eq!(lines(&own.client().await, backends).await, "t\n");
    // By the key as well as by the URL.
    let plain = url.replace("?sslmode=verify-full", "");
    let by_key =
        [("DATABASE__URL", plain.as_str()), ("DATABASE__TLS", "verify-full"), ("DATABASE__TLS_CA_FILE", &ca)];
    Store::new(&database(&by_key)).unwrap().migrate().await.unwrap();
}

#[tokio::test]
async fn a_password_from_a_file_bound_to_the_channel() {
    let (own, folder, ca) = (Database::create().await, Folder::create(), server_file("ca.pem"));
    let user = format!("channel_binding_{}", std::process::id());
    create_role_with_password(&user, "pass word", "").await;
    let mut url = url::Url::parse(&by_tls(own.url(), None)).unwrap();
    url.set_username(&user).unwrap();
    // So that nobody in between can pass the login on.
    url.query_pairs_mut().append_pair("channel_binding", "require");
    let password = folder.write("password", "pass word\n");
    let variables = [
        ("DATABASE__URL", url.as_str()),
        ("DATABASE__PASSWORD_FILE", password.as_str()),
        ("DATABASE__TLS_CA_FILE", ca.as_str()),
    ];
    Store::new(&database(&variables)).unwrap().ping().await.unwrap();
    let wrong = folder.write("password", "password\n");
    let error = Store::new(&database(&[variables[0], ("DATABASE__PASSWORD_FILE", &wrong), variables[2]]));
    let error = error.unwrap().ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)) && !error.is_transient(), "{error:?}");
    drop(own);
    admin_client().await.batch_execute(&format!("drop role {user}")).await.unwrap();
}

#[tokio::test]
async fn a_postgres_that_is_not_trusted() {
    let (own, folder) = (Database::create().await, Folder::create());
    let (ca, other) = (server_file("ca.pem"), Authority::create());
    let other_ca = folder.write("ca.pem", &other.pem());
    let url = by_tls(own.url(), None);

    let said =
        database_says(&database(&[("DATABASE__URL", &url), ("DATABASE__TLS_CA_FILE", &other_ca)])).await;
    assert!(
        said.starts_with("reach the database at localhost: its certificate comes from an authority that"),
        "{said}"
    );

    let address = url.replace("localhost", "127.0.0.1");
    let said = database_says(&database(&[("DATABASE__URL", &address), ("DATABASE__TLS_CA_FILE", &ca)])).await;
    assert!(said.contains("at 127.0.0.1: its certificate is for another host: expected 127.0.0.1"), "{said}");

    let expired = other.issue("localhost", 2021);
    let target = server("DATABASE_URL", 5432);
    let old = Terminator::before(&target, Protocol::Postgres, &expired, None).await;
    let at_old = by_tls(own.url(), Some(old.port()));
    let said =
        database_says(&database(&[("DATABASE__URL", &at_old), ("DATABASE__TLS_CA_FILE", &other_ca)])).await;
    assert!(said.ends_with("at localhost: its certificate expired at 2021-01-01T00:00:00Z"), "{said}");

    // At the start of the service it is the end, and said with what to look at.
    let mut process = start(&[("DATABASE__URL", &url), ("DATABASE__TLS_CA_FILE", &other_ca)]);
    assert_eq!(process.ended().await.code(), Some(1), "{}", process.log());
    assert!(process.log().contains("error: cannot trust the database postgres://"), "{}", process.log());
    assert!(process.log().contains("see the keys database.tls…"), "{}", process.log());

    let without = by_tls(own.url(), Some(postgres_without_tls().await));
    let store =
        Store::new(&database(&[("DATABASE__URL", &without), ("DATABASE__TLS_CA_FILE", &ca)])).unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)) && !error.is_transient(), "{error:?}");
    assert!(
        error.to_string().contains("localhost: ") && error.to_string().contains("not support TLS"),
        "{error}"
    );
}

#[tokio::test]
async fn a_postgres_that_asks_for_a_certificate() {
    let admin = admin_client().await;
    admin.batch_execute("drop database if exists cert_only with (force)").await.unwrap();
    admin.batch_execute("create database cert_only").await.unwrap();
    let folder = Folder::create();
    let files = [server_file("ca.pem"), server_file("client.pem"), server_file("client-key.pem")];
    let mut url = url::Url::parse(&std::env::var("DATABASE_URL").unwrap()).unwrap();
    url.set_path("cert_only");
    let url = by_tls(url.as_str(), None);
    let trusting = [("DATABASE__URL", url.as_str()), ("DATABASE__TLS_CA_FILE", files[0].as_str())];

    let error = Store::new(&database(&trusting)).unwrap().ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");

    let strangers = Authority::create().issue("channel_sync", 2100);
    let (certificate, key) =
        (folder.write("c.pem", &strangers.certificate), folder.write("k.pem", &strangers.key));
    let stranger = [
        trusting[0],
        trusting[1],
        ("DATABASE__TLS_CERTIFICATE_FILE", certificate.as_str()),
        ("DATABASE__TLS_KEY_FILE", key.as_str()),
    ];
    let said = database_says(&database(&stranger)).await;
    assert!(said.contains("it refuses the client certificate of tls_certificate_file"), "{said}");

    let ours = [
        trusting[0],
        trusting[1],
        ("DATABASE__TLS_CERTIFICATE_FILE", files[1].as_str()),
        ("DATABASE__TLS_KEY_FILE", files[2].as_str()),
    ];
    let store = Store::new(&database(&ours)).unwrap();
    store.ping().await.unwrap();
    drop(store);
    admin.batch_execute("drop database cert_only with (force)").await.unwrap();
}

/// Publishes one event, and waits until it is there.
async fn an_event_arrives(vhost: &Vhost, own: &Database, id: &str) {
    let mut publisher = Publisher::connect(&vhost.config()).await.unwrap();
    let message = edit(id, "helios", "equipment", &[("module/a", json!({ "watts": 430 }))]);
    publisher.publish("channel-sync.events", "setting-changed.helios", &message).await.unwrap();
    publisher.flush().await.unwrap();
    publisher.close().await;
    let client = own.client().await;
    let done =
        format!("select count(*) from channel_sync.event_view where event_id = '{id}' and state = 'done'");
    eventually("the event is done", async || lines(&client, &done).await == "1\n").await;
}

#[tokio::test]
async fn the_whole_service_over_tls_notices_a_broker_that_hangs() {
    const HEARTBEAT: Duration = Duration::from_secs(2);
    let (own, vhost) = tokio::join!(Database::create(), Vhost::create());
    let (ca, proxy) = (server_file("ca.pem"), Proxy::before_broker_tls().await);
    let mut amqps = vhost.tls_url();
    amqps.set_port(Some(proxy.port())).unwrap();
    let url = by_tls(own.url(), None);
    let mut process = start(&[
        ("BROKER__URL", amqps.as_str()),
        ("BROKER__TLS_CA_FILE", &ca),
        ("BROKER__HEARTBEAT_SECONDS", "2"),
        ("BROKER__CONNECT_TIMEOUT_SECONDS", "2"),
        ("DATABASE__URL", &url),
        ("DATABASE__TLS_CA_FILE", &ca),
    ]);
    process.ready().await;
    an_event_arrives(&vhost, &own, "one").await;

    proxy.set(Fault::BlackHole);
    let began = Instant::now();
    eventually("health says that the broker is down", async || {
        process
            .health()
            .await
            .is_some_and(|(status, body)| status == 503 && body["broker"]["status"] == "down")
    })
    .await;
    let noticed = began.elapsed();
    assert!(noticed < HEARTBEAT * 2 + Duration::from_secs(2), "noticed after {noticed:?}");
    assert!(process.log().contains("nothing came from the broker for 3.8 s"), "{}", process.log());
    proxy.restore();
    process.ready().await;
    an_event_arrives(&vhost, &own, "two").await;
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.log());
    vhost.remove().await;
}

#[tokio::test]
async fn a_certificate_that_expires_later_is_said_and_waited_for() {
    let (own, vhost, folder) = (Database::create().await, Vhost::create().await, Folder::create());
    let authority = Authority::create();
    let ca = folder.write("ca.pem", &authority.pem());
    let target = server("AMQP_URL", 5672);
    let good = Terminator::before(&target, Protocol::Amqp, &authority.issue("localhost", 2100), None).await;
    let old = Terminator::before(&target, Protocol::Amqp, &authority.issue("localhost", 2021), None).await;
    // The address stays, what stands behind it changes.
    let proxy = Proxy::before_host(&format!("127.0.0.1:{}", good.port())).await;
    let mut amqps = vhost.tls_url();
    amqps.set_port(Some(proxy.port())).unwrap();
    let mut process = start(&[
        ("BROKER__URL", amqps.as_str()),
        ("BROKER__TLS_CA_FILE", &ca),
        ("BROKER__RECONNECT_DELAY_MS_MAX", "200"),
        ("DATABASE__URL", own.url()),
    ]);
    process.ready().await;
    proxy.aim(&format!("127.0.0.1:{}", old.port()));
    vhost.close_connections().await;
    eventually("health says that the certificate has expired", async || {
        process.health().await.is_some_and(|(status, body)| {
            let reason = body["broker"]["reason"].as_str().unwrap_or_default();
            status == 503 && reason.contains("at localhost: its certificate expired at 2021-01-01T00:00:00Z")
        })
    })
    .await;
    assert!(process.log().contains("ERROR"), "{}", process.log());
    proxy.aim(&format!("127.0.0.1:{}", good.port()));
    process.ready().await;
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.log());
    vhost.remove().await;

    // At the start, somebody is there to read it.
    amqps.set_port(Some(old.port())).unwrap();
    let mut process =
        start(&[("BROKER__URL", amqps.as_str()), ("BROKER__TLS_CA_FILE", &ca), ("DATABASE__URL", own.url())]);
    assert_eq!(process.ended().await.code(), Some(1), "{}", process.log());
    assert!(process.log().contains("its certificate expired at 2021-01-01T00:00:00Z"), "{}", process.log());
    assert!(process.log().contains("docs/security.md"), "{}", process.log());
}
