//! Who may see pages, and who may do something there.

use reqwest::StatusCode;

use crate::scene::{ADA, GUEST, Scene};

#[tokio::test]
async fn whoever_has_no_token_is_sent_to_the_login() {
    let mut scene = Scene::with_tokens().await;
    for (address, login) in [
        ("/", "/login?next=%2F"),
        ("/events?state=failed", "/login?next=%2Fevents%3Fstate%3Dfailed"),
        ("/organization?id=a%26b", "/login?next=%2Forganization%3Fid%3Da%2526b"),
    ] {
        let answer = scene.ask(address).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, login));
    }
    // Nothing is done before the login, nor after it.
    let answer = scene.post("/pause", &[("everything", "yes"), ("reason", "x")]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/login?next=%2F"));
    assert_eq!(scene.platform.lines("select count(*) from pause").await, "0\n");
    // The page itself, with its style, is for everybody.
    let login = scene.get("/login?next=/events").await;
    assert!(login.text.contains("value=\"/events\""));
    for address in login.text.split('"').filter(|part| part.starts_with("/assets/")) {
        scene.get(address).await;
    }
    let answer = scene.post("/login", &[("token", "wrong"), ("next", "/events")]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.words().contains("no token that is known") && !answer.text.contains("value=\"wrong\""));
    assert!(!answer.headers.contains_key("set-cookie"));

    let answer = scene.post("/login", &[("token", ADA), ("next", "/events?state=done")]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/events?state=done"));
    assert_eq!(
        answer.cookie(),
        format!("channel_sync_token={ADA}; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200")
    );
    scene.log_in(ADA).await;
    let page = scene.get("/").await.words();
    assert!(page.contains("ada · operator") && page.contains("Log out"), "{page}");
    assert_eq!(scene.ask("/login?next=/jobs").await.location(), "/jobs");
    let answer = scene.post("/logout", &[]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/login"));
    assert!(answer.cookie().starts_with("channel_sync_token=; ") && answer.cookie().contains("Max-Age=0"));
    scene.platform.end().await;
}

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    let scene = Scene::with_tokens().await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example"] {
        let answer = scene.post("/login", &[("token", ADA), ("next", next)]).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/"), "{next}");
    }
    scene.platform.end().await;
}

#[tokio::test]
async fn a_cookie_is_for_https_alone_where_the_login_came_by_https() {
    let scene = Scene::with_tokens().await;
    let request = scene.client.post(format!("{}/login", scene.base)).header("x-forwarded-proto", "https");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(format!("token={ADA}")).send().await.unwrap();
    assert!(answer.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    scene.platform.end().await;
}

#[tokio::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let mut scene = Scene::with_tokens().await;
    scene.fill().await;
    scene.log_in(GUEST).await;
    for address in scene.addresses().await {
        let page = scene.get(&address).await;
        let forms: Vec<&str> = page
            .text
            .split("<form")
            .skip(1)
            .filter(|form| form.split('>').next().unwrap().contains("post"))
            .collect();
        // To log out, and to preview events: that changes nothing.
        for form in forms {
            assert!(form.contains("/logout") || form.contains("/preview"), "{address}: {form}");
        }
        assert!(!page.text.contains("type=\"checkbox\" name=\"key\""), "{address}");
    }
    let failed = scene.failed_job().await;
    for (address, fields) in [
        ("/jobs/replay", vec![("key", failed.as_str())]),
        ("/jobs/discard", vec![("key", failed.as_str())]),
        ("/rejected/replay", vec![("id", "1")]),
        ("/rejected/discard", vec![("id", "1")]),
        ("/pause", vec![("id", "helios")]),
        ("/resume", vec![("id", "helios")]),
        ("/replays/1/cancel", vec![]),
        ("/verify", vec![]),
        (&format!("/jobs/{failed}/restore"), vec![]),
    ] {
        let fields: Vec<(&str, &str)> = fields.into_iter().chain([("reason", "x")]).collect();
        let answer = scene.post(address, &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{address}");
        assert!(answer.words().contains("You are here as guest, a viewer"), "{address}: {}", answer.words());
    }
    assert_eq!(scene.platform.lines("select count(*) from operator_action").await, "0\n");
    scene.platform.end().await;
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let request = scene.client.post(format!("{}/pause", scene.base)).header("origin", "https://evil.example");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body("everything=yes&reason=x").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    // Rebinding the name of another site to this machine does not help.
    let answer =
        scene.client.get(format!("{}/", scene.base)).header("host", "evil.example").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(scene.platform.lines("select count(*) from pause").await, "0\n");
    scene.platform.end().await;
}
