//! Real modules and inverters, out of `equipment.csv` (see `README.md` there for where they come from).

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Number, Value};

const ROWS: &str = include_str!("equipment.csv");

const COLUMNS: &str = "key,kind,name,technology,watts,ptc_watts,area_m2,cells,max_dc_volts";

/// Every module and inverter of the file, by its key.
pub(crate) fn all() -> Result<BTreeMap<String, Value>> {
    let mut lines = ROWS.lines();
    ensure!(lines.next() == Some(COLUMNS), "read equipment.csv: its first line is not {COLUMNS}");
    lines.map(|line| entry(line).with_context(|| format!("read equipment.csv: {line}"))).collect()
}

/// No field of the file holds a comma or a quote.
fn entry(line: &str) -> Result<(String, Value)> {
    let fields: Vec<&str> = line.split(',').collect();
    let [key, _kind, name, technology, numbers @ ..] = fields.as_slice() else {
        bail!("it has {} fields", fields.len());
    };
    let names = COLUMNS.split(',').skip(4);
    ensure!(numbers.len() == names.clone().count(), "it has {} fields", fields.len());
    let mut value = Map::new();
    value.insert("name".to_owned(), Value::from(*name));
    value.insert("technology".to_owned(), Value::from(*technology));
    for (name, number) in names.zip(numbers).filter(|(_, number)| !number.is_empty()) {
        let number: Number = number.parse().with_context(|| format!("read {name}"))?;
        value.insert(name.to_owned(), Value::Number(number));
    }
    Ok(((*key).to_owned(), Value::Object(value)))
}
