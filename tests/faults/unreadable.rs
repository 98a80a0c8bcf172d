//! Messages that the broker takes and the library of the link cannot read: each is an event or a rejected message, and
//! nothing before or behind it notices.

use crate::support::broker::eventually;
use crate::support::events::edit;
use crate::support::load::Load;
use crate::support::platform::lines;
use crate::support::raw::{RawMessage, RawPublisher, entry, long};
use crate::support::stage::{DEAD_LETTER, EVENTS, Stage};
use crate::{start_ready, stop};
use serde_json::json;

/// An event with nothing odd about it.
fn plain(id: &str) -> RawMessage {
    RawMessage {
        routing_key: b"setting-changed.helios".to_vec(),
        content_type: b"application/cloudevents+json".to_vec(),
        body: edit(id, "helios", "equipment", &[("m", json!(1))]).body,
        ..RawMessage::default()
    }
}

/// The same with this for its headers.
fn with_headers(id: &str, headers: Vec<u8>) -> RawMessage {
    RawMessage { headers, ..plain(id) }
}

/// Publishes each of these messages between two plain ones, and holds what becomes of it against what is expected: it
/// is an `event`, or rejected with a code and a reason.
async fn check(seed: u64, odd: &[(&str, RawMessage, &str)]) {
    let stage = Stage::set(Load::new(seed, 1, 1)).await;
    let mut process = start_ready(&stage.variables()).await;
    let mut publisher = RawPublisher::connect(stage.vhost.url()).await;
    for (what, message, _) in odd {
        publisher.publish(EVENTS, &plain(&format!("before the {what}"))).await;
        publisher.publish(EVENTS, message).await;
        publisher.publish(EVENTS, &plain(&format!("behind the {what}"))).await;
    }
    let taken = "select (select count(*) from event) + (select count(*) from rejected_message)";
    let all = format!("{}\n", 3 * odd.len());
    eventually("all are taken in", async || {
        let ended = process.has_ended();
        assert!(ended.is_none(), "the process ended by itself: {ended:?}\n{}", process.log());
        lines(&stage.client, taken).await == all
    })
    .await;
    for (what, message, expected) in odd {
        for place in ["before", "behind"] {
            let plain = format!("select count(*) from event where event_id = '{place} the {what}'");
            assert_eq!(lines(&stage.client, &plain).await, "1\n", "{place} the {what}");
        }
        let became = "select 'event' from event_view where $1 like '%\"id\":\"' || event_id || '\"%' union all
                      select code || ': ' || reason from rejected_message_view where body = convert_to($1, 'UTF8')";
        let body = std::str::from_utf8(&message.body).unwrap();
        let rows = stage.client.query(became, &[&body]).await.unwrap();
        let rows: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(rows, [*expected], "{what}");
    }
    assert_eq!(process.log().matches("the link to the broker is up").count(), 1, "{}", process.log());
    stop(process).await;
    stage.vhost.ready_becomes(EVENTS, 0).await;
    assert_eq!(stage.vhost.ready(DEAD_LETTER).await, 0);
}

#[tokio::test]
async fn texts_that_are_not_utf8_are_read_with_question_marks() {
    let nested = entry(b"caf\xe9", b'S', &long(b"caf\xe9"));
    let table = [vec![b'F'], long(&nested)].concat();
    let odd = [
        (
            "routing key",
            RawMessage { routing_key: b"setting-changed.caf\xe9".to_vec(), ..plain("odd key") },
            "event",
        ),
        (
            "correlation id",
            RawMessage { correlation_id: Some(b"\xff\xfe".to_vec()), ..plain("odd correlation") },
            "event",
        ),
        ("name of a header", with_headers("odd name", entry(b"caf\xe9", b'V', b"")), "event"),
        ("name in a header", with_headers("odd names", entry(b"list", b'A', &long(&table))), "event"),
        (
            "content type",
            RawMessage { content_type: b"text/caf\xe9".to_vec(), ..plain("odd type") },
            "invalid-field: content_type is \"text/caf?\"; expected application/cloudevents+json (the body is \
             the event) or application/json (the body is its data)",
        ),
    ];
    check(60, &odd).await;
}

#[tokio::test]
async fn headers_that_no_frame_holds_are_left_out_and_the_message_is_rejected_for_it() {
    let note = |bytes: usize| entry(b"note", b'S', &long(&vec![b'a'; bytes]));
    let odd = [
        ("headers of 30,000 bytes", with_headers("large", note(29_986)), "event"),
        (
            "headers of 40 kB",
            with_headers("too large", note(40_000)),
            "too-large: the headers have 40014 bytes; expected at most 30000",
        ),
        (
            "headers of 120 kB",
            with_headers("much too large", note(120_000)),
            "too-large: the headers have 120014 bytes; expected at most 30000",
        ),
    ];
    check(61, &odd).await;
}

#[tokio::test]
async fn headers_that_are_nested_thousands_deep_end_no_process() {
    let (mut arrays, mut tables) = (long(b""), long(b""));
    for _ in 0..5_000 {
        arrays = long(&[b"A", &arrays[..]].concat());
    }
    for _ in 0..4_000 {
        tables = long(&entry(b"", b'F', &tables));
    }
    let odd = [
        ("arrays", with_headers("deep arrays", entry(b"deep", b'A', &arrays)), "event"),
        ("tables", with_headers("deep tables", entry(b"deep", b'F', &tables)), "event"),
    ];
    check(62, &odd).await;
}
