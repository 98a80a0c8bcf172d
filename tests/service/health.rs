//! The health endpoints.

use crate::support::platform::Platform;

#[tokio::test]
async fn live_and_ready_while_broker_and_database_answer() {
    let platform = Platform::start().await;
    let address = platform.service.as_ref().unwrap().http_address().unwrap();
    let live = reqwest::get(format!("http://{address}/livez")).await.unwrap();
    assert_eq!(live.status(), 200);
    let ready = reqwest::get(format!("http://{address}/readyz")).await.unwrap();
    assert_eq!(ready.status(), 200);
    let ready: serde_json::Value = ready.json().await.unwrap();
    assert_eq!(ready["broker"]["status"], "up");
    assert_eq!(ready["database"]["status"], "up");
    platform.end().await;
}

#[tokio::test]
async fn not_ready_and_says_why_while_the_database_is_gone() {
    let platform = Platform::start().await;
    let address = platform.service.as_ref().unwrap().http_address().unwrap();
    let name = platform.database.url().rsplit('/').next().unwrap().to_owned();
    let admin = crate::support::database::admin_client().await;
    let refuse = format!(
        "alter database {name} allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    );
    admin.batch_execute(&refuse).await.unwrap();
    let ready = reqwest::get(format!("http://{address}/readyz")).await.unwrap();
    assert_eq!(ready.status(), 503);
    let ready: serde_json::Value = ready.json().await.unwrap();
    assert_eq!(ready["database"]["status"], "down");
    assert!(ready["database"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{ready}");
    let live = reqwest::get(format!("http://{address}/livez")).await.unwrap();
    assert_eq!(live.status(), 200);
    admin.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    platform.end().await;
}
