//! What is timed on the big database (`deploy/big`) is something that can be asked.

use crate::api::{Api, VIEWER};

#[allow(dead_code, reason = "the commands are for the program")]
#[path = "../../deploy/big/questions.rs"]
mod questions;

/// Things that the small database has, for those of the big one.
const THINGS: &[(&str, &str)] = &[
    ("{middle-event}", "3"),
    ("helios-1440", "helios-3"),
    ("partnership-201", "p-1"),
    ("partner-00001", "pac"),
    ("partner-00017", "pac"),
    ("partner-03217", "pac"),
    ("installer-0010", "leaf"),
    ("region-001", "pac"),
    ("/replays/301", "/replays/1"),
    ("/10000", "/1"),
];

#[tokio::test]
async fn every_path_that_is_timed_on_the_big_database_is_there() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let job = async |of: &str| {
        let query = format!("select idempotency_key from job_view where {of} limit 1");
        api.platform.lines(&query).await.trim().to_owned()
    };
    let failed = job("state = 'failed'").await;
    let own = job("kind = 'own-change'").await;
    let displacing = job("kind = 'reconcile' and organization_id = 'pac'").await;
    let replay = serde_json::json!({ "jobs": { "state": "failed" }, "reason": "room was made" });
    assert_eq!(api.operate("POST", "/replays", &replay).await.status, 201);
    let address = api.platform.service.as_ref().unwrap().http_address().unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for path in questions::PATHS {
        // The jobs last: what stands in their keys is not to be replaced.
        let mut path = path.to_string();
        for (big, small) in THINGS {
            path = path.replace(big, small);
        }
        let path = path
            .replace("{failed-job}", &failed)
            .replace("{fan-out-job}", &own)
            .replace("{middle-job}", &own)
            .replace("{displacing-job}", &displacing);
        let answer = client.get(format!("http://{address}{path}")).bearer_auth(VIEWER).send().await.unwrap();
        let expected = if path.starts_with("/find") || path == "/login" { 303 } else { 200 };
        let status = answer.status();
        assert_eq!(status, expected, "{path}: {:.600}", answer.text().await.unwrap());
    }
    api.end().await;
}
