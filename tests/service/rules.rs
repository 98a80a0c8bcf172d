//! The rules table, row by row, through RabbitMQ and Postgres. Every case of the rules in detail is in
//! `tests/domain`; here is seen that the service does what the domain decides.

use serde_json::{Value, json};

use crate::support::events::{binary_event, edit, invitation, partnership, snapshot};
use crate::support::platform::Platform;

/// Helios with two modules, two default costs and a logo.
fn helios() -> [channel_sync::contract::Message; 3] {
    [
        snapshot("h1", "helios", "equipment", json!({ "m1": { "watts": 430 }, "m2": { "watts": 400 } })),
        edit("h2", "helios", "default-costs", &[("inverter", json!(1200)), ("battery", json!(900))]),
        edit("h3", "helios", "organization-logo", &[("logo", json!("helios.svg"))]),
    ]
}

#[tokio::test]
async fn a_strict_partner_becomes_and_stays_a_replica_and_is_locked() {
    let mut platform = Platform::start().await;
    platform.apply(helios()).await;
    platform
        .apply([
            edit(
                "p1",
                "pac",
                "equipment",
                &[("m1", json!("own")), ("own", json!(1)), ("m2", json!({"watts": 400}))],
            ),
            edit("p2", "pac", "organization-logo", &[("logo", json!("pac.svg"))]),
            partnership("p3", "helios", "pac", "strict"),
            edit("p4", "pac", "equipment", &[("own", json!(2))]),
        ])
        .await;
    let replica = "default-costs | battery | 900 | helios | helios\n\
                   default-costs | inverter | 1200 | helios | helios\n\
                   equipment | m1 | {\"watts\": 430} | helios | helios\n\
                   equipment | m2 | {\"watts\": 400} | helios | helios\n\
                   organization-logo | logo | \"pac.svg\" | own | -\n";
    assert_eq!(platform.settings("pac").await, replica);

    let reconcile = "select result->>'added', result->>'changed', result->>'removed', result->>'unchanged'
                       from job_view where kind = 'reconcile'";
    assert_eq!(platform.lines(reconcile).await, "2 | 1 | 1 | 1\n");
    let archived = "select key, body from archived_setting join value using (value_id) order by key";
    assert_eq!(platform.lines(archived).await, "m1 | \"own\"\nown | 1\n");
    let refused = "select state from event_view where event_id = 'p4'";
    assert_eq!(platform.lines(refused).await, "locked\n");

    platform
        .apply([
            edit("h4", "helios", "equipment", &[("m3", json!(1)), ("m1", Value::Null), ("m2", json!(2))]),
            edit("h5", "helios", "default-costs", &[("battery", Value::Null), ("inverter", json!(1300))]),
            edit("h6", "helios", "organization-logo", &[("logo", json!("new.svg"))]),
        ])
        .await;
    let replica = "default-costs | inverter | 1300 | helios | helios\n\
                   equipment | m2 | 2 | helios | helios\n\
                   equipment | m3 | 1 | helios | helios\n\
                   organization-logo | logo | \"pac.svg\" | own | -\n";
    assert_eq!(platform.settings("pac").await, replica);
    let written_by = "select key, event_id from setting_view
                       where organization_id = 'pac' and category = 'equipment' order by 1";
    assert_eq!(platform.lines(written_by).await, "m2 | h4\nm3 | h4\n");

    // What ends strict unlocks, and changes no value.
    platform.apply([partnership("p5", "helios", "pac", "ended")]).await;
    assert_eq!(platform.settings("pac").await, replica.replace("helios | helios", "helios | -"));
    platform.apply([edit("p6", "pac", "equipment", &[("m2", json!("mine"))])]).await;
    assert!(platform.settings("pac").await.contains("equipment | m2 | \"mine\" | own | -"));
    platform.end().await;
}

