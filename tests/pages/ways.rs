//! The ways that an operator goes, in a real browser.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::json;

use crate::browser::{Browser, DESK, PHONE, WITHOUT_SCRIPT, in_browser};
use crate::scene::{ADA, Scene};
use crate::support::events::edit;

/// From the overview to the failed jobs, why they failed, and a replay of them; what a page says when it is at its end.
async fn replay_what_failed(scene: &Scene, browser: &Browser) {
    browser.go("/").await;
    browser.click("1 job failed").await;
    browser.says("the disk of this partner is full").await;
    browser.says("1 job would be done once more.").await;
    scene.mend().await;
    browser.fill("reason", "the disk was emptied").await;
    browser.click("Replay 1 job").await;
    browser.arrives_at("/replays/1").await;
}

#[tokio::test]
async fn failed_jobs_are_found_understood_replayed_and_watched() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    in_browser(DESK, &scene.base, async |browser| {
        browser.go("/failures").await;
        browser.says("the disk of this partner is full").await;
        let job = scene.failed_job().await;
        browser.click(&job).await;
        browser.arrives_at(&format!("/jobs/{job}")).await;
        browser.says("given up after several attempts").await;
        replay_what_failed(&scene, browser).await;
        // Without a reload: the page brings itself up to date.
        let loaded = browser.find_out("window.loadedOnce = true; return window.loadedOnce").await;
        assert_eq!(loaded, json!(true));
        browser.says("1 succeeded of 1 job").await;
        assert_eq!(browser.find_out("return window.loadedOnce").await, json!(true));
        browser.click("Failures").await;
        browser.says("No job has failed, and none is tried again.").await;
        browser.click("Actions").await;
        browser.says("the disk was emptied").await;
    })
    .await;
    assert!(scene.platform.settings("strict-partner").await.contains("m3"));
    scene.platform.end().await;
}

#[tokio::test]
async fn the_same_without_any_script() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    in_browser(WITHOUT_SCRIPT, &scene.base, async |browser| {
        crate::support::broker::eventually("the overview tells of it", || async {
            browser.go("/").await;
            browser.text().await.contains("1 job failed")
        })
        .await;
        // Whether scripts are off indeed: the script would say so.
        assert!(!browser.text().await.contains("Live."));
        replay_what_failed(&scene, browser).await;
        crate::support::broker::eventually("the replay has succeeded", || async {
            browser.go("/replays/1").await;
            browser.text().await.contains("1 succeeded of 1 job")
        })
        .await;
    })
    .await;
    scene.platform.end().await;
}

#[tokio::test]
async fn the_overview_follows_what_happens() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let base = scene.base.clone();
    in_browser(DESK, &base, async |browser| {
        browser.go("/").await;
        browser.says("Live.").await;
        browser.says("1 job failed").await;
        let count = "return document.querySelector('[data-count=failed]').textContent";
        assert_eq!(browser.find_out(count).await, json!("1"));
        scene.platform.apply([edit("brand-new", "pac", "adders", &[("a", json!(1))])]).await;
        browser.says("brand-new").await;
        // Everything that was loaded is our own.
        let resources = browser
            .find_out("return performance.getEntriesByType('resource').map(entry => entry.name)")
            .await;
        let resources = resources.as_array().unwrap();
        assert!(!resources.is_empty());
        for resource in resources {
            assert!(resource.as_str().unwrap().starts_with(&base), "{resource}");
        }
    })
    .await;
    scene.platform.end().await;
}

#[tokio::test]
async fn a_flip_to_strict_is_previewed_from_the_partnership() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    in_browser(DESK, &scene.base, async |browser| {
        browser.go("/organization?id=pac").await;
        browser.click("What if").await;
        browser.arrives_at("/preview?upstream=helios&downstream=pac").await;
        let mode = browser.client.find(Locator::Id("mode")).await.unwrap();
        mode.select_by_value("strict").await.unwrap();
        let button = Locator::Css("form[aria-label='A partnership'] button");
        browser.client.find(button).await.unwrap().click().await.unwrap();
        browser.says("What it would lose").await;
        let text = browser.text().await;
        assert!(
            text.contains("{\"watts\": 1} own") && text.contains("match: the mode becomes strict"),
            "{text}"
        );
        assert!(text.contains("Nothing was written."), "{text}");
    })
    .await;
    assert!(scene.platform.settings("pac").await.contains("own"), "nothing was written");
    scene.platform.end().await;
}

