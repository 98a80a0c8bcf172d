//! What must always hold, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use channel_sync::domain::catalogue::{Catalogue, Reach};
use channel_sync::domain::decide::lock_holder;
use channel_sync::domain::mailbox::{Done, JobDone, JobKind, LetterNo, Recipients, Verdict, Work};
use channel_sync::domain::partnership::Mode;
use channel_sync::domain::setting::ValueId;
use channel_sync::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position};
use channel_sync::store::batch::Attempts;

use crate::load::Expected;
use crate::model::{Model, Setting, State};
use crate::rows::{JobRow, LetterRow, Rows};
use crate::shared::Shared;

/// A message is acknowledged: what it says must be committed.
pub(crate) fn acknowledged(shared: &mut Shared, place: usize) {
    let item = &shared.queue.load[place];
    let rows = &shared.server.rows;
    let is_there = match &item.expected {
        Expected::Event { identity, content, .. } => match rows.events.get(identity) {
            Some(event) if event.content == *content => true,
            Some(_) => is_rejected(rows, item.digest),
            None => false,
        },
        Expected::Wrong => is_rejected(rows, item.digest),
    };
    if !is_there {
        shared.must_not_be(format!("message {place} is acknowledged before what it says is committed"));
    }
}

fn is_rejected(rows: &Rows, digest: [u8; 32]) -> bool {
    rows.rejected.contains(&digest)
}

/// A batch is saved on `rows`: each of its jobs must be new, come after what its organization has before it in
/// its mailbox (as far as the transaction has seen it), and after its upstream's earlier changes.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn saved(
    catalogue: &Catalogue,
    rows: &Rows,
    seen: &BTreeSet<LetterNo>,
    paused: &BTreeSet<Option<OrganizationNo>>,
    done: &Done,
    attempts: &Attempts,
) -> Result<(), String> {
    let letters: Vec<&Arc<LetterRow>> =
        done.letters_done.iter().filter_map(|no| rows.letters.get(no)).collect();
    if letters.len() < done.letters_done.len() {
        return Err(format!("letters are done that are not there: {:?}", done.letters_done));
    }
    let left: Vec<&Arc<LetterRow>> = seen
        .iter()
        .filter(|no| !done.letters_done.contains(no))
        .filter_map(|no| rows.letters.get(no))
        .collect();
    let mut last: BTreeMap<OrganizationNo, (Position, CauseNo)> = BTreeMap::new();
    for job in &done.jobs {
        let key = (job.cause, job.organization);
        if rows.jobs.contains_key(&key) {
            return Err(format!("the job {key:?} is done a second time"));
        }
        if paused.contains(&Some(job.organization)) || paused.contains(&None) {
            return Err(format!("the job {key:?} is done while its organization is paused"));
        }
        let is_its = |row: &&&Arc<LetterRow>| {
            row.cause() == job.cause
                && match row.organization() {
                    Some(organization) => organization == job.organization,
                    None => row.shard() == job.organization.shard(),
                }
        };
        let Some(letter) = letters.iter().find(is_its) else {
            return Err(format!("the job {key:?} is done, and its letter stays"));
        };
        if letter.organization().is_some() && attempts.get(&key).copied().unwrap_or(0) != letter.attempts {
            return Err(format!(
                "the job {key:?} was tried {} times, and tells {attempts:?}",
                letter.attempts
            ));
        }
        let turn = (letter.letter.position, letter.cause());
        if last.insert(job.organization, turn).is_some_and(|before| before >= turn) {
            return Err(format!("the job {key:?} comes too late in its batch: {:?}", done.jobs));
        }
        let overtakes = |row: &&&Arc<LetterRow>| {
            (row.letter.position, row.cause()) < turn
                && match &row.letter.work {
                    Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                        *shard == job.organization.shard()
                            && rows.reaches(catalogue, change, job.organization)
                    }
                    work => work.organization() == Some(job.organization),
                }
        };
        if let Some(left) = left.iter().find(overtakes) {
            return Err(format!("the job {key:?} overtakes the letter {:?}", left.turn()));
        }
        if let Some(change) = rows.changes.get(&ChangeNo(job.cause.0)) {
            let earlier = rows.jobs.range(..=(CauseNo(i64::MAX), OrganizationNo(i32::MAX))).rev();
            let later = earlier
                .take_while(|((cause, _), _)| *cause > job.cause)
                .filter(|((_, organization), _)| *organization == job.organization)
                .filter_map(|((cause, _), _)| rows.changes.get(&ChangeNo(cause.0)))
                .find(|later| later.organization == change.organization);
            if let Some(later) = later {
                return Err(format!(
                    "the change {:?} came to {:?} before {key:?}",
                    later.no, job.organization
                ));
            }
        }
    }
    Ok(())
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In the middle of everything.
    Anywhere,
    /// When nothing is left to do.
    Converged,
}

