//! The document itself.

#[test]
fn dump() {
    println!("{}", channel_sync::http::api::document().to_pretty_json().unwrap());
}
