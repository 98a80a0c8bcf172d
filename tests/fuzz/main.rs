//! Every input of the corpora, by what the fuzzer checks with them (`checks/`): on the stable compiler, with
//! no fuzzer. A package of its own has the fuzzer's targets (`Cargo.toml`, beside this file); `deploy/dev fuzz` runs
//! them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where it fails, and says at what"
)]

#[path = "checks/configuration.rs"]
mod configuration;
#[path = "checks/decode.rs"]
mod decode;
#[path = "checks/http.rs"]
mod http;

use std::path::Path;

fn each(corpus: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(corpus);
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        // Shown where the test fails.
        println!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
    }
}

#[test]
fn messages_of_the_corpus() {
    each("decode", decode::check);
}

#[test]
fn configurations_of_the_corpus() {
    each("configuration", configuration::check);
}

#[test]
fn requests_of_the_corpus() {
    each("http", http::check);
}
