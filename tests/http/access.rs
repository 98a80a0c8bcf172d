//! Who may do what.

use reqwest::StatusCode;
use serde_json::json;

use crate::api::{Answer, Api, OPERATOR, VIEWER};
use crate::support::platform::Platform;

/// Every operation of the document, asked for by a token.
async fn everywhere(api: &Api, token: Option<&str>, mut see: impl FnMut(&str, &str, &Answer)) {
    for (path, method, operation) in api.document.operations() {
        let mut path = path.strip_prefix("/api/v1").unwrap().replace(['{', '}'], "");
        if path == "/live" {
            // Not without end.
            path.push_str("?no=parameter");
        }
        let body = operation["requestBody"].is_object().then(|| "{}".to_owned());
        let answer = api.send(&method, &path, token, body).await;
        see(&method, &path, &answer);
    }
}

#[tokio::test]
async fn without_a_token_that_is_known_nothing_is_told_or_done() {
    let api = Api::start().await;
    for token in [None, Some("cs_wrong"), Some(""), Some("cs_viewer2")] {
        everywhere(&api, token, |method, path, answer| {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(answer.problem(), "unauthenticated");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        })
        .await;
    }
    assert_eq!(api.actions().await, "");
    api.end().await;
}

#[tokio::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let api = Api::start().await;
    everywhere(&api, Some(VIEWER), |method, path, answer| {
        if method == "GET" || path == "/preview" {
            assert!(answer.status != StatusCode::FORBIDDEN, "{method} {path}");
        } else {
            assert_eq!(
                (answer.status, answer.problem()),
                (StatusCode::FORBIDDEN, "forbidden"),
                "{method} {path}"
            );
        }
    })
    .await;
    everywhere(&api, Some(OPERATOR), |method, path, answer| {
        assert!(!matches!(answer.status.as_u16(), 401 | 403), "{method} {path}");
    })
    .await;
    assert_eq!(api.actions().await, "");
    api.end().await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let api = Api::start().await;
    let address = api.platform.service.as_ref().unwrap().http_address().unwrap();
    let response = reqwest::Client::new()
        .delete(format!("http://{address}/api/v1/pauses"))
        .header("authorization", format!("Bearer {OPERATOR}"))
        .header("origin", "https://elsewhere.example")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    api.end().await;
}

#[tokio::test]
async fn without_tokens_everybody_here_is_an_operator() {
    let api = Api::of(Platform::start().await).await;
    let pause = json!({ "all": true, "reason": "a look" }).to_string();
    let paused = api.send("POST", "/pauses", None, Some(pause)).await;
    assert_eq!(paused.status, StatusCode::CREATED);
    assert_eq!(api.actions().await, "local | pause | a look\n");
    // But by no other name of this machine.
    let address = api.platform.service.as_ref().unwrap().http_address().unwrap();
    let request = reqwest::Client::new().get(format!("http://{address}/api/v1/status"));
    let response = request.header("host", "rebound.example").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
    api.end().await;
}
