//! Preview: what it says is what then happens, and saying it changes nothing.
//!
//! Random events are previewed on random states, then published for real. Settings, locks, declined entries, modes,
//! archived settings and jobs must come out as the preview said.

use std::collections::{BTreeMap, BTreeSet};

use channel_sync::contract::Limits;
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::flow::executor::BatchLimits;
use channel_sync::operations::{
    EntryFate, EventPreview, JobPreview, Prediction, Preview, PreviewOptions, RehearsalLimits, preview,
    read_supposed,
};
use serde_json::{Value, json};

use crate::model::{Event, Random, State};
use crate::recorded::{of_sequence, stored_state};
use crate::sequence::sequence;
use crate::steps::{LIMITS, Steps};
use crate::support::events::{SOURCE, edit, event, invitation, partnership, snapshot};

/// Previews events, all of what comes of them.
async fn previewed(steps: &Steps, limits: BatchLimits, events: &str) -> Preview {
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let rehearsal = RehearsalLimits {
        batch_letters_max: limits.letters_max,
        batch_writes_max: limits.writes_max,
        entries_max: 100_000,
    };
    let options = PreviewOptions {
        catalogue: &catalogue,
        limits: Limits::default(),
        rehearsal,
        jobs_max: usize::MAX,
        entries_max: usize::MAX,
    };
    preview(&steps.store, &read_supposed(events).unwrap(), &options).await.unwrap()
}

/// What a preview is about, of one sequence: kept up by previews alone, and compared with the database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Foreseen {
    /// Value and origin, by organization, category and key.
    settings: BTreeMap<(String, String, String), (Value, String)>,
    /// Who locks, by organization and category.
    locks: BTreeMap<(String, String), String>,
    declined: BTreeSet<(String, String, String, String)>,
    modes: BTreeMap<(String, String), String>,
}

impl Foreseen {
    fn apply(&mut self, preview: &Preview, what: &str) {
        for event in &preview.events {
            if let Some(partnership) = &event.partnership {
                let (upstream, downstream) =
                    (event.organization_id.clone().unwrap(), event.downstream_id.clone().unwrap());
                for category in &partnership.unlocked {
                    let by = self.locks.remove(&(downstream.clone(), category.clone()));
                    assert_eq!(by.as_ref(), Some(&upstream), "{what}: {category} was locked");
                }
                for category in &partnership.locked {
                    let before = self.locks.insert((downstream.clone(), category.clone()), upstream.clone());
                    assert_eq!(before, None, "{what}: {category} was not locked");
                }
                let before = self
                    .modes
                    .insert((upstream, downstream), partnership.mode.name().to_owned())
                    .unwrap_or_else(|| "off".to_owned());
                assert_eq!(partnership.mode_before.name(), before, "{what}: the mode before");
            }
            for job in &event.jobs {
                self.apply_job(job, what);
            }
        }
        for row in &preview.no_longer_declined {
            let row = row.clone();
            self.declined.remove(&(row.organization_id, row.upstream_id, row.category, row.key));
        }
        for row in &preview.declined {
            let row = row.clone();
            self.declined.insert((row.organization_id, row.upstream_id, row.category, row.key));
        }
    }

    fn apply_job(&mut self, job: &JobPreview, what: &str) {
        assert_eq!(job.entries_left_off, 0);
        let mut fates: BTreeMap<EntryFate, i32> = BTreeMap::new();
        for entry in &job.entries {
            *fates.entry(entry.fate).or_default() += 1;
            let address = (job.organization_id.clone(), entry.category.clone(), entry.key.clone());
            let state = |state: &channel_sync::operations::EntryState| {
                let value: Value = serde_json::from_str(state.value.as_ref().unwrap().text()).unwrap();
                (value, state.origin.clone())
            };
            let what = format!("{what}: {address:?} {entry:?}");
            assert_eq!(entry.before.as_ref().map(state), self.settings.get(&address).cloned(), "{what}");
            match (entry.fate, &entry.after) {
                (EntryFate::Added | EntryFate::Changed | EntryFate::TakenOver, Some(after)) => {
                    self.settings.insert(address, state(after));
                }
                (EntryFate::Removed, None) => {
                    self.settings.remove(&address).unwrap();
                }
                (EntryFate::KeptOwn, Some(after)) => assert_eq!(after.origin, "own", "{what}"),
                (EntryFate::Declined, None) => {}
                _ => panic!("{what}"),
            }
        }
        let of = |fate| fates.get(&fate).copied().unwrap_or(0);
        assert_eq!(of(EntryFate::Added), job.added, "{what}");
        assert_eq!(of(EntryFate::Changed), job.changed, "{what}");
        assert_eq!(of(EntryFate::Removed), job.removed, "{what}");
        assert_eq!(of(EntryFate::KeptOwn), job.kept_own, "{what}");
        assert_eq!(of(EntryFate::Declined), job.declined, "{what}");
        assert!(of(EntryFate::TakenOver) <= job.unchanged, "{what}");
    }

