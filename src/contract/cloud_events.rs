//! CloudEvents 1.0 over AMQP: which of its two forms a message has, and the attributes in either.
//!
//! Knows nothing of what `data` says.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{self, Place, is_identifier, pick};
use super::json::{Entry, Json};
use super::properties::Properties;
use super::rejection::{Rejection, RejectionCode, describe, quote};
use super::trace_parent::TraceParent;

/// Where the attributes of an event stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In the body, beside `data`.
    Structured,
    /// In the headers; the body is `data`.
    Binary,
}

/// The types of event, by the last segment of their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventType {
    SettingChanged,
    PartnershipChanged,
}

impl EventType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SettingChanged => "setting-changed",
            Self::PartnershipChanged => "partnership-changed",
        }
    }
}

/// An event whose attributes have been checked, and its `data` as it is.
pub(super) struct CloudEvent<'j, 'a> {
    pub(super) source: &'j str,
    pub(super) id: &'j str,
    pub(super) event_type: EventType,
    pub(super) traceparent: Option<TraceParent>,
    pub(super) data: &'j [Entry<'a>],
}

/// The source and id of a message, as far as they can be read and are well formed.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
}

impl Identity {
    /// Reads them where they can be had, whatever else is wrong.
    pub(super) fn note(&mut self, attributes: &[Entry<'_>]) {
        for (name, value) in attributes {
            let Json::Text(text) = value else { continue };
            let place = match name.as_ref() {
                "source" => &mut self.source,
                "id" => &mut self.id,
                _ => continue,
            };
            if is_identifier(text) {
                *place = Some(text.to_string());
            }
        }
    }
}

const CONTENT_TYPE: &str =
    "application/cloudevents+json (the body is the event) or application/json (the body is its data)";

/// The form that the properties announce; none where they have no content type.
pub(super) fn announced_form(properties: &Properties) -> Result<Option<Form>, Rejection> {
    if let Some(encoding) = properties.content_encoding.as_deref() {
        let plain =
            ["", "identity", "utf-8", "utf8"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain));
        if !plain {
            return Err(Rejection::invalid(
                "content_encoding",
                quote(encoding),
                "a body that is not encoded",
            ));
        }
    }
    let content_type = match properties.content_type.as_deref() {
        None | Some("") => return Ok(None),
        Some(content_type) => content_type,
    };
    let media_type = media_type(content_type);
    let charset = charset(content_type);
    let utf8 = ["utf-8", "utf8", "us-ascii"].iter().any(|utf8| charset.eq_ignore_ascii_case(utf8));
    if !charset.is_empty() && !utf8 {
        return Err(Rejection::invalid("content_type", quote(content_type), "the charset UTF-8"));
    }
    if media_type == "application/cloudevents+json" {
        return Ok(Some(Form::Structured));
    }
    if media_type.starts_with("application/cloudevents-batch") {
        let expected = "one event in a message, of content type application/cloudevents+json";
        return Err(Rejection::invalid("content_type", quote(content_type), expected));
    }
    if !media_type.starts_with("application/cloudevents") && is_json(&media_type) {
        return Ok(Some(Form::Binary));
    }
    Err(Rejection::invalid("content_type", quote(content_type), CONTENT_TYPE))
}

