//! Every route that only tells: what it tells is what happened, and has the form that the document says.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::api::{Api, ODD, VIEWER, encoded};

#[tokio::test]
async fn every_route_tells_what_happened() {
    let mut api = Api::start().await;
    api.tell_story().await;
    api.pause_pac().await;
    let odd = encoded(ODD);
    let mut asked = BTreeSet::new();
    let mut told = |path: &str, answer: &crate::api::Answer| {
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        asked.insert(api.document.template(&format!("/api/v1{}", path.split('?').next().unwrap())));
    };
    macro_rules! ask {
        ($path:expr) => {{
            let path: String = $path.into();
            let answer = api.get(&path).await;
            told(&path, &answer);
            answer.body
        }};
    }

    let status = ask!("/status");
    assert_eq!(status["organizations"], 5, "{status}");
    assert_eq!(status["jobs"]["failed"], 1);
    assert_eq!(status["pauses"][0]["organization_id"], "pac");
    assert_eq!(status["queue"]["known"]["name"], "channel-sync.events");

    let organizations = ask!("/organizations");
    assert_eq!(names(&organizations, "organization_id").len(), 5);
    assert_eq!(names(&ask!("/organizations?prefix=he"), "organization_id"), ["helios"]);
    let pac = ask!("/organizations/pac");
    assert_eq!(pac, json!({ "organization_id": "pac", "upstreams": 1, "downstreams": 1, "paused": true }));
    assert_eq!(ask!(format!("/organizations/{odd}"))["organization_id"], ODD);

    let settings = ask!("/organizations/pac/settings?category=equipment");
    assert_eq!(names(&settings, "key"), ["module/a b", "module/c", "module/d"]);
    assert_eq!(settings["items"][0]["locked_by"], "helios");
    let prefixed = ask!("/organizations/helios/settings?key_prefix=module%2Fa+b");
    assert_eq!(names(&prefixed, "key"), ["module/a b"]);
    assert_eq!(names(&ask!("/organizations/pac/partnerships"), "mode"), ["strict", "non-exclusive"]);
    assert_eq!(names(&ask!("/partnerships"), "upstream_id"), ["helios", "helios", "pac"]);

    let behind = ask!("/freshness?organization=pac");
    assert_eq!(names(&behind, "organization_id"), ["leaf", "pac"], "{behind}");
    assert_eq!(
        (&behind["items"][0]["jobs_failed"], &behind["items"][1]["jobs_waiting"]),
        (&json!(1), &json!(1))
    );
    assert!(ask!("/freshness?all=true")["items"].as_array().unwrap().len() > 2);

    let mailbox = ask!("/organizations/pac/mailbox");
    assert_eq!(mailbox["pause"]["reason"], "they are migrating");
    assert_eq!(mailbox["jobs_waiting"], 1);
    assert_eq!(mailbox["jobs"][0]["kind"], "sync-change");
    assert_eq!(mailbox["jobs"][0]["event_id"], "helios-4");
    assert_eq!(ask!("/organizations/leaf/mailbox?limit=1")["jobs"], json!([]));

    let explained = ask!("/organizations/pac/explain?category=equipment&key=module%2Fa%20b");
    assert_eq!(explained["edit"]["locked_by"], "helios");
    assert_eq!(ask!("/organizations/pac/explain?category=equipment")["compared"][0]["same"], 3);

    assert_eq!(names(&ask!("/events?state=locked"), "event_id"), ["pac-2"]);
    assert_eq!(names(&ask!("/events?organization=leaf"), "event_id"), ["leaf-1"]);
    let failed = ask!("/events/helios-3?source=tests%2Fplatform&limit=1");
    assert_eq!(failed["event"]["state"], "failed");
    assert_eq!(failed["jobs_left_off"], 3);
    assert_eq!(ask!(format!("/events/{}", encoded("p/3 ?")))["downstream_id"], ODD);

    let waiting = ask!("/jobs?state=pending");
    assert_eq!((&waiting["items"][0]["result"], waiting["next"].is_null()), (&Value::Null, true));
    let jobs = ask!("/jobs?state=failed");
    assert_eq!(names(&jobs, "organization_id"), ["leaf"]);
    let key = jobs["items"][0]["idempotency_key"].as_str().unwrap();
    assert_eq!(
        names(&ask!(format!("/jobs?event=helios-3&source=tests/platform&kind=sync-change")), "kind").len(),
        3
    );
    let job = ask!(format!("/jobs/{key}"));
    assert_eq!(names_of(&job["way"], "organization_id"), ["helios", "pac"]);
    let displaced = ask!("/jobs?kind=reconcile&organization=pac");
    let displaced = ask!(format!("/jobs/{}", displaced["items"][0]["idempotency_key"].as_str().unwrap()));
    assert_eq!(displaced["displaced"][0]["value"], json!({ "watts": 400 }));

    let rejected = ask!("/rejected-messages");
    assert_eq!(names(&rejected, "code"), ["unknown-category", "malformed-json", "malformed-json"]);
    let rejected = ask!("/rejected-messages?code=malformed-json&state=rejected&limit=1");
    let binary = ask!(format!("/rejected-messages/{}", rejected["items"][0]["rejected_id"]));
    assert_eq!((&binary["body"], &binary["body_hex"]), (&Value::Null, &json!("ff00fe")));

    assert_eq!(ask!("/replays")["items"], json!([]));
    let replay = json!({ "jobs": { "keys": [key] }, "reason": "room was made" });
    let replay = api.operate("POST", "/replays", &replay).await;
    assert_eq!(replay.status, StatusCode::CREATED);
    let location = replay.headers["location"].to_str().unwrap().strip_prefix("/api/v1").unwrap();
    assert_eq!(ask!(location)["reason"], "room was made");
    assert_eq!(names(&ask!("/replays?limit=1"), "requested_by"), ["olga"]);

    let overview = ask!("/overview");
    assert_eq!(
        (&overview["link"]["up"], &overview["organizations"]),
        (&json!(true), &json!(5)),
        "{overview}"
    );
    assert_eq!(overview["minutes"]["known"].as_array().unwrap().len(), 60);
    assert_eq!(overview["pauses"][0]["organization_id"], "pac");
    let refused = api.get("/live?since=now").await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::BAD_REQUEST, "malformed-query"));

    let verified = ask!("/verify");
    assert_eq!((&verified["partnerships"], &verified["waiting"]), (&json!(1), &json!(1)), "{verified}");
    assert_eq!(verified["not_in_step_yet"][0]["organization_id"], "pac");
    assert_eq!(ask!("/verify?upstream=pac")["partnerships"], 0);
    assert_eq!(ask!("/verify?upstream=helios&organization=pac&category=equipment&limit=1")["waiting"], 1);
    let refused = api.get("/verify?category=integrations").await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::BAD_REQUEST, "not-kept-in-sync"));

    assert_eq!(names(&ask!("/pauses"), "organization_id"), ["pac"]);
    assert_eq!(names(&ask!("/actions"), "action"), ["jobs replay", "pause"]);

    let gets: BTreeSet<String> = api
        .document
        .operations()
        .into_iter()
        .filter(|(_, method, _)| method == "GET")
        .map(|(path, ..)| path)
        // It goes on without end: the pages' tests listen to it.
        .filter(|path| !path.ends_with("/live"))
        .collect();
    assert_eq!(asked, gets, "every route was asked");
    api.end().await;
}