    fn of(state: State) -> Self {
        let mut foreseen = Self::default();
        for ((organization, category, key), setting) in state.settings {
            if let Some(by) = setting.locked_by {
                foreseen.locks.insert((organization.clone(), category.clone()), by);
            }
            let value = serde_json::from_str(&setting.value).unwrap();
            foreseen.settings.insert((organization, category, key), (value, setting.origin));
        }
        foreseen.declined = state.declined.into_keys().collect();
        foreseen.modes =
            state.partnerships.into_iter().map(|(both, mode)| (both, mode.name().to_owned())).collect();
        foreseen
    }

    /// Locks of settings that are there: what a database shows.
    fn seen(mut self) -> Self {
        let settings = &self.settings;
        self.locks.retain(|(organization, category), _| {
            settings.keys().any(|(of, in_category, _)| of == organization && in_category == category)
        });
        self
    }
}

/// A job as the database tells it, and as a preview does.
type Job = (String, String, Option<String>, Option<String>, [i64; 6], Option<String>);

fn foreseen_job(job: &JobPreview) -> Job {
    let JobPreview { added, changed, removed, unchanged, kept_own, declined, .. } = *job;
    (
        job.kind.to_owned(),
        job.organization_id.clone(),
        job.upstream_id.clone(),
        job.category.clone(),
        [added, changed, removed, unchanged, kept_own, declined].map(i64::from),
        job.skipped.clone(),
    )
}

async fn stored_jobs(steps: &Steps, event_id: &str) -> Vec<Job> {
    let jobs =
        "select kind, organization_id, upstream_id, category, result from job_view where event_id = $1";
    let rows = steps.client.query(jobs, &[&event_id]).await.unwrap();
    rows.iter()
        .map(|row| {
            let result: Value = row.get("result");
            let counts = ["added", "changed", "removed", "unchanged", "kept_own", "declined"];
            (
                row.get("kind"),
                row.get("organization_id"),
                row.get("upstream_id"),
                row.get("category"),
                counts.map(|name| result[name].as_i64().unwrap_or(0)),
                result["skipped"].as_str().map(str::to_owned),
            )
        })
        .collect()
}

