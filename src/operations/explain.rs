//! Explain: why an organization has a setting, or lacks it, or may not edit it.
//!
//! Answers by what the data tells: the setting and the events that wrote it, what its upstreams have, what was
//! declined, what has named it and what became of that, and the rule of the table that decides
//! ([`crate::domain::policy`]). What a job did to one setting is kept only where it went on to downstreams, was
//! archived, or follows from the job's counts; where it is not, that is said.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::rules::{self, RuleRow};
use super::{LIMIT_MAX, OperationError, organizations};
use crate::domain::OrganizationNo;
use crate::domain::catalogue::{Catalogue, Category, Kind, Reach};
use crate::domain::partnership::{Beginning, Mode};
use crate::domain::policy::{self, Occurrence, Rule};
use crate::store::Store;
use crate::store::explain::{ComparedRow, ExplainedSetting, FlagsRow, NamedRow, UpstreamRow};
use crate::store::preview::Waiting;
use crate::store::read::{Counts, StoredValue, WayRow};

/// How many of an organization's last jobs are looked through.
const JOBS_MAX: i64 = 10_000;

/// How many changes of flags are looked through.
const FLAGS_MAX: i64 = 1_000;

/// Why a setting is there or not, and who may edit it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// The organization.
    pub organization_id: String,
    /// The category.
    pub category: String,
    /// `collection` or `default`.
    pub kind: Kind,
    /// How far the category is synced.
    pub reach: Reach,
    /// The key; none where it is about the category as a whole.
    pub key: Option<String>,
    /// The setting, where it is there.
    pub setting: Option<ExplainedSetting>,
    /// Why it is so: what counts most comes first.
    pub reasons: Vec<Reason>,
    /// Whether the organization may edit it, and why.
    pub edit: Edit,
    /// Where the value came through: the jobs that led to the one that wrote it, the first one first.
    pub way: Vec<WayRow>,
    /// The upstreams, with what they have, and what the rules say.
    pub upstreams: Vec<ExplainedUpstream>,
    /// What has named it, the newest first.
    pub history: Vec<HistoryRow>,
    /// Whether there is more than that.
    pub history_goes_on: bool,
    /// The category compared with those of the upstreams, where it is about the category.
    pub compared: Vec<ComparedRow>,
    /// How many settings of the category there are, by origin, where it is about the category.
    #[schema(inline)]
    pub origins: Option<Counts>,
    /// What waits for the organization, and whether it is paused.
    pub waiting: Waiting,
}

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reason {
    /// What kind of reason.
    pub code: &'static str,
    /// In words.
    pub text: String,
}

/// Whether an organization may edit a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Edit {
    /// Whether it may.
    pub allowed: bool,
    /// The upstream that locks it.
    pub locked_by: Option<String>,
    /// Why.
    pub because: String,
}

/// An upstream, with what it has, and what the rules say.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExplainedUpstream {
    /// What it has.
    #[serde(flatten)]
    pub row: UpstreamRow,
    /// What happens when it changes this category.
    pub on_change: RuleRow,
}

/// Something that named the setting, and what came of it here.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryRow {
    /// The root event.
    pub event_id: String,
    /// Its source.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
    /// `own-change`, `sync-change` or `reconcile`.
    pub kind: String,
    /// Whose change it is; none for the organization's own event.
    pub upstream_id: Option<String>,
    /// What it says of the setting; a reconcile says nothing.
    pub said: Option<String>,
    /// The value that it says.
    #[schema(value_type = Value)]
    pub value: Option<StoredValue>,
    /// The idempotency key of the job, where there was one.
    pub idempotency_key: Option<String>,
    /// The state of the job, `dropped` where its result is not kept any more; `superseded`, `locked`, `rejected` or
    /// `ignored` where the event took no effect.
    pub state: String,
    /// The mode when the job ran, as far as is known.
    pub mode: Option<Mode>,
    /// The rule that decided.
    pub rule: Option<RuleRow>,
    /// What became of the setting: `added`, `changed`, `removed`, `unchanged`, `taken over` (by a match that found the
    /// same value), `kept own`, `declined`, `left alone` (by a replay); none where that is not kept.
    pub effect: Option<&'static str>,
    /// What it displaced: that is archived with the job.
    pub archived: Option<Archived>,
    /// What the job did as a whole.
    pub result: Value,
    /// What the job failed of.
    pub last_error: Option<String>,
    /// When the job was finished.
    pub finished_at: Option<Timestamp>,
    /// When the job runs.
    pub run_at: Option<Timestamp>,
}

