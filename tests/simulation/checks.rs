//! What must always hold, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use channel_sync::domain::catalogue::{Catalogue, CategoryId, Reach};
use channel_sync::domain::decide::{Counts, Displaced, lock_holder};
use channel_sync::domain::mailbox::{
    Done, FoundWrong, JobDone, JobKind, JobPart, LetterNo, Progress, Recipients, Verdict, Work,
};
use channel_sync::domain::partnership::Mode;
use channel_sync::domain::setting::{Change, Edit, Place, ValueId};
use channel_sync::domain::world::Writes;
use channel_sync::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position};
use channel_sync::store::StoreError;
use channel_sync::store::batch::{Attempts, decides_on_partnerships};

use crate::database::is_told_first;
use crate::faults::Troubles;
use crate::load::Expected;
use crate::model::{Model, Setting, State};
use crate::rows::{JobRow, LetterRow, PartRow, Rows, Run};
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

/// What a batch did for one organization: a job, or a part of one and the last place that it went through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Saved<'a> {
    Job(&'a JobDone),
    Part(&'a JobPart, &'a Place),
}

impl Saved<'_> {
    fn key(&self) -> (CauseNo, OrganizationNo) {
        match self {
            Self::Job(job) => (job.cause, job.organization),
            Self::Part(part, _) => (part.cause, part.organization),
        }
    }
}

/// A batch is saved on `rows`: each of its jobs, and of their parts, must be new, come after what its
/// organization has before it in its mailbox (as far as the transaction has seen it), and after its upstream's
/// earlier changes. Returns them in the order in which they were done.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn saved<'a>(
    catalogue: &Catalogue,
    rows: &Rows,
    seen: &BTreeSet<LetterNo>,
    paused: &BTreeSet<Option<OrganizationNo>>,
    done: &'a Done,
    writes: &Writes,
    attempts: &Attempts,
) -> Result<Vec<Saved<'a>>, String> {
    let in_order = in_order(rows, done)?;
    // Of these something is left, and of whom that is true.
    let rest = |row: &LetterRow| {
        let mut row = row.clone();
        if let Some(cut) = done.letters_cut.iter().find(|cut| cut.no == row.letter.no) {
            row.letter.progress = cut.progress.clone();
        }
        row
    };
    let is_left = |no: &&LetterNo| !done.letters_done.contains(no);
    let left: Vec<LetterRow> =
        seen.iter().filter(is_left).filter_map(|no| rows.letters.get(no)).map(|row| rest(row)).collect();
    let mut last: BTreeMap<OrganizationNo, (Position, CauseNo)> = BTreeMap::new();
    for (letter, one) in &in_order {
        let key = one.key();
        let (cause, organization) = key;
        if rows.jobs.contains_key(&key) {
            return Err(format!("the job {key:?} is done a second time"));
        }
        if paused.contains(&Some(organization)) || paused.contains(&None) {
            return Err(format!("the job {key:?} is done while its organization is paused"));
        }
        let is_its_own = letter.organization().is_some();
        if let (Saved::Job(_), true) = (one, is_its_own)
            && attempts.get(&key).copied().unwrap_or(0) != letter.attempts_before + letter.attempts
        {
            return Err(format!("the job {key:?} was tried otherwise than {attempts:?} tells: {letter:?}"));
        }
        let turn = (letter.letter.position, letter.cause());
        if last.insert(organization, turn).is_some_and(|before| before >= turn) {
            return Err(format!("the job {key:?} comes too late in its batch: {:?}", done.jobs));
        }
        let overtakes = |row: &&LetterRow| {
            (row.letter.position, row.cause()) < turn
                && match &row.letter.work {
                    Work::SyncChange { change, to: Recipients::Shard(_) } => {
                        rows.recipients(row).contains(&organization)
                            && rows.reaches(catalogue, change, organization)
                    }
                    work => work.organization() == Some(organization),
                }
        };
        if let Some(left) = left.iter().find(overtakes) {
            return Err(format!("the job {key:?} overtakes the letter {:?}", left.turn()));
        }
        if let Some(upstream) = letter.letter.reads() {
            let is_earlier = |row: &&LetterRow| {
                row.organization() == Some(upstream) && row.letter.position < letter.letter.position
            };
            if let Some(left) = left.iter().find(is_earlier) {
                return Err(format!(
                    "the job {key:?} reads {upstream:?}, which has {:?} before it",
                    left.turn()
                ));
            }
        }
        if let Work::PartnershipChange { upstream, downstream, .. } = letter.letter.work {
            let all_left = rows.letters.iter().filter(|(no, _)| is_left(no)).map(|(_, row)| row);
            let mut to_it = all_left.filter(|row| rows.recipients(&rest(row)).contains(&downstream));
            let at_least = rows.last_changes.get(&upstream).map(|last| last.position);
            let is_before = |change: &Change| {
                in_order.iter().any(|(before, one)| {
                    one.key() == (change.cause, upstream)
                        && Some(before.letter.position).max(at_least) < Some(letter.letter.position)
                })
            };
            let sent = done.changes.iter().filter(|change| change.organization == upstream);
            let reaches = |change: &&Arc<Change>| rows.reaches(catalogue, change, downstream);
            if to_it.any(|row| is_told_first(rows, [row], &letter.letter))
                || sent.filter(reaches).any(|change| is_before(change))
            {
                return Err(format!("the job {key:?} overtakes a change of {upstream:?}"));
            }
        }
        if let Some(change) = rows.changes.get(&ChangeNo(cause.0)).filter(|_| !letter.letter.replay) {
            let earlier = rows.jobs.range(..=(CauseNo(i64::MAX), OrganizationNo(i32::MAX))).rev();
            let later = earlier
                .take_while(|((other, _), _)| *other > cause)
                .filter(|((_, other), _)| *other == organization)
                .filter_map(|((other, _), _)| rows.changes.get(&ChangeNo(other.0)))
                .find(|later| later.organization == change.organization);
            if let Some(later) = later {
                return Err(format!("the change {:?} came to {organization:?} before {key:?}", later.no));
            }
        }
    }
    for (event, verdict) in &done.verdicts {
        if matches!(verdict, Verdict::Rejected(FoundWrong::PartnershipCycle { .. })) {
            let may_end_one =
                |row: &&LetterRow| decides_on_partnerships(&row.letter) && row.letter.position.0 < event.0;
            if let Some(left) = left.iter().find(may_end_one) {
                return Err(format!("{event:?} closes a cycle, which {:?} may yet undo", left.turn()));
            }
        }
    }
    replays_yield(catalogue, rows, &in_order, writes)?;
    // What is added is copied, and what is changed takes the place of a row.
    if let Some((added, _)) = writes.entries_added.iter().find(|(one, _)| rows.settings.contains_key(one)) {
        return Err(format!("{added:?} is added, and there already"));
    }
    if let Some((changed, _)) =
        writes.entries_changed.iter().find(|(one, _)| !rows.settings.contains_key(one))
    {
        return Err(format!("{changed:?} is changed, and not there"));
    }
    Ok(in_order.into_iter().map(|(_, one)| one).collect())
}