/// Jobs of one organization and subject together, without the reasons: a job that is cut goes on in several.
fn together(jobs: Vec<Job>) -> Vec<Job> {
    let mut sums: BTreeMap<_, [i64; 6]> = BTreeMap::new();
    for (kind, organization, upstream, category, counts, _) in jobs {
        let sum = sums.entry((kind, organization, upstream, category)).or_default();
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sums.into_iter()
        .map(|((kind, one, up, category), counts)| (kind, one, up, category, counts, None))
        .collect()
}

async fn compare_event(steps: &Steps, event: &EventPreview, jobs_are_cut: bool, what: &str) {
    let id = event.event_id.as_deref().unwrap();
    let what = format!("{what}: {id}");
    let (mut foreseen, mut stored) =
        (event.jobs.iter().map(foreseen_job).collect::<Vec<_>>(), stored_jobs(steps, id).await);
    if jobs_are_cut {
        (foreseen, stored) = (together(foreseen), together(stored));
    }
    foreseen.sort();
    stored.sort();
    assert_eq!(foreseen, stored, "{what}: jobs");

    let state = "select state from event_view where event_id = $1
                 union all
                 select 'rejected' from rejected_message_view
                  where properties ->> 'message_id' = $1
                    and not exists (select from event where event_id = $1)";
    let state = steps.client.query_one(state, &[&id]).await.unwrap();
    assert_eq!(event.prediction.name(), state.get::<_, &str>(0), "{what}");

    let wrong = "select r.code, r.reason from rejected_message r left join event e using (event_no)
                  where coalesce(e.event_id, r.properties ->> 'message_id') = $1";
    let wrong = steps.client.query_opt(wrong, &[&id]).await.unwrap();
    let wrong: Option<(String, String)> = wrong.map(|row| (row.get(0), row.get(1)));
    let foreseen = event.code.map(|code| (code.to_owned(), event.reason.clone().unwrap()));
    assert_eq!(foreseen, wrong, "{what}: what is wrong");

    let archived =
        "select o.organization_id, a.category, a.key, v.body::text, coalesce(u.organization_id, 'own')
                      from archived_setting a
                      left join change c on c.change_no = a.cause_no
                      join event e on e.event_no = coalesce(c.event_no, a.cause_no)
                      join organization o on o.organization_no = a.organization_no
                      left join organization u on u.organization_no = a.origin_no
                      join value v using (value_id)
                     where e.event_id = $1";
    let rows = steps.client.query(archived, &[&id]).await.unwrap();
    let stored: BTreeSet<Vec<String>> =
        rows.iter().map(|row| (0..5).map(|column| row.get(column)).collect()).collect();
    let entries = event.jobs.iter().flat_map(|job| job.entries.iter().map(move |entry| (job, entry)));
    let foreseen: BTreeSet<Vec<String>> = entries
        .filter(|(_, entry)| entry.archived)
        .map(|(job, entry)| {
            let before = entry.before.clone().unwrap();
            let value = before.value.unwrap().text().to_owned();
            vec![job.organization_id.clone(), entry.category.clone(), entry.key.clone(), value, before.origin]
        })
        .collect();
    assert_eq!(foreseen, stored, "{what}: archived settings");
    assert_eq!(event.totals.archived, stored.len() as i64, "{what}: archived settings");
}

/// Each downstream of what a job changed has a job of its own, or is told not to be reached.
fn all_are_told(event: &EventPreview, modes: &BTreeMap<(String, String), String>, what: &str) {
    for job in &event.jobs {
        let effects = job
            .entries
            .iter()
            .filter(|entry| matches!(entry.fate, EntryFate::Added | EntryFate::Changed | EntryFate::Removed));
        let categories: BTreeSet<&str> = effects.map(|entry| entry.category.as_str()).collect();
        let upstream = job.organization_id.as_str();
        for category in categories {
            let reached = event.jobs.iter().filter(|job| {
                job.kind == "sync-change"
                    && job.upstream_id.as_deref() == Some(upstream)
                    && job.category.as_deref() == Some(category)
            });
            let reached: BTreeSet<&str> = reached.map(|job| job.organization_id.as_str()).collect();
            let not_reached = event.not_reached.iter();
            let not_reached: BTreeSet<&str> = not_reached
                .filter(|row| row.upstream_id == upstream && row.category == category)
                .map(|row| row.organization_id.as_str())
                .collect();
            let all: BTreeSet<&str> = modes
                .keys()
                .filter(|(of, _)| of == upstream)
                .map(|(_, downstream)| downstream.as_str())
                .collect();
            let told: BTreeSet<&str> = reached.union(&not_reached).copied().collect();
            assert_eq!(told, all, "{what}: downstreams of {upstream} in {category}");
        }
    }
}

fn line(id: &str, event: &Event) -> String {
    let event = json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": event.message_type(), "data": event.data(),
    });
    format!("{event}\n")
}

