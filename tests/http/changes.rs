//! What changes something: it does, says so, and is written down with who and why.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::api::{Api, ODD, encoded};
use crate::routes::names;
use crate::support::broker::eventually;
use crate::support::events::partnership;

async fn key_of_the_failed_job(api: &Api) -> String {
    api.platform.lines("select idempotency_key from job_view where state = 'failed'").await.trim().to_owned()
}

#[tokio::test]
async fn jobs_are_replayed() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let key = key_of_the_failed_job(&api).await;
    let dry = json!({ "jobs": { "state": "failed", "error": "FULL" }, "dry_run": true });
    let chosen = api.operate("POST", "/replays", &dry).await;
    assert_eq!(chosen.status, StatusCode::OK);
    assert_eq!(chosen.body["jobs"], 1, "{}", chosen.body);
    assert!(chosen.body["groups"][0]["error"].as_str().unwrap().contains("leaf is full"));
    assert_eq!(api.actions().await, "", "a dry run does nothing");

    let replay = json!({ "jobs": { "keys": [key] }, "reason": "room was made", "rate_per_second": 5 });
    let replay = api.operate("POST", "/replays", &replay).await;
    assert_eq!(replay.status, StatusCode::CREATED, "{replay:?}");
    let path = replay.headers["location"].to_str().unwrap().strip_prefix("/api/v1").unwrap().to_owned();
    eventually("the job is done", async || api.get(&path).await.body["outcomes"]["succeeded"] == 1).await;
    assert_eq!(
        names(&api.get("/organizations/leaf/settings?key_prefix=module/c").await.body, "origin"),
        ["pac"]
    );

    let again =
        api.operate("POST", "/replays", &json!({ "jobs": { "state": "failed" }, "reason": "r" })).await;
    assert_eq!((again.status, again.problem()), (StatusCode::CONFLICT, "nothing-to-replay"));
    let late = api.operate("POST", &format!("{path}/cancel"), &Value::Null).await;
    assert_eq!((late.status, late.problem()), (StatusCode::CONFLICT, "replay-not-running"));
    assert_eq!(api.actions().await, "olga | jobs replay | room was made\n");
    api.end().await;
}

#[tokio::test]
async fn a_replay_is_cancelled() {
    let mut api = Api::start().await;
    api.tell_story().await;
    // Nobody sends anything meanwhile.
    let hold =
        "create function hold() returns trigger language plpgsql as 'begin raise exception ''held''; end';
                create trigger hold before update on replay_job for each row execute function hold()";
    api.platform.client.batch_execute(hold).await.unwrap();
    let replay = json!({ "jobs": { "state": "succeeded", "organization": "pac" }, "reason": "a try" });
    let replay = api.operate("POST", "/replays", &replay).await;
    assert_eq!(replay.status, StatusCode::CREATED, "{replay:?}");
    let path = format!("/replays/{}/cancel", replay.body["replay_no"]);
    let cancelled = api.operate("POST", &path, &json!({ "reason": "wrong filter" })).await;
    assert_eq!(cancelled.status, StatusCode::OK, "{cancelled:?}");
    let number = |name: &str| replay.body[name].as_i64().unwrap();
    assert_eq!(cancelled.body["jobs_left_off"], number("total") - number("refused"));
    assert_eq!(api.actions().await, "olga | jobs replay | a try\nolga | replays cancel | wrong filter\n");
    api.end().await;
}

#[tokio::test]
async fn jobs_are_discarded() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let discard = async |dry_run: bool| {
        let body =
            json!({ "jobs": { "state": "failed" }, "reason": "the partner is gone", "dry_run": dry_run });
        api.operate("POST", "/jobs/discard", &body).await
    };
    assert_eq!(discard(true).await.body["jobs"], 1);
    assert_eq!(discard(false).await.body, json!({ "discarded": 1 }));
    let again = discard(false).await;
    assert_eq!((again.status, again.problem()), (StatusCode::CONFLICT, "nothing-to-discard"));
    assert_eq!(names(&api.get("/jobs?state=discarded").await.body, "organization_id"), ["leaf"]);
    assert_eq!(api.actions().await, "olga | jobs discard | the partner is gone\n");
    api.end().await;
}

