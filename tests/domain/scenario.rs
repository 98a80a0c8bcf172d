//! The notation of the rules tests: what is given, what happens, what stands then, as lines of text.
//!
//! ```text
//! given   helios > pac: strict                     a partnership (off, exclusive-off, non-exclusive,
//!                                                  flexible, strict, ended)
//!         pac equipment: a=1 own, b=2 from helios  entries, with their origin
//!
//! events  helios equipment: a=2, -b                set a, remove b
//!         helios equipment v7: a=2                 the same with a version
//!         helios equipment snapshot: a=2           the whole category (`nothing`: an empty one,
//!                                                  `snapshot allow-empty` where that is meant)
//!         helios > pac: flexible                   new flags (`invited flexible`: a new organization)
//!         helios > pac v7: flexible                the same with a version
//!         pac equipment: a=3 => locked             what becomes of it, where it is not simply applied
//!
//! expect  pac equipment: a=1 own, b=2 from helios  all entries of the category, by key (or `nothing`)
//!         pac equipment events: a=e1, b=given      which event last wrote each
//!         pac equipment lock: helios               who locks the category (or `nobody`)
//!         pac declined: equipment b of helios      all that it declined (or `nothing`)
//!         pac jobs: sync-change added 1, removed 2 its jobs since the last events, `;` between (or `none`)
//!         pac archive: equipment b=2 own           what those jobs displaced (or `nothing`)
//!         helios > pac: flexible                   the mode of the partnership (or `unknown`)
//! ```
//!
//! Events are numbered e1, e2, … from the beginning of the scenario, and each settles before the next.

use channel_sync::domain::mailbox::{FoundWrong, JobDone, JobKind, Verdict};
use channel_sync::domain::partnership::{Onboarding, Status, Terms};
use channel_sync::domain::{EventNo, OrganizationNo};

use channel_sync::domain::decide::{Skipped, lock_holder};

use crate::model::{Edit, Event, Model, PartnershipEvent, SettingEvent};

/// Checks that from what is given, these events lead to what is expected.
#[track_caller]
pub(crate) fn check(given_lines: &str, events: &str, expect: &str) {
    given(given_lines).when(events).then(expect);
}

/// A platform on which something happens.
pub(crate) struct Scenario {
    pub(crate) model: Model,
    /// How many jobs had been done before the last events.
    jobs_before: usize,
}

/// A platform with these partnerships and entries, on which nothing has happened yet.
#[track_caller]
pub(crate) fn given(lines: &str) -> Scenario {
    let mut model = Model::built_in();
    for line in meaningful(lines) {
        let (subject, said) = halves(line, ": ");
        if let Some((upstream, downstream)) = subject.split_once(" > ") {
            model.given_partnership(upstream, downstream, terms(said));
            continue;
        }
        let (organization, category) = halves(subject, " ");
        for entry in items(said) {
            let (entry, origin) = halves(entry, " ");
            let (key, value) = halves(entry, "=");
            let upstream = match origin.split_once(' ') {
                None if origin == "own" => None,
                Some(("from", upstream)) => Some(upstream),
                _ => panic!("{origin:?} is no origin; expected \"own\" or \"from <upstream>\""),
            };
            model.given_entry(organization, category, key, value, upstream);
        }
    }
    Scenario { model, jobs_before: 0 }
}

impl Scenario {
    /// These events happen, one after the other.
    #[track_caller]
    pub(crate) fn when(mut self, events: &str) -> Self {
        self.jobs_before = self.model.jobs.len();
        for line in meaningful(events) {
            let (said, expected) = line.split_once(" => ").unwrap_or((line, "applied"));
            let event = self.model.publish(event(said));
            self.model.settle();
            assert_eq!(fate(&self.model, event), expected, "what becomes of the event: {said}");
        }
        self
    }

    /// These events happen, one after the other, while every job of this organization fails for good.
    #[track_caller]
    pub(crate) fn when_failing(mut self, organization: &str, events: &str) -> Self {
        let organization = self.model.organization(organization);
        for line in meaningful(events) {
            self.model.publish(event(line));
            self.model.settle_failing(organization);
        }
        self
    }

    /// All jobs that were given up are replayed, in their order.
    #[track_caller]
    pub(crate) fn when_all_are_replayed(mut self) -> Self {
        let given_up = std::mem::take(&mut self.model.given_up);
        assert!(!given_up.is_empty(), "nothing was given up");
        for letter in given_up {
            self.model.replay(letter);
        }
        self.jobs_before = self.model.jobs.len();
        self.model.settle();
        self
    }

    /// The job of this kind that was done for an event in an organization is replayed.
    #[track_caller]
    pub(crate) fn when_done_again(mut self, event: &str, kind: JobKind, organization: &str) -> Self {
        let event = self.model.event_no(event).expect("an event of this scenario");
        let organization = self.model.organization(organization);
        let is_it =
            |job: &&JobDone| job.event == event && job.kind == kind && job.organization == organization;
        let job = self.model.jobs.iter().find(is_it).expect("a job that was done").clone();
        self.model.replay_done(&job);
        self.jobs_before = self.model.jobs.len();
        self.model.settle();
        self
    }