/// What must hold where a run ends.
///
/// # Errors
/// Says what does not hold.
pub(crate) fn ended(shared: &Shared, ending: Ending) -> Result<(), String> {
    let rows = &shared.server.rows;
    published(shared, ending)?;
    if ending == Ending::Converged && !rows.letters.is_empty() {
        return Err(format!("letters are left: {:?}", rows.letters));
    }
    Replay::new(shared).compare()?;
    if ending == Ending::Converged {
        strict_partners_are_replicas(rows, &crate::shared::catalogue())?;
    }
    Ok(())
}

/// Each message is an event or a rejected message, once.
fn published(shared: &Shared, ending: Ending) -> Result<(), String> {
    let rows = &shared.server.rows;
    let mut contents: BTreeMap<_, Vec<[u8; 32]>> = BTreeMap::new();
    for (place, item) in shared.queue.load.iter().enumerate() {
        let rejected = rows.rejected.iter().filter(|digest| **digest == item.digest).count();
        let is_event = match &item.expected {
            Expected::Wrong => false,
            Expected::Event { identity, content, .. } => {
                let event = rows.events.get(identity);
                contents.entry(identity).or_default().push(*content);
                match event {
                    Some(event) => event.content == *content,
                    None if ending == Ending::Anywhere || item.published == 0 => continue,
                    None => return Err(format!("message {place} is lost")),
                }
            }
        };
        let all_taken_in = ending == Ending::Converged && item.published > 0;
        match rejected {
            0 if is_event || !all_taken_in => {}
            0 => return Err(format!("message {place} is lost")),
            _ if is_event => return Err(format!("message {place} is an event, and among the rejected")),
            2.. => return Err(format!("message {place} stands among the rejected {rejected} times")),
            1 => {}
        }
    }
    for (identity, event) in &rows.events {
        if !contents.get(identity).is_some_and(|contents| contents.contains(&event.content)) {
            return Err(format!("the event {identity:?} was never published"));
        }
    }
    Ok(())
}

/// A strict partner has in all ongoing categories what its upstream has, unless one of its jobs was given up.
fn strict_partners_are_replicas(rows: &Rows, catalogue: &Catalogue) -> Result<(), String> {
    for partnership in rows.partnerships.values().filter(|one| one.mode() == Mode::Strict) {
        let (upstream, downstream) = (partnership.upstream, partnership.downstream);
        if rows.jobs.values().any(|job| job.organization == downstream && job.done.is_none()) {
            continue;
        }
        let of = |organization| -> BTreeMap<_, ValueId> {
            let settings = rows.settings.iter();
            settings
                .filter(|((one, category, _), _)| {
                    *one == organization && catalogue.get(*category).reach == Reach::Ongoing
                })
                .map(|((_, category, key), entry)| ((*category, key), entry.value))
                .collect()
        };
        let (theirs, its) = (of(upstream), of(downstream));
        if theirs != its {
            return Err(format!(
                "{downstream:?} is strict, and has {its:?}; its upstream {upstream:?} has {theirs:?}"
            ));
        }
    }
    Ok(())
}