#[tokio::test]
async fn what_differs_is_put_right() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let repair = async |body: Value| api.operate("POST", "/repairs", &body).await;
    let all = json!({ "all": true, "reason": "a backup was restored" });
    let nothing = repair(all.clone()).await;
    assert_eq!(nothing.body, json!({ "drifted": 0, "jobs": 0, "repairs": [] }), "{nothing:?}");
    let lose = "delete from setting where key = 'module/c' and organization_no
                    = (select organization_no from organization where organization_id = 'pac')";
    api.platform.client.batch_execute(lose).await.unwrap();
    let verified = api.get("/verify?upstream=helios").await.body;
    assert_eq!(verified["drift"], json!({ "missing": 1, "other": 0, "extra": 0, "origin": 0 }), "{verified}");
    let difference = &verified["differences"][0];
    assert_eq!((&difference["key"], &difference["there"]), (&json!("module/c"), &json!(3)), "{difference}");

    let would = repair(json!({ "organization": "pac", "dry_run": true })).await;
    assert_eq!(would.body["drifted"][0]["organization_id"], "pac", "{would:?}");
    assert_eq!(api.actions().await, "", "a dry run does nothing");
    let repaired = repair(all.clone()).await;
    assert_eq!((&repaired.body["drifted"], &repaired.body["jobs"]), (&json!(1), &json!(1)), "{repaired:?}");
    let job = format!("/jobs/{}", repaired.body["repairs"][0]["idempotency_key"].as_str().unwrap());
    eventually("the job is done", async || api.get(&job).await.body["job"]["state"] == "succeeded").await;
    assert_eq!(api.get("/verify").await.body["in_step"], 1);
    assert_eq!(api.actions().await, "olga | verify repair | a backup was restored\n");
    api.end().await;
}

#[tokio::test]
async fn what_a_match_displaced_is_restored() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let job =
        api.get("/jobs?kind=reconcile&organization=pac").await.body["items"][0]["idempotency_key"].clone();
    let path = format!("/jobs/{}/restore", job.as_str().unwrap());
    let why = json!({ "reason": "asked for by pac" });
    let locked = api.operate("POST", &path, &why).await;
    assert_eq!((locked.status, locked.problem()), (StatusCode::CONFLICT, "nothing-to-restore"), "{locked:?}");
    assert!(locked.detail().contains("1 locked"), "{}", locked.detail());
    api.platform.apply([partnership("p-free", "helios", "pac", "flexible")]).await;
    let would = api.operate("POST", &path, &json!({ "dry_run": true })).await;
    assert_eq!((would.status, &would.body["outcomes"]["restored"]), (StatusCode::OK, &json!(1)), "{would:?}");
    assert_eq!((&would.body["entries"][0]["key"], &would.body["events"]), (&json!("mine"), &json!([])));
    assert_eq!(api.actions().await, "", "a dry run does nothing");
    let drop = |at: &str| format!("update job_day set dropped_at = {at}");
    api.platform.client.batch_execute(&drop("now()")).await.unwrap();
    let dropped = api.operate("POST", &path, &json!({ "dry_run": true })).await.body;
    assert_eq!(dropped["outcomes"]["results_dropped"], json!(1), "{dropped}");
    assert_eq!(dropped["entries"][0]["outcome"], json!("results-dropped"), "{dropped}");
    api.platform.client.batch_execute(&drop("null")).await.unwrap();

    let restored = api.operate("POST", &path, &why).await;
    let event = restored.body["events"][0].as_str().unwrap_or_else(|| panic!("{restored:?}")).to_owned();
    let event = format!("/events/{event}");
    eventually("it is back", async || api.get(&event).await.body["event"]["state"] == "done").await;
    let settings = api.get("/organizations/pac/settings?category=equipment&key_prefix=mine").await.body;
    assert_eq!(settings["items"][0]["value"], json!({ "watts": 400 }), "{settings}");
    let again = api.operate("POST", &path, &why).await;
    assert_eq!((again.status, again.problem()), (StatusCode::CONFLICT, "nothing-to-restore"));
    let unknown = api.operate("POST", "/jobs/7-7/restore", &why).await;
    assert_eq!((unknown.status, unknown.problem()), (StatusCode::NOT_FOUND, "unknown-job"));
    assert_eq!(api.actions().await, "olga | restore | asked for by pac\n");
    api.end().await;
}

