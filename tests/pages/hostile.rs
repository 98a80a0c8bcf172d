//! Names, keys, values and messages that would do harm, if a page took them for something else than text.

use serde_json::json;

use crate::scene::Scene;
use crate::support::events::{edit, event, partnership, raw};

const NAMES: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "a'&amp;b/../c?d=e#f%2f+g",
    "\u{202e}drawkcab\u{2066}\u{200b}",
    "שלום עולם",
];

#[tokio::test]
async fn nothing_that_comes_in_is_taken_for_markup() {
    let mut scene = Scene::open().await;
    let long = "x".repeat(200);
    let names: Vec<&str> = NAMES.iter().copied().chain([long.as_str()]).collect();
    let mut messages = Vec::new();
    for name in &names {
        messages.push(edit(name, name, "equipment", &[(name, json!({ *name: *name }))]));
        messages.push(partnership(&format!("p{name}"), "helios", name, "flexible"));
        messages.push(event(&format!("e{name}"), name, json!({ *name: 1 })));
    }
    messages.push(raw("<script>alert(1)</script>\u{202e}".as_bytes()));
    messages.push(raw(b"\xff\x00<img src=x onerror=alert(1)>"));
    scene.platform.apply(messages).await;
    scene.fail_for("helios").await;
    scene.platform.apply([edit("fails<b>", "helios", "equipment", &[("k", json!("<i>"))])]).await;

    let encoded = |name: &str| url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
    let mut addresses: Vec<String> =
        ["/", "/events", "/jobs", "/failures", "/rejected", "/organizations", "/replays"]
            .map(str::to_owned)
            .to_vec();
    for name in &names {
        let name = encoded(name);
        addresses.push(format!("/organization?id={name}"));
        addresses.push(format!("/event?id={name}"));
        addresses.push(format!("/explain?organization={name}&category=equipment&key={name}"));
        addresses.push(format!("/explain?organization={name}&category=equipment"));
        addresses.push(format!("/organizations?q={name}"));
        addresses.push(format!("/preview?upstream=helios&downstream={name}&mode=strict"));
    }
    let rejected = scene.platform.lines("select rejected_id from rejected_message_view").await;
    assert!(rejected.lines().count() >= 7, "{rejected}");
    addresses.extend(rejected.lines().map(|id| format!("/rejected/{id}")));
    for address in addresses {
        let page = scene.get(&address).await;
        check(&address, &page.text);
    }
    // What is asked for is shown as well.
    for name in &names {
        let name = encoded(name);
        for address in [
            format!("/organization?id=no{name}"),
            format!("/event?id=no{name}"),
            format!("/events?state={name}"),
            format!("/jobs/{}", name.replace('+', "%20")),
            format!("/explain?organization=helios&category={name}"),
            format!("/jobs/replay?organization=no{name}"),
            format!("/jobs/replay?error={name}"),
            format!("/freshness?organization=no{name}&after={name}"),
            format!("/verify?upstream=no{name}&compare=yes"),
            format!("/verify?category={name}"),
            format!("/preview?upstream={name}&downstream={name}&mode={name}"),
            format!("/login?next={name}"),
            format!("/{name}"),
        ] {
            check(&address, &scene.ask(&address).await.text);
        }
    }
    scene.platform.end().await;
}

fn check(address: &str, page: &str) {
    for harm in ["<script>alert", "<img", "<i>", "fails<b>", "alert(1)</script>"] {
        assert!(!page.contains(harm), "{address}: {harm}");
    }
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\0');
    // In a value of a form it is what will be sent; nobody reads it there.
    let mut read = String::new();
    for (place, part) in page.split('"').enumerate() {
        if place % 2 == 0 {
            read.push_str(part);
        }
    }
    assert!(!read.contains(turns), "{address}: text that turns");
}