/// Previews and publishes sequences, one to three events of each at a time.
async fn previews_come_true(first_seed: u64, count: u64, limits: BatchLimits) {
    let steps = Steps::with_limits(limits).await;
    let mut kinds = BTreeSet::new();
    let mut predictions = BTreeSet::new();
    for seed in first_seed..first_seed + count {
        let mut random = Random::new(seed);
        let events: Vec<Event> = sequence(seed).into_iter().map(|event| of_sequence(seed, event)).collect();
        let mut foreseen = Foreseen::default();
        let mut place = 0;
        while place < events.len() {
            let some = (1 + random.below(3)).min(events.len() - place);
            let window: Vec<(String, &Event)> =
                (place..place + some).map(|place| (format!("{seed}-e{place}"), &events[place])).collect();
            place += some;
            let text: String = window.iter().map(|(id, event)| line(id, event)).collect();
            let what = format!("seed {seed}");
            let preview = previewed(&steps, limits, &text).await;
            assert!(preview.complete, "{what}");
            assert_eq!(preview.waiting.jobs, 0, "{what}");
            for (id, one) in &window {
                steps.apply([event(id, one.message_type(), one.data())]).await;
            }
            foreseen.apply(&preview, &what);
            for event in &preview.events {
                compare_event(&steps, event, limits.writes_max < 1000, &what).await;
                if some == 1 {
                    all_are_told(event, &foreseen.modes, &what);
                }
                kinds.extend(event.jobs.iter().map(|job| job.kind));
                predictions.insert(event.prediction.name());
            }
            let stored = Foreseen::of(stored_state(&steps.client, seed).await);
            assert_eq!(foreseen.clone().seen(), stored, "{what}: after {}", window.last().unwrap().0);
        }
    }
    assert_eq!(kinds.len(), 4, "jobs of every kind: {kinds:?}");
    let of_every_kind =
        ["done", "ignored", "locked", "rejected"].iter().all(|name| predictions.contains(name));
    assert!(of_every_kind, "events of many fates: {predictions:?}");
    drop(steps.database);
}

#[tokio::test]
async fn what_is_previewed_happens_in_sequences_400_to_407() {
    previews_come_true(400, 8, LIMITS).await;
}

#[tokio::test]
async fn what_is_previewed_happens_in_sequences_408_to_415() {
    previews_come_true(408, 8, LIMITS).await;
}

#[tokio::test]
async fn what_is_previewed_happens_where_jobs_are_cut() {
    previews_come_true(416, 8, BatchLimits { letters_max: 3, writes_max: 4, ..LIMITS }).await;
}

/// Messages as the text that a preview reads.
fn text(messages: &[channel_sync::contract::Message]) -> String {
    messages.iter().map(|message| std::str::from_utf8(&message.body).unwrap().to_owned() + "\n").collect()
}

/// What would become of each entry of an organization: fate, key, now, then, and whether it is archived.
fn fates(preview: &Preview, organization: &str) -> Vec<String> {
    let jobs = preview.events.iter().flat_map(|event| &event.jobs);
    let entries = jobs.filter(|job| job.organization_id == organization).flat_map(|job| &job.entries);
    entries
        .map(|entry| {
            let state = |state: &Option<channel_sync::operations::EntryState>| match state {
                Some(state) => format!("{} of {}", state.value.as_ref().unwrap().text(), state.origin),
                None => "-".to_owned(),
            };
            let archived = if entry.archived { ", archived" } else { "" };
            let (before, after) = (state(&entry.before), state(&entry.after));
            format!("{} {}: {before} → {after}{archived}", entry.fate.name(), entry.key)
        })
        .collect()
}