#[tokio::test]
async fn rejected_messages_are_replayed_and_discarded() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let operate = async |what: &str, body: Value| {
        let answer = api.operate("POST", &format!("/rejected-messages/{what}"), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    };
    let all = json!({ "all": true, "dry_run": true });
    let refused = json!({ "malformed-json": 2, "unknown-category": 1 });
    assert_eq!(operate("replay", all.clone()).await["refused"], refused);
    assert_eq!(operate("discard", all).await, json!({ "messages": 3 }));
    let of_code = json!({ "messages": { "code": "unknown-category" }, "reason": "a new catalogue" });
    assert_eq!(operate("replay", of_code).await["refused"], json!({ "unknown-category": 1 }));
    let id = api.get("/rejected-messages?code=malformed-json").await.body["items"][0]["rejected_id"].clone();
    let one = json!({ "messages": { "ids": [id] }, "reason": "noise" });
    assert_eq!(operate("discard", one.clone()).await, json!({ "discarded": 1 }));
    let again = api.operate("POST", "/rejected-messages/discard", &one).await;
    assert_eq!((again.status, again.problem()), (StatusCode::CONFLICT, "already-settled"));
    assert_eq!(
        api.actions().await,
        "olga | rejected replay | a new catalogue\nolga | rejected discard | noise\n"
    );
    api.end().await;
}

#[tokio::test]
async fn organizations_and_everything_are_paused_and_resumed() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let pause = json!({ "organization": ODD, "reason": "they are migrating" });
    let first = api.operate("POST", "/pauses", &pause).await;
    assert_eq!((first.status, &first.body["new"]), (StatusCode::CREATED, &json!(true)));
    let second = api.operate("POST", "/pauses", &pause).await;
    assert_eq!((second.status, &second.body["new"]), (StatusCode::OK, &json!(false)));
    let everything = api.operate("POST", "/pauses", &json!({ "all": true, "reason": "a restore" })).await;
    assert_eq!(everything.status, StatusCode::CREATED);
    let first = api.get("/pauses?limit=1").await.body;
    assert_eq!(first["items"][0]["organization_id"], Value::Null);
    let rest = api.get(&format!("/pauses?after={}", first["next"].as_str().unwrap())).await.body;
    assert_eq!(names(&rest, "organization_id"), [ODD]);
    let mailbox = api.get("/organizations/pac/mailbox").await.body;
    assert_eq!(
        (&mailbox["pause"], &mailbox["everything_paused"]["reason"]),
        (&Value::Null, &json!("a restore"))
    );

    let odd = format!("/pauses/{}", encoded(ODD));
    for path in [odd.as_str(), "/pauses"] {
        assert_eq!(api.operate("DELETE", path, &Value::Null).await.status, StatusCode::NO_CONTENT);
        let again = api.operate("DELETE", path, &Value::Null).await;
        assert_eq!((again.status, again.problem()), (StatusCode::NOT_FOUND, "not-paused"));
    }
    let expected =
        "olga | pause | they are migrating\nolga | pause | a restore\nolga | resume | -\nolga | resume | -\n";
    assert_eq!(api.actions().await, expected);
    api.end().await;
}

