//! What pages show, on real data; and what they answer where there is nothing to show.

use std::collections::{BTreeSet, VecDeque};

use reqwest::StatusCode;

use crate::scene::{Answer, Scene};

/// How many pages are followed from the first one.
const PAGES_MAX: usize = 400;

/// Values of `href` in a page that lead to our own pages.
fn links(page: &Answer) -> Vec<String> {
    page.text
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.starts_with('/') && !link.starts_with("/assets/"))
        .map(|link| link.replace("&amp;", "&").split('#').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_page_is_there_and_is_made_of_nothing_but_our_own() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    for address in scene.addresses().await {
        let page = scene.get(&address).await;
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8", "{address}");
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
        assert_eq!(page.text.matches("<h1>").count(), 1, "{address}");
        assert_eq!(page.text.matches("<main").count(), 1, "{address}");
        assert!(page.text.contains("href=\"#content\""), "{address}: a way past the ways");
        for inline in [" style=", " onclick=", "<script>", "javascript:", "http://", "https://"] {
            assert!(!page.text.contains(inline), "{address}: {inline}");
        }
        // Each id once, and a label for whatever can be typed in.
        let ids: Vec<&str> =
            page.text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{address}: {ids:?}");
        for id in page.text.split(" for=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(unique.contains(id), "{address}: a label for {id}");
        }
    }
    scene.platform.end().await;
}

#[tokio::test]
async fn no_link_leads_nowhere() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let mut seen: BTreeSet<String> = ["/".to_owned()].into();
    let mut next: VecDeque<String> = ["/".to_owned()].into();
    let mut visited = 0;
    while let Some(address) = next.pop_front() {
        visited += 1;
        let page = scene.ask(&address).await;
        assert!(
            page.status == StatusCode::OK || page.status == StatusCode::SEE_OTHER,
            "{address}: {}",
            page.words()
        );
        for link in links(&page) {
            if seen.len() < PAGES_MAX && seen.insert(link.clone()) {
                next.push_back(link);
            }
        }
    }
    assert!(visited > 60, "only {visited} pages were found");
    scene.platform.end().await;
}

#[tokio::test]
async fn the_overview_says_first_what_needs_attention() {
    let mut scene = Scene::open().await;
    let before = scene.get("/").await.words();
    assert!(before.contains("Nothing. Everything is done or on its way."), "{before}");
    scene.fill().await;
    // Figures may be two seconds old.
    crate::support::broker::eventually("the overview has heard of it", || async {
        scene.get("/").await.words().contains("1 job failed")
    })
    .await;
    let page = scene.get("/").await;
    let words = page.words();
    assert!(words.contains("the disk of this partner is full"), "{words}");
    assert!(words.contains("2 messages rejected"), "{words}");
    assert!(words.contains("malformed-json") || words.contains("missing-field"), "{words}");
    assert!(
        page.text.contains("Jobs done, minute by minute over the last hour:"),
        "a chart can be read aloud"
    );
    assert!(words.contains("m3") && words.contains("1 failed"), "{words}");
    let attention = page.text.find("What needs attention").unwrap();
    assert!(attention < page.text.find("The last hour").unwrap());
    scene.platform.end().await;
}

#[tokio::test]
async fn an_event_has_a_tree_of_jobs_and_a_job_says_what_it_did() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let event = scene.get("/event?id=helios-strict").await;
    assert!(event.text.contains("depth-1"), "a reconcile follows from the partnership-change");
    let failed = scene.failed_job().await;
    let event = scene.get("/event?id=m3").await.words();
    assert!(event.contains("failed") && event.contains(&failed), "{event}");
    let job = scene.get(&format!("/jobs/{failed}")).await.words();
    assert!(job.contains("the disk of this partner is full (23514)"), "{job}");
    assert!(job.contains("Replay …") && job.contains("strict-partner"), "{job}");
    let done =
        scene.platform.lines("select idempotency_key from job_view where event_id = 'helios-costs'").await;
    let done = scene.get(&format!("/jobs/{}", done.trim())).await.words();
    assert!(done.contains("1 added"), "{done}");
    scene.platform.end().await;
}

#[tokio::test]
async fn an_organization_has_partnerships_settings_and_a_mailbox() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let page = scene.get("/organization?id=strict-partner").await.words();
    assert!(page.contains("syncs from helios") && page.contains("syncs to below"), "{page}");
    assert!(page.contains("locked by helios") && page.contains("Empty: nothing waits for it."), "{page}");
    assert!(page.contains("from helios") && page.contains("{\"watts\": 400}"), "{page}");
    let page = scene.get("/organization?id=helios&category=equipment&key=m2").await.words();
    assert!(page.contains("{\"watts\": 410}") && !page.contains("{\"watts\": 400}"), "{page}");
    let explained = scene.get("/explain?organization=strict-partner&category=equipment&key=m3").await.words();
    assert!(explained.contains("has failed"), "{explained}");
    let explained = scene.get("/explain?organization=pac&category=equipment&key=m1").await.words();
    assert!(
        explained.contains("pac's own") || explained.contains("own, by its event pac-equipment"),
        "{explained}"
    );
    scene.platform.end().await;
}