/// The jobs that were recorded, run in the pure model in the same order: they must come to the same.
struct Replay<'a> {
    shared: &'a Shared,
    rows: &'a Rows,
    model: Model,
    names: BTreeMap<OrganizationNo, &'a str>,
    values: BTreeMap<ValueId, &'a str>,
    event_ids: BTreeMap<EventNo, &'a str>,
    causes: BTreeMap<CauseNo, CauseNo>,
}

impl<'a> Replay<'a> {
    fn new(shared: &'a Shared) -> Self {
        let rows = &shared.server.rows;
        let events = rows.events.values();
        let values = events.clone().flat_map(|event| &event.values).map(|(id, text)| (*id, &**text));
        Self {
            shared,
            rows,
            model: Model::built_in(),
            names: rows.organizations.iter().map(|(name, no)| (*no, &**name)).collect(),
            values: values.collect(),
            event_ids: events.map(|event| (event.no, &*event.identity.1)).collect(),
            causes: BTreeMap::new(),
        }
    }

    fn compare(mut self) -> Result<(), String> {
        for (no, id) in &self.event_ids {
            let row = self.rows.events.values().find(|row| row.no == *no).unwrap();
            let said = self.shared.queue.load.iter().find_map(|item| match &item.expected {
                Expected::Event { identity, content, event }
                    if *identity == row.identity && *content == row.content =>
                {
                    Some(event)
                }
                _ => None,
            });
            let no_here = self.model.publish_as(id, said.ok_or("an event that nobody published")?.clone());
            self.causes.insert((*no).into(), no_here.into());
        }
        let mut jobs: Vec<&Arc<JobRow>> = self.rows.jobs.values().collect();
        jobs.sort_by_key(|job| job.no);
        for job in jobs {
            self.run(job)?;
        }
        self.take_away_what_waits()?;
        let before = self.model.jobs.len();
        self.model.settle();
        if let Some(lost) = self.model.jobs.get(before) {
            return Err(format!("a job was lost: {lost:?}, in the model's numbers"));
        }
        self.compare_verdicts()?;
        let (state, expected) = (self.state(), self.model.state());
        same("settings", &state.settings, &expected.settings)?;
        same("declined entries", &state.declined, &expected.declined)?;
        same("partnerships", &state.partnerships, &expected.partnerships)
    }

    fn run(&mut self, job: &JobRow) -> Result<(), String> {
        let name = self.names[&job.organization];
        let cause = self.cause(job.cause)?;
        let organization = self.model.organization(name);
        let what = format!("the job of {:?} for {name}", job.cause);
        let Some(done) = &job.done else {
            // None in the model where the rules would not have reached it.
            self.model.take_away(cause, organization);
            return Ok(());
        };
        let Some(expected) = self.model.run_job(cause, organization) else {
            return Err(format!("{what}: the rules reach nothing here"));
        };
        let seen = |job: &JobDone| (job.kind, job.counts, job.skipped.is_some(), job.rejected);
        if seen(done) != seen(&expected) {
            return Err(format!(
                "{what} came to {:?}, and in the model to {:?}",
                seen(done),
                seen(&expected)
            ));
        }
        // In whatever order: a snapshot's entries have none.
        let displaced: BTreeSet<_> = done
            .displaced
            .iter()
            .map(|one| {
                let origin = one.entry.origin.map(|no| self.names[&no]);
                (one.category, &*one.key, self.values[&one.entry.value], origin)
            })
            .collect();
        let model = &self.model;
        let expected: BTreeSet<_> = expected
            .displaced
            .iter()
            .map(|one| {
                let origin = one.entry.origin.map(|no| model.organization_name(no));
                (one.category, &*one.key, model.value_text(one.entry.value), origin)
            })
            .collect();
        if displaced != expected {
            return Err(format!("{what} displaced {displaced:?}, and in the model {expected:?}"));
        }
        Ok(())
    }

