//! The messages under `messages/`, each with what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use channel_sync::contract::{Message, Properties, RejectionCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{STRUCTURED, check, decoded, message, one_line};

const ACCEPTED: &[(&str, &str)] = &[
    (
        "structured/partnership-changed.ended.json",
        "partnership-changed helios → pac-energy, ended, exclusive true, sync true, version 4",
    ),
    (
        "structured/partnership-changed.non-exclusive.json",
        "partnership-changed helios → sunny-side, active, exclusive false, sync true",
    ),
    (
        "structured/partnership-changed.strict.json",
        "partnership-changed helios → pac-energy, active, exclusive true, sync true, edit false, \
         new organization, version 3",
    ),
    (
        "structured/setting-changed.changes.json",
        "setting-changed helios equipment, \
         set module/rec-alpha-pure-r-430 {\"price\":1.50,\"watts\":430}, remove module/old-model, version 17",
    ),
    (
        "structured/setting-changed.default.json",
        "setting-changed helios default-costs, set solar-module 0.45, remove battery, version 0",
    ),
    (
        "structured/setting-changed.empty-snapshot.json",
        "setting-changed helios adders, snapshot, may be empty",
    ),
    ("structured/setting-changed.never-synced.json", "setting-changed helios qualifications"),
    (
        "structured/setting-changed.snapshot.json",
        "setting-changed helios adders, snapshot, trenching {\"price\":45,\"unit\":\"m\"}, \
         panel-upgrade {\"price\":1200}, roof/steep \"ask\"",
    ),
    (
        "binary/partnership-changed.json",
        "partnership-changed helios → pac-energy, active, exclusive true, sync true, edit false, \
         new organization, version 3",
    ),
    (
        "binary/setting-changed.json",
        "setting-changed helios equipment, \
         set module/rec-alpha-pure-r-430 {\"price\":1.50,\"watts\":430}, remove module/old-model, version 17",
    ),
];

const REJECTED: &[(&str, &str)] = &[
    (
        "rejected/invalid-field.null-value.json",
        "data.changes[0].value is null; expected a JSON value, since clearing an entry is to remove it",
    ),
    ("rejected/invalid-field.op.json", "data.changes[0].op is \"put\"; expected \"set\" or \"remove\""),
    (
        "rejected/invalid-field.version.json",
        "data.version is \"17\"; expected a whole number from 0 to 9223372036854775807, written in digits",
    ),
    (
        "rejected/malformed-json.comma.json",
        "the body is not JSON at line 6, column 82; expected a key in double quotes",
    ),
    (
        "rejected/missing-field.allow-downstream-edit.json",
        "data.allow_downstream_edit is missing; expected true or false, since the partnership is active and \
         both exclusive and data_sync are true",
    ),
    (
        "rejected/missing-field.changes.json",
        "data.changes is missing; expected a list of changes, or data.snapshot in its place",
    ),
    (
        "rejected/missing-field.id.json",
        "id is missing; expected 1 to 200 bytes of text without control characters or white space at either \
         end",
    ),
    (
        "rejected/partnership-cycle.json",
        "data.downstream_id is \"helios\", as is data.upstream_id, a cycle of \"helios\" → \"helios\"; \
         expected another organization",
    ),
    (
        "rejected/too-deep.json",
        "the body has too many open brackets at line 6, column 175; expected at most 64",
    ),
    (
        "rejected/unknown-category.json",
        "data.category is \"equipments\"; expected a category of the catalogue, perhaps \"equipment\"",
    ),
    (
        "rejected/unknown-slot.json",
        "data.changes[0].key is \"roof\"; expected a slot of default-costs: battery, energy-efficiency, \
         inverter, project, solar-module",
    ),
    (
        "rejected/unknown-type.json",
        "type is \"order-created\"; expected setting-changed or partnership-changed, with or without a \
         prefix such as com.example.",
    ),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/contract/messages")
}

#[derive(Deserialize)]
struct BinaryFixture {
    properties: Properties,
    body: Box<RawValue>,
}

/// Reads a message: in structured form the file is the body, in binary form it has the properties too.
pub(crate) fn fixture(name: &str) -> Message {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    if name.starts_with("binary/") {
        let BinaryFixture { properties, body } = serde_json::from_str(&text).unwrap();
        Message { body: body.get().into(), properties }
    } else {
        message(STRUCTURED, text)
    }
}

/// The names of all messages, by folder.
pub(crate) fn names() -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder_name in ["structured", "binary", "rejected"] {
        for file in std::fs::read_dir(folder().join(folder_name)).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            names.entry(folder_name.to_owned()).or_default().insert(format!("{folder_name}/{file}"));
        }
    }
    names
}

#[test]
fn every_message_is_in_the_tables() {
    let listed: BTreeSet<String> =
        ACCEPTED.iter().chain(REJECTED).map(|(name, _)| (*name).to_owned()).collect();
    let there: BTreeSet<String> = names().into_values().flatten().collect();
    assert_eq!(listed, there);
}

#[test]
fn accepted() {
    for (name, expected) in ACCEPTED {
        check(&fixture(name), expected);
    }
}

#[test]
fn rejected() {
    for (name, reason) in REJECTED {
        let file = name.trim_start_matches("rejected/");
        let code: RejectionCode = file.split('.').next().unwrap().parse().unwrap();
        check(&fixture(name), &format!("{code}: {reason}"));
    }
}

#[test]
fn both_forms_say_the_same() {
    for (binary, structured) in [
        ("binary/setting-changed.json", "structured/setting-changed.changes.json"),
        ("binary/partnership-changed.json", "structured/partnership-changed.strict.json"),
    ] {
        assert_eq!(decoded(&fixture(binary)), decoded(&fixture(structured)), "{binary}");
    }
}

#[test]
fn a_message_survives_being_stored() {
    for name in names().into_values().flatten() {
        let message = fixture(&name);
        let stored = serde_json::to_string(&message.properties).unwrap();
        let properties: Properties = serde_json::from_str(&stored).unwrap();
        assert_eq!(properties, message.properties, "{name}");
        let again = Message { properties, ..message.clone() };
        assert_eq!(one_line(&decoded(&again)), one_line(&decoded(&message)), "{name}");
    }
}
