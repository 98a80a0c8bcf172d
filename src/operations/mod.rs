//! What an operator can ask and do: once, for the command line and for HTTP.
//!
//! Functions over the store (and the broker) that return plain, serializable structs; fields that are columns
//! of a view have the column's name, times are RFC 3339 in UTC. They print nothing and know no flags. What
//! always holds: a list is never longer than [`LIMIT_MAX`], and says where it goes on.

mod actions;
mod broker_check;
mod events;
mod explain;
mod freshness;
mod jobs;
mod names;
mod organizations;
mod overview;
mod pauses;
mod preview;
mod publish;
mod rehearsal;
mod rejected;
mod replays;
mod restore;
mod rules;
mod status;
mod tokens;
mod verify;

pub use actions::actions;
pub use broker_check::{BrokerCheck, BrokerCheckError, broker_check};
pub use events::{EventDetail, EventQuery, EventState, event, events};
pub use explain::{Archived, Edit, ExplainedUpstream, Explanation, HistoryRow, Reason, explain};
pub use freshness::{FreshnessQuery, freshness, freshness_summary};
pub use jobs::{JobDetail, JobKey, JobKind, JobQuery, JobState, MalformedJobKey, job, jobs};
pub use names::UnknownName;
pub(crate) use names::parsed;
pub use organizations::{
    Mailbox, SettingQuery, mailbox, organization, organizations, partnerships, settings,
};
pub use overview::{Minutes, Overview, failures, overview};
pub use pauses::{pause, pauses, resume};
pub use preview::{
    DeclinedEntry, EntryFate, EntryPreview, EntryState, EventPreview, JobPreview, NotReached,
    PREVIEW_ENTRIES_MAX, PREVIEW_EVENTS_MAX, PartnershipPreview, Prediction, Preview, PreviewOptions,
    SupposedEvent, Totals, preview, read_supposed,
};
pub use publish::{MalformedEvent, PublishError, Published, ReadyEvent, publish, read};
pub use rehearsal::RehearsalLimits;
pub use rejected::{
    RejectedDetail, RejectedQuery, RejectedReplay, RejectedSelection, RejectedState, discard_rejected,
    preview_rejected, rejected, rejected_message, replay_rejected,
};
pub use replays::{
    JobSelection, Operator, ReplayDetail, cancel_replay, chosen, discard_jobs, replay, replay_detail, replays,
};
pub use restore::{Restore, RestoreEntry, RestoreOutcomes, preview_restore, restore};
pub use rules::RuleRow;
pub use status::{Lookup, Progress, QueueStatus, Status, progress, queue, status};
pub use tokens::{NewToken, TokenError, token};
pub use verify::{DriftedPartnership, Verification, VerifyQuery, WaitingPartnership, repair, verify};

use crate::domain::catalogue::{Catalogue, Category};
pub use crate::store::choice::{Chosen, ChosenRow, Purpose};
pub use crate::store::explain::{ComparedRow, DifferingRow, ExplainedSetting, UpstreamRow};
pub use crate::store::freshness::{FreshnessPlace, FreshnessRow, FreshnessSummary};
pub use crate::store::overview::{MinuteRow, OldestRow};
pub use crate::store::pause::PauseRow;
pub use crate::store::preview::{Waiting, WaitingRow};
pub use crate::store::read::{
    ActionRow, Counts, DisplacedRow, EffectRow, EventJobRow, EventRow, JobCounts, JobRow, LettersRow,
    MailboxRow, OrganizationRow, PartnershipRow, RejectedCountRow, RejectedRow, SettingRow, SettledRow,
    StoredValue, TransactionRow, TroubleRow, WayRow,
};
pub use crate::store::replay::{REPLAY_JOBS_MAX, ReplayRow, ReplayTroubleRow};
pub use crate::store::verify::{DifferenceRow, Drift, RepairRow};
use crate::store::{Session, StoreError};

/// The most rows of a list.
pub const LIMIT_MAX: u16 = 1000;

/// How many rows a list has where nothing else is said.
pub const LIMIT_DEFAULT: u16 = 50;

/// Part of a list.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the list goes on, where it does.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of `rows`, which were read with one more, to see whether there is one.
    fn cut(mut rows: Vec<T>, limit: u16, cursor: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > usize::from(limit);
        rows.truncate(limit.into());
        let next = rows.last().filter(|_| more).map(cursor);
        Self { items: rows, next }
    }
}