/// The form of a message without a content type, by what it looks like.
pub(super) fn apparent_form(headers: &[Entry<'_>], body: &Json<'_>) -> Result<Form, Rejection> {
    let has_specversion = |entries: &[Entry<'_>]| entries.iter().any(|(name, _)| name == "specversion");
    if has_specversion(headers) {
        return Ok(Form::Binary);
    }
    match body {
        Json::Object(entries) if has_specversion(entries) => Ok(Form::Structured),
        _ => Err(Rejection::new(
            RejectionCode::InvalidField,
            format!(
                "content_type is missing and the message looks like no CloudEvent; expected {CONTENT_TYPE}"
            ),
        )),
    }
}

fn media_type(content_type: &str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

fn charset(content_type: &str) -> &str {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.map_or("", |(_, charset)| charset.trim().trim_matches('"'))
}

fn is_json(media_type: &str) -> bool {
    media_type.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

const PREFIX: &str = "cloudEvents";

/// The attributes that stand in the headers, `cloudEvents:id` or `cloudEvents_id`, whatever their case.
///
/// One that stands there in two spellings is listed twice, unless both say the same.
pub(super) fn header_attributes(headers: &BTreeMap<String, Value>) -> Vec<Entry<'_>> {
    let attributes = headers.iter().filter_map(|(header, value)| {
        let (prefix, name) = header.split_at_checked(PREFIX.len())?;
        let name = name.strip_prefix([':', '_']).filter(|_| prefix.eq_ignore_ascii_case(PREFIX))?;
        Some((name.to_ascii_lowercase(), value))
    });
    let mut attributes: Vec<(String, &Value)> = attributes.collect();
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    attributes.dedup();
    attributes.into_iter().map(|(name, value)| (Cow::Owned(name), as_json(value))).collect()
}

/// A header's value; of what is no attribute's type, only what it is.
fn as_json(value: &Value) -> Json<'_> {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => Json::Number(number.as_str()),
        Value::String(text) => Json::Text(Cow::Borrowed(text)),
        Value::Array(_) => Json::List(Vec::new()),
        Value::Object(_) => Json::Object(Vec::new()),
    }
}

/// Checks an event.
///
/// `attributes` are those of the headers in binary form, where `body` is `data`; they are not looked at in
/// structured form, where `body` is the whole event.
pub(super) fn read<'j, 'a: 'j>(
    form: Form,
    attributes: &'j [Entry<'a>],
    body: &'j Json<'a>,
    properties: &Properties,
) -> Result<CloudEvent<'j, 'a>, Rejection> {
    let (place, attributes) = match (form, body) {
        (Form::Binary, _) => (Place::Headers, attributes),
        (Form::Structured, Json::Object(attributes)) => (Place::Event, attributes.as_slice()),
        (Form::Structured, _) => {
            return Err(Rejection::invalid("the body", describe(body), "a CloudEvents object"));
        }
    };
    let names =
        ["specversion", "id", "source", "type", "datacontenttype", "traceparent", "data", "data_base64"];
    let picked = pick(attributes, place, names)?;
    let [specversion, id, source, event_type, datacontenttype, traceparent, data, data_base64] =
        picked.fields;

    match fields::text(specversion, place.field("specversion"), specversion_expected(place))? {
        "1.0" => {}
        other => return Err(Rejection::invalid(place.field("specversion"), quote(other), "\"1.0\"")),
    }
    let id = fields::identifier(id, place.field("id"))?;
    let source = fields::identifier(source, place.field("source"))?;
    let event_type = self::event_type(event_type, place)?;
    let traceparent = match traceparent {
        Some(Json::Text(text)) => TraceParent::parse(text),
        _ => traceparent_header(&properties.headers),
    };

    let data = match form {
        Form::Binary => body,
        Form::Structured => {
            check_data_content_type(datacontenttype)?;
            if !matches!(data_base64, None | Some(Json::Null)) {
                let reason = "data_base64 is given; expected the event's data as a JSON object in data";
                return Err(Rejection::new(RejectionCode::InvalidField, reason.to_owned()));
            }
            data.unwrap_or(&Json::Null)
        }
    };
    match (form, data) {
        (_, Json::Object(data)) => Ok(CloudEvent { source, id, event_type, traceparent, data }),
        (Form::Structured, Json::Null) => Err(Rejection::missing("data", "an object")),
        (Form::Structured, _) => Err(Rejection::invalid("data", describe(data), "an object")),
        (Form::Binary, _) => {
            Err(Rejection::invalid("the body", describe(data), "the event's data, an object"))
        }
    }
}

fn specversion_expected(place: Place) -> &'static str {
    match place {
        // The likeliest mistake: a whole event sent as if it were data.
        Place::Headers => {
            "\"1.0\", or content type application/cloudevents+json where the body is the whole event"
        }
        _ => "\"1.0\"",
    }
}

const TYPE: &str = "setting-changed or partnership-changed, with or without a prefix such as com.example.";

/// The type of an event, whatever stands before the last dot of its name.
pub(super) fn event_type(json: Option<&Json<'_>>, place: Place) -> Result<EventType, Rejection> {
    let name = fields::text(json, place.field("type"), TYPE)?;
    let last = name.rsplit('.').next().unwrap_or(name);
    let types = [EventType::SettingChanged, EventType::PartnershipChanged];
    types.into_iter().find(|event_type| event_type.name() == last).ok_or_else(|| {
        let reason = format!("{} is {}; expected {TYPE}", place.field("type"), quote(name));
        Rejection::new(RejectionCode::UnknownType, reason)
    })
}

fn check_data_content_type(value: Option<&Json<'_>>) -> Result<(), Rejection> {
    let field = Place::Event.field("datacontenttype");
    let expected = "application/json";
    match fields::optional_text(value, field, expected)? {
        Some(content_type) if !is_json(&media_type(content_type)) => {
            Err(Rejection::invalid(field, quote(content_type), expected))
        }
        _ => Ok(()),
    }
}

fn traceparent_header(headers: &BTreeMap<String, Value>) -> Option<TraceParent> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("traceparent"))?;
    TraceParent::parse(value.as_str()?)
}
