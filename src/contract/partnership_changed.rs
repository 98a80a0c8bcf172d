//! The `data` of a `partnership-changed` event.

use std::sync::Arc;

use super::PartnershipChanged;
use super::fields::{self, Place, Unknown, pick};
use super::json::Entry;
use super::rejection::{Rejection, RejectionCode, quote};
use crate::domain::partnership::{Onboarding, Status, Terms};

pub(super) fn read(data: &[Entry<'_>], unknown: &mut Unknown) -> Result<PartnershipChanged, Rejection> {
    let names = [
        "upstream_id",
        "downstream_id",
        "status",
        "exclusive",
        "data_sync",
        "allow_downstream_edit",
        "onboarding",
        "version",
    ];
    let picked = pick(data, Place::Data, names)?;
    let [
        upstream_id,
        downstream_id,
        status,
        exclusive,
        data_sync,
        allow_downstream_edit,
        onboarding,
        version,
    ] = picked.fields;
    unknown.add(Place::Data, &picked.unknown);
    let field = |name| Place::Data.field(name);

    let upstream_id = fields::identifier(upstream_id, field("upstream_id"))?;
    let downstream_id = fields::identifier(downstream_id, field("downstream_id"))?;
    let expected = "\"active\" or \"ended\"";
    let status = match fields::text(status, field("status"), expected)? {
        "active" => Status::Active,
        "ended" => Status::Ended,
        other => return Err(Rejection::invalid(field("status"), quote(other), expected)),
    };
    let exclusive = fields::boolean(exclusive, field("exclusive"))?;
    let data_sync = fields::boolean(data_sync, field("data_sync"))?;
    let allow_downstream_edit =
        fields::optional_boolean(allow_downstream_edit, field("allow_downstream_edit"))?;
    if allow_downstream_edit.is_none() && status == Status::Active && exclusive && data_sync {
        let expected =
            "true or false, since the partnership is active and both exclusive and data_sync are true";
        return Err(Rejection::missing(field("allow_downstream_edit"), expected));
    }
    let expected = "\"new-organization\" or \"existing-organization\"";
    let onboarding = match fields::optional_text(onboarding, field("onboarding"), expected)? {
        None => Onboarding::default(),
        Some("new-organization") => Onboarding::NewOrganization,
        Some("existing-organization") => Onboarding::ExistingOrganization,
        Some(other) => return Err(Rejection::invalid(field("onboarding"), quote(other), expected)),
    };
    let version = fields::version(version, field("version"))?;
    if upstream_id == downstream_id {
        let id = quote(upstream_id);
        let reason = format!(
            "data.downstream_id is {id}, as is data.upstream_id, a cycle of {id} → {id}; \
             expected another organization"
        );
        return Err(Rejection::new(RejectionCode::PartnershipCycle, reason));
    }
    Ok(PartnershipChanged {
        upstream_id: Arc::from(upstream_id),
        downstream_id: Arc::from(downstream_id),
        terms: Terms { status, exclusive, data_sync, allow_downstream_edit },
        onboarding,
        version,
    })
}