    /// The change that an event made in an organization is brought into a downstream once more.
    #[track_caller]
    pub(crate) fn when_replayed(mut self, event: &str, organization: &str, downstream: &str) -> Self {
        self.jobs_before = self.model.jobs.len();
        let event = self.model.event_no(event).expect("an event of this scenario");
        let organization = self.model.organization(organization);
        let change = self
            .model
            .changes
            .values()
            .find(|change| change.event == event && change.organization == organization)
            .expect("a change that the event made in the organization")
            .no;
        self.model.deliver_again(change, downstream);
        self.model.settle();
        self
    }

    /// This is what stands now.
    #[track_caller]
    pub(crate) fn then(self, expect: &str) -> Self {
        let (mut expected, mut found) = (String::new(), String::new());
        for line in meaningful(expect) {
            let (subject, said) = halves(line, ": ");
            expected += &format!("{subject}: {said}\n");
            found += &format!("{subject}: {}\n", self.show(subject));
        }
        assert_eq!(expected, found, "\n\nexpected:\n{expected}\nfound:\n{found}");
        self
    }

    #[track_caller]
    fn show(&self, subject: &str) -> String {
        let words: Vec<&str> = subject.split(' ').collect();
        match words[..] {
            [upstream, ">", downstream] => {
                let state = self.model.state();
                let pair = (upstream.to_owned(), downstream.to_owned());
                state.partnerships.get(&pair).map_or("unknown", |mode| mode.name()).to_owned()
            }
            [organization, "declined"] => self.show_declined(organization),
            [organization, "jobs"] => {
                let jobs: Vec<String> =
                    self.last_jobs(organization).map(|job| show_job(&self.model, job)).collect();
                if jobs.is_empty() { "none".to_owned() } else { jobs.join("; ") }
            }
            [organization, "archive"] => self.show_archive(organization),
            [organization, category, "lock"] => {
                let holder = lock_holder(
                    &self.model.world,
                    &self.model.catalogue,
                    self.organization(organization),
                    self.model.category(category),
                );
                holder.map_or("nobody", |upstream| self.model.organization_name(upstream)).to_owned()
            }
            [organization, category, "events"] => self.show_entries(organization, category, |entry| {
                format!("={}", self.model.event_id(entry.written_by))
            }),
            [organization, category] => self.show_entries(organization, category, |entry| {
                format!("={} {}", self.model.value_text(entry.value), show_origin(&self.model, entry.origin))
            }),
            _ => panic!("{subject:?} is nothing that can be expected"),
        }
    }

    fn show_entries(
        &self,
        organization: &str,
        category: &str,
        show: impl Fn(&channel_sync::domain::setting::Entry) -> String,
    ) -> String {
        let category = self.model.category(category);
        let entries = self.model.world.entries(self.organization(organization), category);
        list(entries.map(|(key, entry)| format!("{key}{}", show(entry))))
    }

    fn show_declined(&self, organization: &str) -> String {
        let declined = self.model.state().declined;
        let of_organization = declined.keys().filter(|(downstream, ..)| downstream == organization);
        list(of_organization.map(|(_, upstream, category, key)| format!("{category} {key} of {upstream}")))
    }

    fn show_archive(&self, organization: &str) -> String {
        list(self.last_jobs(organization).flat_map(|job| &job.displaced).map(|displaced| {
            let category = self.model.catalogue.name(displaced.category);
            let value = self.model.value_text(displaced.entry.value);
            let origin = show_origin(&self.model, displaced.entry.origin);
            format!("{category} {}={value} {origin}", displaced.key)
        }))
    }

    fn last_jobs(&self, organization: &str) -> impl Iterator<Item = &JobDone> {
        let organization = self.organization(organization);
        self.model.jobs[self.jobs_before..].iter().filter(move |job| job.organization == organization)
    }

    #[track_caller]
    fn organization(&self, name: &str) -> OrganizationNo {
        let known = self.model.find_organization(name);
        known.unwrap_or_else(|| panic!("{name:?} is not an organization of this scenario"))
    }
}

fn meaningful(lines: &str) -> impl Iterator<Item = &str> {
    lines.lines().map(str::trim).filter(|line| !line.is_empty())
}

#[track_caller]
fn halves<'a>(text: &'a str, at: &str) -> (&'a str, &'a str) {
    text.split_once(at).unwrap_or_else(|| panic!("{text:?} has no {at:?} in it"))
}

/// The items of a list; `nothing` is an empty one.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let text = if text == "nothing" { "" } else { text };
    text.split(", ").filter(|item| !item.is_empty())
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

/// Terms that amount to the mode of this name. Where a flag is not applicable, it is left out.
#[track_caller]
pub(crate) fn terms(name: &str) -> Terms {
    let (status, data_sync, exclusive, allow_downstream_edit) = match name {
        "ended" => (Status::Ended, true, true, Some(false)),
        "off" => (Status::Active, false, false, None),
        "exclusive-off" => (Status::Active, false, true, None),
        "non-exclusive" => (Status::Active, true, false, None),
        "flexible" => (Status::Active, true, true, Some(true)),
        "strict" => (Status::Active, true, true, Some(false)),
        name => panic!("{name:?} is no mode"),
    };
    Terms { status, exclusive, data_sync, allow_downstream_edit }
}

