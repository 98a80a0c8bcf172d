//! What the document says of answers that many routes have in common.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::response::Response;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use crate::http::problem::Problem;

/// What any question may come to.
pub(in crate::http) struct Refused;

/// What anything that changes something may come to besides.
pub(super) struct Forbidden;

/// What anything with a body may come to besides.
pub(super) struct BodyRefused;

/// There is no such thing.
pub(super) struct NotFound;

/// Things are not as they would have to be.
pub(super) struct Conflict;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The path, a parameter or the body is not what it should be."),
            ("401", "There is no access token, or none that is known."),
            ("421", "Without access tokens, this machine is served by no other name than its own."),
            ("500", "The database could not answer, and will not for the mere asking again."),
            ("503", "The database is not to be reached now, or too busy: see `Retry-After`."),
        ])
    }
}

impl IntoResponses for Forbidden {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[("403", "The token is a viewer's, or the request comes from a page of another site.")])
    }
}

impl IntoResponses for BodyRefused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("408", "The body has not come in time."),
            ("413", "The body is too large."),
            ("415", "The content type is not JSON."),
            ("422", "The body is JSON, and does not say what is needed."),
        ])
    }
}

impl IntoResponses for NotFound {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[("404", "Something that is named is not known.")])
    }
}

impl IntoResponses for Conflict {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[("409", "As things are, it cannot be done.")])
    }
}

fn problems(statuses: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let problem = |description: &str| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        ResponseBuilder::new().description(description).content(Problem::CONTENT_TYPE, content).build()
    };
    statuses
        .iter()
        .map(|(status, description)| ((*status).to_owned(), RefOr::T(problem(description))))
        .collect()
}
