//! Bad input, one message of each kind: stored whole with its code, and nothing behind it is stopped.

use channel_sync::contract::RejectionCode;
use serde_json::json;

use crate::support::events::{edit, event, partnership, raw, snapshot};
use crate::support::platform::Platform;

#[tokio::test]
async fn each_rejection_code_has_a_message_that_earns_it_and_nothing_is_stopped() {
    let mut platform = Platform::start().await;
    platform
        .apply([
            edit("e1", "helios", "equipment", &[("m", json!(1))]),
            partnership("p1", "helios", "pac", "strict"),
            partnership("p2", "pac", "roof", "strict"),
        ])
        .await;
    let data = |category: &str| json!({ "organization_id": "helios", "category": category, "changes": [] });
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    let deep = json!({ "organization_id": "helios", "category": "equipment",
        "changes": [{ "op": "set", "key": "k", "value": serde_json::from_str::<serde_json::Value>(&deep).unwrap() }] });
    let bad = [
        ("malformed-json", raw(b"{ \"specversion\": ")),
        ("missing-field", event("b1", "setting-changed", json!({ "category": "equipment", "changes": [] }))),
        ("invalid-field", edit("b2", " helios", "equipment", &[])),
        ("unknown-type", event("b3", "something-else", data("equipment"))),
        ("unknown-category", edit("b4", "helios", "equipmint", &[])),
        ("unknown-slot", edit("b5", "helios", "default-costs", &[("roof", json!(1))])),
        ("too-large", raw(&vec![b' '; 1024 * 1024 + 1])),
        ("too-deep", event("b6", "setting-changed", deep)),
        ("id-reused", edit("e1", "helios", "equipment", &[("m", json!(2))])),
        ("exclusive-conflict", partnership("b7", "sunny", "pac", "non-exclusive")),
        ("partnership-cycle", partnership("b8", "roof", "helios", "non-exclusive")),
        ("empty-snapshot", snapshot("b9", "helios", "equipment", json!({}))),
    ];
    assert_eq!(
        bad.iter().map(|(code, _)| *code).collect::<Vec<_>>(),
        RejectionCode::ALL.iter().map(|code| code.name()).collect::<Vec<_>>()
    );
    platform.apply(bad.iter().map(|(_, message)| message.clone())).await;
    platform.apply([edit("e2", "helios", "equipment", &[("behind", json!(1))])]).await;
    assert!(platform.settings("pac").await.contains("equipment | behind | 1 | helios | helios"));

    for (code, message) in &bad {
        let rows = platform
            .client
            .query(
                "select reason, body, properties->>'content_type', state from rejected_message_view where code = $1",
                &[code],
            )
            .await
            .unwrap();
        let [row] = &rows[..] else { panic!("{code}: {} messages", rows.len()) };
        let reason: &str = row.get(0);
        assert!(reason.contains("expected"), "{code}: {reason}");
        assert_eq!(row.get::<_, &[u8]>(1), message.body, "{code}: the body is kept whole");
        assert_eq!(row.get::<_, Option<&str>>(2), message.properties.content_type.as_deref(), "{code}");
        assert_eq!(row.get::<_, &str>(3), "rejected", "{code}");
    }
    let found_late = "select event_id, state from event_view where event_id in ('b7', 'b8', 'b9') order by 1";
    assert_eq!(platform.lines(found_late).await, "b7 | rejected\nb8 | rejected\nb9 | rejected\n");
    let reasons = platform
        .lines("select reason from rejected_message_view where code in ('exclusive-conflict', 'partnership-cycle')")
        .await;
    assert!(reasons.contains("helios") && reasons.contains("helios → pac → roof → helios"), "{reasons}");
    platform.end().await;
}

#[tokio::test]
async fn an_exclusive_partnership_comes_neither_before_nor_after_another_active_one() {
    let mut platform = Platform::start().await;
    platform
        .apply([
            partnership("p1", "helios", "pac", "non-exclusive"),
            partnership("p2", "sunny", "pac", "non-exclusive"),
            partnership("p3", "third", "pac", "strict"),
            partnership("p4", "sunny", "pac", "ended"),
            partnership("p5", "helios", "pac", "ended"),
            partnership("p6", "third", "pac", "strict"),
            partnership("p7", "helios", "pac", "off"),
        ])
        .await;
    let states = "select event_id, state from event_view where event_id like 'p%' order by 1";
    assert_eq!(
        platform.lines(states).await,
        "p1 | done\np2 | done\np3 | rejected\np4 | done\np5 | done\np6 | done\np7 | rejected\n"
    );
    platform.end().await;
}