    /// The model's number for a cause.
    fn cause(&mut self, no: CauseNo) -> Result<CauseNo, String> {
        if let Some(known) = self.causes.get(&no) {
            return Ok(*known);
        }
        let change_no = ChangeNo(no.0);
        let found = if let Some(change) = self.rows.changes.get(&change_no) {
            let made_by = self.cause(change.cause)?;
            let organization = self.model.organization(self.names[&change.organization]);
            self.model.change_made_by(made_by, organization, change.category)
        } else if let Some(reconcile) = self.rows.reconciles.get(&change_no) {
            let event = self.cause(reconcile.event.into())?;
            self.model.beginning_made_by(EventNo(event.0))
        } else {
            return Err(format!("there is no cause {no:?}"));
        };
        let found = found.ok_or_else(|| format!("the model made no change like {no:?}"))?;
        self.causes.insert(no, found.into());
        Ok(found.into())
    }

    /// Takes from the model what still waits in the database: what is left in it then was lost.
    fn take_away_what_waits(&mut self) -> Result<(), String> {
        for row in self.rows.letters.values() {
            let cause = self.cause(row.cause())?;
            for organization in self.rows.recipients(row) {
                if self.rows.jobs.contains_key(&(row.cause(), organization)) {
                    return Err(format!("the letter {:?} waits, and its job was done", row.turn()));
                }
                let organization = self.model.organization(self.names[&organization]);
                // None in the model where the rules would not have reached it.
                self.model.take_away(cause, organization);
            }
        }
        Ok(())
    }

    fn compare_verdicts(&self) -> Result<(), String> {
        for (no, id) in &self.event_ids {
            let (verdict, here) = (self.rows.verdicts.get(no), self.causes[&(*no).into()]);
            let expected = self.model.verdict(EventNo(here.0));
            let name = |verdict: Option<&Verdict>| verdict.map(std::mem::discriminant);
            if name(verdict) != name(expected) {
                return Err(format!("the event {id} is {verdict:?}, and in the model {expected:?}"));
            }
        }
        Ok(())
    }

    /// What stands in the database, as the model tells it.
    fn state(&self) -> State {
        let catalogue = &self.model.catalogue;
        let world = self.rows.world();
        let name = |no: &OrganizationNo| self.names[no].to_owned();
        let event = |no: &EventNo| self.event_ids[no].to_owned();
        let settings = self.rows.settings.iter().map(|((organization, category, key), entry)| {
            let setting = Setting {
                value: self.values[&entry.value].to_owned(),
                origin: entry.origin.as_ref().map_or("own".to_owned(), name),
                locked_by: lock_holder(&world, catalogue, *organization, *category).as_ref().map(name),
                written_by: event(&entry.written_by),
            };
            ((name(organization), catalogue.name(*category).to_owned(), key.to_string()), setting)
        });
        let declined = self.rows.declined.iter().map(|(one, no)| {
            let category = catalogue.name(one.category).to_owned();
            ((name(&one.downstream), name(&one.upstream), category, one.key.to_string()), event(no))
        });
        let partnerships = self.rows.partnerships.values();
        let partnerships = partnerships.map(|one| ((name(&one.upstream), name(&one.downstream)), one.mode()));
        State {
            settings: settings.collect(),
            declined: declined.collect(),
            partnerships: partnerships.collect(),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, state: &T, expected: &T) -> Result<(), String> {
    if state == expected {
        return Ok(());
    }
    Err(format!("{what} are {state:#?}, and in the model {expected:#?}"))
}

/// How many jobs of each kind were done.
pub(crate) fn kinds(rows: &Rows) -> BTreeMap<JobKind, u64> {
    let mut kinds = BTreeMap::new();
    for done in rows.jobs.values().filter_map(|job| job.done.as_ref()) {
        *kinds.entry(done.kind).or_default() += 1;
    }
    kinds
}