/// A setting that a job displaced.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Archived {
    /// Its value.
    pub value: StoredValue,
    /// `own`, or the upstream that it had come from.
    pub origin: String,
}

/// Why an organization has a setting, or lacks it, or may not edit it; without a key, how the category stands. Tells
/// at most `limit` of what has named it, of the upstreams, and of what differs.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], [`OperationError::UnknownCategory`], or where the database cannot be read.
pub async fn explain(
    store: &Store,
    catalogue: &Catalogue,
    organization_id: &str,
    category: &str,
    key: Option<&str>,
    limit: u16,
) -> Result<Explanation, OperationError> {
    let mut session = store.session().await?;
    let organization = organizations::organization_no(&session, organization_id).await?;
    let about = OperationError::category_of(catalogue, category)?;
    let transaction = session.begin_reading().await?;
    let limit = i64::from(limit.min(LIMIT_MAX));
    let name = key.unwrap_or_default();
    let upstreams = transaction.explain_upstreams(organization, category, name, limit).await?;
    let waiting = transaction.waiting(&[organization].into(), 1).await?;
    let on_change = |row: &UpstreamRow| rules::rule(Occurrence::UpstreamChanged, row.mode, about);
    let mut explanation = Explanation {
        organization_id: organization_id.to_owned(),
        category: category.to_owned(),
        kind: about.kind,
        reach: about.reach,
        key: key.map(str::to_owned),
        setting: None,
        reasons: Vec::new(),
        edit: edit(&upstreams, about),
        way: Vec::new(),
        upstreams: upstreams
            .into_iter()
            .map(|row| ExplainedUpstream { on_change: on_change(&row), row })
            .collect(),
        history: Vec::new(),
        history_goes_on: false,
        compared: Vec::new(),
        origins: None,
        waiting,
    };
    let Some(key) = key else {
        explanation.compared = transaction.explain_category(organization, category, limit).await?;
        explanation.origins = Some(transaction.explain_origins(organization, category).await?);
        explanation.reasons = of_category(&explanation, about);
        return Ok(explanation);
    };
    explanation.setting = transaction.explain_setting(organization, category, key).await?;
    let mut named = transaction.explain_history(organization, category, key, limit + 1, JOBS_MAX).await?;
    explanation.history_goes_on = named.len() as i64 > limit;
    named.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let flags = transaction.explain_flags(organization, FLAGS_MAX).await?;
    explanation.history = named.iter().map(|row| history(row, &flags, about)).collect();
    let written = written(&explanation, &named);
    if let Some(writer) = written.by.and_then(|place| named.get(place)) {
        explanation.way = transaction.explain_way(writer.cause, organization).await?;
    }
    if let Some(row) = written.taken_over_by.and_then(|place| explanation.history.get_mut(place)) {
        row.effect = Some("taken over");
    }
    infer(&mut explanation, &named, &written);
    explanation.reasons = of_setting(&explanation, about, key, &written);
    Ok(explanation)
}

/// How a setting came to be what it is, as places in the history.
#[derive(Debug, Default)]
struct Written {
    /// The job that wrote it as it is, with its origin.
    by: Option<usize>,
    /// The job that wrote its value for the organization itself, or for another upstream: a match took it over since.
    by_another: Option<usize>,
    /// That match, where it is known.
    taken_over_by: Option<usize>,
}

