//! Planted secrets that must not come to light: passwords, a token, the values of settings. Everything that the
//! service says is looked through, at the level trace.

use std::process::{Command, Stdio};

use channel_sync::broker::Publisher;
use channel_sync::config::{AccessToken, Config, Role};
use serde_json::json;

use crate::support::broker::{Vhost, eventually};
use crate::support::certificates::Folder;
use crate::support::database::{Database, admin_client};
use crate::support::events::{edit, partnership};
use crate::support::platform::lines;
use crate::support::process::Process;
use crate::{create_role_with_password, long, start};

/// The passwords of broker and database, a wrong one, a token, the value of a setting: none is the end of another.
const BROKER: &str = "sesame-broker-7f3a";
const DATABASE: &str = "sesame-database-91bc";
const WRONG: &str = "sesame-wrong-44d0";
const TOKEN: &str = "sesame-token-e218";
const VALUE: &str = "sesame-value-5ad6";

/// A secret as text, and as the numbers of its bytes.
fn forms(secret: &str) -> Vec<String> {
    let bytes = format!("{:?}", secret.as_bytes());
    vec![secret.to_owned(), bytes.trim_matches(['[', ']']).to_owned()]
}

fn assert_discreet(what: &str, said: &str) {
    for secret in [BROKER, DATABASE, WRONG, TOKEN, VALUE] {
        for form in forms(secret) {
            assert!(!said.contains(&form), "{what} shows {secret}:\n{said}");
        }
    }
}

