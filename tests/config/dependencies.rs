//! The page on dependencies names the crates that the manifest does.

use std::collections::BTreeSet;
use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The crates in the tables of this name, `target.…` ones too.
fn direct(manifest: &toml::Table, table: &str) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    let tables = std::iter::once(manifest).chain(targets).filter_map(|part| part.get(table));
    tables.filter_map(toml::Value::as_table).flat_map(|crates| crates.keys().cloned()).collect()
}

/// The crates that the rows of a part of the page begin with.
fn rows(part: &str) -> BTreeSet<String> {
    let names = part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_page_names_the_direct_dependencies() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let page = read("docs/dependencies.md");
    let (program, tests) = page.split_once("## Tests and benchmarks").unwrap();
    for (table, part) in [("dependencies", program), ("dev-dependencies", tests)] {
        let (named, rows) = (direct(&manifest, table), rows(part));
        assert!(!named.is_empty());
        assert_eq!(rows, named, "the rows of docs/dependencies.md, and [{table}]");
    }
}