fn written(explanation: &Explanation, named: &[NamedRow]) -> Written {
    let Some(setting) = &explanation.setting else { return Written::default() };
    if let Some(by) = named.iter().position(|row| wrote(row, setting)) {
        return Written { by: Some(by), ..Written::default() };
    }
    if setting.origin_no.is_none() {
        return Written::default();
    }
    let by_another = |row: &NamedRow| row.event == setting.event_no && row.upstream_no() != setting.origin_no;
    let Some(by_another) = named.iter().position(by_another) else { return Written::default() };
    // Of the matches since, all with this upstream but the first of them found it taken over already.
    let newer = named.iter().zip(&explanation.history).take(by_another).enumerate();
    let matches = newer.filter(|(_, (_, told))| told.state == "succeeded" && rule_is_match(told));
    let with_origin = matches.take_while(|(_, (row, _))| row.upstream_no() == setting.origin_no);
    let taken_over_by = with_origin.last().map(|(place, _)| place);
    if taken_over_by.is_none() && named[by_another].upstream.is_some() {
        // The same event may have come from both upstreams.
        return Written::default();
    }
    Written { by: None, by_another: Some(by_another), taken_over_by }
}

/// Whether a job wrote what a setting is now.
fn wrote(row: &NamedRow, setting: &ExplainedSetting) -> bool {
    row.event == setting.event_no
        && row.upstream_no() == setting.origin_no
        && row.state.as_deref() == Some("succeeded")
}

fn edit(upstreams: &[UpstreamRow], about: &Category) -> Edit {
    let rule = |row: &UpstreamRow| rules::rule(Occurrence::DownstreamEdits, row.mode, about);
    if let Some(row) = upstreams.iter().find(|row| rule(row).rule == Rule::Refuse) {
        let because = format!("the partnership with {} is {}", row.upstream_id, rule(row).because);
        return Edit { allowed: false, locked_by: Some(row.upstream_id.clone()), because };
    }
    let because = match (about.reach, upstreams.is_empty()) {
        (Reach::Never, _) => format!("{} is never synced: events for it are ignored", about.name),
        (Reach::OnboardingOnly, _) => format!("{} is never locked", about.name),
        (Reach::Ongoing, true) => "it has no upstream".to_owned(),
        (Reach::Ongoing, false) => "no partnership of it is strict".to_owned(),
    };
    Edit { allowed: about.reach != Reach::Never, locked_by: None, because }
}

fn history(row: &NamedRow, flags: &[FlagsRow], about: &Category) -> HistoryRow {
    // The flags of an upstream that were set before the job ran; where it has not run yet, those of now.
    let mode_with = |upstream: OrganizationNo| {
        let before = |one: &&FlagsRow| row.job_no.is_none_or(|job_no| one.job_no < job_no);
        flags.iter().filter(|one| one.upstream == upstream).find(before).map(|one| one.mode)
    };
    let (mode, occurrence) = match (&row.upstream, row.began) {
        (_, Some((beginning, mode))) => (Some(mode), Some(Occurrence::Began(beginning))),
        (Some((upstream, _)), None) => (mode_with(*upstream), Some(Occurrence::UpstreamChanged)),
        (None, None) => (None, None),
    };
    let rule = mode.zip(occurrence).map(|(mode, occurrence)| rules::rule(occurrence, mode, about));
    let took_effect = row.verdict == "accepted" || row.kind != "own-change";
    let state = match (&row.state, took_effect) {
        (Some(state), true) => state.clone(),
        (_, false) => row.verdict.clone(),
        (None, true) => "pending".to_owned(),
    };
    HistoryRow {
        event_id: row.event_id.clone(),
        source: row.source.clone(),
        received_at: row.received_at,
        kind: row.kind.clone(),
        upstream_id: row.upstream.as_ref().map(|(_, name)| name.clone()),
        said: row.said.clone(),
        value: row.value.clone(),
        idempotency_key: row.state.is_some().then(|| row.idempotency_key.clone()),
        effect: if state == "succeeded" { effect(row, rule.as_ref()) } else { None },
        state,
        mode,
        rule,
        archived: row.archived.clone().map(|(value, origin)| Archived { value, origin }),
        result: row.result.clone(),
        last_error: row.last_error.clone(),
        finished_at: row.finished_at,
        run_at: row.run_at,
    }
}

