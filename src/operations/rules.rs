//! The rules table in words: which rule decides, and why it is that one.
//!
//! Which rule it is says [`policy::rule`] alone; here are only its reasons.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::catalogue::{Category, Kind, Reach};
use crate::domain::partnership::{Beginning, Mode};
use crate::domain::policy::{self, Occurrence, Rule};

/// A rule, and why it is that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleRow {
    /// `match`, `merge`, `nothing` or `refuse`.
    pub rule: Rule,
    /// Why, in words.
    pub because: String,
}

impl RuleRow {
    /// The name of the rule.
    pub fn name(&self) -> &'static str {
        match self.rule {
            Rule::Match => "match",
            Rule::Merge => "merge",
            Rule::Nothing => "nothing",
            Rule::Refuse => "refuse",
        }
    }
}

/// What the rules say of a category of a downstream, and why.
pub(super) fn rule(occurrence: Occurrence, mode: Mode, category: &Category) -> RuleRow {
    let rule = policy::rule(occurrence, mode, category);
    RuleRow { rule, because: because(occurrence, mode, category, rule) }
}

fn because(occurrence: Occurrence, mode: Mode, category: &Category, rule: Rule) -> String {
    let name = &category.name;
    match (occurrence, mode, category.reach) {
        (_, _, Reach::Never) => format!("{name} is never synced"),
        (_, Mode::Off, _) => "off: nothing is synced".to_owned(),
        (Occurrence::DownstreamEdits, _, Reach::OnboardingOnly) => {
            format!("{name} is synced once, at an invitation, and never locked")
        }
        (Occurrence::DownstreamEdits, mode, Reach::Ongoing) => match rule {
            Rule::Refuse => format!("{}: {name} is locked", mode.name()),
            Rule::Match | Rule::Merge | Rule::Nothing => {
                format!("{}: an edit of the partner's own stands", mode.name())
            }
        },
        (Occurrence::UpstreamChanged, _, Reach::OnboardingOnly) => {
            format!("{name} is synced once, at an invitation, and not kept in sync")
        }
        (Occurrence::UpstreamChanged, mode, Reach::Ongoing) => match (rule, category.kind) {
            (Rule::Match, _) => {
                format!("{}: what is added, changed and removed all applies", mode.name())
            }
            (Rule::Merge, _) => format!("{}: of a collection, only what is new is added", mode.name()),
            (Rule::Nothing | Rule::Refuse, Kind::Default | Kind::Collection) => {
                format!("{}: {name} is a default, and left alone", mode.name())
            }
        },
        (Occurrence::Began(Beginning::Repair), Mode::NonExclusive | Mode::Flexible, Reach::Ongoing) => {
            format!("{}: only what is strict is put right", mode.name())
        }
        (Occurrence::Began(beginning), mode, reach) => {
            let begins = begins(beginning, mode);
            match (rule, reach) {
                (Rule::Match, _) => format!("{begins}: it becomes a replica"),
                (Rule::Merge, _) => format!("{begins}: of a collection, what is missing is added"),
                (Rule::Nothing | Rule::Refuse, Reach::OnboardingOnly) => {
                    format!("{begins}: {name} is synced at an invitation alone")
                }
                (Rule::Nothing | Rule::Refuse, Reach::Ongoing | Reach::Never) => {
                    format!("{begins}, and {name} is a default: it is left alone")
                }
            }
        }
    }
}

fn begins(beginning: Beginning, mode: Mode) -> String {
    match beginning {
        Beginning::NewOrganization => "a new organization was invited".to_owned(),
        Beginning::ExistingOrganization => {
            format!("sync with an existing organization begins, {}", mode.name())
        }
        Beginning::BecameStrict => "the mode becomes strict".to_owned(),
        Beginning::Repair => format!("an operator has it put right, {}", mode.name()),
    }
}

/// What a reconcile does to all categories together, in words.
pub(super) fn reconcile(beginning: Beginning, mode: Mode) -> RuleRow {
    let begins = begins(beginning, mode);
    let (rule, what) = match (beginning, mode) {
        (Beginning::NewOrganization, _) => {
            (Rule::Match, "it becomes a replica, onboarding-only categories too")
        }
        (_, Mode::Strict) => (Rule::Match, "it becomes a replica in all ongoing categories"),
        (_, Mode::Off) => (Rule::Nothing, "the mode is off by then"),
        (Beginning::Repair, _) => (Rule::Nothing, "the mode is not strict by then"),
        (_, Mode::NonExclusive | Mode::Flexible) => {
            (Rule::Merge, "of collections, what is missing is added; defaults are left alone")
        }
    };
    RuleRow { rule, because: format!("{begins}: {what}") }
}