/// The event that a line of the notation says.
#[track_caller]
pub(crate) fn event(line: &str) -> Event {
    let (subject, said) = halves(line, ": ");
    let words: Vec<&str> = subject.split(' ').collect();
    let version = words.iter().find_map(|word| word.strip_prefix('v')?.parse().ok());

    if let [upstream, ">", downstream, ..] = words[..] {
        let (onboarding, mode) = match said.strip_prefix("invited ") {
            Some(mode) => (Onboarding::NewOrganization, mode),
            None => (Onboarding::ExistingOrganization, said),
        };
        return Event::Partnership(PartnershipEvent {
            upstream: upstream.to_owned(),
            downstream: downstream.to_owned(),
            terms: terms(mode),
            onboarding,
            version,
        });
    }

    let set = |item: &str| {
        let (key, value) = halves(item, "=");
        (key.to_owned(), value.to_owned())
    };
    let edit = if words.contains(&"snapshot") {
        let allow_empty = words.contains(&"allow-empty");
        Edit::Snapshot { entries: items(said).map(set).collect(), allow_empty }
    } else {
        let change = |item: &str| match item.strip_prefix('-') {
            Some(key) => (key.to_owned(), None),
            None => {
                let (key, value) = set(item);
                (key, Some(value))
            }
        };
        Edit::Changes(items(said).map(change).collect())
    };
    Event::Setting(SettingEvent {
        organization: words[0].to_owned(),
        category: words[1].to_owned(),
        version,
        edit,
    })
}

/// What became of an event, in the words of the notation.
pub(crate) fn fate(model: &Model, event: EventNo) -> String {
    let name = |no: OrganizationNo| model.organization_name(no);
    match model.verdict(event) {
        None if model.events[&event].ignored => "ignored".to_owned(),
        None => "waiting".to_owned(),
        Some(Verdict::Applied) => "applied".to_owned(),
        Some(Verdict::Superseded) => "superseded".to_owned(),
        Some(Verdict::Locked) => "locked".to_owned(),
        Some(Verdict::Rejected(FoundWrong::ExclusiveConflict { in_the_way, is_exclusive, .. })) => {
            let which = if *is_exclusive { "the exclusive" } else { "the non-exclusive" };
            format!("exclusive-conflict with {which} partnership of {}", name(*in_the_way))
        }
        Some(Verdict::Rejected(FoundWrong::PartnershipCycle { path })) => {
            let path: Vec<&str> = path.iter().map(|no| name(*no)).collect();
            format!("partnership-cycle {}", path.join(" > "))
        }
        Some(Verdict::Rejected(FoundWrong::EmptySnapshot { entries, .. })) => {
            format!("empty-snapshot of {entries}")
        }
    }
}

fn show_origin(model: &Model, origin: Option<OrganizationNo>) -> String {
    origin.map_or("own".to_owned(), |upstream| format!("from {}", model.organization_name(upstream)))
}

fn show_job(model: &Model, job: &JobDone) -> String {
    let kind = match job.kind {
        JobKind::OwnChange => "own-change",
        JobKind::PartnershipChange => "partnership-change",
        JobKind::SyncChange => "sync-change",
        JobKind::Reconcile => "reconcile",
    };
    let counts = [
        ("added", job.counts.added),
        ("changed", job.counts.changed),
        ("removed", job.counts.removed),
        ("unchanged", job.counts.unchanged),
        ("kept-own", job.counts.kept_own),
        ("declined", job.counts.declined),
        ("overtaken", job.counts.overtaken),
    ];
    let mut parts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if let Some(skipped) = job.skipped {
        parts.push(match skipped {
            Skipped::InStep => "skipped in-step".to_owned(),
            Skipped::OwnEntriesKept => "skipped own-entries-kept".to_owned(),
            Skipped::Declined => "skipped declined".to_owned(),
            Skipped::SyncOff => "skipped sync-off".to_owned(),
            Skipped::NotStrict => "skipped not-strict".to_owned(),
            Skipped::NothingToSync => "skipped nothing-to-sync".to_owned(),
            Skipped::ModeStays(mode) => format!("stays {}", mode.name()),
            Skipped::ModeChanges(before, mode) => format!("{} to {}", before.name(), mode.name()),
            Skipped::ReconcileFollows(before, mode) => {
                format!("{} to {}, reconcile follows", before.name(), mode.name())
            }
            Skipped::Superseded { last } => format!("skipped superseded by v{last}"),
            Skipped::Overtaken => "skipped overtaken".to_owned(),
            Skipped::FlagsSetSince => "skipped flags-set-since".to_owned(),
            Skipped::TakenInSince => "skipped taken-in-since".to_owned(),
            Skipped::NotReached => "skipped not-reached".to_owned(),
            Skipped::Locked { by } => format!("skipped locked by {}", model.organization_name(by)),
        });
    }
    if job.rejected {
        parts.push("rejected".to_owned());
    }
    format!("{kind} {}", parts.join(", "))
}
