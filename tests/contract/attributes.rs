//! CloudEvents attributes, in either form.

use channel_sync::contract::TraceParent;

use super::{CATALOGUE, IDENTIFIER, STRUCTURED, TYPES, binary_event, check, decoded, event, message};

const DATA: &str = r#"{"organization_id":"helios","category":"equipment","changes":[]}"#;
const CONTENT_TYPE: &str =
    "application/cloudevents+json (the body is the event) or application/json (the body is its data)";
const ACCEPTED: &str = "setting-changed helios equipment";

/// An event with these attributes in its body, and good ones for the rest.
#[track_caller]
fn check_attributes(attributes: &str, expected: &str) {
    let mut body = format!(r#"{{{attributes},"data":{DATA}"#);
    for (name, value) in
        [("specversion", "1.0"), ("id", "event-1"), ("source", "/platform"), ("type", "setting-changed")]
    {
        if !attributes.contains(&format!("\"{name}\"")) {
            body.push_str(&format!(r#","{name}":"{value}""#));
        }
    }
    body.push('}');
    check(&message(STRUCTURED, body), expected);
}

/// An event in binary form with this header besides, or in place of, good ones.
#[track_caller]
fn check_header(name: &str, value: serde_json::Value, expected: &str) {
    let mut message = binary_event("setting-changed", DATA);
    message.properties.headers.insert(name.to_owned(), value);
    check(&message, expected);
}

#[test]
fn content_types() {
    let structured = String::from_utf8(event("setting-changed", DATA).body).unwrap();
    for content_type in [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        "Application/CloudEvents+JSON;charset=\"UTF-8\"",
        " application/cloudevents+json ; profile=x ; Charset = utf-8",
    ] {
        check(&message(content_type, structured.clone()), ACCEPTED);
    }
    for content_type in
        ["application/json", "APPLICATION/JSON; charset=UTF-8", "text/json", "application/vnd.x+json"]
    {
        let mut message = binary_event("setting-changed", DATA);
        message.properties.content_type = Some(content_type.to_owned());
        check(&message, ACCEPTED);
    }
    for (content_type, expected) in [
        ("text/plain", CONTENT_TYPE),
        ("application/xml", CONTENT_TYPE),
        ("json", CONTENT_TYPE),
        ("application/cloudevents", CONTENT_TYPE),
        ("application/cloudevents+avro", CONTENT_TYPE),
        ("application/json; charset=latin1", "the charset UTF-8"),
        ("application/cloudevents+json; charset=utf-16", "the charset UTF-8"),
        (
            "application/cloudevents-batch+json",
            "one event in a message, of content type application/cloudevents+json",
        ),
    ] {
        check(
            &message(content_type, structured.clone()),
            &format!("invalid-field: content_type is {content_type:?}; expected {expected}"),
        );
    }
}

#[test]
fn without_a_content_type_a_message_is_what_it_looks_like() {
    for missing in [None, Some(String::new())] {
        let mut structured = event("setting-changed", DATA);
        structured.properties.content_type = missing.clone();
        check(&structured, ACCEPTED);
        let mut binary = binary_event("setting-changed", DATA);
        binary.properties.content_type = missing.clone();
        check(&binary, ACCEPTED);
        for body in [DATA, "[]", "7"] {
            let mut neither = message("", body);
            neither.properties.content_type = missing.clone();
            check(
                &neither,
                &format!(
                    "invalid-field: content_type is missing and the message looks like no CloudEvent; expected \
                     {CONTENT_TYPE}"
                ),
            );
        }
    }
}

#[test]
fn content_encoding() {
    for plain in ["", "identity", "utf-8", "UTF8"] {
        let mut message = event("setting-changed", DATA);
        message.properties.content_encoding = Some(plain.to_owned());
        check(&message, ACCEPTED);
    }
    let mut message = event("setting-changed", DATA);
    message.properties.content_encoding = Some("gzip".to_owned());
    check(&message, "invalid-field: content_encoding is \"gzip\"; expected a body that is not encoded");
}

#[test]
fn a_whole_event_sent_as_data_is_told_how() {
    let mut message = event("setting-changed", DATA);
    message.properties.content_type = Some("application/json".to_owned());
    check(
        &message,
        "missing-field: header cloudEvents:specversion is missing; expected \"1.0\", or content type \
         application/cloudevents+json where the body is the whole event",
    );
}

#[test]
fn attributes_in_the_body() {
    let long = "é".repeat(100);
    for accepted in [
        r#""id":"x""#,
        r#""source":"\u00e9""#,
        &format!(r#""id":"{long}""#),
        r#""type":"com.example.platform.setting-changed""#,
        r#""subject":"helios","extension":[1],"time":"yesterday""#,
        r#""datacontenttype":"application/json; charset=utf-8""#,
        r#""datacontenttype":"application/vnd.settings+json""#,
        r#""datacontenttype":null,"data_base64":null"#,
        r#""traceparent":"nonsense""#,
        r#""traceparent":7"#,
    ] {
        check_attributes(accepted, ACCEPTED);
    }
    for (attributes, expected) in [
        (r#""specversion":null"#, "missing-field: specversion is missing; expected \"1.0\"".to_owned()),
        (r#""specversion":"0.3""#, "invalid-field: specversion is \"0.3\"; expected \"1.0\"".to_owned()),
        (r#""specversion":1.0"#, "invalid-field: specversion is the number 1.0; expected \"1.0\"".to_owned()),
        (r#""id":null"#, format!("missing-field: id is missing; expected {IDENTIFIER}")),
        (r#""id":17"#, format!("invalid-field: id is the number 17; expected {IDENTIFIER}")),
        (r#""id":"""#, format!("invalid-field: id is \"\"; expected {IDENTIFIER}")),
        (r#""id":" x""#, format!("invalid-field: id is \" x\"; expected {IDENTIFIER}")),
        (r#""id":"x\u00a0""#, format!("invalid-field: id is \"x\\u{{a0}}\"; expected {IDENTIFIER}")),
        (r#""id":"a\u0000b""#, format!("invalid-field: id is \"a\\0b\"; expected {IDENTIFIER}")),
        (r#""id":"a\u0085b""#, format!("invalid-field: id is \"a\\u{{85}}b\"; expected {IDENTIFIER}")),
        (
            &format!(r#""id":"{long}x""#),
            format!("invalid-field: id is \"{long}…\" (201 bytes); expected {IDENTIFIER}"),
        ),
        (r#""source":{}"#, format!("invalid-field: source is an object; expected {IDENTIFIER}")),
        (r#""type":null"#, format!("missing-field: type is missing; expected {TYPES}")),
        (r#""type":true"#, format!("invalid-field: type is true; expected {TYPES}")),
        (r#""type":"""#, format!("unknown-type: type is \"\"; expected {TYPES}")),
        (
            r#""type":"setting-changed.v2""#,
            format!("unknown-type: type is \"setting-changed.v2\"; expected {TYPES}"),
        ),
        (
            r#""type":"Setting-Changed""#,
            format!("unknown-type: type is \"Setting-Changed\"; expected {TYPES}"),
        ),
        (
            r#""datacontenttype":"text/xml""#,
            "invalid-field: datacontenttype is \"text/xml\"; expected application/json".to_owned(),
        ),
        (
            r#""datacontenttype":[]"#,
            "invalid-field: datacontenttype is a list; expected application/json".to_owned(),
        ),
        (
            r#""data_base64":"e30=""#,
            "invalid-field: data_base64 is given; expected the event's data as a JSON object in data"
                .to_owned(),
        ),
        (r#""id":"a","id":"a""#, "invalid-field: id stands twice; expected each field once".to_owned()),
        (r#""data":{}"#, "invalid-field: data stands twice; expected each field once".to_owned()),
        (r#""a\nb":1,"a\nb":1"#, "invalid-field: a\\nb stands twice; expected each field once".to_owned()),
    ] {
        check_attributes(attributes, &expected);
    }
}

#[test]
fn data() {
    let structured = |data: &str| {
        message(
            STRUCTURED,
            format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"setting-changed"{data}}}"#),
        )
    };
    for (data, expected) in [
        ("", "missing-field: data is missing; expected an object"),
        (r#","data":null"#, "missing-field: data is missing; expected an object"),
        (r#","data":[]"#, "invalid-field: data is a list; expected an object"),
        (r#","data":"{}""#, "invalid-field: data is \"{}\"; expected an object"),
    ] {
        check(&structured(data), expected);
    }
    for (body, expected) in [("[]", "a list"), ("null", "null"), ("\"x\"", "\"x\""), ("17", "the number 17")]
    {
        check(
            &message(STRUCTURED, body),
            &format!("invalid-field: the body is {expected}; expected a CloudEvents object"),
        );
        check(
            &binary_event("setting-changed", body),
            &format!("invalid-field: the body is {expected}; expected the event's data, an object"),
        );
    }
}

#[test]
fn attributes_in_the_headers() {
    check_header("cloudEvents:subject", "helios".into(), ACCEPTED);
    check_header("cloudEvents_id", "event-1".into(), ACCEPTED);
    check_header("x-other", serde_json::json!({"a": [1]}), ACCEPTED);
    check_header("cloudEvents:data", "ignored".into(), ACCEPTED);
    check_header("é", "a short name of two bytes".into(), ACCEPTED);
    check_header(
        "cloudEvents_id",
        "event-2".into(),
        "invalid-field: header cloudEvents:id stands twice; expected each field once",
    );
    check_header(
        "cloudEvents:specversion",
        "2.0".into(),
        "invalid-field: header cloudEvents:specversion is \"2.0\"; expected \"1.0\"",
    );
    check_header(
        "cloudEvents:id",
        17.into(),
        &format!("invalid-field: header cloudEvents:id is the number 17; expected {IDENTIFIER}"),
    );
    check_header(
        "cloudEvents:type",
        "x".into(),
        &format!("unknown-type: header cloudEvents:type is \"x\"; expected {TYPES}"),
    );
}

#[test]
fn headers_are_found_in_every_spelling() {
    for prefix in ["cloudEvents:", "cloudEvents_", "cloudevents:", "CLOUDEVENTS_", "ce"] {
        let mut message = binary_event("setting-changed", DATA);
        let headers = std::mem::take(&mut message.properties.headers);
        for (name, value) in headers {
            let name = name.trim_start_matches("cloudEvents:");
            let name = if prefix == "CLOUDEVENTS_" { name.to_uppercase() } else { name.to_owned() };
            message.properties.headers.insert(format!("{prefix}{name}"), value);
        }
        if prefix == "ce" {
            assert!(decoded(&message).is_err());
        } else {
            check(&message, ACCEPTED);
        }
    }
}

#[test]
fn headers_mean_nothing_beside_a_structured_event() {
    let mut message = event("setting-changed", DATA);
    for (name, value) in
        [("cloudEvents:id", "a"), ("cloudEvents_id", "b"), ("cloudEvents:specversion", "0.3")]
    {
        message.properties.headers.insert(name.to_owned(), value.into());
    }
    check(&message, ACCEPTED);
    assert_eq!(decoded(&message).unwrap().id, "event-1");
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn traceparent_comes_from_the_attribute_else_from_the_header() {
    let other = "00-11111111111111111111111111111111-b7ad6b7169203331-00";
    let trace = |message| decoded(&message).unwrap().traceparent.map(|trace| trace.to_string());

    let mut binary = binary_event("setting-changed", DATA);
    assert_eq!(trace(binary.clone()), None);
    binary.properties.headers.insert("traceparent".to_owned(), other.into());
    assert_eq!(trace(binary.clone()).as_deref(), Some(other));
    binary.properties.headers.insert("cloudEvents:traceparent".to_owned(), TRACE.into());
    assert_eq!(trace(binary).as_deref(), Some(TRACE));

    let mut structured = event("setting-changed", &format!(r#"{DATA},"traceparent":"{TRACE}""#));
    structured.properties.headers.insert("traceparent".to_owned(), other.into());
    assert_eq!(trace(structured).as_deref(), Some(TRACE));
    let mut structured = event("setting-changed", DATA);
    structured.properties.headers.insert("traceparent".to_owned(), other.into());
    assert_eq!(trace(structured).as_deref(), Some(other));
}

#[test]
fn trace_parents() {
    for good in [TRACE, &format!("cc{}-appended", &TRACE[2..]), &format!("01{}", &TRACE[2..])] {
        let trace = TraceParent::parse(good).unwrap();
        assert_eq!((trace.as_str(), trace.trace_id()), (good, "0af7651916cd43dd8448eb211c80319c"));
    }
    for bad in [
        "",
        "nonsense",
        &TRACE[1..],
        &format!("{TRACE} "),
        &format!("{TRACE}-appended"),
        &format!("cc{}appended", &TRACE[2..]),
        &format!("cc{}-\n", &TRACE[2..]),
        &format!("cc{}-{}", &TRACE[2..], "x".repeat(100)),
        &format!("ff{}", &TRACE[2..]),
        &TRACE.to_uppercase(),
        &TRACE.replace('a', "g"),
        &TRACE.replace('-', "_"),
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é1",
    ] {
        assert_eq!(TraceParent::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn the_catalogue_is_asked_for_what_it_holds() {
    // The cases of this suite rest on these.
    assert!(CATALOGUE.find("equipment").is_some());
    assert!(CATALOGUE.find("default-costs").is_some_and(|id| !CATALOGUE.get(id).slots.is_empty()));
}