/// What a job did to the setting, where it is kept or follows from the counts.
fn effect(row: &NamedRow, rule: Option<&RuleRow>) -> Option<&'static str> {
    const EFFECTS: [(&str, &str); 7] = [
        ("added", "added"),
        ("changed", "changed"),
        ("removed", "removed"),
        ("unchanged", "unchanged"),
        ("kept_own", "kept own"),
        ("declined", "declined"),
        ("overtaken", "left alone"),
    ];
    if let Some(effect) = &row.effect {
        return EFFECTS.iter().find(|(name, _)| name == effect).map(|(_, effect)| *effect);
    }
    let is_counted = match (row.kind.as_str(), row.said.as_deref(), rule.map(|rule| rule.rule)) {
        // It goes through entries that it does not count, too.
        ("reconcile", ..) => false,
        ("own-change", Some("left out"), _) if count(&row.result, "removed") == 0 => {
            return Some("unchanged");
        }
        ("own-change", Some("left out"), _) => false,
        ("own-change", ..) | (_, Some("added"), _) | (_, _, Some(Rule::Match)) => true,
        (_, _, Some(Rule::Merge)) => return Some("left alone"),
        (_, _, Some(Rule::Nothing | Rule::Refuse) | None) => false,
    };
    // All entries of the job met one fate.
    let mut met = EFFECTS.iter().filter(|(name, _)| count(&row.result, name) > 0);
    match (met.next(), met.next()) {
        (Some((_, effect)), None) if is_counted => Some(effect),
        _ => None,
    }
}

fn count(result: &Value, name: &str) -> i64 {
    result.get(name).and_then(Value::as_i64).unwrap_or(0)
}

/// What jobs did to the setting, as far as it follows from what it is now: its writer wrote it, and nobody since. Nor
/// did anybody bring it back since it was declined.
fn infer(explanation: &mut Explanation, named: &[NamedRow], written: &Written) {
    let declined = |row: &NamedRow| {
        let mut upstreams = explanation.upstreams.iter();
        upstreams.any(|upstream| upstream.row.declined_event_id.as_deref() == Some(&row.event_id))
            && row.kind == "own-change"
    };
    let writer = written.by.or(written.taken_over_by);
    let Some(last) = writer.or_else(|| named.iter().position(declined)) else { return };
    let setting = explanation.setting.as_ref();
    for (place, (row, told)) in named.iter().zip(&mut explanation.history).enumerate() {
        if told.effect.is_some() || told.state != "succeeded" {
            continue;
        }
        if place == last && writer.is_some() {
            let is_new = setting.is_some_and(|setting| setting.added_event_id == setting.event_id);
            told.effect = Some(if is_new { "added" } else { "changed" });
        } else if row.job_no > named[last].job_no {
            let is_merge = told.rule.as_ref().is_some_and(|rule| rule.rule == Rule::Merge);
            let brings = is_merge && row.said.as_deref() == Some("added");
            told.effect = match setting {
                None => brings.then_some("declined"),
                Some(setting) if brings && setting.origin == "own" => Some("kept own"),
                Some(_) => Some("unchanged"),
            };
        }
    }
}

fn reason(code: &'static str, text: impl Into<String>) -> Reason {
    Reason { code, text: text.into() }
}

fn of_category(explanation: &Explanation, about: &Category) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if about.reach == Reach::Never {
        reasons.push(reason(
            "never-synced",
            format!("{} is never synced: events for it are ignored", about.name),
        ));
    }
    if explanation.upstreams.is_empty() {
        reasons.push(reason("no-upstream", format!("{} has no upstream", explanation.organization_id)));
    }
    for ExplainedUpstream { row, on_change } in &explanation.upstreams {
        let name = &row.upstream_id;
        let text = format!("when {name} changes it: {}, {}", on_change.name(), on_change.because);
        reasons.push(reason("on-change", text));
        if row.mode != Mode::Off {
            let begins = rules::rule(Occurrence::Began(Beginning::ExistingOrganization), row.mode, about);
            let text = format!("should {name}'s sync begin anew: {}, {}", begins.name(), begins.because);
            reasons.push(reason("on-beginning", text));
        }
    }
    reasons
}

