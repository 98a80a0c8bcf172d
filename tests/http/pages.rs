//! Lists are read to their end, without a gap and without a repetition, while rows are added.

use std::collections::BTreeSet;

use reqwest::header::LINK;
use serde_json::{Value, json};

use crate::api::{Api, encoded};
use crate::support::events::{edit, partnership};

/// How many there are of everything before the walk begins.
const ROWS: usize = 40;

/// Walks a list by its links, a few rows a page, and does something between pages. Returns the rows.
async fn walk(api: &Api, path: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Value> {
    let mut next = Some(format!("{path}{}limit=7", if path.contains('?') { '&' } else { '?' }));
    let mut rows = Vec::new();
    for page in 0.. {
        let Some(path) = next else { break };
        let answer = api.get(&path).await;
        let link = answer.headers.get(LINK).map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| {
            let (address, relation) = link.split_once('>').unwrap();
            assert_eq!(relation, "; rel=\"next\"");
            address.strip_prefix("</api/v1").unwrap().to_owned()
        });
        let cursor = answer.body["next"].as_str();
        assert_eq!(next.is_some(), cursor.is_some(), "the link and next agree");
        if let (Some(next), Some(cursor)) = (&next, cursor) {
            // The link says the same as next, whatever it holds.
            assert_eq!(next.split("after=").nth(1).map(decoded).as_deref(), Some(cursor));
        }
        let items = answer.body["items"].as_array().unwrap().clone();
        assert!(items.len() == 7 || next.is_none(), "a page is full, or the last");
        rows.extend(items);
        between(page).await;
    }
    rows
}

fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().unwrap().1.into_owned()
}

fn keys(rows: &[Value], names: &[&str]) -> Vec<String> {
    rows.iter()
        .map(|row| names.iter().map(|name| row[*name].to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn a_long_list_is_walked_while_rows_are_added() {
    let mut api = Api::start().await;
    let mut messages = Vec::new();
    for no in 0..ROWS {
        let partner = format!("partner {no:02}");
        messages.push(partnership(&format!("p-{no}"), "the manager", &partner, "non-exclusive"));
        let odd = format!("key \" {no:02} [,] %");
        messages.push(edit(&format!("e-{no}"), "the manager", "equipment", &[(&odd, json!(no))]));
        messages.push(edit(&format!("bad-{no}"), "the manager", "rooofs", &[("x", json!(no))]));
    }
    api.platform.apply(messages).await;
    let insert = "insert into operator_action (who, action, reason, subject)
                  select 'ada', 'pause', 'r', '{}' from generate_series(1, 40);
                  insert into replay (requested_by, reason, filter, state, total, finished_at)
                  select 'ada', 'r', '{}', 'cancelled', 0, now() from generate_series(1, 40);
                  insert into pause (organization_no, paused_by, reason)
                  select organization_no, 'ada', 'r' from organization order by 1 limit 40";
    if let Err(error) = api.platform.client.batch_execute(insert).await {
        panic!("{error:?}");
    }
    for (path, names) in [
        ("/events?organization=the%20manager", &["source", "event_id"][..]),
        ("/jobs?organization=the%20manager", &["idempotency_key"]),
        ("/jobs", &["idempotency_key"]),
        ("/organizations", &["organization_id"]),
        ("/organizations?prefix=partner%20", &["organization_id"]),
        ("/organizations/the%20manager/settings", &["category", "key"]),
        ("/organizations/the%20manager/partnerships", &["upstream_id", "downstream_id"]),
        ("/partnerships", &["upstream_id", "downstream_id"]),
        ("/rejected-messages", &["rejected_id"]),
        ("/replays", &["replay_no"]),
        ("/actions", &["action_no"]),
        ("/pauses", &["organization_id"]),
    ] {
        let whole =
            api.get(&format!("{path}{}limit=1000", if path.contains('?') { '&' } else { '?' })).await.body;
        assert_eq!(whole["next"], Value::Null);
        let before = keys(whole["items"].as_array().unwrap(), names);
        assert!(before.len() >= ROWS, "{path}: {}", before.len());
        let mut api_rows = Vec::new();
        {
            // Rows before, within and behind what was read: those of before are still found once each.
            let client = &api.platform.client;
            let added = walk(&api, path, async |page| {
                let add = format!(
                    "insert into organization (organization_id)
                     values ('new {page} of {path}'), ('partner 00 {page} {path}'), ('zz {page} {path}');
                     insert into operator_action (who, action, reason, subject) values ('ben', 'pause', 'r', '{{}}')"
                );
                client.batch_execute(&add).await.unwrap();
            })
            .await;
            api_rows.extend(added);
        }
        let walked = keys(&api_rows, names);
        let distinct: BTreeSet<&String> = walked.iter().collect();
        assert_eq!(distinct.len(), walked.len(), "{path}: a row came twice");
        let missing: Vec<&String> = before.iter().filter(|key| !distinct.contains(key)).collect();
        assert!(missing.is_empty(), "{path}: left out {missing:?}");
    }
    api.end().await;
}

#[tokio::test]
async fn a_place_that_no_page_named_is_refused() {
    let api = Api::start().await;
    for path in ["/partnerships", "/events"] {
        for cursor in ["x", "[1]", "[\"a\"]", "{}", "1 2"] {
            let answer = api.get(&format!("{path}?after={}", encoded(cursor))).await;
            assert_eq!(
                (answer.status.as_u16(), answer.problem()),
                (400, "malformed-cursor"),
                "{path} {cursor}"
            );
        }
    }
    for path in ["/jobs", "/replays", "/actions", "/rejected-messages"] {
        let answer = api.get(&format!("{path}?after=x")).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (400, "malformed-cursor"));
        assert!(answer.detail().starts_with("after: "), "{}", answer.detail());
    }
    api.end().await;
}