/// Why something could not be shown or done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// No event has named the organization yet.
    #[error("no organization {organization_id:?} is known{}", similar_text(.similar))]
    UnknownOrganization {
        /// What was asked for.
        organization_id: String,
        /// Known ones whose names look like it, the most similar first.
        similar: Vec<String>,
    },
    /// There is no such event.
    #[error("no event {event_id:?} is known{}", source_text(.source_name.as_deref()))]
    UnknownEvent {
        /// What was asked for.
        event_id: String,
        /// The source that was asked for.
        source_name: Option<String>,
    },
    /// Events of several sources have this id.
    #[error("the sources {} each have an event {event_id:?}", .sources.join(", "))]
    AmbiguousEvent {
        /// What was asked for.
        event_id: String,
        /// Sources that have it.
        sources: Vec<String>,
    },
    /// The catalogue does not name the category.
    #[error("the catalogue names no category {category:?}; it names {}", .known.join(", "))]
    UnknownCategory {
        /// What was asked for.
        category: String,
        /// Those that it names.
        known: Vec<String>,
    },
    /// The category is not kept in sync: nobody need have what another has.
    #[error("the category {category:?} is not kept in sync; those that are: {}", .ongoing.join(", "))]
    NotKeptInSync {
        /// What was asked for.
        category: String,
        /// Those that are.
        ongoing: Vec<String>,
    },
    /// There is no such job.
    #[error("no job {0} is known")]
    UnknownJob(JobKey),
    /// The results of the job's day were dropped: whether it was among them is not known any more.
    #[error(
        "no job {job} is kept: the results of its day were dropped on {}, by their age (retention.days)",
        .dropped_at.strftime("%Y-%m-%d")
    )]
    DroppedJob {
        /// Which one.
        job: JobKey,
        /// When.
        dropped_at: jiff::Timestamp,
    },
    /// There is no such rejected message.
    #[error("no rejected message {0} is known")]
    UnknownRejected(i64),
    /// A rejected message that somebody has dealt with.
    #[error("the rejected message {rejected_id} is {state} already")]
    AlreadySettled {
        /// Which one.
        rejected_id: i64,
        /// What was done.
        state: String,
    },
    /// The service runs with a catalogue that lacks categories of this one.
    #[error("the service was started with a catalogue that does not name {}", .0.join(", "))]
    CatalogueBehind(Vec<String>),
    /// There is no such replay.
    #[error("no replay {0} is known")]
    UnknownReplay(i64),
    /// None of the selected jobs may be replayed, or none was selected.
    #[error("no job that may be replayed was chosen")]
    NothingToReplay,
    /// None of the selected jobs may be discarded, or none was selected.
    #[error("no job that may be discarded was chosen")]
    NothingToDiscard,
    /// A replay that has ended cannot be cancelled.
    #[error("the replay {replay_no} is {state}; expected one that is running")]
    ReplayNotRunning {
        /// Which one.
        replay_no: i64,
        /// Its state.
        state: String,
    },
    /// Nothing that the job displaced can be brought back.
    #[error("nothing that the job {job} displaced can be restored: {reason}")]
    NothingToRestore {
        /// Which one.
        job: JobKey,
        /// What became of the entries.
        reason: String,
    },
    /// What was given as the place in a list is none.
    #[error("{0:?} is no place to go on from; expected what the end of a list names")]
    MalformedCursor(String),
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OperationError {
    /// Nothing is taken in whose categories the service does not know.
    async fn unless_known(session: &Session, catalogue: &Catalogue) -> Result<(), Self> {
        let unknown = session.unknown_categories(catalogue).await?;
        if unknown.is_empty() { Ok(()) } else { Err(Self::CatalogueBehind(unknown)) }
    }

    /// Why there is no such job: its day was dropped, or it has never been.
    async fn no_job(session: &Session, job: JobKey) -> Self {
        match session.job_dropped(job.cause).await {
            Ok(Some(dropped_at)) => Self::DroppedJob { job, dropped_at },
            Ok(None) => Self::UnknownJob(job),
            Err(error) => error.into(),
        }
    }

    /// The category, unless the catalogue does not name it.
    fn category_of<'c>(catalogue: &'c Catalogue, category: &str) -> Result<&'c Category, Self> {
        catalogue.find(category).map(|id| catalogue.get(id)).ok_or_else(|| {
            let known = catalogue.iter().map(|(_, category)| category.name.to_string()).collect();
            Self::UnknownCategory { category: category.to_owned(), known }
        })
    }

    /// Where nothing was found: that the catalogue does not name the category that was asked for. What is there of one
    /// that was taken out of the catalogue is found all the same.
    fn unless_named(catalogue: &Catalogue, category: Option<&str>) -> Result<(), Self> {
        category.map_or(Ok(()), |category| Self::category_of(catalogue, category).map(drop))
    }
}

fn source_text(source: Option<&str>) -> String {
    source.map(|source| format!(" from the source {source:?}")).unwrap_or_default()
}

fn similar_text(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        [one] => format!("; a similar one is {one}"),
        several => format!("; similar ones are {}", several.join(", ")),
    }
}