/// Why a setting is as it is.
fn of_setting(explanation: &Explanation, about: &Category, key: &str, written: &Written) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let organization = &explanation.organization_id;
    if about.reach == Reach::Never {
        reasons.push(reason(
            "never-synced",
            format!("{} is never synced: events for it are ignored", about.name),
        ));
    }
    if !about.allows_key(key) {
        let slots: Vec<&str> = about.slots.iter().map(String::as_str).collect();
        reasons.push(reason("unknown-slot", format!("{} has the slots {}", about.name, slots.join(", "))));
    }
    on_its_way(explanation, &mut reasons);
    let removed = if explanation.setting.is_none() { removal(&explanation.history) } else { None };
    // What decided, and what has come to nothing since.
    let decided = written.by.or(written.taken_over_by).or(written.by_another).or(removed);
    let since = &explanation.history[..decided.unwrap_or(explanation.history.len())];
    reasons.extend(since.iter().filter_map(|row| came_to_nothing(explanation, row, about)));
    match &explanation.setting {
        Some(setting) => has(explanation, setting, written, &mut reasons),
        None => lacks(explanation, removed, &mut reasons),
    }
    if explanation.waiting.everything_paused {
        reasons.push(reason("paused", "all execution is paused: what comes is kept"));
    }
    if explanation.waiting.of.iter().any(|row| row.paused) {
        reasons.push(reason("paused", format!("{organization} is paused: what comes for it is kept")));
    }
    reasons
}

fn has(explanation: &Explanation, setting: &ExplainedSetting, written: &Written, reasons: &mut Vec<Reason>) {
    let (code, kept) = if setting.origin == "own" {
        let organization = &explanation.organization_id;
        let event = setting.event_id.as_deref().unwrap_or("(unknown)");
        reasons.push(reason("own", format!("it is {organization}'s own, by its event {event}")));
        ("kept-own", "an own one".to_owned())
    } else {
        reasons.push(reason("synced", came(explanation, setting, written)));
        compared_with_origin(explanation, setting, reasons);
        ("kept", format!("what came from {}", setting.origin))
    };
    for ExplainedUpstream { row, on_change } in &explanation.upstreams {
        let has_another = row.value.is_some() && !row.is_same && row.active;
        if has_another && row.upstream_id != setting.origin {
            let name = &row.upstream_id;
            let text = format!("{name} has another value: {}, and {kept} is kept", on_change.because);
            reasons.push(reason(code, text));
        }
    }
}

/// How a setting came from an upstream.
fn came(explanation: &Explanation, setting: &ExplainedSetting, written: &Written) -> String {
    let Explanation { organization_id: organization, history, .. } = explanation;
    let event = setting.event_id.as_deref().unwrap_or("(unknown)");
    let origin = &setting.origin;
    if let Some(before) = written.by_another.and_then(|place| history.get(place)) {
        let before = match &before.upstream_id {
            Some(other) => format!("it had come from {other}, with the event {event}"),
            None => format!("{organization} set it itself, by its event {event}"),
        };
        let by = written.taken_over_by.and_then(|place| history.get(place));
        let with = by.map(|row| format!(" with the event {}", row.event_id)).unwrap_or_default();
        let rule = by.and_then(|row| row.rule.as_ref());
        let because = rule.map(|rule| format!(": {}", rule.because)).unwrap_or_default();
        return format!(
            "{before}; a match with {origin} took it over{with}, as the value was the same{because}"
        );
    }
    let way: Vec<&str> = explanation.way.iter().map(|step| step.organization_id.as_str()).collect();
    let through = match way.as_slice() {
        [] | [_] => String::new(),
        way => format!(", on the way {} → {organization}", way.join(" → ")),
    };
    let rule = written.by.and_then(|place| history.get(place)).and_then(|row| row.rule.as_ref());
    let rule = rule.map(|rule| format!(": {}, {}", rule.name(), rule.because)).unwrap_or_default();
    format!("it came from {origin} with the event {event}{through}{rule}")
}

