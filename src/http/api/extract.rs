//! Taking requests apart. What is wrong with one is told as a problem that names what it is and what was expected.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::http::App;
use crate::http::connections::TooSlow;
use crate::http::problem::Problem;
use crate::operations::{LIMIT_DEFAULT, LIMIT_MAX, OperationError, parsed};

/// How similar a name must be to be meant, from 0 to 1 (Jaro-Winkler).
const SIMILARITY_MIN: f64 = 0.75;

/// The parameters behind the question mark. Those that the route does not have are refused.
pub(in crate::http) struct Query<T>(pub(in crate::http) T);

/// The parameter in the path.
pub(super) struct InPath<T>(pub(super) T);

/// The body, an object as JSON.
pub(super) struct Body<T>(pub(super) T);

/// How many rows of a list.
pub(super) type Limit = Bounded<1, LIMIT_MAX, LIMIT_DEFAULT>;

/// How much of a preview is told.
pub(super) type Shown = Bounded<0, 10_000, 20>;

/// A whole number from `MIN` to `MAX`; where none is given, `DEFAULT`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounded<const MIN: u16, const MAX: u16, const DEFAULT: u16>(pub(super) u16);

impl<const MIN: u16, const MAX: u16, const DEFAULT: u16> Default for Bounded<MIN, MAX, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const MIN: u16, const MAX: u16, const DEFAULT: u16> FromStr for Bounded<MIN, MAX, DEFAULT> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
        number.map(Self).ok_or_else(|| format!("expected a whole number from {MIN} to {MAX}"))
    }
}

impl<'de, const MIN: u16, const MAX: u16, const DEFAULT: u16> Deserialize<'de>
    for Bounded<MIN, MAX, DEFAULT>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

impl<const MIN: u16, const MAX: u16, const DEFAULT: u16> PartialSchema for Bounded<MIN, MAX, DEFAULT> {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(MIN)).maximum(Some(MAX));
        schema.default(Some(DEFAULT.into())).into()
    }
}

impl<const MIN: u16, const MAX: u16, const DEFAULT: u16> ToSchema for Bounded<MIN, MAX, DEFAULT> {}

/// No parameters.
#[derive(Debug, serde::Deserialize, IntoParams)]
pub(in crate::http) struct Nothing {}

/// Which part of a list whose places are numbers.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ByNumber {
    /// Where the page before said that the list goes on.
    #[serde(default, deserialize_with = "number")]
    pub(super) after: Option<i64>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    pub(super) limit: Limit,
}

/// Which part of a list whose places are names.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ByName {
    /// Where the page before said that the list goes on.
    pub(super) after: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    pub(super) limit: Limit,
}

/// Reads a name that may be missing.
pub(super) fn named<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    parsed(deserializer).map(Some)
}

/// Reads the number after which a list goes on, which may be missing.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|_| D::Error::custom(OperationError::MalformedCursor(text.into_owned())))
}

/// Reads an object: by its names alone, never by the order of a list.
pub(super) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(read)| read)
}

/// What is written as an object.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(OfMap(PhantomData)).map(Self)
    }
}

fn malformed_query(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-query", detail)
}

/// One problem for whatever is wrong with the path.
fn malformed_path(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-path", detail)
}

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        // Not made where there is no parameter to look up.
        let known = LazyCell::new(|| -> Vec<String> {
            T::into_params(|| None).into_iter().map(|parameter| parameter.name).collect()
        });
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = text(name).map_err(|wrong| malformed_query(format!("a parameter's name {wrong}")))?;
            if !known.contains(&name) {
                return Err(malformed_query(unknown("parameter", &name, &known)));
            }
            text(value).map_err(|wrong| malformed_query(format!("{name} {wrong}")))?;
        }
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => {
                let said = rejection.body_text();
                let said = said.strip_prefix("Failed to deserialize query string: ").unwrap_or(&said);
                let mut problem = malformed_query(said);
                // As of lists whose places are read later.
                if said.starts_with("after: ") {
                    problem = Problem::new(StatusCode::BAD_REQUEST, "malformed-cursor", said);
                }
                Err(problem)
            }
        }
    }
}

/// A part of a query that can be stored: UTF-8 once it is decoded, without U+0000.
fn text(encoded: &str) -> Result<String, &'static str> {
    let spaced = encoded.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().map_err(|_| "is not UTF-8")?;
    if text.contains('\0') {
        return Err("holds U+0000; expected text without it");
    }
    Ok(text.into_owned())
}

