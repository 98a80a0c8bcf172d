//! A partnership: its flags, the mode that follows from them, and what a change of flags means.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ChangeNo, EventNo, OrganizationNo};

/// Whether a partnership is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// In force.
    Active,
    /// Over. It can become active again; it then counts as one with an existing organization.
    Ended,
}

/// How the downstream came to the partnership. Counts only in the first event of a partnership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Onboarding {
    /// The upstream invited an organization that was not on the platform before.
    NewOrganization,
    /// The downstream had been on the platform before.
    #[default]
    ExistingOrganization,
}

/// What a partnership-changed event says of a partnership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// Whether the partnership is in force.
    pub status: Status,
    /// Whether the downstream has no other upstream.
    pub exclusive: bool,
    /// Whether settings are synced.
    pub data_sync: bool,
    /// Whether the downstream may edit synced settings. Not applicable, and then of no effect, unless both
    /// other flags are on.
    pub allow_downstream_edit: Option<bool>,
}

/// What the flags of a partnership amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is synced.
    Off,
    /// Synced, beside other upstreams; the downstream may edit.
    NonExclusive,
    /// Synced from this upstream alone; the downstream may edit.
    Flexible,
    /// Synced from this upstream alone; the downstream may not edit: its ongoing settings are locked.
    Strict,
}

impl Mode {
    /// The name of the mode, as views and pages write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NonExclusive => "non-exclusive",
            Self::Flexible => "flexible",
            Self::Strict => "strict",
        }
    }
}

impl Terms {
    /// The mode that these terms amount to.
    pub fn mode(&self) -> Mode {
        match (self.status, self.data_sync, self.exclusive, self.allow_downstream_edit) {
            (Status::Ended, _, _, _) | (Status::Active, false, _, _) => Mode::Off,
            (Status::Active, true, false, _) => Mode::NonExclusive,
            (Status::Active, true, true, Some(true)) => Mode::Flexible,
            // A missing flag is bad input where it is applicable (`contract` rejects it), so it never
            // comes here; were it to, the stricter reading loses no value of the upstream's.
            (Status::Active, true, true, Some(false) | None) => Mode::Strict,
        }
    }
}

/// A directed link from an upstream to a downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partnership {
    /// The channel manager, whose settings are synced from.
    pub upstream: OrganizationNo,
    /// The channel partner, whose settings are synced to.
    pub downstream: OrganizationNo,
    /// Its flags as of now.
    pub terms: Terms,
    /// The last change of the upstream that the downstream need not be told of: it was made before the
    /// partnership began, or a reconcile has taken it in already.
    pub since: ChangeNo,
    /// The largest version seen in an event of this partnership.
    pub version: Option<i64>,
    /// The event that last set the flags, where that is known.
    pub event: Option<EventNo>,
}

impl Partnership {
    /// The mode that counts now.
    pub fn mode(&self) -> Mode {
        self.terms.mode()
    }
}

/// Why a downstream is reconciled with its upstream as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beginning {
    /// A new organization was invited, with sync on.
    NewOrganization,
    /// A partnership with an existing organization began with sync on, or its sync was turned on later.
    ExistingOrganization,
    /// A change of flags made a partnership strict that had been non-exclusive or flexible.
    BecameStrict,
    /// Nothing begins: an operator found a strict downstream to differ from its upstream, and has it put right.
    Repair,
}

impl Beginning {
    /// What an event that sets `terms` begins, where something begins at all; never a repair.
    ///
    /// `previous` is the partnership before the event: none where this is its first event. `onboarding`
    /// counts only there: sync turned on later is the beginning of a partnership with an existing
    /// organization, even where the downstream was once invited with sync off.
    pub fn of(previous: Option<&Terms>, terms: &Terms, onboarding: Onboarding) -> Option<Self> {
        let before = previous.map(Terms::mode);
        match (before, terms.mode()) {
            (_, Mode::Off) => None,
            (None, Mode::NonExclusive | Mode::Flexible | Mode::Strict) => Some(match onboarding {
                Onboarding::NewOrganization => Self::NewOrganization,
                Onboarding::ExistingOrganization => Self::ExistingOrganization,
            }),
            (Some(Mode::Off), Mode::NonExclusive | Mode::Flexible | Mode::Strict) => {
                Some(Self::ExistingOrganization)
            }
            (Some(Mode::NonExclusive | Mode::Flexible), Mode::Strict) => Some(Self::BecameStrict),
            (Some(Mode::Strict), Mode::Strict) => None,
            (
                Some(Mode::NonExclusive | Mode::Flexible | Mode::Strict),
                Mode::NonExclusive | Mode::Flexible,
            ) => None,
        }
    }
}