#[tokio::test]
async fn a_flip_to_strict_lists_what_the_partner_loses() {
    let steps = Steps::start().await;
    let modules = [("a", json!(1)), ("b", json!(1)), ("c", json!(1)), ("d", json!(1))];
    steps.apply([edit("1", "helios", "equipment", &modules)]).await;
    steps
        .apply([invitation("2", "helios", "pac", "flexible"), partnership("3", "pac", "roof", "strict")])
        .await;
    let own = [("b", json!(2)), ("c", Value::Null), ("d", json!(2)), ("mine", json!([1, 2]))];
    steps.apply([edit("4", "pac", "equipment", &own)]).await;
    steps.apply([edit("5", "helios", "equipment", &[("d", json!(2))])]).await;
    steps.apply([edit("6", "pac", "default-costs", &[("battery", json!(9))])]).await;

    let preview = previewed(&steps, LIMITS, &text(&[partnership("7", "helios", "pac", "strict")])).await;
    let expected = [
        "removed battery: 9 of own → -, archived",
        "removed mine: [1, 2] of own → -, archived",
        "changed b: 2 of own → 1 of helios, archived",
        "taken over d: 2 of own → 2 of helios",
        "added c: - → 1 of helios",
    ];
    assert_eq!(fates(&preview, "pac"), expected);
    let below = [
        "changed b: 2 of pac → 1 of pac",
        "removed battery: 9 of pac → -",
        "added c: - → 1 of pac",
        "removed mine: [1, 2] of pac → -",
    ];
    let mut of_roof = fates(&preview, "roof");
    of_roof.sort_by_key(|fate| fate.split(' ').nth(1).unwrap().to_owned());
    assert_eq!(of_roof, below);
    let totals = preview.totals;
    assert_eq!((totals.added, totals.changed, totals.removed), (2, 2, 4));
    assert_eq!((totals.archived, totals.taken_over, totals.locked, totals.tiers), (3, 1, 1, 2));
    assert_eq!(preview.no_longer_declined.len(), 1, "what was declined comes back");
    let [event] = preview.events.as_slice() else { panic!("{preview:?}") };
    let partnership = event.partnership.as_ref().unwrap();
    assert_eq!((partnership.mode_before.name(), partnership.mode.name()), ("flexible", "strict"));
    assert!(partnership.locked.contains(&"equipment".to_owned()) && partnership.unlocked.is_empty());
    assert!(!partnership.locked.contains(&"licenses".to_owned()), "onboarding-only is never locked");
    let because: Vec<String> = event
        .jobs
        .iter()
        .filter_map(|job| Some(format!("{} {}", job.organization_id, job.rule.as_ref()?.because)))
        .collect();
    assert_eq!(
        because,
        [
            "pac the mode becomes strict: it becomes a replica in all ongoing categories",
            "roof strict: what is added, changed and removed all applies",
            "roof strict: what is added, changed and removed all applies",
        ]
    );
    drop(steps.database);
}

#[tokio::test]
async fn a_partner_that_begins_again_would_not_get_what_it_has_declined() {
    let steps = Steps::start().await;
    steps.apply([edit("1", "helios", "equipment", &[("a", json!(1)), ("b", json!(1))])]).await;
    steps.apply([invitation("2", "helios", "pac", "flexible")]).await;
    steps.apply([edit("3", "pac", "equipment", &[("a", Value::Null)])]).await;
    steps.apply([partnership("4", "helios", "pac", "off")]).await;
    steps.apply([edit("5", "helios", "equipment", &[("c", json!(1))])]).await;
    let again = invitation("6", "helios", "pac", "flexible");
    let preview = previewed(&steps, LIMITS, &text(std::slice::from_ref(&again))).await;
    assert_eq!(fates(&preview, "pac"), ["added c: - → 1 of helios", "declined a: - → -"]);
    steps.apply([again]).await;
    let settings = "select key from setting_view where organization_id = 'pac' order by key";
    assert_eq!(steps.lines(settings).await, "b\nc\n");
    drop(steps.database);
}

#[tokio::test]
async fn an_event_that_would_not_take_effect_is_told_as_what_it_would_be() {
    let steps = Steps::start().await;
    let set = [("a", json!(1))];
    let versioned = |id: &str, value: i32| {
        let data = json!({ "organization_id": "sunny", "category": "equipment", "version": 3,
                           "changes": [{ "op": "set", "key": "a", "value": value }] });
        event(id, "setting-changed", data)
    };
    steps.apply([edit("1", "helios", "equipment", &set), versioned("2", 1)]).await;
    steps
        .apply([partnership("3", "helios", "pac", "strict"), partnership("4", "pac", "roof", "flexible")])
        .await;

    let suppositions = [
        edit("1", "helios", "equipment", &set),
        edit("1", "helios", "equipment", &[("a", json!(2))]),
        edit("5", "helios", "integrations", &set),
        edit("6", "helios", "roofs", &set),
        edit("7", "helios", "default-costs", &set),
        edit("8", "pac", "equipment", &[("a", json!(7))]),
        versioned("9", 2),
        partnership("10", "helios", "helios", "strict"),
        partnership("11", "roof", "helios", "non-exclusive"),
        partnership("12", "sunny", "pac", "non-exclusive"),
        snapshot("13", "helios", "equipment", json!({})),
        event("14", "setting-changed", json!({ "category": "equipment" })),
        edit("15", "sunny", "equipment", &set),
        edit("15", "sunny", "equipment", &set),
    ];
    let preview = previewed(&steps, LIMITS, &text(&suppositions)).await;
    let told: Vec<String> = preview
        .events
        .iter()
        .map(|event| {
            let (id, code) = (event.event_id.as_deref().unwrap(), event.code.unwrap_or("-"));
            format!("{id} {} {code}: {}", event.prediction.name(), event.reason.as_deref().unwrap_or("-"))
        })
        .collect();
    let expected = [
        "1 duplicate -: the same event is there already: it changes nothing",
        "1 rejected id-reused: the event \"1\" of source \"tests/platform\" came before with other content; \
         expected an id of its own",
        "5 ignored -: its category is never synced: it is recorded, and changes nothing",
        "6 rejected unknown-category",
        "7 rejected unknown-slot",
        "8 locked -: the settings are locked by helios",
        "9 superseded -: version 3 was seen before",
        "10 rejected partnership-cycle",
        "11 rejected partnership-cycle: the partnership would close the cycle helios → pac → roof → helios; \
         expected none on the way from an organization to itself",
        "12 rejected exclusive-conflict: pac cannot have an active partnership with sunny: its active \
         partnership with helios is exclusive; expected that one to end first",
        "13 rejected empty-snapshot: data.snapshot is empty, and helios has 1 entries in equipment; \
         expected \"allow_empty\": true where all are to go",
        "14 rejected missing-field",
        "15 done -: -",
        "15 duplicate -: the same event is there already: it changes nothing",
    ];
    assert_eq!(told.len(), expected.len());
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nis not: {expected}");
    }
    assert_eq!((preview.totals.added, preview.totals.changed, preview.totals.removed), (0, 0, 0));
    drop(steps.database);
}