#[tokio::test]
async fn somebody_logs_in_by_a_token_and_out() {
    let mut scene = Scene::with_tokens().await;
    scene.fill().await;
    in_browser(DESK, &scene.base, async |browser| {
        browser.go("/organization?id=helios").await;
        browser.arrives_at("/login?next=%2Forganization%3Fid%3Dhelios").await;
        browser.fill("token", "not-a-token").await;
        browser.click("Log in").await;
        browser.says("That is no token that is known here.").await;
        browser.fill("token", ADA).await;
        browser.click("Log in").await;
        browser.arrives_at("/organization?id=helios").await;
        browser.says("ada · operator").await;
        // No script can read the token.
        assert_eq!(browser.find_out("return document.cookie").await, json!(""));
        browser.click("Log out").await;
        browser.arrives_at("/login").await;
        browser.go("/events").await;
        browser.arrives_at("/login?next=%2Fevents").await;
    })
    .await;
    scene.platform.end().await;
}

#[tokio::test]
async fn no_page_is_wider_than_a_phone() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let long = "a-very-long-name-without-any-place-to-break-it-".repeat(4);
    let name = &long[..180];
    scene
        .platform
        .apply([
            edit(name, name, "equipment", &[(name, json!({ "value": name }))]),
            crate::support::events::partnership(&format!("p{name}"), "helios", name, "strict"),
        ])
        .await;
    let mut addresses = scene.addresses().await;
    addresses.push(format!("/organization?id={name}"));
    addresses.push(format!("/event?id={name}"));
    addresses.push(format!("/explain?organization={name}&category=equipment&key={name}"));
    addresses.push(format!("/preview?upstream=helios&downstream={name}&mode=ended"));
    addresses.push("/organization?id=nobody".to_owned());
    in_browser(PHONE, &scene.base, async |browser| {
        for address in &addresses {
            browser.go(address).await;
            let width = browser
                .find_out("return [document.documentElement.scrollWidth, window.innerWidth, document.title]")
                .await;
            assert_eq!(width[1], json!(360), "{address}");
            let wide = "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > 361)
                            .slice(0, 3).map(e => e.outerHTML.slice(0, 150))";
            if width[0].as_u64().unwrap() > 360 {
                panic!("{address} is {} wide: {}", width[0], browser.find_out(wide).await);
            }
        }
    })
    .await;
    scene.platform.end().await;
}

#[tokio::test]
async fn a_keyboard_is_enough() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    in_browser(DESK, &scene.base, async |browser| {
        browser.go("/failures").await;
        let press = async |keys: &str| {
            browser.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
        };
        let tab = String::from(char::from(Key::Tab));
        let enter = String::from(char::from(Key::Enter));
        let body = browser.client.find(Locator::Css("body")).await.unwrap();
        body.send_keys(&tab).await.unwrap();
        let focused = "const e = document.activeElement; const s = getComputedStyle(e);
                       return [e.textContent.trim(), e.getAttribute('href'), s.outlineStyle, s.outlineWidth]";
        let first = browser.find_out(focused).await;
        assert_eq!((&first[0], &first[1]), (&json!("Skip to the content"), &json!("#content")));
        press(&enter).await;
        press(&tab).await;
        // Past the ways, at the first link of the content; and it is to be seen where the focus is.
        let next = browser.find_out(focused).await;
        assert!(
            browser.find_out("return document.querySelector('main').contains(document.activeElement)").await
                == json!(true)
        );
        assert_eq!(next[2], json!("solid"), "{next}");
        // Everything that can be acted on can be reached.
        let mut seen = Vec::new();
        for _ in 0..60 {
            let here =
                browser.find_out("return document.activeElement.textContent.trim().slice(0, 40)").await;
            seen.push(here.as_str().unwrap_or_default().to_owned());
            if seen.last().is_some_and(|text| text.starts_with("Replay the chosen")) {
                break;
            }
            press(&tab).await;
        }
        for text in ["Replay …", "Discard …", "Show what a replay would do", "Replay the chosen …"] {
            assert!(seen.iter().any(|known| known == text), "{text} in {seen:?}");
        }
    })
    .await;
    scene.platform.end().await;
}
