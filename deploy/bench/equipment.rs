//! A real equipment list: all modules and inverters of `equipment.csv` (see `README.md` there).

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

const ROWS: &str = include_str!("equipment.csv");

const COLUMNS: [&str; 8] =
    ["kind", "name", "technology", "watts", "ptc_watts", "area_m2", "cells", "max_dc_volts"];

/// Every entry, by its key.
pub(crate) fn all() -> BTreeMap<String, Value> {
    let mut lines = ROWS.lines();
    assert_eq!(lines.next(), Some(&*COLUMNS.join(",")), "the first line of equipment.csv");
    lines.map(entry).collect()
}

/// No field of the file holds a comma or a quote.
fn entry(line: &str) -> (String, Value) {
    let fields: Vec<&str> = line.split(',').collect();
    assert_eq!(fields.len(), COLUMNS.len(), "equipment.csv: {line}");
    let mut value = Map::new();
    for (column, field) in COLUMNS.iter().zip(&fields).skip(1).filter(|(_, field)| !field.is_empty()) {
        let is_text = matches!(*column, "name" | "technology");
        let field = if is_text { Value::from(*field) } else { Value::Number(number(field)) };
        value.insert((*column).to_owned(), field);
    }
    (format!("{}/{}", fields[0], slug(fields[1])), Value::Object(value))
}

fn number(field: &str) -> Number {
    field.parse().unwrap_or_else(|error| panic!("equipment.csv: {field}: {error}"))
}

/// Letters and digits in lower case, with one hyphen in place of whatever else is between them.
fn slug(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let words = name.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}
