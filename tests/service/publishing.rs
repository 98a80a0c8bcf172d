//! What the documents for publishers show, published to the running service: every event, and the scripts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use channel_sync::contract::{Message, Properties, to_message};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::platform::Platform;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of one language in a document.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The JSON Lines in a document: lines that are whole events.
fn event_lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(r#"{"specversion""#)).map(ToOwned::to_owned).collect()
}

/// Nothing was rejected, and so many events came: `source | id | state`.
async fn accepted(platform: &Platform) -> Vec<String> {
    let rejected = platform.lines("select code, reason from rejected_message_view").await;
    assert_eq!(rejected, "");
    let events =
        "select source, event_id, state from event_view where category is distinct from 'notifications'
                   order by received_at, event_id";
    platform.lines(events).await.lines().map(ToOwned::to_owned).collect()
}

/// The parts of an AsyncAPI document that hold examples.
#[derive(Deserialize)]
struct AsyncApi {
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    messages: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    content_type: String,
    examples: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    payload: Value,
}

#[tokio::test]
async fn every_example_of_the_asyncapi_document_is_accepted() {
    let described: AsyncApi = serde_saphyr::from_str(&document("docs/asyncapi.yaml")).unwrap();
    // Settings before partnerships; in one kind, as they stand.
    let mut kinds: Vec<_> = described.components.messages.into_iter().collect();
    kinds.sort_by_key(|(name, _)| (!name.starts_with("setting"), name.clone()));
    let mut messages = Vec::new();
    for (name, kind) in kinds {
        assert!(!kind.examples.is_empty(), "{name} has an example");
        for example in kind.examples {
            let content_type = Some(kind.content_type.clone());
            let headers = example.headers.into_iter().collect();
            let properties = Properties { content_type, headers, ..Properties::default() };
            messages.push(Message { body: example.payload.to_string().into_bytes(), properties });
        }
    }
    let expected = messages.len();
    let mut platform = Platform::start().await;
    platform.apply(messages).await;
    let events = accepted(&platform).await;
    assert_eq!(events.len(), expected, "{events:#?}");
    assert!(events.iter().all(|event| event.ends_with(" | done")), "{events:#?}");
    platform.end().await;
}

#[tokio::test]
async fn every_event_in_the_documents_and_schemas_is_accepted() {
    let (publishing, readme) = (document("docs/publishing.md"), document("README.md"));
    let mut events = blocks(&publishing, "json");
    assert!(events.len() >= 4, "{}", events.len());
    let of_the_readme = event_lines(&readme);
    assert_eq!(of_the_readme.len(), 2);
    events.extend(of_the_readme);
    for name in ["setting-changed", "partnership-changed"] {
        let schema: Value = serde_json::from_str(&document(&format!("docs/schemas/{name}.json"))).unwrap();
        for (index, data) in schema["examples"].as_array().unwrap().iter().enumerate() {
            let event = json!({ "specversion": "1.0", "id": format!("{name}-{index}"), "source": "schemas",
                "type": name, "data": data });
            events.push(event.to_string());
        }
    }
    let messages: Vec<Message> = events.iter().map(|event| to_message(event).unwrap()).collect();
    let mut platform = Platform::start().await;
    platform.apply(messages).await;
    let states = accepted(&platform).await;
    assert_eq!(states.len(), events.len(), "{states:#?}");
    // The schema's example is older than the page's, by their versions.
    assert!(states.iter().all(|event| event.ends_with(" | done")), "{states:#?}");
    platform.end().await;
}

/// A Python that has pika: deploy/dev installs Debian's where there is none.
fn python() -> &'static str {
    let candidates = ["python3", "/usr/bin/python3"];
    let has_pika = |python: &&&str| {
        let mut check = Command::new(python);
        check.args(["-c", "import pika"]).stdout(Stdio::null()).stderr(Stdio::null());
        check.status().is_ok_and(|status| status.success())
    };
    candidates
        .iter()
        .find(has_pika)
        .expect("no Python with pika: apt-get install python3-pika, or pip install pika")
}

/// Runs a script against a broker, without stopping the test's own loops.
async fn run(script: PathBuf, arguments: Vec<PathBuf>, amqp_url: String) -> Output {
    let run = move || {
        let mut command = Command::new(python());
        command.arg(script).args(arguments).env("AMQP_URL", amqp_url).stdin(Stdio::null());
        command.output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}: {out}{err}", output.status)
}

#[tokio::test]
async fn the_python_examples_publish_to_the_service() {
    let mut platform = Platform::start().await;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(platform.vhost.name().replace('/', "-"));
    std::fs::create_dir_all(&folder).unwrap();
    let url = platform.vhost.url().to_owned();

    // The first event of one's own, as the page shows it.
    let scripts = blocks(&document("docs/publishing.md"), "python");
    let [script] = &scripts[..] else { panic!("{} scripts on the page", scripts.len()) };
    let first = folder.join("first_event.py");
    std::fs::write(&first, script).unwrap();
    let output = run(first, vec![], url.clone()).await;
    assert!(output.status.success(), "{}", said(&output));
    platform.settle().await;
    let locked = "equipment | module/rec-alpha-430 | {\"watts\": 430} | helios | helios\n";
    assert_eq!(platform.settings("pac-energy").await, locked);

    // The one that goes on until the broker has everything; twice, as after a lost confirm.
    let events = folder.join("events.jsonl");
    std::fs::write(&events, event_lines(&document("README.md")).join("\n")).unwrap();
    let publish = root().join("deploy/examples/publish.py");
    for _ in 0..2 {
        let output = run(publish.clone(), vec![events.clone()], url.clone()).await;
        assert_eq!(said(&output), "exit status: 0: 2 events published\n");
    }
    platform.settle().await;
    let states = accepted(&platform).await;
    assert_eq!(states.iter().filter(|event| event.starts_with("platform | ")).count(), 2, "{states:#?}");

    // Where nobody takes it, it says so.
    platform.stop_service().await;
    platform.vhost.delete_queue("channel-sync.events").await;
    let output = run(publish, vec![events], url).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("not published: UnroutableError"), "{}", said(&output));
    std::fs::remove_dir_all(&folder).unwrap();
    platform.end().await;
}
