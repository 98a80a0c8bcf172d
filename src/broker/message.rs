//! The library's properties and headers to the contract's, and back.
//!
//! JSON has fewer types than AMQP. Bytes that are no UTF-8 become `{"bytes": "<hexadecimal digits>"}`,
//! times RFC 3339 text, decimals numbers with all their digits, floating-point numbers that JSON lacks
//! their name. On the way back a time stays text; nothing else changes its meaning.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use serde_json::{Map, Number, Value};

use crate::contract::{Message, Properties};

/// How deep tables and arrays in headers may be nested; deeper ones are left out.
pub(super) const DEPTH_MAX: usize = 32;

/// What a persistent message has for its delivery mode.
const PERSISTENT: u8 = 2;

/// The message of a delivery.
pub(super) fn received(delivery: &mut lapin::message::Delivery) -> Message {
    let properties = &delivery.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let headers = properties.headers().as_ref().map(|table| {
        table
            .into_iter()
            .map(|(name, value)| (name.to_string(), to_json(value, 1)))
            .collect::<BTreeMap<_, _>>()
    });
    let properties = Properties {
        content_type: text(properties.content_type()),
        content_encoding: text(properties.content_encoding()),
        delivery_mode: *properties.delivery_mode(),
        priority: *properties.priority(),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        expiration: text(properties.expiration()),
        message_id: text(properties.message_id()),
        timestamp: *properties.timestamp(),
        type_: text(properties.kind()),
        user_id: text(properties.user_id()),
        app_id: text(properties.app_id()),
        cluster_id: text(properties.cluster_id()),
        exchange: Some(delivery.exchange.to_string()),
        routing_key: Some(delivery.routing_key.to_string()),
        redelivered: Some(delivery.redelivered),
        headers: headers.unwrap_or_default(),
    };
    Message { body: std::mem::take(&mut delivery.data), properties }
}

/// The properties to publish a message with: persistent, and without the user's name, which the broker
/// refuses where it is not that of the connection.
///
/// # Errors
/// Names a property that is too long for AMQP.
pub(super) fn to_publish(properties: &Properties) -> Result<BasicProperties, String> {
    let mut published = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if !properties.headers.is_empty() {
        published = published.with_headers(to_table(&properties.headers)?);
    }
    if let Some(priority) = properties.priority {
        published = published.with_priority(priority);
    }
    if let Some(timestamp) = properties.timestamp {
        published = published.with_timestamp(timestamp);
    }
    type Setter = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&str, &Option<String>, Setter); 9] = [
        ("content_type", &properties.content_type, BasicProperties::with_content_type),
        ("content_encoding", &properties.content_encoding, BasicProperties::with_content_encoding),
        ("correlation_id", &properties.correlation_id, BasicProperties::with_correlation_id),
        ("reply_to", &properties.reply_to, BasicProperties::with_reply_to),
        ("expiration", &properties.expiration, BasicProperties::with_expiration),
        ("message_id", &properties.message_id, BasicProperties::with_message_id),
        ("type", &properties.type_, BasicProperties::with_type),
        ("app_id", &properties.app_id, BasicProperties::with_app_id),
        ("cluster_id", &properties.cluster_id, BasicProperties::with_cluster_id),
    ];
    for (name, text, set) in texts {
        if let Some(text) = text {
            published = set(published, short(name, text)?);
        }
    }
    Ok(published)
}

/// A string of AMQP's short kind: the property or argument `name`.
///
/// # Errors
/// Where the text is longer than 255 bytes.
pub(super) fn short(name: &str, text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text)
        .map_err(|_| format!("the {name} has {} bytes; expected at most 255", text.len()))
}

fn to_json(value: &AMQPValue, depth: usize) -> Value {
    let float =
        |number: f64, text: String| Number::from_f64(number).map_or(Value::String(text), Value::Number);
    match value {
        AMQPValue::Boolean(value) => Value::Bool(*value),
        AMQPValue::ShortShortInt(number) => Value::from(*number),
        AMQPValue::ShortShortUInt(number) => Value::from(*number),
        AMQPValue::ShortInt(number) => Value::from(*number),
        AMQPValue::ShortUInt(number) => Value::from(*number),
        AMQPValue::LongInt(number) => Value::from(*number),
        AMQPValue::LongUInt(number) => Value::from(*number),
        AMQPValue::LongLongInt(number) => Value::from(*number),
        // By way of its text: 0.1 of 32 bits is 0.1, not 0.10000000149011612.
        AMQPValue::Float(number) => {
            float(number.to_string().parse().unwrap_or(f64::from(*number)), number.to_string())
        }
        AMQPValue::Double(number) => float(*number, number.to_string()),
        AMQPValue::DecimalValue(decimal) => decimal_number(decimal.value, decimal.scale),
        AMQPValue::ShortString(text) => Value::String(text.to_string()),
        AMQPValue::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => bytes_object(text.as_bytes()),
        },
        AMQPValue::Timestamp(seconds) => {
            let time =
                i64::try_from(*seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
            time.map_or_else(|| Value::from(*seconds), |time| Value::String(time.to_string()))
        }
        AMQPValue::ByteArray(bytes) => bytes_object(bytes.as_slice()),
        AMQPValue::Void => Value::Null,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth >= DEPTH_MAX => Value::Null,
        AMQPValue::FieldArray(values) => {
            Value::Array(values.as_slice().iter().map(|value| to_json(value, depth + 1)).collect())
        }
        AMQPValue::FieldTable(table) => Value::Object(
            table.into_iter().map(|(name, value)| (name.to_string(), to_json(value, depth + 1))).collect(),
        ),
    }
}

