//! The rules table: what happens to one category of a downstream, as one exhaustive match.
//!
//! | what happened | non-exclusive | flexible | strict |
//! |---|---|---|---|
//! | upstream changed a collection | merge new entries | merge new entries | match |
//! | upstream changed a default | nothing | nothing | match |
//! | new organization invited | match, onboarding-only included | same | same |
//! | partnership with an existing organization began | merge collections | merge collections | match |
//! | became strict | – | – | match |
//! | an operator repairs | nothing | nothing | match, ongoing categories alone |
//! | the downstream edits | stands | stands | refused |

use serde::Serialize;
use utoipa::ToSchema;

use super::catalogue::{Category, Kind, Reach};
use super::partnership::{Beginning, Mode};

/// What happened, as the first column of the rules table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occurrence {
    /// The upstream added, changed or removed entries.
    UpstreamChanged,
    /// The partnership began, or a change of flags made it strict, or an operator has it put right.
    Began(Beginning),
    /// The downstream edits its own settings.
    DownstreamEdits,
}

/// What the rules say of one category of a downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The downstream becomes a replica: every upstream entry is there with the upstream's value, and
    /// nothing else is.
    Match,
    /// The downstream keeps everything that it has; upstream entries whose key it lacks are added. After an
    /// upstream's change, only entries that are new to the upstream.
    Merge,
    /// Nothing reaches the downstream, and nothing hinders it.
    Nothing,
    /// The downstream's edit is refused: the setting is locked.
    Refuse,
}

/// The rules table.
pub fn rule(occurrence: Occurrence, mode: Mode, category: &Category) -> Rule {
    use Beginning::{BecameStrict, ExistingOrganization, NewOrganization, Repair};
    use Mode::{Flexible, NonExclusive, Off, Strict};
    use Occurrence::{Began, DownstreamEdits, UpstreamChanged};

    match (occurrence, mode, category.reach, category.kind) {
        (_, Off, _, _) | (_, _, Reach::Never, _) => Rule::Nothing,

        (
            Began(NewOrganization),
            NonExclusive | Flexible | Strict,
            Reach::Ongoing | Reach::OnboardingOnly,
            _,
        ) => Rule::Match,
        // Synced once, at the invitation: not later, and not locked.
        (
            UpstreamChanged | DownstreamEdits | Began(ExistingOrganization | BecameStrict | Repair),
            NonExclusive | Flexible | Strict,
            Reach::OnboardingOnly,
            _,
        ) => Rule::Nothing,

        (UpstreamChanged, NonExclusive | Flexible, Reach::Ongoing, Kind::Collection) => Rule::Merge,
        (UpstreamChanged, NonExclusive | Flexible, Reach::Ongoing, Kind::Default) => Rule::Nothing,
        (UpstreamChanged, Strict, Reach::Ongoing, _) => Rule::Match,

        (
            Began(ExistingOrganization | BecameStrict),
            NonExclusive | Flexible,
            Reach::Ongoing,
            Kind::Collection,
        ) => Rule::Merge,
        (
            Began(ExistingOrganization | BecameStrict),
            NonExclusive | Flexible,
            Reach::Ongoing,
            Kind::Default,
        ) => Rule::Nothing,
        (Began(ExistingOrganization | BecameStrict | Repair), Strict, Reach::Ongoing, _) => Rule::Match,
        // Only a replica can be told from what it should be: after a merge, nearly anything may be right.
        (Began(Repair), NonExclusive | Flexible, Reach::Ongoing, _) => Rule::Nothing,

        (DownstreamEdits, NonExclusive | Flexible, Reach::Ongoing, _) => Rule::Nothing,
        (DownstreamEdits, Strict, Reach::Ongoing, _) => Rule::Refuse,
    }
}

/// Whether a partnership of this mode locks this category of the downstream.
pub fn locks(mode: Mode, category: &Category) -> bool {
    rule(Occurrence::DownstreamEdits, mode, category) == Rule::Refuse
}