#[tokio::test]
async fn partners_that_may_edit_get_what_is_new_and_keep_what_they_have() {
    for mode in ["non-exclusive", "flexible"] {
        let mut platform = Platform::start().await;
        platform.apply(helios()).await;
        platform
            .apply([
                edit("p1", "pac", "equipment", &[("m1", json!("own")), ("own", json!(1))]),
                partnership("p2", "helios", "pac", mode),
            ])
            .await;
        let merged = "equipment | m1 | \"own\" | own | -\n\
                      equipment | m2 | {\"watts\": 400} | helios | -\n\
                      equipment | own | 1 | own | -\n";
        assert_eq!(platform.settings("pac").await, merged, "{mode}");

        platform
            .apply([
                edit(
                    "h4",
                    "helios",
                    "equipment",
                    &[("m3", json!(3)), ("m2", json!("changed")), ("m1", Value::Null)],
                ),
                edit("h5", "helios", "default-costs", &[("inverter", json!(1))]),
            ])
            .await;
        let merged = format!(
            "{}equipment | m3 | 3 | helios | -\n",
            &merged[..merged.find("equipment | own").unwrap()]
        ) + "equipment | own | 1 | own | -\n";
        assert_eq!(platform.settings("pac").await, merged, "{mode}");
        let unreached = "select count(*) from job_view where event_id = 'h5' and kind = 'sync-change'";
        assert_eq!(
            platform.lines(unreached).await,
            "0\n",
            "a downstream that the rules do not reach gets no job"
        );

        // Deleted, it stays away, also when sync is switched off and on; added anew, it comes back.
        platform
            .apply([
                edit("p3", "pac", "equipment", &[("m3", Value::Null)]),
                partnership("p4", "helios", "pac", "off"),
                partnership("p5", "helios", "pac", mode),
            ])
            .await;
        assert!(!platform.settings("pac").await.contains("m3"), "{mode}");
        platform
            .apply([edit(
                "h4",
                "helios",
                "equipment",
                &[("m3", json!(3)), ("m2", json!("changed")), ("m1", Value::Null)],
            )])
            .await;
        assert!(!platform.settings("pac").await.contains("m3"), "a redelivery is not anew ({mode})");
        platform
            .apply([
                edit("h6", "helios", "equipment", &[("m3", Value::Null)]),
                edit("h7", "helios", "equipment", &[("m3", json!(4))]),
            ])
            .await;
        assert!(platform.settings("pac").await.contains("equipment | m3 | 4 | helios"), "{mode}");
        platform.end().await;
    }
}

#[tokio::test]
async fn a_newly_invited_organization_gets_everything_once_in_every_mode() {
    for mode in ["non-exclusive", "flexible", "strict"] {
        let mut platform = Platform::start().await;
        platform.apply(helios()).await;
        platform.apply([invitation("p1", "helios", "new", mode)]).await;
        let lock = if mode == "strict" { "helios" } else { "-" };
        let all = format!(
            "default-costs | battery | 900 | helios | {lock}\n\
             default-costs | inverter | 1200 | helios | {lock}\n\
             equipment | m1 | {{\"watts\": 430}} | helios | {lock}\n\
             equipment | m2 | {{\"watts\": 400}} | helios | {lock}\n\
             organization-logo | logo | \"helios.svg\" | helios | -\n"
        );
        assert_eq!(platform.settings("new").await, all, "{mode}");
        platform.apply([edit("h4", "helios", "organization-logo", &[("logo", json!("later.svg"))])]).await;
        assert_eq!(platform.settings("new").await, all, "a logo is not kept in sync ({mode})");
        platform.end().await;
    }
}

#[tokio::test]
async fn what_a_sync_changes_goes_on_through_the_tiers_with_the_same_root_event() {
    let mut platform = Platform::start().await;
    platform.apply(helios()).await;
    platform
        .apply([
            partnership("p1", "helios", "reseller", "strict"),
            partnership("p2", "reseller", "roof", "strict"),
            partnership("p3", "reseller", "tile", "non-exclusive"),
        ])
        .await;
    platform.apply([edit("h4", "helios", "equipment", &[("m3", json!(3)), ("m1", json!("changed"))])]).await;
    let key = |organization: &str, key: &str| {
        format!(
            "select value, origin, locked_by, event_id from setting_view
              where organization_id = '{organization}' and key = '{key}'"
        )
    };
    assert_eq!(platform.lines(&key("roof", "m1")).await, "\"changed\" | reseller | reseller | h4\n");
    assert_eq!(platform.lines(&key("roof", "m3")).await, "3 | reseller | reseller | h4\n");
    assert_eq!(platform.lines(&key("tile", "m1")).await, "{\"watts\": 430} | reseller | - | p3\n");
    assert_eq!(platform.lines(&key("tile", "m3")).await, "3 | reseller | - | h4\n");
    let jobs =
        "select organization_id, upstream_id, kind, state from job_view where event_id = 'h4' order by 1";
    assert_eq!(
        platform.lines(jobs).await,
        "helios | - | own-change | succeeded\n\
         reseller | helios | sync-change | succeeded\n\
         roof | reseller | sync-change | succeeded\n\
         tile | reseller | sync-change | succeeded\n"
    );
    // No effective change: nothing goes on.
    platform.apply([edit("h5", "helios", "equipment", &[("m3", json!(3))])]).await;
    let jobs = "select organization_id, result->>'skipped' from job_view where event_id = 'h5'";
    assert_eq!(platform.lines(jobs).await, "helios | already in step\n");
    platform.end().await;
}