/// What the upstream that a setting came from has now.
fn compared_with_origin(explanation: &Explanation, setting: &ExplainedSetting, reasons: &mut Vec<Reason>) {
    let upstream = explanation.upstreams.iter().find(|upstream| upstream.row.upstream_id == setting.origin);
    let Some(ExplainedUpstream { row, on_change }) = upstream else { return };
    let name = &row.upstream_id;
    match (&row.value, row.is_same) {
        (Some(_), true) => reasons.push(reason("in-step", format!("{name} has the same value now"))),
        (Some(_), false) => {
            let by = row.event_id.as_deref().unwrap_or("(unknown)");
            let text = format!("{name} has another value by its event {by}: {}", on_change.because);
            reasons.push(reason("not-kept-up", text));
        }
        (None, _) => {
            let text = format!("{name} does not have it any more: {}", on_change.because);
            reasons.push(reason("not-removed", text));
        }
    }
}

/// `removed`: the place in the history of the job that removed it.
fn lacks(explanation: &Explanation, removed: Option<usize>, reasons: &mut Vec<Reason>) {
    let organization = &explanation.organization_id;
    let before = reasons.len();
    for ExplainedUpstream { row, on_change } in &explanation.upstreams {
        let name = &row.upstream_id;
        let has_it = if row.value.is_some() { "has it" } else { "does not have it any more" };
        if let Some(event) = &row.declined_event_id {
            let text = format!(
                "{organization} deleted it by the event {event} after it had come from {name}, which {has_it}: it \
                 stays away until {name} adds it anew, or a match brings it back"
            );
            reasons.push(reason("declined", text));
        } else if row.value.is_some() {
            let text = match on_change.rule {
                Rule::Match => format!("{name} has it: {}", on_change.because),
                Rule::Merge => format!(
                    "{name} has it since the event {}: {}, and that is brought once",
                    row.added_event_id.as_deref().unwrap_or("(unknown)"),
                    on_change.because
                ),
                Rule::Nothing | Rule::Refuse => format!("{name} has it: {}", on_change.because),
            };
            let code = match on_change.rule {
                Rule::Match => "to-be-matched",
                Rule::Merge => "not-new",
                Rule::Nothing | Rule::Refuse => "not-synced",
            };
            reasons.push(reason(code, text));
        }
    }
    if let Some(row) = removed.and_then(|place| explanation.history.get(place)) {
        let text = match (&row.upstream_id, &row.archived) {
            (None, _) => format!("{organization} removed it itself, by its event {}", row.event_id),
            (Some(upstream), Some(archived)) => format!(
                "a match with {upstream} displaced it, with the event {}; it was {}, and is archived with the job {}",
                row.event_id,
                if archived.origin == "own" { "its own" } else { &archived.origin },
                row.idempotency_key.as_deref().unwrap_or("(unknown)")
            ),
            (Some(upstream), None) => format!("it went with the event {}, as {upstream}'s did", row.event_id),
        };
        reasons.push(reason("removed", text));
    }
    if reasons.len() > before {
        return;
    }
    // A reconcile names nothing.
    let brings = |row: &HistoryRow| matches!(row.said.as_deref(), Some("set" | "added" | "changed"));
    let took_effect = |row: &HistoryRow| match row.state.as_str() {
        "succeeded" => !is_overtaken(row),
        state => state == "dropped",
    };
    let history = &explanation.history;
    let text = if !history.iter().any(brings) {
        "nobody is known to have set it, neither itself nor an upstream"
    } else if before == 0 || history.iter().any(|row| brings(row) && took_effect(row)) {
        "no upstream has it now, and nothing that is kept says how it went"
    } else {
        // What it came to is told already.
        return;
    };
    reasons.push(reason("never-there", format!("{organization} does not have it: {text}")));
}

/// The place in the history of the job that removed it, as far as is known.
fn removal(history: &[HistoryRow]) -> Option<usize> {
    let mut places = history.iter().enumerate();
    places.find(|(place, row)| is_removal(row, &history[place + 1..])).map(|(place, _)| place)
}