#[tokio::test]
async fn organizations_that_nobody_knows_yet_can_be_previewed_through_all_tiers() {
    let steps = Steps::start().await;
    let story = [
        partnership("1", "a", "b", "strict"),
        partnership("2", "b", "c", "flexible"),
        edit("3", "a", "equipment", &[("m", json!({ "watts": 1 }))]),
        edit("4", "c", "equipment", &[("m", Value::Null)]),
        edit("5", "a", "equipment", &[("m", json!({ "watts": 2 })), ("n", json!(0))]),
        partnership("6", "c", "a", "flexible"),
    ];
    let preview = previewed(&steps, LIMITS, &text(&story)).await;
    let expected =
        [r#"added m: - → {"watts": 1} of b"#, r#"removed m: {"watts": 1} of b → -"#, r"added n: - → 0 of b"];
    assert_eq!(fates(&preview, "c"), expected);
    assert_eq!(preview.events[5].code, Some("partnership-cycle"));
    assert_eq!(preview.events[4].jobs.last().unwrap().tier, 2);
    let [declined] = preview.declined.as_slice() else { panic!("{preview:?}") };
    assert_eq!((declined.organization_id.as_str(), declined.key.as_str()), ("c", "m"));
    // And then it happens.
    for message in story {
        steps.apply([message]).await;
    }
    let settings = "select key, value, origin from setting_view where organization_id = 'c'";
    assert_eq!(steps.lines(settings).await, "n | 0 | b\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_cycle_is_found_through_partnerships_that_are_stored_and_that_are_not() {
    let steps = Steps::start().await;
    steps.apply([partnership("1", "a", "b", "flexible"), partnership("2", "c", "d", "flexible")]).await;
    let story = [
        partnership("3", "b", "c", "flexible"),
        partnership("4", "d", "e", "flexible"),
        partnership("5", "e", "a", "flexible"),
        partnership("6", "b", "c", "ended"),
        partnership("7", "e", "a", "flexible"),
    ];
    let preview = previewed(&steps, LIMITS, &text(&story)).await;
    let told: Vec<_> = preview.events.iter().map(|event| event.prediction).collect();
    use Prediction::{Done, Rejected};
    assert_eq!(told, [Done, Done, Rejected, Done, Done]);
    let reason = preview.events[2].reason.as_deref().unwrap();
    assert!(reason.contains("a → b → c → d → e → a"), "{reason}");
    drop(steps.database);
}

#[tokio::test]
async fn a_preview_writes_nothing_and_waits_for_nobody() {
    let steps = Steps::with_partners().await;
    let rows =
        "select (select count(*) from event), (select count(*) from letter), (select count(*) from job),
                       (select count(*) from organization), (select count(*) from value),
                       (select last_value from cause_no), (select count(*) from setting)";
    let before = steps.lines(rows).await;
    // Somebody holds all there is.
    let mut other = steps.store.session().await.unwrap();
    let transaction = other.begin().await.unwrap();
    let shards: Vec<_> = (-1..channel_sync::domain::SHARDS).map(channel_sync::domain::Shard).collect();
    let locked = transaction.lock_shards(&shards, shards.len(), LIMITS.lock_timeout).await.unwrap();
    assert_eq!(locked.shards.len(), shards.len());
    let holder = steps.database.client().await;
    let hold = "begin; set search_path = channel_sync; select from setting for update;
                lock table partnership, letter, job, event, change in exclusive mode";
    holder.batch_execute(hold).await.unwrap();

    let change = [edit("x", "helios", "equipment", &[("m", json!(5)), ("n", json!(6))])];
    let begins = [partnership("y", "helios", "somebody-new", "flexible")];
    let preview = previewed(&steps, LIMITS, &(text(&change) + &text(&begins))).await;
    assert_eq!((preview.totals.changed, preview.totals.added), (6, 8));
    holder.batch_execute("rollback").await.unwrap();
    drop(transaction);
    drop(other);
    assert_eq!(steps.lines(rows).await, before);
    drop(steps.database);
}

#[tokio::test]
async fn what_waits_is_told_and_not_taken_into_account() {
    let steps = Steps::with_partners().await;
    steps.take_in([edit("waits", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.take_in([edit("elsewhere", "nobody-asks", "equipment", &[("m", json!(2))])]).await;
    let pause = "insert into pause (organization_no, paused_by, reason)
                 select organization_no, 'ana', 'r' from organization where organization_id = 'b'";
    steps.client.batch_execute(pause).await.unwrap();

    let change = text(&[edit("x", "helios", "equipment", &[("m", json!(2))])]);
    let preview = previewed(&steps, LIMITS, &change).await;
    assert_eq!(preview.totals.changed, 6, "as if the change to 2 were never done");
    let waiting = &preview.waiting;
    assert_eq!((waiting.jobs, waiting.organizations, waiting.everything_paused), (1, 2, false));
    let of: Vec<_> =
        waiting.of.iter().map(|row| (row.organization_id.as_str(), row.jobs, row.paused)).collect();
    assert_eq!(of, [("helios", 1, false), ("b", 0, true)]);

    // One step on, it waits for the partners.
    steps.executor.step().await.unwrap();
    let preview = previewed(&steps, LIMITS, &change).await;
    assert_eq!((preview.totals.changed, preview.waiting.jobs), (0, 0), "nothing changes helios any more");
    let other = text(&[edit("x", "helios", "equipment", &[("m", json!(3))])]);
    let preview = previewed(&steps, LIMITS, &other).await;
    assert_eq!((preview.totals.changed, preview.waiting.jobs), (6, 5));
    drop(steps.database);
}

#[tokio::test]
async fn what_is_too_much_ends_and_says_so() {
    let steps = Steps::with_partners().await;
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let many: Vec<(String, Value)> = (0..40).map(|no| (format!("k{no}"), json!(no))).collect();
    let many: Vec<(&str, Value)> = many.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let events = text(&[
        edit("x", "helios", "equipment", &many),
        edit("y", "helios", "equipment", &[("z", json!(1))]),
    ]);
    let rehearsal = RehearsalLimits { batch_letters_max: 1000, batch_writes_max: 50, entries_max: 100 };
    let options = PreviewOptions {
        catalogue: &catalogue,
        limits: Limits::default(),
        rehearsal,
        jobs_max: 2,
        entries_max: 3,
    };
    let preview = preview(&steps.store, &read_supposed(&events).unwrap(), &options).await.unwrap();
    assert!(!preview.complete);
    assert_eq!(preview.events[1].prediction, Prediction::Unknown);
    let first = &preview.events[0];
    assert_eq!((first.jobs.len(), first.jobs_left_off > 0), (2, true));
    let [own, sync] = first.jobs.as_slice() else { panic!("{first:?}") };
    assert_eq!((own.entries.len(), own.entries_left_off), (3, 37));
    assert_eq!((sync.added, sync.entries.len(), sync.entries_left_off), (40, 3, 37));
    assert!(preview.totals.added < 240 && preview.totals.added >= 80, "{:?}", preview.totals);
    drop(steps.database);
}