#[tokio::test]
async fn what_does_not_say_enough_is_not_done() {
    let mut api = Api::start().await;
    api.tell_story().await;
    let failed = json!({ "state": "failed" });
    for (path, body, expected) in [
        ("/replays", json!({ "jobs": failed }), "reason is missing"),
        ("/replays", json!({ "jobs": failed, "reason": "  " }), "reason is empty"),
        ("/replays", json!({ "jobs": failed, "reason": "a\0b" }), "reason is text with U+0000"),
        ("/replays", json!({ "jobs": failed, "reason": "r".repeat(2001) }), "reason is too long"),
        ("/replays", json!({ "jobs": {}, "reason": "r" }), "jobs says nothing"),
        ("/replays", json!({ "reason": "r" }), "missing field `jobs`"),
        ("/replays", json!({ "jobs": { "state": "pending" }, "reason": "r" }), "expected one of: failed"),
        ("/replays", json!({ "jobs": { "state": "done" }, "reason": "r" }), "expected one of: pending"),
        ("/replays", json!({ "jobs": { "stat": "failed" }, "reason": "r" }), "unknown field `stat`"),
        (
            "/replays",
            json!({ "jobs": { "keys": ["17"] }, "reason": "r" }),
            "expected two numbers such as 17-3",
        ),
        ("/replays", json!({ "jobs": { "source": "s" }, "reason": "r" }), "jobs.source"),
        (
            "/replays",
            json!({ "jobs": { "since": "yesterday" }, "reason": "r" }),
            "jobs.since: \"yesterday\" is no time; expected one such as 2026-01-31T09:30:00Z",
        ),
        ("/replays", json!({ "jobs": { "until": 7 }, "reason": "r" }), "jobs.until"),
        ("/replays", json!({ "jobs": failed, "reason": "r", "rate_per_second": 0 }), "rate_per_second is 0"),
        ("/replays", json!({ "jobs": failed, "reason": "r", "rate": 5 }), "unknown field `rate`"),
        // An object is read by its names alone.
        ("/replays", json!([]), "invalid type: sequence, expected an object"),
        ("/replays", json!([failed, null, null, true]), "expected an object"),
        (
            "/replays",
            json!({ "jobs": ["a"], "reason": "r" }),
            "jobs: invalid type: sequence, expected an object",
        ),
        ("/replays", json!({ "jobs": null, "reason": "r" }), "jobs: invalid type: null, expected an object"),
        ("/replays", Value::from("all"), "expected an object"),
        ("/replays/7/cancel", json!(["r"]), "expected an object"),
        ("/jobs/discard", json!([failed, "r", true]), "expected an object"),
        ("/jobs/7-7/restore", json!(["r", true]), "expected an object"),
        ("/repairs", json!([null, null, true, "r", true]), "expected an object"),
        ("/rejected-messages/replay", json!([{}, true, "r", true]), "expected an object"),
        (
            "/rejected-messages/discard",
            json!({ "messages": [[1]], "reason": "r", "dry_run": true }),
            "messages: invalid type: sequence, expected an object",
        ),
        ("/pauses", json!([null, true, "r"]), "expected an object"),
        ("/jobs/discard", json!({ "jobs": failed }), "reason is missing"),
        (
            "/jobs/discard",
            json!({ "jobs": { "state": "succeeded" }, "reason": "r" }),
            "expected one of: failed, retrying",
        ),
        ("/rejected-messages/replay", json!({ "all": true }), "reason is missing"),
        ("/rejected-messages/discard", json!({ "all": true, "reason": "" }), "reason is empty"),
        ("/rejected-messages/discard", json!({ "reason": "r" }), "messages says nothing"),
        (
            "/rejected-messages/discard",
            json!({ "messages": { "code": "wrong" }, "reason": "r" }),
            "messages.code",
        ),
        ("/repairs", json!({ "all": true }), "reason is missing"),
        ("/repairs", json!({ "reason": "r" }), "upstream and organization are missing"),
        ("/repairs", json!({ "upstream": "helios", "all": true, "reason": "r" }), "expected one of them"),
        ("/repairs", json!({ "category": "equipment", "reason": "r" }), "unknown field `category`"),
        ("/jobs/7-7/restore", json!({}), "reason is missing"),
        ("/jobs/7-7/restore", json!({ "dryrun": true }), "unknown field `dryrun`"),
        ("/pauses", json!({ "organization": "pac" }), "reason is missing"),
        ("/pauses", json!({ "reason": "r" }), "organization is missing"),
        ("/pauses", json!({ "organization": "pac", "all": true, "reason": "r" }), "one of them"),
    ] {
        let answer = api.operate("POST", path, &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {body}: {answer:?}");
        assert!(answer.detail().contains(expected), "{path} {body}: {}", answer.detail());
    }
    // What the database cannot even be asked for.
    for selection in
        [json!({ "organization": "a\0b" }), json!({ "state": "failed", "since": "-005000-01-01T00:00:00Z" })]
    {
        let body = json!({ "jobs": selection, "reason": "r" });
        let answer = api.operate("POST", "/replays", &body).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::BAD_REQUEST, "impossible-value"),
            "{answer:?}"
        );
    }
    assert_eq!(api.actions().await, "");
    api.end().await;
}
