//! The JSON Schemas under `docs/schemas` say what the decoder does.

use std::path::PathBuf;

use boon::{Compiler, SchemaIndex, Schemas};
use channel_sync::contract::RejectionCode;
use serde_json::{Value, json};

use super::fixtures::{fixture, names};
use super::{STRUCTURED, decoded, message, one_line};

struct Published {
    schemas: Schemas,
    setting_changed: SchemaIndex,
    partnership_changed: SchemaIndex,
}

fn schema(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/schemas").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Published {
    fn read() -> Self {
        let mut schemas = Schemas::new();
        let mut compile = |name: &str| {
            let url = format!("https://schemas.test/{name}");
            let mut compiler = Compiler::new();
            compiler.add_resource(&url, schema(name)).unwrap();
            compiler.compile(&url, &mut schemas).unwrap()
        };
        let setting_changed = compile("setting-changed.json");
        let partnership_changed = compile("partnership-changed.json");
        Self { schemas, setting_changed, partnership_changed }
    }

    fn accepts(&self, event: &Value) -> bool {
        let schema = match event["type"].as_str() {
            Some(name) if name.ends_with("setting-changed") => self.setting_changed,
            _ => self.partnership_changed,
        };
        self.schemas.validate(&event["data"], schema).is_ok()
    }
}

/// Codes for what the schemas say they cannot say.
const BEYOND: &[RejectionCode] =
    &[RejectionCode::UnknownCategory, RejectionCode::UnknownSlot, RejectionCode::PartnershipCycle];

#[track_caller]
fn check_agreement(published: &Published, event: &Value) {
    let outcome = decoded(&message(STRUCTURED, event.to_string()));
    if outcome.as_ref().is_err_and(|rejection| BEYOND.contains(&rejection.code)) {
        return;
    }
    assert_eq!(published.accepts(event), outcome.is_ok(), "{} of {}", one_line(&outcome), event["data"]);
}

fn structured_fixtures() -> Vec<Value> {
    let names = names();
    // An event for a category that is never synced is not looked into: the one place where the schema asks
    // for more.
    let names = names["structured"].iter().filter(|name| !name.contains("never-synced"));
    names.map(|name| serde_json::from_slice(&fixture(name).body).unwrap()).collect()
}

#[test]
fn the_messages_and_the_examples_are_valid() {
    let published = Published::read();
    for event in structured_fixtures() {
        assert!(published.accepts(&event), "{event}");
        check_agreement(&published, &event);
    }
    for name in ["setting-changed", "partnership-changed"] {
        for example in schema(&format!("{name}.json"))["examples"].as_array().unwrap() {
            let event =
                json!({"specversion": "1.0", "id": "1", "source": "s", "type": name, "data": example});
            assert!(published.accepts(&event), "{example}");
            check_agreement(&published, &event);
        }
    }
}

#[test]
fn the_asyncapi_document_names_every_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/asyncapi.yaml");
    let document = std::fs::read_to_string(path).unwrap();
    for code in RejectionCode::ALL {
        assert!(document.contains(&format!("| `{code}` |")), "{code}");
    }
}

/// Replaces each value at and below `target` in turn, and leaves out each field.
fn variants(value: &Value) -> Vec<Value> {
    let replacements = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(""),
        json!(" x"),
        json!("x\n"),
        json!("a\u{0085}b"),
        json!("x y"),
        json!("é".repeat(100)),
        json!("x".repeat(201)),
        json!("active"),
        json!("ended"),
        json!("set"),
        json!("remove"),
        json!("new-organization"),
        json!([]),
        json!([null]),
        json!([{"op": "remove", "key": "k"}]),
        json!({}),
        json!({"k": null}),
        json!({"": 1}),
        json!({"k": [null]}),
        serde_json::from_str("9223372036854775807").unwrap(),
        serde_json::from_str("9223372036854777856").unwrap(),
    ];
    let mut variants = replacements.to_vec();
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for variant in self::variants(item) {
                    let mut items = items.clone();
                    items[index] = variant;
                    variants.push(Value::Array(items));
                }
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let mut left_out = fields.clone();
                left_out.remove(name);
                variants.push(Value::Object(left_out));
                for variant in self::variants(field) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), variant);
                    variants.push(Value::Object(fields));
                }
            }
            for name in ["changes", "snapshot", "allow_empty", "onboarding", "value", "unknown"] {
                for variant in &replacements {
                    let mut fields = fields.clone();
                    fields.insert(name.to_owned(), variant.clone());
                    variants.push(Value::Object(fields));
                }
            }
        }
        _ => {}
    }
    variants
}

#[test]
fn schema_and_decoder_agree_on_every_variant_of_the_messages() {
    let published = Published::read();
    let mut compared = 0;
    for event in structured_fixtures() {
        for data in variants(&event["data"]) {
            let mut event = event.clone();
            event["data"] = data;
            check_agreement(&published, &event);
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
}
