//! Figures as they come: server-sent events.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::scene::{GUEST, Scene};

/// Long for figures, which come every two seconds.
const WAIT: Duration = Duration::from_secs(20);

/// The next figures.
async fn next(response: &mut Response) -> Value {
    let mut text = String::new();
    loop {
        let chunk =
            timeout(WAIT, response.chunk()).await.expect("figures come").unwrap().expect("it goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        if let Some(event) = text.split("\n\n").next().filter(|_| text.contains("\n\n")) {
            assert!(event.starts_with("event: overview\n"), "{event}");
            return serde_json::from_str(event.split("data: ").nth(1).unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn whoever_listens_gets_figures_until_the_service_stops() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let address = format!("{}/api/v1/live", scene.base);
    let mut response = scene.client.get(&address).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let figures = next(&mut response).await;
    assert_eq!(figures["jobs"]["failed"], 1);
    assert_eq!(figures["link"]["up"], true);
    let minutes = figures["minutes"]["known"].as_array().unwrap();
    assert_eq!(minutes.len(), 60);
    let sum = |name: &str| minutes.iter().map(|minute| minute[name].as_i64().unwrap()).sum::<i64>();
    let counts =
        "select count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
                         (select count(*) from event) from job";
    let counted = format!("{} | {} | {}\n", sum("succeeded"), sum("failed"), sum("events"));
    assert_eq!(counted, scene.platform.lines(counts).await);
    // They go on, and follow what happens: the minute that runs is read every five seconds.
    next(&mut response).await;
    let ends = async { while let Ok(Some(_)) = response.chunk().await {} };
    tokio::join!(scene.platform.end(), async {
        timeout(WAIT, ends).await.expect("it ends with the service")
    });
}

#[tokio::test]
async fn figures_are_for_those_who_may_see_them_and_not_for_any_number() {
    let mut scene = Scene::with_tokens().await;
    let address = format!("{}/api/v1/live", scene.base);
    let answer = scene.client.get(&address).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    scene.log_in(GUEST).await;
    let listen = || scene.client.get(&address).header("cookie", scene.cookie.clone().unwrap()).send();
    let mut listeners = Vec::new();
    for _ in 0..100 {
        let response = listen().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        listeners.push(response);
    }
    let answer = listen().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let mut last = listeners.pop().unwrap();
    next(&mut last).await;
    drop(listeners);
    drop(last);
    scene.platform.end().await;
}
