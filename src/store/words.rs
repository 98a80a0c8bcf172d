//! What came of jobs and events, in words for people.

use std::collections::HashMap;

use crate::contract::{RejectionCode, short};
use crate::domain::OrganizationNo;
use crate::domain::catalogue::Catalogue;
use crate::domain::decide::Skipped;
use crate::domain::mailbox::FoundWrong;

fn name_of(organization: OrganizationNo, names: &HashMap<OrganizationNo, String>) -> &str {
    names.get(&organization).map_or("(unknown)", String::as_str)
}

/// Why a job had nothing to do, in words.
pub(crate) fn skipped_text(skipped: Skipped, names: &HashMap<OrganizationNo, String>) -> String {
    match skipped {
        Skipped::InStep => "already in step".to_owned(),
        Skipped::OwnEntriesKept => "the downstream has entries of its own under these keys".to_owned(),
        Skipped::Declined => "the downstream deleted these entries before".to_owned(),
        Skipped::SyncOff => "data sync is off by now".to_owned(),
        Skipped::NotStrict => "the partnership is not strict any more".to_owned(),
        Skipped::NothingToSync => "the upstream has no settings that the rules sync here".to_owned(),
        Skipped::ModeStays(mode) => format!("the mode stays {}", mode.name()),
        Skipped::ModeChanges(before, mode) => {
            format!("the mode changes from {} to {}, which changes no value", before.name(), mode.name())
        }
        Skipped::ReconcileFollows(before, mode) => {
            format!("the mode changes from {} to {}; a reconcile follows", before.name(), mode.name())
        }
        Skipped::Superseded { last } => format!("version {last} was seen before"),
        Skipped::Overtaken => "something newer has written these entries since".to_owned(),
        Skipped::FlagsSetSince => "a later event has set the flags since".to_owned(),
        Skipped::TakenInSince => "a reconcile has taken the change in since".to_owned(),
        Skipped::NotReached => "the rules take nothing from the change any more".to_owned(),
        Skipped::Locked { by } => format!("the settings are locked by {}", name_of(by, names)),
    }
}

/// What was wrong with an event that was found wrong when it ran: code and reason.
pub(crate) fn found_wrong_text(
    catalogue: &Catalogue,
    found: &FoundWrong,
    names: &HashMap<OrganizationNo, String>,
) -> (RejectionCode, String) {
    let (code, reason) = match found {
        FoundWrong::ExclusiveConflict { upstream, downstream, in_the_way, is_exclusive } => {
            let name = |organization| name_of(organization, names);
            let (downstream, other) = (name(*downstream), name(*in_the_way));
            let why = if *is_exclusive {
                format!("its active partnership with {other} is exclusive")
            } else {
                format!("an exclusive one tolerates no other, and its partnership with {other} is active")
            };
            let reason = format!(
                "{downstream} cannot have an active partnership with {}: {why}; expected that one to end first",
                name(*upstream)
            );
            (RejectionCode::ExclusiveConflict, reason)
        }
        FoundWrong::PartnershipCycle { path } => {
            let path: Vec<&str> = path.iter().map(|organization| name_of(*organization, names)).collect();
            let reason = format!(
                "the partnership would close the cycle {}; expected none on the way from an organization to itself",
                path.join(" → ")
            );
            (RejectionCode::PartnershipCycle, reason)
        }
        FoundWrong::EmptySnapshot { organization, category, entries } => {
            let reason = format!(
                "data.snapshot is empty, and {} has {entries} entries in {}; expected \"allow_empty\": true where all are to go",
                name_of(*organization, names),
                catalogue.name(*category)
            );
            (RejectionCode::EmptySnapshot, reason)
        }
    };
    // The way of a cycle may name any number of organizations.
    (code, short(&reason))
}