/// Everything that a command says, on both outputs.
fn said(variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let named = variables.iter().map(|(name, value)| (long(name), (*value).to_owned()));
    let output = Command::new(env!("CARGO_BIN_EXE_channel-sync"))
        .env_clear()
        .envs(named)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The same URL for another user, without a password.
fn for_user(url: &str, user: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_username(user).unwrap();
    url.set_password(None).unwrap();
    url.to_string()
}

fn with_password(url: &str, password: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_password(Some(password)).unwrap();
    url.to_string()
}

/// Pages and the API's answers, of which operators see values of settings where these are what was asked for; never in
/// anything else, and no password or token anywhere.
async fn over_http(process: &Process, client: &tokio_postgres::Client) {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let base = format!("http://{}", process.address().unwrap());
    let failed = "select idempotency_key from channel_sync.job_view where state = 'failed'";
    let failed = lines(client, failed).await.trim().to_owned();
    // What values are shown in: settings, what jobs changed, rejected messages, comparisons.
    let values = [
        "/organization?id=helios".to_owned(),
        "/explain?organization=helios&category=equipment&key=module/a".to_owned(),
        "/rejected/1".to_owned(),
        "/api/v1/organizations/helios/settings".to_owned(),
        "/api/v1/rejected-messages/1".to_owned(),
    ];
    let others = [
        "/",
        "/events",
        "/event?id=good",
        "/jobs",
        "/failures",
        "/rejected",
        "/replays",
        "/organizations",
        "/organization?id=nobody",
        "/freshness?all=yes",
        "/verify?compare=yes",
        "/actions",
        "/jobs/replay?state=failed",
        "/api/v1/overview",
        "/api/v1/status",
        "/api/v1/events",
        "/api/v1/events/good",
        "/api/v1/jobs?state=failed",
        "/api/v1/freshness?all=true",
        "/api/v1/verify",
        "/api/v1/rejected-messages",
        "/api/v1/actions",
        "/api/v1/openapi.json",
        "/api/v1/nowhere",
        "/api/v1/jobs?state=none",
        "/metrics",
    ];
    let others = others.iter().map(|path| (*path).to_owned());
    let others = others.chain([format!("/jobs/{failed}"), format!("/jobs/{failed}/restore")]);
    let mut shown = 0;
    for (path, has_value) in others.map(|path| (path, false)).chain(values.map(|path| (path, true))) {
        let response = http.get(format!("{base}{path}")).bearer_auth(TOKEN).send().await.unwrap();
        assert!(
            response.status().as_u16() < 500 && response.status() != 401,
            "{path}: {}",
            response.status()
        );
        let headers = format!("{:?}", response.headers());
        let text = response.text().await.unwrap();
        shown += usize::from(has_value && text.contains(VALUE));
        let text = if has_value { text.replace(VALUE, "") } else { text };
        assert_discreet(&path, &(headers + &text));
    }
    assert_eq!(shown, 5, "a value is shown where it is asked for");
    // Neither who is refused nor who logs in is told a token; only the cookie is one.
    for token in [WRONG, TOKEN] {
        let form = format!("token={token}&next=/");
        let request = http.post(format!("{base}/login")).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.send().await.unwrap();
        let cookie = response.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
        assert_eq!(cookie.is_some(), token == TOKEN, "{cookie:?}");
        assert!(
            cookie.is_none_or(|cookie| cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"))
        );
        let mut headers = response.headers().clone();
        headers.remove("set-cookie");
        let text = response.text().await.unwrap();
        assert_discreet("/login", &format!("{headers:?}{text}"));
        let refused = http.get(format!("{base}/api/v1/status")).bearer_auth(format!("{token}x"));
        let refused = refused.send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_discreet("a refusal", &refused.text().await.unwrap());
    }
}

#[tokio::test]
async fn nothing_that_is_said_holds_a_secret() {
    let (own, vhost, folder) = (Database::create().await, Vhost::create().await, Folder::create());
    // Users of this test's own, with passwords that are really asked for.
    let user = format!("secrets_{}", std::process::id());
    create_role_with_password(&user, DATABASE, "superuser").await;
    vhost.permit(&user, Some(BROKER), [".*", ".*", ".*"]).await;
    let (amqp, postgres) = (for_user(vhost.url(), &user), for_user(own.url(), &user));
    let tokens = AccessToken::entry("ada", Role::Operator, TOKEN);
    let files = [
        folder.write("broker-password", &format!("{BROKER}\n")),
        folder.write("database-password", &format!("{DATABASE}\r\n")),
        folder.write("tokens", &format!("{tokens}\n")),
        folder.write("wrong-password", WRONG),
    ];
    let right = [
        ("BROKER__URL", amqp.as_str()),
        ("BROKER__PASSWORD_FILE", files[0].as_str()),
        ("DATABASE__URL", postgres.as_str()),
        ("DATABASE__PASSWORD_FILE", files[1].as_str()),
        ("HTTP__ACCESS_TOKENS_FILE", files[2].as_str()),
        ("RETRY__JOB_ATTEMPTS_MAX", "2"),
        ("RETRY__JOB_DELAY_MS_MIN", "1"),
        ("RETRY__JOB_DELAY_MS_MAX", "10"),
        ("LOG__FILTER", "trace,lapin=trace,tokio_postgres=trace,tokio_postgres::query=trace"),
    ];

    // A whole run, with events, a fan-out, a rejected message and a job that fails for what its value is.
    let mut process = start(&right);
    process.ready().await;
    let client = own.client().await;
    let check =
        "alter table channel_sync.setting add constraint planted check (key <> 'module/refused') not valid";
    client.batch_execute(check).await.unwrap();
    let mut publisher = Publisher::connect(&vhost.config()).await.unwrap();
    let value = json!({ "secret": VALUE });
    let events = [
        partnership("p", "helios", "pac-energy", "strict"),
        edit("good", "helios", "equipment", &[("module/a", value.clone())]),
        edit("rejected", "helios", "no-such-category", &[("module/a", value.clone())]),
        edit("refused", "borea", "equipment", &[("module/refused", value.clone())]),
    ];
    for event in &events {
        let key = event.properties.routing_key.clone().unwrap_or_else(|| "setting-changed.x".to_owned());
        publisher.publish("channel-sync.events", &key, event).await.unwrap();
    }
    publisher.flush().await.unwrap();
    publisher.close().await;
    let done = "select (select count(*) from channel_sync.event_view where state in ('done', 'failed')),
                       (select count(*) from channel_sync.job_view where state = 'failed'),
                       (select count(*) from channel_sync.rejected_message_view)";
    eventually("everything is done", async || lines(&client, done).await == "3 | 1 | 1\n").await;
    let health = process.health().await.unwrap();
    assert_discreet("/readyz", &health.1.to_string());
    let errors = "select string_agg(last_error, ' ') from channel_sync.job_view where state = 'failed'";
    let errors = lines(&client, errors).await;
    assert!(errors.contains("23514"), "{errors}");
    assert_discreet("an error in the database", &errors);
    over_http(&process, &client).await;
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.log());
    let log = process.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    assert_discreet("the log", &log);

    // Wrong passwords, in files and in URLs.
    let wrong_broker = with_password(&amqp, WRONG);
    let wrong_database = with_password(&postgres, WRONG);
    let mut wrongs: Vec<Vec<(&str, &str)>> = Vec::new();
    for (name, value) in [("BROKER__PASSWORD_FILE", &files[3]), ("DATABASE__PASSWORD_FILE", &files[3])] {
        let mut variables = right.to_vec();
        variables.retain(|(other, _)| *other != name);
        variables.push((name, value));
        wrongs.push(variables);
    }
    for (section, url) in [("BROKER", &wrong_broker), ("DATABASE", &wrong_database)] {
        let (name, file) = (format!("{section}__URL"), format!("{section}__PASSWORD_FILE"));
        let mut variables = right.to_vec();
        variables.retain(|(other, _)| **other != name && **other != file);
        variables.push((if section == "BROKER" { "BROKER__URL" } else { "DATABASE__URL" }, url));
        wrongs.push(variables);
    }
    let event = folder.write(
        "event.json",
        &serde_json::to_string(&json!({
            "specversion": "1.0", "id": "e", "source": "s", "type": "setting-changed",
            "data": { "organization_id": "helios", "category": "equipment", "snapshot": { "k": value } },
        }))
        .unwrap(),
    );
    for variables in &wrongs {
        for arguments in [&["run"][..], &["status"], &["publish", &event], &["migrate"], &["config", "print"]]
        {
            // Where the service would start all the same, it is not run: only its start is looked at.
            let broker_is_wrong = variables.iter().any(|(name, value)| {
                name.starts_with("BROKER__") && (*value == files[3] || *value == wrong_broker)
            });
            let text = said(variables, arguments);
            assert_discreet(&format!("{arguments:?}"), &text);
            let fails = match arguments[0] {
                "run" => true,
                "publish" => broker_is_wrong,
                "status" | "migrate" => !broker_is_wrong,
                _ => false,
            };
            assert_eq!(text.contains("error: "), fails, "{arguments:?} {variables:?}: {text}");
        }
    }

    // Configurations that are wrong: what stands in a wrong place is not shown.
    let both = with_password(&amqp, BROKER);
    let hash_is_token = format!("ada:operator:{TOKEN}");
    let wrong_configurations = [
        vec![("BROKER__URL", both.as_str()), ("BROKER__PASSWORD_FILE", files[0].as_str())],
        vec![("BROKER__PASSWORD_FILE", BROKER)],
        vec![("DATABASE__PASSWORD_FILE", DATABASE)],
        vec![("HTTP__ACCESS_TOKENS", hash_is_token.as_str())],
        vec![("HTTP__ACCESS_TOKENS_FILE", TOKEN)],
    ];
    for variables in &wrong_configurations {
        let text = said(variables, &["config", "check"]);
        assert!(text.contains("expected"), "{variables:?}: {text}");
        assert_discreet(&format!("{variables:?}"), &text);
    }
    let named = right.iter().map(|(name, value)| (long(name), (*value).to_owned()));
    assert_discreet("Debug", &format!("{:?}", Config::load(None, named).unwrap()));
    assert_discreet("config print", &said(&right, &["config", "print"]));

    vhost.dismiss(&user).await;
    vhost.remove().await;
    drop(client);
    drop(own);
    admin_client().await.batch_execute(&format!("drop role {user}")).await.unwrap();
}