#[tokio::test]
async fn how_far_behind_partners_are_is_shown_the_worst_first() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let page = scene.get("/freshness").await.words();
    assert!(page.contains("2 of 3 partnerships in step. For 1, 1 job failed."), "{page}");
    assert!(page.contains("helios → strict-partner equipment strict"), "{page}");
    assert!(page.contains("1 job failed") && !page.contains("→ pac"), "{page}");
    let all = scene.get("/freshness?all=yes").await.words();
    let (worst, fine) = (all.find("helios → strict-partner equipment"), all.find("helios → pac equipment"));
    assert!(worst.unwrap() < fine.unwrap(), "{all}");
    assert!(all.contains("helios → pac equipment flexible m3") && all.contains("in step"), "{all}");
    let of_one = scene.get("/organization?id=pac").await.words();
    assert!(
        of_one.contains("Freshness helios → pac") || of_one.contains("helios → pac equipment"),
        "{of_one}"
    );
    assert!(!of_one.contains("→ strict-partner"), "{of_one}");
    crate::support::broker::eventually("the overview has heard of it", || async {
        scene.get("/").await.words().contains("Partnerships in step 2 of 3")
    })
    .await;
    scene.platform.end().await;
}

#[tokio::test]
async fn lists_go_on_where_they_end() {
    let mut scene = Scene::open().await;
    let entries: serde_json::Map<String, serde_json::Value> =
        (0..120).map(|no| (format!("key {no:03}&x=1"), serde_json::json!(no))).collect();
    scene.platform.apply([crate::support::events::snapshot("all", "a", "equipment", entries.into())]).await;
    let mut address = "/organization?id=a".to_owned();
    let mut keys = BTreeSet::new();
    for _ in 0..3 {
        let page = scene.get(&address).await;
        let shown = page.text.matches("key 0").count() + page.text.matches("key 1").count();
        assert!(shown > 0, "{address}");
        keys.extend(page.words().split("key ").skip(1).filter_map(|rest| rest.get(..3)).map(str::to_owned));
        let Some(next) = page.text.split("rel=\"next\" href=\"").nth(1) else { break };
        address = next.split('"').next().unwrap().replace("&amp;", "&").split('#').next().unwrap().to_owned();
    }
    keys.retain(|key| key.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(keys.len(), 120, "{keys:?}");
    scene.platform.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_with_its_status() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    for (address, status, said) in [
        ("/organization?id=helio", StatusCode::NOT_FOUND, "Did you mean one of these? helios"),
        ("/organization", StatusCode::BAD_REQUEST, "expected the name of an organization"),
        ("/event?id=none", StatusCode::NOT_FOUND, "No event \"none\" is known."),
        ("/jobs/9-9", StatusCode::NOT_FOUND, "No job 9-9 is known."),
        ("/jobs/nine", StatusCode::BAD_REQUEST, "expected two numbers such as 17-3"),
        ("/events?state=gone", StatusCode::BAD_REQUEST, "expected one of: accepted"),
        ("/events?after=x", StatusCode::BAD_REQUEST, "no place to go on from"),
        ("/rejected/99", StatusCode::NOT_FOUND, "No rejected message 99 is known."),
        ("/rejected?code=x", StatusCode::BAD_REQUEST, "expected one of: malformed-json"),
        ("/freshness?after=x", StatusCode::BAD_REQUEST, "no place to go on from"),
        ("/freshness?organization=helio", StatusCode::NOT_FOUND, "Did you mean one of these? helios"),
        ("/verify?upstream=helio&compare=yes", StatusCode::NOT_FOUND, "a similar one is helios"),
        ("/verify?category=licenses&compare=yes", StatusCode::BAD_REQUEST, "is not kept in sync"),
        ("/jobs/9-9/restore", StatusCode::NOT_FOUND, "No job 9-9 is known."),
        ("/replays/7", StatusCode::NOT_FOUND, "No replay 7 is known."),
        (
            "/explain?organization=helios&category=roofs",
            StatusCode::NOT_FOUND,
            "the catalogue names no category",
        ),
        ("/preview?upstream=a&downstream=b&mode=loud", StatusCode::BAD_REQUEST, "expected one of: strict"),
        ("/nowhere", StatusCode::NOT_FOUND, "There is no such page"),
        ("/assets/pages-0.css", StatusCode::NOT_FOUND, "There is no such page"),
    ] {
        let page = scene.ask(address).await;
        assert_eq!(page.status, status, "{address}");
        let words = page.words();
        assert!(words.to_lowercase().contains(&said.to_lowercase()), "{address}: {words}");
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8", "{address}");
    }
    scene.platform.end().await;
}

#[tokio::test]
async fn something_is_found_by_its_name() {
    let mut scene = Scene::open().await;
    scene.fill().await;
    let failed = scene.failed_job().await;
    for (name, place) in [
        ("helios", "/organization?id=helios".to_owned()),
        ("m3", "/event?id=m3".to_owned()),
        (failed.as_str(), format!("/jobs/{failed}")),
        ("part", "/organizations?q=part".to_owned()),
    ] {
        let answer = scene.ask(&format!("/find?q={name}")).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, place.as_str()));
    }
    scene.platform.end().await;
}

#[tokio::test]
async fn assets_may_be_kept_for_ever() {
    let scene = Scene::open().await;
    let page = scene.get("/").await;
    let mut found = 0;
    for address in page.text.split('"').filter(|part| part.starts_with("/assets/")) {
        let asset = scene.get(address).await;
        assert_eq!(asset.headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(asset.headers["x-content-type-options"], "nosniff");
        found += 1;
    }
    assert_eq!(found, 3);
    assert_eq!(page.headers["cache-control"], "no-store");
    scene.platform.end().await;
}