/// `value` with the decimal point `scale` digits from its right end.
fn decimal_number(value: u32, scale: u8) -> Value {
    let scale = usize::from(scale);
    let digits = format!("{value:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let text = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    text.parse::<Number>().map_or(Value::String(text), Value::Number)
}

const BYTES: &str = "bytes";

fn bytes_object(bytes: &[u8]) -> Value {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Value::Object(Map::from_iter([(BYTES.to_owned(), Value::String(digits))]))
}

fn bytes_of(object: &Map<String, Value>) -> Option<Vec<u8>> {
    let digits = object.get(BYTES).filter(|_| object.len() == 1)?.as_str()?;
    if digits.len() % 2 != 0 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

fn to_table<'a>(entries: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(short("name of a header", name)?, to_amqp(value)?);
    }
    Ok(table)
}

fn to_amqp(value: &Value) -> Result<AMQPValue, String> {
    Ok(match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => AMQPValue::LongLongInt(number),
            // A number that would change by the way goes as its digits.
            (None, Some(double)) if Number::from_f64(double).as_ref() == Some(number) => {
                AMQPValue::Double(double)
            }
            _ => AMQPValue::LongString(number.to_string().into()),
        },
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(values) => AMQPValue::FieldArray(FieldArray::from(
            values.iter().map(to_amqp).collect::<Result<Vec<_>, _>>()?,
        )),
        Value::Object(object) => match bytes_of(object) {
            Some(bytes) => AMQPValue::ByteArray(bytes.into()),
            None => AMQPValue::FieldTable(to_table(object)?),
        },
    })
}

#[cfg(test)]
mod tests {
    use lapin::types::DecimalValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_of_amqp_has_its_json() {
        let table = FieldTable::from(BTreeMap::from([("k".into(), AMQPValue::Boolean(false))]));
        let cases = [
            (AMQPValue::Boolean(true), json!(true)),
            (AMQPValue::ShortShortInt(-1), json!(-1)),
            (AMQPValue::ShortShortUInt(255), json!(255)),
            (AMQPValue::ShortInt(-300), json!(-300)),
            (AMQPValue::ShortUInt(65535), json!(65535)),
            (AMQPValue::LongInt(i32::MIN), json!(i32::MIN)),
            (AMQPValue::LongUInt(u32::MAX), json!(u32::MAX)),
            (AMQPValue::LongLongInt(i64::MIN), json!(i64::MIN)),
            (AMQPValue::Float(0.1), json!(0.1)),
            (AMQPValue::Float(f32::INFINITY), json!("inf")),
            (AMQPValue::Double(-2.5), json!(-2.5)),
            (AMQPValue::Double(f64::NAN), json!("NaN")),
            (AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 1234 }), json!(12.34)),
            (AMQPValue::DecimalValue(DecimalValue { scale: 3, value: 5 }), json!(0.005)),
            (AMQPValue::DecimalValue(DecimalValue { scale: 0, value: 5 }), json!(5)),
            (AMQPValue::ShortString("short".into()), json!("short")),
            (AMQPValue::LongString("länger".into()), json!("länger")),
            (AMQPValue::LongString(vec![0xff, 0x00].into()), json!({ "bytes": "ff00" })),
            (AMQPValue::ByteArray(vec![1, 2].into()), json!({ "bytes": "0102" })),
            (AMQPValue::Timestamp(1_700_000_000), json!("2023-11-14T22:13:20Z")),
            (AMQPValue::Timestamp(u64::MAX), json!(u64::MAX)),
            (AMQPValue::Void, json!(null)),
            (AMQPValue::FieldTable(table), json!({ "k": false })),
            (AMQPValue::FieldArray(vec![AMQPValue::Void, AMQPValue::LongInt(1)].into()), json!([null, 1])),
        ];
        for (value, expected) in cases {
            assert_eq!(to_json(&value, 1), expected, "{value:?}");
        }
    }

    #[test]
    fn what_goes_out_comes_back_the_same() {
        let cases = [
            json!(null),
            json!(true),
            json!(0),
            json!(i64::MIN),
            json!(0.25),
            json!(-1e300),
            json!(""),
            json!("2023-11-14T22:13:20Z"),
            json!([1, [2, [3]], {}]),
            json!({ "a": { "b": [] }, "bytes": "00" }),
            json!({ "bytes": "00ff" }),
            json!({ "bytes": "0" }),
            json!({ "bytes": "xy" }),
            json!({ "bytes": 7 }),
        ];
        for value in cases {
            assert_eq!(to_json(&to_amqp(&value).unwrap(), 1), value);
        }
    }

    #[test]
    fn numbers_that_amqp_lacks_go_as_their_digits() {
        for digits in ["18446744073709551615", "0.1000000000000000055511151231257827"] {
            let number: Number = digits.parse().unwrap();
            assert_eq!(to_json(&to_amqp(&Value::Number(number)).unwrap(), 1), json!(digits));
        }
    }

    #[test]
    fn nesting_is_cut_where_it_is_no_longer_meant_for_anybody() {
        let mut value = AMQPValue::Boolean(true);
        for _ in 0..1_000 {
            value = AMQPValue::FieldArray(vec![value].into());
        }
        let text = to_json(&value, 1).to_string();
        assert_eq!(text.matches('[').count(), DEPTH_MAX - 1);
        assert!(text.contains("null"));
    }
}
