//! The `data` of `partnership-changed`.

use super::{IDENTIFIER, check, event};

/// A good event, with `fields` in place of its own of the same names; an empty value leaves one out.
#[track_caller]
fn check_fields(fields: &[(&str, &str)], expected: &str) {
    let good = [
        ("upstream_id", "\"helios\""),
        ("downstream_id", "\"pac-energy\""),
        ("status", "\"active\""),
        ("exclusive", "true"),
        ("data_sync", "true"),
        ("allow_downstream_edit", "false"),
    ];
    let kept = good.iter().filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
    let data: Vec<String> = kept
        .chain(fields)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    check(&event("partnership-changed", &format!("{{{}}}", data.join(","))), expected);
}

const LINK: &str = "partnership-changed helios → pac-energy";

#[test]
fn accepted() {
    for (fields, expected) in [
        (&[][..], "active, exclusive true, sync true, edit false"),
        (&[("allow_downstream_edit", "true")], "active, exclusive true, sync true, edit true"),
        (&[("status", "\"ended\"")], "ended, exclusive true, sync true, edit false"),
        (
            &[("onboarding", "\"new-organization\"")],
            "active, exclusive true, sync true, edit false, new organization",
        ),
        (&[("onboarding", "\"existing-organization\"")], "active, exclusive true, sync true, edit false"),
        (&[("onboarding", "null"), ("version", "null")], "active, exclusive true, sync true, edit false"),
        (&[("version", "3")], "active, exclusive true, sync true, edit false, version 3"),
        (&[("colour", "\"red\"")], "active, exclusive true, sync true, edit false"),
    ] {
        check_fields(fields, &format!("{LINK}, {expected}"));
    }
}

#[test]
fn allow_downstream_edit_must_be_there_where_it_is_applicable() {
    for missing in ["", "null"] {
        for (status, exclusive, data_sync) in [
            ("ended", "true", "true"),
            ("active", "false", "true"),
            ("active", "true", "false"),
            ("active", "false", "false"),
            ("active", "true", "true"),
        ] {
            let fields = [
                ("status", &*format!("\"{status}\"")),
                ("exclusive", exclusive),
                ("data_sync", data_sync),
                ("allow_downstream_edit", missing),
            ];
            let expected = if (status, exclusive, data_sync) == ("active", "true", "true") {
                "missing-field: data.allow_downstream_edit is missing; expected true or false, since the \
                 partnership is active and both exclusive and data_sync are true"
                    .to_owned()
            } else {
                format!("{LINK}, {status}, exclusive {exclusive}, sync {data_sync}")
            };
            check_fields(&fields, &expected);
        }
    }
}

#[test]
fn rejected() {
    let boolean = "true or false";
    let status = "\"active\" or \"ended\"";
    let onboarding = "\"new-organization\" or \"existing-organization\"";
    let version = "a whole number from 0 to 9223372036854775807, written in digits";
    for (field, value, rejected, expected) in [
        ("upstream_id", "", "missing-field: data.upstream_id is missing", IDENTIFIER),
        ("downstream_id", "null", "missing-field: data.downstream_id is missing", IDENTIFIER),
        ("upstream_id", "7", "invalid-field: data.upstream_id is the number 7", IDENTIFIER),
        ("downstream_id", "\"a \"", "invalid-field: data.downstream_id is \"a \"", IDENTIFIER),
        ("status", "", "missing-field: data.status is missing", status),
        ("status", "\"Active\"", "invalid-field: data.status is \"Active\"", status),
        ("status", "true", "invalid-field: data.status is true", status),
        ("exclusive", "", "missing-field: data.exclusive is missing", boolean),
        ("data_sync", "null", "missing-field: data.data_sync is missing", boolean),
        ("exclusive", "1", "invalid-field: data.exclusive is the number 1", boolean),
        ("data_sync", "\"true\"", "invalid-field: data.data_sync is \"true\"", boolean),
        ("allow_downstream_edit", "\"no\"", "invalid-field: data.allow_downstream_edit is \"no\"", boolean),
        ("onboarding", "\"invited\"", "invalid-field: data.onboarding is \"invited\"", onboarding),
        ("onboarding", "{}", "invalid-field: data.onboarding is an object", onboarding),
        ("version", "-1", "invalid-field: data.version is the number -1", version),
        (
            "downstream_id",
            "\"helios\"",
            "partnership-cycle: data.downstream_id is \"helios\", as is data.upstream_id, a cycle of \
             \"helios\" → \"helios\"",
            "another organization",
        ),
        (
            "status",
            "\"active\",\"status\":\"active\"",
            "invalid-field: data.status stands twice",
            "each field once",
        ),
    ] {
        check_fields(&[(field, value)], &format!("{rejected}; expected {expected}"));
    }
}