/// Where an organization's jobs in a batch are all replays, they overwrite nothing newer: no entry that was
/// written by a later event, and none that a later event of its own has named; but for locked categories, which
/// follow the upstream.
///
/// # Errors
/// Says what was overwritten.
fn replays_yield(
    catalogue: &Catalogue,
    rows: &Rows,
    in_order: &[(&LetterRow, Saved<'_>)],
    writes: &Writes,
) -> Result<(), String> {
    if !in_order.iter().any(|(letter, _)| letter.letter.replay) {
        return Ok(());
    }
    // The last root event of each organization's replays; none where it has other jobs too.
    let mut replayed: BTreeMap<OrganizationNo, Option<EventNo>> = BTreeMap::new();
    for (letter, one) in in_order {
        let event = letter.letter.replay.then_some(letter.letter.event);
        let last = replayed.entry(one.key().1).or_insert(event);
        *last = last.zip(event).map(|(last, event)| last.max(event));
    }
    let world = rows.world();
    let put = writes.entries_put().map(|(address, entry)| (address, Some(entry)));
    for (address, entry) in put.chain(writes.entries_removed.iter().map(|address| (address, None))) {
        let (organization, category, key) = address;
        let Some(Some(event)) = replayed.get(organization) else { continue };
        if lock_holder(&world, catalogue, *organization, *category).is_some() {
            continue;
        }
        let before = rows.settings.get(address);
        if before.map(|before| before.value) == entry.map(|entry| entry.value) {
            continue;
        }
        if before.is_some_and(|before| before.written_by > *event) {
            return Err(format!("a replay of {event:?} overwrites {before:?} at {address:?} by {entry:?}"));
        }
        let names = |(_, one, edit): &(EventNo, CategoryId, &Edit)| {
            one == category
                && match edit {
                    Edit::Changes(changes) => changes.iter().any(|(one, _)| one == key),
                    Edit::Snapshot { .. } => true,
                }
        };
        if let Some((_, _, edit)) = rows.own_edits(*organization, *event).find(names) {
            return Err(format!("a replay of {event:?} writes {entry:?} at {address:?}, after {edit:?}"));
        }
    }
    Ok(())
}

/// What a batch did, each with its letter as it was before, in the order of letters: that is the order in which
/// it was done.
///
/// # Errors
/// Says which letter is missing, or stays though its job was done.
fn in_order<'r, 'd>(rows: &'r Rows, done: &'d Done) -> Result<Vec<(&'r LetterRow, Saved<'d>)>, String> {
    let cut: BTreeMap<LetterNo, &Progress> =
        done.letters_cut.iter().map(|cut| (cut.no, &cut.progress)).collect();
    let mut letters: Vec<&Arc<LetterRow>> = Vec::new();
    for no in done.letters_done.iter().chain(cut.keys()) {
        letters
            .push(rows.letters.get(no).ok_or_else(|| format!("the letter {no:?} is done, and not there"))?);
    }
    if let Some(no) = done.letters_done.iter().find(|no| cut.contains_key(no)) {
        return Err(format!("the letter {no:?} is done, and a part of it"));
    }
    // First those to one organization: a letter to its shard may have left it to one of these.
    letters.sort_by_key(|row| row.organization().is_none());
    let letter = |cause, organization| {
        let is_its = |row: &&&Arc<LetterRow>| {
            row.cause() == cause
                && match row.organization() {
                    Some(one) => one == organization,
                    None => rows.recipients(row).contains(&organization),
                }
        };
        letters.iter().find(is_its)
    };
    let mut in_order = Vec::new();
    for job in &done.jobs {
        let (cause, organization) = (job.cause, job.organization);
        let Some(letter) = letter(cause, organization) else {
            return Err(format!("the job of {cause:?} for {organization:?} is done, and its letter stays"));
        };
        match cut.get(&letter.letter.no) {
            None => {}
            Some(Progress::Members { through }) if organization <= *through => {}
            Some(progress) => {
                return Err(format!("the job of {cause:?} for {organization:?} is done at {progress:?}"));
            }
        }
        in_order.push((&***letter, Saved::Job(job)));
    }
    for part in &done.job_parts {
        let (cause, organization) = (part.cause, part.organization);
        let letter = letter(cause, organization);
        let progress = letter.and_then(|letter| cut.get(&letter.letter.no));
        let (Some(letter), Some(Progress::Entries { through, .. })) = (letter, progress) else {
            return Err(format!("a part of {cause:?} for {organization:?} is done, and no letter is cut"));
        };
        in_order.push((&***letter, Saved::Part(part, through)));
    }
    let entries = cut.values().filter(|progress| matches!(progress, Progress::Entries { .. })).count();
    if entries != done.job_parts.len() {
        return Err(format!("letters are cut, and these are the parts: {:?}", done.job_parts));
    }
    in_order.sort_by_key(|(letter, _)| letter.turn());
    Ok(in_order)
}

/// A letter to one organization is blamed: it must be the first in its mailbox, as far as the transaction has
/// seen it, and something must have been wrong with it.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn blamed(
    rows: &Rows,
    seen: &BTreeSet<LetterNo>,
    troubles: &Troubles,
    letter: &LetterRow,
    error: &StoreError,
) -> Result<(), String> {
    let Some(organization) = letter.organization() else { return Ok(()) };
    if !troubles.may_be_blamed(organization, letter.cause()) {
        return Err(format!("{organization:?} is blamed, with whom nothing was ever wrong: {error}"));
    }
    let is_before =
        |row: &&Arc<LetterRow>| row.organization() == Some(organization) && row.turn() < letter.turn();
    match seen.iter().filter_map(|no| rows.letters.get(no)).find(is_before) {
        Some(before) => Err(format!("{:?} is blamed before the turn of {:?}", letter.turn(), before.turn())),
        None => Ok(()),
    }
}

/// A letter that nothing stands in the way of: nobody has locked it, nothing of its organization is before it,
/// and it reads nobody else.
pub(crate) fn is_free(rows: &Rows, troubles: &Troubles, letter: &LetterRow) -> bool {
    let reads = letter.letter.reads().is_some();
    let Some(organization) = letter.organization() else { return false };
    let is_before = |row: &&Arc<LetterRow>| {
        let concerns = row.organization().map_or(row.shard() == letter.shard(), |one| one == organization);
        concerns && row.turn() < letter.turn()
    };
    !reads
        && !troubles.locked_letters.contains(&letter.letter.no)
        && !rows.letters.values().any(|row| is_before(&row))
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
    Oracle::new(shared).compare()?;
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

/// What was done, done again in the pure model, part by part and in the same order: it must come to the same.
struct Oracle<'a> {
    shared: &'a Shared,
    rows: &'a Rows,
    model: Model,
    names: BTreeMap<OrganizationNo, &'a str>,
    values: BTreeMap<ValueId, &'a str>,
    event_ids: BTreeMap<EventNo, &'a str>,
    causes: BTreeMap<CauseNo, CauseNo>,
    /// How far jobs have come of which only parts are done, and what these did: there, and in the model.
    begun: BTreeMap<(CauseNo, OrganizationNo), Begun>,
}

/// What the parts of a job have done so far.
#[derive(Default)]
struct Begun {
    through: Option<Place>,
    /// What they came to in the model.
    counts: Counts,
    displaced: Vec<Displaced>,
    expected: Vec<Displaced>,
}

impl<'a> Oracle<'a> {
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
            begun: BTreeMap::new(),
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
        let mut history: Vec<&Run> = self.shared.server.history.iter().collect();
        history.sort_by_key(|run| run.no());
        for run in history {
            match run {
                Run::Job(job) => self.run(job)?,
                Run::Part(part) => self.run_part(part)?,
                Run::Replayed(_, cause, organization) => {
                    let here = self.cause(*cause)?;
                    let organization = self.model.organization(self.names[organization]);
                    self.model.replay_cause(here, organization);
                }
            }
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
        let begun = self.begun.remove(&(job.cause, job.organization));
        let Some(done) = &job.done else {
            // None in the model where the rules would not have reached it.
            self.model.take_away(cause, organization);
            return Ok(());
        };
        let after = begun.as_ref().and_then(|begun| begun.through.as_ref());
        let mut displaced = done.displaced.clone();
        let expected = match (self.model.run_part(cause, organization, after, None), begun) {
            (Some(expected), None) => expected,
            (None, None) => return Err(format!("{what}: the rules reach nothing here")),
            (expected, Some(begun)) => {
                let Begun { counts, displaced: before, expected: expected_before, .. } = begun;
                // Where the rules reach nothing any more, the job is what was done until then.
                let last = expected.as_ref().map(|last| last.counts).unwrap_or_default();
                let (kind, event, rejected) = (done.kind, done.event, false);
                let mut all = expected_before;
                all.extend(expected.into_iter().flat_map(|last| last.displaced));
                displaced.extend(before);
                let counts = counts.plus(last);
                let skipped = counts.skipped();
                let (cause, displaced) = (done.cause, all);
                JobDone { cause, organization, kind, event, counts, skipped, displaced, rejected }
            }
        };
        let seen = |job: &JobDone| (job.kind, job.counts, job.skipped.is_some(), job.rejected);
        if seen(done) != seen(&expected) {
            return Err(format!(
                "{what} came to {:?}, and in the model to {:?}",
                seen(done),
                seen(&expected)
            ));
        }
        self.compare_displaced(&what, &displaced, &expected.displaced)
    }

    /// Runs a part of a job, up to the same place.
    fn run_part(&mut self, part: &PartRow) -> Result<(), String> {
        let key = (part.cause, part.organization);
        let name = self.names[&part.organization];
        let cause = self.cause(part.cause)?;
        let organization = self.model.organization(name);
        let what = format!("a part of the job of {:?} for {name}", part.cause);
        let mut begun = self.begun.remove(&key).unwrap_or_default();
        if begun.through.as_ref().is_some_and(|before| *before >= part.through) {
            return Err(format!("{what} ends at {:?}, and was at {:?} before", part.through, begun.through));
        }
        let done = self.model.run_part(cause, organization, begun.through.as_ref(), Some(&part.through));
        let (counts, expected) = done.map(|done| (done.counts, done.displaced)).unwrap_or_default();
        self.compare_displaced(&what, &part.displaced, &expected)?;
        begun.through = Some(part.through.clone());
        begun.counts = begun.counts.plus(counts);
        begun.displaced.extend(part.displaced.iter().cloned());
        begun.expected.extend(expected);
        self.begun.insert(key, begun);
        Ok(())
    }

    fn compare_displaced(
        &self,
        what: &str,
        displaced: &[Displaced],
        expected: &[Displaced],
    ) -> Result<(), String> {
        // In whatever order: a snapshot's entries have none.
        let displaced: BTreeSet<_> = displaced
            .iter()
            .map(|one| {
                let origin = one.entry.origin.map(|no| self.names[&no]);
                (one.category, &*one.key, self.values[&one.entry.value], origin)
            })
            .collect();
        let model = &self.model;
        let expected: BTreeSet<_> = expected
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
            // Each part of a job makes a change of its own.
            let alike = |other: &&Arc<Change>| {
                (other.cause, other.organization, other.category)
                    == (change.cause, change.organization, change.category)
            };
            let place = self.rows.changes.range(..change_no).filter(|(_, other)| alike(other)).count();
            self.model.change_made_by_part(made_by, organization, change.category, place)
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