#[tokio::test]
async fn a_preview_tells_what_would_happen_and_writes_nothing() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let before = everything(&api).await;
    let event = |id: &str, value: i64| {
        let changes = json!([{ "op": "set", "key": "module/a b", "value": value }]);
        let data = json!({ "organization_id": "helios", "category": "equipment", "changes": changes });
        json!({ "specversion": "1.0", "id": id, "source": "tests/platform", "type": "setting-changed",
                "data": data })
    };
    let lines = format!("{}\n{}\n", event("x-1", 8), event("x-2", 9));
    let preview = async |path: &str, text: String| api.send("POST", path, Some(VIEWER), Some(text)).await;
    let one = preview("/preview", event("x-1", 8).to_string()).await;
    assert_eq!(one.status, StatusCode::OK, "{one:?}");
    assert_eq!(one.body["totals"]["changed"], 2, "{}", one.body);
    let two = preview("/preview?limit=1&entries=0", lines).await;
    assert_eq!(two.body["events"].as_array().unwrap().len(), 2);
    assert_eq!(two.body["events"][1]["jobs_left_off"], 1);
    assert_eq!(two.body["events"][0]["jobs"][0]["entries_left_off"], 1);
    for (body, expected) in [("", "no event"), ("{", "line 1"), ("\u{1}", "line 1")] {
        let answer = preview("/preview", body.to_owned()).await;
        assert_eq!((answer.status, answer.problem()), (StatusCode::BAD_REQUEST, "malformed-body"));
        assert!(answer.detail().contains(expected), "{}", answer.detail());
    }
    assert_eq!(everything(&api).await, before);
    api.end().await;
}

async fn everything(api: &Api) -> String {
    let tables =
        "select (select count(*) from event), (select count(*) from job), (select count(*) from letter),
                         (select count(*) from operator_action), (select max(updated_at) from setting),
                         (select count(*) from value), (select count(*) from rejected_message)";
    api.platform.lines(tables).await
}

/// What the rows of a page have under this name.
pub(crate) fn names(page: &Value, name: &str) -> Vec<String> {
    names_of(&page["items"], name)
}

fn names_of(rows: &Value, name: &str) -> Vec<String> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("no list: {rows}"));
    rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}
