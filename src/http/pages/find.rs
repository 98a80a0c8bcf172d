//! Finding something by its name, whatever it is: a job's key, an organization, an event.

use axum::extract::State;
use axum::response::Redirect;

use super::components::{event_address, fields, organization_address};
use super::fields::Query;
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::http::App;
use crate::operations::{self, JobKey, OperationError};

/// Goes to what bears the name; where nothing does, to the organizations whose names contain it.
pub(super) async fn find(
    _: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Redirect, Refusal> {
    let Some(name) = query.get("q") else { return Ok(Redirect::to("/organizations")) };
    let store = &app.store;
    if let Ok(key) = name.parse::<JobKey>()
        && operations::job(store, key).await.is_ok()
    {
        return Ok(Redirect::to(&format!("/jobs/{key}")));
    }
    match operations::organization(store, name).await {
        Ok(_) => return Ok(Redirect::to(&organization_address(name))),
        Err(OperationError::UnknownOrganization { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match operations::event(store, name, None, 1).await {
        Ok(_) | Err(OperationError::AmbiguousEvent { .. }) => Ok(Redirect::to(&event_address(name, None))),
        Err(OperationError::UnknownEvent { .. }) => {
            Ok(Redirect::to(&fields(&[("q", name)]).address("/organizations")))
        }
        Err(error) => Err(error.into()),
    }
}
