//! scratch
#[path = "../support/database.rs"]
mod database;
use channel_sync::contract::{Limits, Message, Properties};
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::flow::executor::{BatchLimits, Executor};
use channel_sync::flow::ingest::Ingest;
use std::sync::Arc;

fn msg(id: &str, typ: &str, data: serde_json::Value) -> Message {
    let body = serde_json::json!({"specversion":"1.0","id":id,"source":"test","type":typ,"data":data});
    Message {
        body: body.to_string().into_bytes(),
        properties: Properties {
            content_type: Some("application/cloudevents+json".into()),
            ..Default::default()
        },
    }
}
fn partnership(
    id: &str,
    up: &str,
    down: &str,
    status: &str,
    e: bool,
    d: bool,
    a: Option<bool>,
    onb: &str,
) -> Message {
    msg(
        id,
        "partnership-changed",
        serde_json::json!({"upstream_id":up,"downstream_id":down,"status":status,"exclusive":e,"data_sync":d,"allow_downstream_edit":a,"onboarding":onb}),
    )
}
fn edit(id: &str, org: &str, cat: &str, changes: serde_json::Value) -> Message {
    msg(id, "setting-changed", serde_json::json!({"organization_id":org,"category":cat,"changes":changes}))
}

#[tokio::test]
async fn smoke() {
    let db = database::Database::create().await;
    let store = db.store();
    let catalogue = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
    store.put_catalogue(&catalogue).await.unwrap();
    let ingest = Ingest::new(store.clone(), catalogue.clone(), Limits::default());
    let executor =
        Executor::new(store.clone(), catalogue.clone(), BatchLimits { letters_max: 1000, writes_max: 20000 });
    let j = |s: &str| serde_json::from_str(s).unwrap();
    let messages = vec![
        edit(
            "e1",
            "helios",
            "equipment",
            j(
                r#"[{"op":"set","key":"m1","value":{"watts":430}},{"op":"set","key":"m2","value":{"watts":400.0}}]"#,
            ),
        ),
        edit("e2", "helios", "default-costs", j(r#"[{"op":"set","key":"inverter","value":1200}]"#)),
        edit(
            "e3",
            "pac",
            "equipment",
            j(r#"[{"op":"set","key":"own","value":1},{"op":"set","key":"m1","value":2}]"#),
        ),
        partnership("p1", "helios", "pac", "active", true, true, Some(false), "existing-organization"),
        edit("e4", "pac", "equipment", j(r#"[{"op":"set","key":"own2","value":1}]"#)),
        partnership("p2", "helios", "flex", "active", true, true, Some(true), "existing-organization"),
        partnership("p3", "flex", "leaf", "active", false, true, None, "new-organization"),
        edit(
            "e5",
            "helios",
            "equipment",
            j(
                r#"[{"op":"set","key":"m3","value":{"watts":1}},{"op":"set","key":"m1","value":{"watts":431}}]"#,
            ),
        ),
        partnership("p4", "leaf", "helios", "active", false, true, None, "new-organization"),
        partnership("p5", "other", "pac", "active", false, true, None, "new-organization"),
        edit("e6", "helios", "nonsense", j(r#"[]"#)),
        edit("e7", "helios", "qualifications", j(r#"[]"#)),
        edit(
            "e1",
            "helios",
            "equipment",
            j(
                r#"[{"op":"set","key":"m1","value":{"watts":430}},{"op":"set","key":"m2","value":{"watts":400.0}}]"#,
            ),
        ),
        edit("e2", "helios", "default-costs", j(r#"[{"op":"set","key":"inverter","value":1201}]"#)),
    ];
    let incoming = ingest.decode(messages);
    for t in ingest.take_in(&incoming).await.unwrap() {
        println!("{t:?}");
    }
    for _ in 0..10 {
        println!("{:?} statements {}", executor.step().await.unwrap(), store.statements_run());
    }
    let c = db.client().await;
    for sql in [
        "select organization_id, category, key, value, origin, locked_by, event_id from channel_sync.setting_view order by 1,2,3",
        "select idempotency_key, event_id, kind, organization_id, upstream_id, state, result, last_error from channel_sync.job_view order by finished_at",
        "select event_id, state, jobs_total, jobs_succeeded, jobs_failed, finished_at from channel_sync.event_view",
        "select code, reason, state from channel_sync.rejected_message_view",
    ] {
        for m in c.simple_query(sql).await.unwrap() {
            if let tokio_postgres::SimpleQueryMessage::Row(r) = m {
                println!(
                    "{}",
                    (0..r.len()).map(|i| r.get(i).unwrap_or("-").to_owned()).collect::<Vec<_>>().join(" | ")
                );
            }
        }
        println!();
    }
}
