//! What is said when something is wrong with a request, or with the service.

use reqwest::StatusCode;
use reqwest::header::{ALLOW, RETRY_AFTER};
use serde_json::Value;

use crate::api::{Api, OPERATOR, VIEWER};

#[tokio::test]
async fn what_is_wrong_is_named_with_what_was_expected() {
    let mut api = Api::start().await;
    api.tell_story().await;
    for (path, status, kind, expected) in [
        ("/jobs?stat=failed", 400, "malformed-query", "there is no parameter \"stat\"; was state meant?"),
        (
            "/jobs?state=done",
            400,
            "malformed-query",
            "state: \"done\" is no state of a job; expected one of: pending",
        ),
        (
            "/jobs?kind=x",
            400,
            "malformed-query",
            "kind: \"x\" is no kind of job; expected one of: own-change",
        ),
        ("/jobs?limit=0", 400, "malformed-query", "limit: expected a whole number from 1 to 1000"),
        ("/jobs?limit=1001", 400, "malformed-query", "limit: expected"),
        ("/jobs?limit=-1", 400, "malformed-query", "limit: expected"),
        ("/jobs?limit=", 400, "malformed-query", "limit: expected"),
        ("/jobs?limit=1&limit=2", 400, "malformed-query", "limit"),
        ("/jobs?source=s", 400, "malformed-query", "source is there without event"),
        ("/jobs?after=17", 400, "malformed-cursor", "after: \"17\" is no idempotency key"),
        ("/events?after=abc", 400, "malformed-cursor", "\"abc\" is no place to go on from; expected"),
        ("/events?after=9223372036854775808", 400, "malformed-cursor", "is no place to go on from; expected"),
        ("/replays?after=abc", 400, "malformed-cursor", "\"abc\" is no place to go on from; expected"),
        ("/rejected-messages?after=", 400, "malformed-cursor", "\"\" is no place to go on from; expected"),
        ("/actions?after=1&after=2", 400, "malformed-query", "duplicate field `after`"),
        ("/jobs?organization=%ff", 400, "malformed-query", "organization is not UTF-8"),
        ("/jobs?organization=a%00b", 400, "malformed-query", "organization holds U+0000"),
        ("/jobs/17", 400, "malformed-path", "expected two numbers such as 17-3"),
        ("/replays/x", 400, "malformed-path", "\"x\" is not a whole number"),
        ("/organizations/%ff", 400, "malformed-path", "organization_id is not UTF-8"),
        ("/organizations/a%00b", 400, "malformed-path", "U+0000"),
        (
            "/rejected-messages?code=x",
            400,
            "malformed-query",
            "code: \"x\" is no rejection code; expected one of:",
        ),
        (
            "/organizations/pac/explain",
            400,
            "malformed-query",
            "category is missing; expected one of: equipment, ",
        ),
        ("/status?x=1", 400, "malformed-query", "there is no parameter \"x\"; expected none"),
        ("/organizations/pacc", 404, "unknown-organization", "a similar one is pac"),
        ("/organizations/pacc/settings", 404, "unknown-organization", "a similar one is pac"),
        ("/organizations/pac/explain?category=roofs", 404, "unknown-category", "it names equipment"),
        ("/organizations/pac/settings?category=roofs", 404, "unknown-category", "it names equipment"),
        ("/organizations/pac/settings?category=", 404, "unknown-category", "no category \"\""),
        ("/events/nothing", 404, "unknown-event", "\"nothing\""),
        ("/jobs/999999-1", 404, "unknown-job", "999999-1"),
        ("/rejected-messages/-1", 404, "unknown-rejected-message", "-1"),
        ("/replays/99", 404, "unknown-replay", "99"),
    ] {
        let answer = api.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (status, kind), "{path}: {answer:?}");
        assert!(answer.detail().contains(expected), "{path}: {}", answer.detail());
    }
    api.end().await;
}