/// Says that a name is not known, and which one may be meant.
fn unknown(what: &str, name: &str, known: &[String]) -> String {
    let similarity = |known: &&String| strsim::jaro_winkler(name, known);
    let nearest = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let meant = nearest.filter(|known| similarity(known) >= SIMILARITY_MIN);
    let expected = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    match meant {
        Some(meant) => format!("there is no {what} {name:?}; was {meant} meant? Expected {expected}"),
        None => format!("there is no {what} {name:?}; expected {expected}"),
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if percent_decode_str(parts.uri.path()).any(|byte| byte == 0) {
            return Err(malformed_path("the path holds U+0000; expected text without it"));
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(parameter)) => Ok(Self(parameter)),
            Err(PathRejection::FailedToDeserializePathParams(failed)) => {
                use axum::extract::path::ErrorKind as E;
                Err(malformed_path(match failed.into_kind() {
                    E::ParseErrorAtKey { key, value, .. } => {
                        format!("{key} is {value:?}; expected a whole number")
                    }
                    E::ParseError { value, .. } | E::ParseErrorAtIndex { value, .. } => {
                        format!("{value:?} is not a whole number that could be asked for")
                    }
                    E::InvalidUtf8InPathParam { key } => format!("{key} is not UTF-8"),
                    E::DeserializeError { message, .. } | E::Message(message) => message,
                    kind => kind.to_string(),
                }))
            }
            Err(rejection) => Err(malformed_path(rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let Object(body) = read(&json(request, app).await?)?;
        Ok(Self(body))
    }
}

/// None where there is neither a body nor a content type, or the body is null.
impl<T: DeserializeOwned> OptionalFromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Option<Self>, Problem> {
        if request.headers().contains_key(CONTENT_TYPE) {
            let bytes = json(request, app).await?;
            return Ok(read::<Option<Object<T>>>(&bytes)?.map(|Object(body)| Self(body)));
        }
        match bytes(request, app, super::BODY_BYTES_MAX).await? {
            bytes if bytes.is_empty() => Ok(None),
            bytes => read(&bytes).map(|Object(body)| Some(Self(body))),
        }
    }
}

/// The body, where it says that it is JSON.
async fn json(request: Request, app: &App) -> Result<Bytes, Problem> {
    let content_type = content_type(request.headers());
    if !content_type.as_deref().is_some_and(is_json) {
        let is = content_type.map_or("missing".to_owned(), |content_type| format!("{content_type:?}"));
        let detail = format!("the content type is {is}; expected application/json");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail));
    }
    bytes(request, app, super::BODY_BYTES_MAX).await
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().unwrap_or("?");
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_json(content_type: &str) -> bool {
    content_type == "application/json"
        || (content_type.starts_with("application/") && content_type.ends_with("+json"))
}

/// The body, where it is not too large.
pub(super) async fn bytes(request: Request, app: &App, bytes_max: usize) -> Result<Bytes, Problem> {
    Bytes::from_request(request, app).await.map_err(|rejection| {
        if let Some(too_slow) = TooSlow::behind(&rejection) {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", too_slow.to_string());
        }
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", too_large(bytes_max))
            }
            status => Problem::new(status, "malformed-body", rejection.body_text()),
        }
    })
}

pub(super) fn too_large(bytes_max: usize) -> String {
    format!("the body is too large; expected at most {bytes_max} bytes")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    axum::Json::<T>::from_bytes(bytes).map(|axum::Json(body)| body).map_err(|rejection| {
        let said = rejection.body_text();
        let said = match &rejection {
            JsonRejection::JsonDataError(_) => {
                said.strip_prefix("Failed to deserialize the JSON body into the target type: ")
            }
            JsonRejection::JsonSyntaxError(_) => {
                said.strip_prefix("Failed to parse the request body as JSON: ")
            }
            _ => None,
        }
        .unwrap_or(&said);
        Problem::new(rejection.status(), "malformed-body", said)
    })
}

/// What a reason has.
const REASON_BYTES_MAX: usize = 2000;

/// The reason for something, which must be there.
pub(super) fn reason(reason: Option<&str>) -> Result<&str, Problem> {
    let is = match reason.map(str::trim) {
        None => "missing",
        Some("") => "empty",
        Some(reason) if reason.contains('\0') => "text with U+0000",
        Some(reason) if reason.len() > REASON_BYTES_MAX => "too long",
        Some(reason) => return Ok(reason),
    };
    Err(unprocessable(format!(
        "reason is {is}; expected 1 to {REASON_BYTES_MAX} bytes of text: it is written down"
    )))
}

/// The problem that a body does not say what is needed.
pub(super) fn unprocessable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_known() {
        let known = ["state", "organization"].map(str::to_owned);
        assert_eq!(
            unknown("parameter", "stat", &known),
            "there is no parameter \"stat\"; was state meant? Expected state, organization"
        );
        assert_eq!(
            unknown("parameter", "x", &known),
            "there is no parameter \"x\"; expected state, organization"
        );
        assert_eq!(unknown("parameter", "x", &[]), "there is no parameter \"x\"; expected none");
    }

    #[test]
    fn texts_of_a_query() {
        assert_eq!(text("a+b%2Bc"), Ok("a b+c".to_owned()));
        assert!(text("%ff").is_err());
        assert!(text("%00").is_err());
    }
}