/// Whether a job removed it, as far as is known; `older` is what had named it before.
fn is_removal(row: &HistoryRow, older: &[HistoryRow]) -> bool {
    let was_there = || older.iter().any(|row| !matches!(row.said.as_deref(), Some("removed" | "left out")));
    row.state == "succeeded"
        && match (row.effect, row.kind.as_str(), row.said.as_deref()) {
            (Some(effect), ..) => effect == "removed",
            (None, "own-change", Some("removed" | "left out")) => {
                count(&row.result, "removed") > 0 && was_there()
            }
            (None, "own-change", _) => false,
            (None, _, said) => row.archived.is_some() || (said == Some("removed") && rule_is_match(row)),
        }
}

fn rule_is_match(row: &HistoryRow) -> bool {
    row.rule.as_ref().is_some_and(|rule| rule.rule == Rule::Match)
}

/// What named it, and came to nothing: not what the rules leave out.
fn came_to_nothing(explanation: &Explanation, row: &HistoryRow, about: &Category) -> Option<Reason> {
    let event = &row.event_id;
    let job = row.idempotency_key.as_deref().unwrap_or("(unknown)");
    let (code, text) = match row.state.as_str() {
        "superseded" => {
            let why = "a version that is not smaller was seen before";
            ("edit-superseded", format!("its edit by the event {event} changed nothing: {why}"))
        }
        "rejected" => {
            let text = format!("its edit by the event {event} was rejected: see the rejected messages");
            ("edit-rejected", text)
        }
        "ignored" if about.reach != Reach::Never => {
            let text =
                format!("its edit by the event {event} was ignored: {} was not synced then", about.name);
            ("edit-ignored", text)
        }
        "discarded" if reaches(row) => {
            // By whom, and why, is in it.
            let discarded = row.result.get("skipped").and_then(Value::as_str).unwrap_or("discarded");
            ("job-discarded", format!("the job {job} of the event {event} was {discarded}"))
        }
        "succeeded" if is_overtaken(row) => {
            let text = "was done once more, and left it alone: something newer had touched it";
            ("overtaken", format!("the job {job} of the event {event} {text}"))
        }
        "succeeded" if explanation.setting.is_none() && may_be_overtaken(row, about) => {
            let text = format!(
                "the job {job} of the event {event} was done once more, and left {} of its settings alone, which \
                 something newer had touched",
                count(&row.result, "overtaken")
            );
            ("overtaken", text)
        }
        _ => return None,
    };
    Some(reason(code, text))
}

/// Whether the rules let it reach the setting.
fn reaches(row: &HistoryRow) -> bool {
    match row.rule.as_ref().map(|rule| rule.rule) {
        None | Some(Rule::Match) => true,
        Some(Rule::Merge) => matches!(row.said.as_deref(), None | Some("added")),
        Some(Rule::Nothing | Rule::Refuse) => false,
    }
}

/// Whether a replay left it alone, since something newer had touched it.
fn is_overtaken(row: &HistoryRow) -> bool {
    row.effect == Some("left alone") && count(&row.result, "overtaken") > 0 && reaches(row)
}

/// Whether it may be one of those that a replay left alone. What is locked is not.
fn may_be_overtaken(row: &HistoryRow, about: &Category) -> bool {
    let is_locked = row.mode.is_some_and(|mode| policy::locks(mode, about));
    row.effect.is_none() && count(&row.result, "overtaken") > 0 && reaches(row) && !is_locked
}

/// Jobs that name it and are not done.
fn on_its_way(explanation: &Explanation, reasons: &mut Vec<Reason>) {
    for row in &explanation.history {
        let job = row.idempotency_key.as_deref().unwrap_or("(unknown)");
        let error = row.last_error.as_deref().unwrap_or("(unknown)");
        let event = &row.event_id;
        match row.state.as_str() {
            "failed" => {
                let text = format!("the job {job} of the event {event} has failed: {error}");
                reasons.push(reason("job-failed", text));
            }
            "retrying" => {
                let text = format!("the job {job} of the event {event} is tried again: {error}");
                reasons.push(reason("job-waits", text));
            }
            "pending" => {
                reasons.push(reason(
                    "job-waits",
                    format!("the job {job} of the event {event} waits to be done"),
                ));
            }
            "locked" => {
                let text = format!("its edit by the event {event} was refused: it was locked");
                reasons.push(reason("edit-refused", text));
            }
            _ => {}
        }
    }
}