#[tokio::test]
async fn paths_methods_and_bodies_that_are_not_taken() {
    let api = Api::start().await;
    for path in
        ["/api", "/api/", "/api/v2/status", "/api/v1", "/api/v1/statuss", "/api/v1/status/", "/api/v1//"]
    {
        let answer = api.send_anywhere("GET", path, Some(VIEWER), None).await;
        assert_eq!((answer.status, answer.problem()), (StatusCode::NOT_FOUND, "unknown-path"), "{path}");
    }
    let answer = api.send_anywhere("PUT", "/api/v1/pauses", Some(OPERATOR), None).await;
    assert_eq!((answer.status, answer.problem()), (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"));
    assert!(answer.headers[ALLOW].to_str().unwrap().contains("DELETE"), "{answer:?}");
    assert!(answer.detail().contains("does not take PUT"), "{}", answer.detail());

    let send =
        async |path: &str, body: &str| api.send("POST", path, Some(OPERATOR), Some(body.to_owned())).await;
    let syntax = send("/pauses", "{\"organization\": }").await;
    assert_eq!((syntax.status, syntax.problem()), (StatusCode::BAD_REQUEST, "malformed-body"));
    assert!(syntax.detail().contains("line 1 column 18"), "{}", syntax.detail());
    let untyped = api.send("POST", "/pauses", Some(OPERATOR), None).await;
    assert_eq!(
        (untyped.status, untyped.problem()),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type")
    );
    let large = format!("{{\"reason\": \"{}\"}}", "r".repeat(1024 * 1024));
    let large = send("/pauses", &large).await;
    assert_eq!((large.status, large.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
    assert!(large.detail().contains("1048576 bytes"), "{}", large.detail());
    assert_eq!(api.actions().await, "");
    api.end().await;
}

#[tokio::test]
async fn what_schemathesis_and_the_fuzzer_found() {
    let api = Api::start().await;
    let send =
        async |path: &str, body: &str| api.send("POST", path, Some(OPERATOR), Some(body.to_owned())).await;
    // The document says that the body may be null: that is none, and no reason is needed.
    let cancel = send("/replays/99/cancel", "null").await;
    assert_eq!((cancel.status.as_u16(), cancel.problem()), (404, "unknown-replay"), "{cancel:?}");
    // And that an event is an object.
    let document = &api.document.value;
    let preview = &document["paths"]["/api/v1/preview"]["post"]["requestBody"]["content"];
    for content_type in ["application/json", "application/cloudevents+json"] {
        assert_eq!(preview[content_type]["schema"]["type"], "object", "{preview}");
    }
    assert_eq!(send("/preview", "null").await.status, StatusCode::BAD_REQUEST);
    // That explaining needs a category, though the route itself says so where it is missing.
    let explain = &document["paths"]["/api/v1/organizations/{organization_id}/explain"]["get"]["parameters"];
    let category = explain.as_array().unwrap().iter().find(|one| one["name"] == "category").unwrap();
    assert_eq!((&category["required"], &category["schema"]["type"]), (&true.into(), &"string".into()));
    // A key that no number can be is none by the document, either.
    let parameters = &document["paths"]["/api/v1/jobs/{idempotency_key}"]["get"]["parameters"];
    assert_eq!(parameters[0]["schema"]["pattern"], "^[0-9]{1,18}-[0-9]{1,9}$");
    let largest = format!("/jobs/{}-{}", "9".repeat(18), "9".repeat(9));
    assert_eq!(api.get(&largest).await.problem(), "unknown-job");
    // What a detail quotes cannot turn it.
    let turned = send("/pauses", "{\"\\u202ereason\": 1}").await;
    assert_eq!(turned.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(turned.detail().contains("`\\u{202e}reason`"), "{}", turned.detail());
    assert_eq!(api.actions().await, "");
    api.end().await;
}

#[tokio::test]
async fn while_the_database_is_gone_it_is_said_when_to_ask_again() {
    let api = Api::start().await;
    let name = api.platform.database.url().rsplit('/').next().unwrap().to_owned();
    let admin = crate::support::database::admin_client().await;
    let refuse = format!(
        "alter database {name} allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    );
    admin.batch_execute(&refuse).await.unwrap();
    let answer = api.get("/jobs").await;
    assert_eq!((answer.status, answer.problem()), (StatusCode::SERVICE_UNAVAILABLE, "database-unavailable"));
    assert!(answer.headers[RETRY_AFTER].to_str().unwrap().parse::<u32>().is_ok());
    assert!(!answer.detail().contains(&name), "what the database is called is nobody's business");
    admin.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    let value: Value = api.get("/jobs").await.body;
    assert!(value["items"].is_array());
    api.end().await;
}
