//! The fields of a query or a form: what was typed, with what was left empty left out.
//!
//! Every form works as a query too, so that a page with its filters has an address. Nothing here knows what the fields
//! mean; who reads one says what was expected.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use url::form_urlencoded;

use super::refusal::Refusal;
use crate::http::App;
use crate::http::connections::TooSlow;

/// The largest form, in bytes: a choice of some thousand jobs.
const FORM_BYTES_MAX: usize = 256 * 1024;

/// Fields, in their order; a name may come more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// From a query, or the body of a form.
    pub(super) fn parse(text: &[u8]) -> Self {
        let fields =
            form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self::of(fields)
    }

    /// Of names and values.
    pub(super) fn of(fields: impl Iterator<Item = (String, String)>) -> Self {
        Self(fields.filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    /// What was typed, without white space around it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim)
    }

    /// All values of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// What was typed, as it was typed.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As something that it must be, where it was typed.
    pub(super) fn read<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal>
    where
        T::Err: std::fmt::Display,
    {
        self.get(name).map(|text| read(name, text)).transpose()
    }

    /// As [`Fields::read`], of all values of this name.
    pub(super) fn read_all<T: FromStr>(&self, name: &str) -> Result<Vec<T>, Refusal>
    where
        T::Err: std::fmt::Display,
    {
        self.all(name).map(|text| read(name, text)).collect()
    }

    /// These fields alone, for a link or a form that carries them on.
    pub(super) fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect())
    }

    /// With another field, in place of what it was.
    pub(super) fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut fields: Vec<_> = self.0.iter().filter(|(known, _)| known != name).cloned().collect();
        fields.push((name.to_owned(), value.into()));
        Self(fields)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `path` with these fields as its query.
    pub(super) fn address(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        format!("{path}?{query}")
    }
}

fn read<T: FromStr>(name: &str, text: &str) -> Result<T, Refusal>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Refusal::bad_request(format!("{name}: {error}")))
}

/// A time as a field holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) jiff::Timestamp);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("{text:?} is no time; expected one such as 2026-01-31T09:30:00Z");
        text.parse().map(Self).map_err(wrong)
    }
}

/// A whole number as a field holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) i64);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("{text:?} is no whole number"))
    }
}

/// The query of a request.
#[derive(Debug)]
pub(super) struct Query(pub(super) Fields);

impl FromRequestParts<App> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        Ok(Self(Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// The form that a request posts.
#[derive(Debug)]
pub(super) struct Form(pub(super) Fields);

impl FromRequest<App> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &App) -> Result<Self, Refusal> {
        let expected = "application/x-www-form-urlencoded";
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with(expected)) {
            let detail = format!("expected a form: {expected}");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not a form", detail));
        }
        let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await.map_err(|error| {
            if let Some(too_slow) = TooSlow::behind(&error) {
                return Refusal::too_slow(too_slow);
            }
            let detail = format!("expected a form of at most {} KiB", FORM_BYTES_MAX / 1024);
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large a form", detail)
        })?;
        Ok(Self(Fields::parse(&body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_written() {
        let fields = Fields::parse(b"a=+x+&b=&key=1-2&key=3-4&c=%26%3C");
        assert_eq!((fields.get("a"), fields.raw("a"), fields.get("b")), (Some("x"), Some(" x "), None));
        assert_eq!(fields.all("key").collect::<Vec<_>>(), ["1-2", "3-4"]);
        assert_eq!(fields.only(&["c"]).with("d", "e").address("/x"), "/x?c=%26%3C&d=e");
        assert_eq!(Fields::default().address("/x"), "/x");
    }
}
