//! Properties and headers, as they are stored with a rejected message.

use channel_sync::contract::Properties;
use serde_json::{Value, json};

fn full() -> Properties {
    let text = |text: &str| Some(text.to_owned());
    Properties {
        content_type: text("application/json"),
        content_encoding: text("identity"),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: text("correlation"),
        reply_to: text("answers"),
        expiration: text("60000"),
        message_id: text("message-1"),
        timestamp: Some(1_772_443_800),
        type_: text("setting-changed"),
        user_id: text("platform"),
        app_id: text("settings"),
        cluster_id: text("cluster"),
        exchange: text("channel-sync.events"),
        routing_key: text("setting-changed.helios"),
        redelivered: Some(true),
        headers: [("x-number".to_owned(), json!(1.50)), ("x-table".to_owned(), json!({"a": [null, "b"]}))]
            .into(),
    }
}

#[test]
fn what_is_stored_is_read_back() {
    for properties in [full(), Properties::default()] {
        let stored = serde_json::to_value(&properties).unwrap();
        assert_eq!(serde_json::from_value::<Properties>(stored.clone()).unwrap(), properties);
        assert_eq!(serde_json::from_str::<Properties>(&stored.to_string()).unwrap(), properties);
    }
    assert_eq!(serde_json::to_string(&Properties::default()).unwrap(), "{}");
    let stored = serde_json::to_value(full()).unwrap();
    assert_eq!(stored["type"], "setting-changed");
    assert_eq!(stored.as_object().unwrap().len(), 17);
    assert_eq!(stored.get("altered"), None);
}

#[test]
fn what_jsonb_cannot_hold_is_replaced_and_noted() {
    let mut properties = full();
    properties.message_id = Some("a\0b".to_owned());
    properties.headers = [
        ("x\0".to_owned(), json!("y\0")),
        ("x-list".to_owned(), json!([{"deep\0": "\0"}])),
        ("$serde_json::private::Number".to_owned(), json!("no number")),
    ]
    .into();
    let stored = serde_json::to_string(&properties).unwrap();
    assert!(!stored.contains("\\u0000"), "{stored}");
    // Read back as any JSON would be, private keys or not.
    let value: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(value["altered"], json!(["message_id", "headers"]));
    let read: Properties = serde_json::from_str(&stored).unwrap();
    assert_eq!(read.message_id.as_deref(), Some("a\u{FFFD}b"));
    assert_eq!(read.headers["x\u{FFFD}"], json!("y\u{FFFD}"));
    assert_eq!(read.headers["x-list"], json!([{"deep\u{FFFD}": "\u{FFFD}"}]));
    assert_eq!(read.headers["\u{FFFD}serde_json::private::Number"], json!("no number"));
}