#[tokio::test]
async fn both_forms_of_an_event_are_one_event_and_ignored_ones_change_nobody() {
    let mut platform = Platform::start().await;
    let data = json!({ "organization_id": "helios", "category": "equipment",
                       "changes": [{ "op": "set", "key": "m1", "value": 1 }] });
    platform.apply([binary_event("e1", "com.example.setting-changed", &data)]).await;
    platform.apply([edit("e1", "helios", "equipment", &[("m1", json!(1))])]).await;
    platform.apply([edit("e2", "helios", "qualifications", &[("q", json!(1))])]).await;
    let events =
        "select event_id, type, state, jobs_total from event_view where event_id like 'e%' order by 1";
    assert_eq!(
        platform.lines(events).await,
        "e1 | setting-changed | done | 1\ne2 | setting-changed | ignored | 0\n"
    );
    assert_eq!(platform.settings("helios").await, "equipment | m1 | 1 | own | -\n");
    assert_eq!(platform.lines("select count(*) from rejected_message").await, "0\n");
    platform.end().await;
}

#[tokio::test]
async fn what_one_publisher_says_in_order_happens_in_order() {
    let mut platform = Platform::start().await;
    // All at once: two workers must not let an edit overtake the flags, nor one partnership another.
    for round in 0..20 {
        let (a, b, pac) = (format!("a{round}"), format!("b{round}"), format!("pac{round}"));
        let id = |what: &str| format!("{what}-{round}");
        platform
            .publish([
                edit(&id("1"), &a, "equipment", &[("m", json!(1))]),
                partnership(&id("2"), &a, &pac, "strict"),
                edit(&id("3"), &pac, "equipment", &[("m", json!("refused"))]),
                partnership(&id("4"), &a, &pac, "ended"),
                edit(&id("5"), &pac, "adders", &[("own", json!("stands"))]),
                partnership(&id("6"), &b, &pac, "strict"),
                partnership(&id("7"), &b, &pac, "ended"),
                partnership(&id("8"), &a, &pac, "flexible"),
            ])
            .await;
    }
    platform.settle().await;
    let states = "select split_part(event_id, '-', 1), state, count(*) from event_view
                   where event_id like '%-%' and category is distinct from 'notifications' group by 1, 2 order by 1";
    assert_eq!(
        platform.lines(states).await,
        "1 | done | 20\n2 | done | 20\n3 | locked | 20\n4 | done | 20\n5 | done | 20\n6 | done | 20\n\
         7 | done | 20\n8 | done | 20\n"
    );
    let settings =
        "select key, value, count(*) from setting_view where organization_id like 'pac%' group by 1, 2";
    assert_eq!(platform.lines(settings).await, "m | 1 | 20\n", "b has no settings: its match removed all");
    platform.end().await;
}

#[tokio::test]
async fn versions_that_are_not_larger_are_superseded() {
    let mut platform = Platform::start().await;
    let versioned = |id: &str, version: i64, value: i64| {
        let data = json!({ "organization_id": "helios", "category": "equipment", "version": version,
                           "changes": [{ "op": "set", "key": "m", "value": value }] });
        crate::support::events::event(id, "setting-changed", data)
    };
    platform
        .apply([versioned("v1", 5, 1), versioned("v2", 5, 2), versioned("v3", 4, 3), versioned("v4", 6, 4)])
        .await;
    let states = "select event_id, state from event_view where event_id like 'v%' order by 1";
    assert_eq!(platform.lines(states).await, "v1 | done\nv2 | superseded\nv3 | superseded\nv4 | done\n");
    assert_eq!(platform.settings("helios").await, "equipment | m | 4 | own | -\n");
    platform.end().await;
}
