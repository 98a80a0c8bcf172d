//! The statements by name. Each is a file in `sql/`, whose header says why, by which index, what it locks.

use super::error::StoreError;

/// A statement and its name, which error messages and logs give.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// The name of its file, without `.sql`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl Statement {
    /// What it means that the server refused it, or that the connection was lost.
    pub(super) fn failed(self, source: tokio_postgres::Error) -> StoreError {
        StoreError::of(self.name, source)
    }
}

macro_rules! statements {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) const $name: Statement =
            Statement { name: $file, text: include_str!(concat!("sql/", $file, ".sql")) };)*

        /// All statements, so that a test can prepare each against a migrated database.
        pub const ALL: &[Statement] = &[$($name),*];
    };
}

statements! {
    ACTION_ADD = "action_add",
    BATCH_BEGIN = "batch_begin",
    CATEGORIES_PUT = "categories_put",
    CATEGORIES_UNKNOWN = "categories_unknown",
    CATEGORIES_WAITING = "categories_waiting",
    CHANGES_ADD = "changes_add",
    CHANGES_LOAD = "changes_load",
    DECLINED_BUSY = "declined_busy",
    DECLINED_LOAD = "declined_load",
    DECLINED_LOAD_PARTS = "declined_load_parts",
    DECLINED_PUT = "declined_put",
    DECLINED_REMOVE = "declined_remove",
    EVENTS_ACCEPT = "events_accept",
    EVENTS_ADD = "events_add",
    EVENTS_BUSY = "events_busy",
    EVENTS_CONTENT = "events_content",
    EVENTS_LOAD = "events_load",
    EVENTS_SETTLE = "events_settle",
    INTAKE_LOCK = "intake_lock",
    JOBS_ADD = "jobs_add",
    JOBS_CHOSEN = "jobs_chosen",
    JOBS_DISCARD = "jobs_discard",
    JOBS_DISCARD_NEXT = "jobs_discard_next",
    JOBS_GIVE_UP = "jobs_give_up",
    JOBS_SUCCEEDED = "jobs_succeeded",
    JOBS_UNKNOWN = "jobs_unknown",
    LETTERS_BLAMED = "letters_blamed",
    LETTERS_BUSY = "letters_busy",
    LETTERS_FIRST = "letters_first",
    LETTERS_ADD = "letters_add",
    LETTERS_BEHIND = "letters_behind",
    LETTERS_CUT = "letters_cut",
    LETTERS_DISCARD = "letters_discard",
    LETTERS_FIRST_PARTNERSHIP = "letters_first_partnership",
    LETTERS_HELD = "letters_held",
    LETTERS_NOTIFY = "letters_notify",
    LETTERS_POSTPONE = "letters_postpone",
    LETTERS_REMOVE = "letters_remove",
    LETTERS_SPLIT = "letters_split",
    LETTERS_TAKE = "letters_take",
    LIST_EVENTS = "list_events",
    LIST_EVENT_JOBS = "list_event_jobs",
    LIST_JOBS = "list_jobs",
    LIST_ORGANIZATION_NAMES = "list_organization_names",
    LIST_PARTNERSHIPS = "list_partnerships",
    LIST_PAUSES = "list_pauses",
    LIST_REJECTED = "list_rejected",
    LIST_REPLAYS = "list_replays",
    LIST_SETTINGS = "list_settings",

    LOCK_TIMEOUT_SET = "lock_timeout_set",
    NUMBERS_TAKE = "numbers_take",
    ORGANIZATIONS_ADD = "organizations_add",
    ORGANIZATIONS_ADVANCE = "organizations_advance",
    ORGANIZATIONS_BUSY = "organizations_busy",
    ORGANIZATIONS_FIND = "organizations_find",
    ORGANIZATIONS_NAME = "organizations_name",
    PARTNERSHIPS_ABOVE = "partnerships_above",
    PARTNERSHIPS_BELOW = "partnerships_below",
    PARTNERSHIPS_BUSY = "partnerships_busy",
    PARTNERSHIPS_PUT = "partnerships_put",
    PARTNERSHIPS_REACHED = "partnerships_reached",
    PAUSE_ADD = "pause_add",
    PAUSE_REMOVE = "pause_remove",
    PREVIEW_NUMBERS = "preview_numbers",
    PREVIEW_WAITING = "preview_waiting",
    REJECTED_ADD = "rejected_add",
    REJECTED_ADD_EVENTS = "rejected_add_events",
    REJECTED_AGAIN = "rejected_again",
    REJECTED_NEXT = "rejected_next",
    REJECTED_SETTLE = "rejected_settle",
    REJECTED_STATES = "rejected_states",
    REPLAY_ADD = "replay_add",
    REPLAY_ADVANCE = "replay_advance",
    REPLAY_CANCEL = "replay_cancel",
    REPLAY_COUNT = "replay_count",
    REPLAY_DUE = "replay_due",
    REPLAY_JOBS_ADD = "replay_jobs_add",
    REPLAY_MARK = "replay_mark",
    REPLAY_NEXT = "replay_next",
    REPLAY_POSTPONE = "replay_postpone",
    REPLAY_SEND_JOBS = "replay_send_jobs",
    REPLAY_SEND_LETTERS = "replay_send_letters",
    REPLAY_TAKE = "replay_take",
    SETTINGS_ADD = "settings_add",
    SETTINGS_ARCHIVE = "settings_archive",
    SETTINGS_BUSY = "settings_busy",
    SETTINGS_CHANGE = "settings_change",
    SETTINGS_COUNT = "settings_count",
    SETTINGS_LOAD = "settings_load",
    SETTINGS_LOAD_CATEGORIES = "settings_load_categories",
    SETTINGS_LOAD_PARTS = "settings_load_parts",
    SETTINGS_REMOVE = "settings_remove",
    SHARDS_DUE = "shards_due",
    SHARDS_EMPTY = "shards_empty",
    SHARDS_LOCK = "shards_lock",
    SHARDS_LOCK_SHARED = "shards_lock_shared",
    SHARDS_WAIT = "shards_wait",
    SHOW_CAUSE = "show_cause",
    SHOW_EVENT = "show_event",
    SHOW_JOB_DISPLACED = "show_job_displaced",
    SHOW_JOB_ENTRIES = "show_job_entries",
    SHOW_JOB_FOLLOWING = "show_job_following",
    SHOW_JOB_WAY = "show_job_way",
    SHOW_ORGANIZATION = "show_organization",
    SHOW_REJECTED = "show_rejected",
    SHOW_REPLAY = "show_replay",
    SHOW_REPLAY_JOBS = "show_replay_jobs",
    SHOW_REPLAY_OUTCOMES = "show_replay_outcomes",
    STATUS_EVENTS = "status_events",
    STATUS_JOBS = "status_jobs",
    STATUS_LETTERS = "status_letters",
    STATUS_ORGANIZATIONS = "status_organizations",
    STATUS_REJECTED = "status_rejected",
    STATUS_TRANSACTIONS = "status_transactions",
    STATUS_TROUBLES = "status_troubles",
    TABLES_LOCK = "tables_lock",
    TOUCHED_LOAD = "touched_load",
    VALUES_ADD = "values_add",
    VALUES_LOAD = "values_load",
    VERSIONS_BUSY = "versions_busy",
    VERSIONS_LOAD = "versions_load",
    VERSIONS_PUT = "versions_put",
}
