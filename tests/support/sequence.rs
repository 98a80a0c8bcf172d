//! Random sequences of events over a few organizations in three tiers, always the same for one seed.
//!
//! They are dense on purpose: few organizations, few keys and small values, so that edits collide, flags
//! flip under running syncs, and every rule comes into play. Nothing here knows of the model's or the
//! service's state; the events are what publishers say, and many of them will be refused.
//!
//! To use it in a test target, beside the model: `#[path = "../support/sequence.rs"] mod sequence;`.

#![allow(dead_code, reason = "each test target uses a part of the sequences")]

use std::collections::HashMap;

use channel_sync::domain::partnership::{Onboarding, Status, Terms};
use serde_json::{Map, Value, json};

use super::model::{Edit, Event, PartnershipEvent, Random, SettingEvent};

/// The organizations, two to a tier, from the first tier to the third. More happens to the first of each
/// tier, so that much happens to the same settings.
pub(crate) const ORGANIZATIONS: [&str; 6] = ["helios", "sunny", "pac", "valley", "roof", "tile"];

/// How many events a sequence has.
pub(crate) const LENGTH: usize = 30;

/// Who edits its settings, and how many times of a hundred; the last one in the rest of the cases.
const EDITORS: [(&str, usize); 5] = [("helios", 40), ("pac", 28), ("roof", 12), ("sunny", 8), ("valley", 8)];

/// The categories that events edit, and how many times of a hundred: collections and defaults, and each
/// reach.
const CATEGORIES: [(&str, usize); 6] = [
    ("equipment", 60),
    ("adders", 6),
    ("default-costs", 20),
    ("licenses", 6),
    ("organization-logo", 4),
    ("notifications", 4),
];

/// Who is linked to whom, and how many times of a hundred: straight down mostly, so that exclusive
/// partnerships meet others now and then only. In the rest of the cases, any two, or one with itself.
const PAIRS: [((&str, &str), usize); 6] = [
    (("helios", "pac"), 35),
    (("pac", "roof"), 25),
    (("sunny", "pac"), 10),
    (("sunny", "valley"), 8),
    (("valley", "tile"), 8),
    (("helios", "roof"), 6),
];

/// The keys of an event. They are slots of `default-costs`, and keys like any other elsewhere.
const KEYS: [&str; 5] = ["solar-module", "inverter", "battery", "energy-efficiency", "project"];

/// The sequence of this seed.
pub(crate) fn sequence(seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let mut versions = HashMap::new();
    let mut events: Vec<Event> = Vec::new();
    while events.len() < LENGTH {
        // Partnerships come early, so that there is something to sync along.
        let partnerships = if events.len() < LENGTH / 4 { 65 } else { 15 };
        match random.below(100) {
            share if share < partnerships => {
                let event = partnership_event(&mut random, &mut versions, &events);
                events.push(Event::Partnership(event));
            }
            65..75 => events.extend(deletion(&mut random, &events).map(Event::Setting)),
            75..83 => events.extend(interruption(&mut random, &events).map(Event::Partnership)),
            _ => events.push(Event::Setting(setting_event(&mut random, &mut versions))),
        }
    }
    events.truncate(LENGTH);
    events
}

/// The last version by what it counts for.
type Versions = HashMap<(String, String), i64>;

fn setting_event(random: &mut Random, versions: &mut Versions) -> SettingEvent {
    let organization = of_hundred(random, &EDITORS).unwrap_or("tile").to_owned();
    let category = of_hundred(random, &CATEGORIES).unwrap_or("equipment").to_owned();
    let version = version(random, versions, (organization.clone(), category.clone()));

    let edit = if random.chance(15) {
        let some = if random.chance(65) { 1 + random.below(4) } else { 0 };
        let entries = keys(random, some).into_iter().map(|key| (key, value(random))).collect();
        Edit::Snapshot { entries, allow_empty: random.chance(25) }
    } else {
        // Those below have more to take away than to add: much of what they hold was synced to them.
        let removals = if ["helios", "sunny"].contains(&&*organization) { 25 } else { 60 };
        let some = 1 + random.below(4);
        let changes = keys(random, some).into_iter().map(|key| {
            let removes = random.chance(removals);
            (key, (!removes).then(|| value(random)))
        });
        Edit::Changes(changes.collect())
    };
    SettingEvent { organization, category, version, edit }
}

/// A downstream deletes what its upstream may have brought it; none where no earlier events would have.
fn deletion(random: &mut Random, earlier: &[Event]) -> Option<SettingEvent> {
    let partnerships: Vec<&PartnershipEvent> = partnerships(earlier).collect();
    if partnerships.is_empty() {
        return None;
    }
    let PartnershipEvent { upstream, downstream, .. } = *random.pick(&partnerships);
    let set: Vec<(&SettingEvent, &String)> = earlier
        .iter()
        .filter_map(|event| match event {
            Event::Setting(event) if event.organization == *upstream => Some(event),
            Event::Setting(_) | Event::Partnership(_) => None,
        })
        .flat_map(|event| match &event.edit {
            Edit::Changes(changes) => {
                let set = changes.iter().filter(|(_, value)| value.is_some());
                set.map(|(key, _)| (event, key)).collect::<Vec<_>>()
            }
            Edit::Snapshot { entries, .. } => entries.iter().map(|(key, _)| (event, key)).collect(),
        })
        .collect();
    if set.is_empty() {
        return None;
    }
    let (event, key) = *random.pick(&set);
    Some(SettingEvent {
        organization: downstream.clone(),
        category: event.category.clone(),
        version: None,
        edit: Edit::Changes(vec![(key.clone(), None)]),
    })
}

/// Sync is switched off and on again; nothing where there was no partnership yet.
fn interruption(random: &mut Random, earlier: &[Event]) -> impl Iterator<Item = PartnershipEvent> + use<> {
    let partnerships: Vec<&PartnershipEvent> = partnerships(earlier).collect();
    let last = (!partnerships.is_empty()).then(|| (*random.pick(&partnerships)).clone());
    last.into_iter().flat_map(|last| {
        [false, true].map(|data_sync| {
            let allow_downstream_edit = last.terms.allow_downstream_edit.or(Some(true));
            let terms = Terms { data_sync, allow_downstream_edit, ..last.terms };
            PartnershipEvent { terms, version: None, ..last.clone() }
        })
    })
}

/// One of these, each so many times of a hundred; none in the cases that are left.
fn of_hundred<T: Copy>(random: &mut Random, all: &[(T, usize)]) -> Option<T> {
    let mut place = random.below(100);
    for (one, times) in all {
        if place < *times {
            return Some(*one);
        }
        place -= times;
    }
    None
}

fn partnership_event(random: &mut Random, versions: &mut Versions, earlier: &[Event]) -> PartnershipEvent {
    let known: Vec<&PartnershipEvent> = partnerships(earlier).collect();
    let (upstream, downstream, terms) = if known.len() > 2 && random.chance(50) {
        let again = *random.pick(&known);
        (again.upstream.clone(), again.downstream.clone(), other_terms(random, again.terms))
    } else {
        let (upstream, downstream) = pair(random);
        (upstream, downstream, new_terms(random))
    };
    let version = version(random, versions, (upstream.clone(), downstream.clone()));
    let onboarding =
        if random.chance(40) { Onboarding::NewOrganization } else { Onboarding::ExistingOrganization };
    PartnershipEvent { upstream, downstream, terms, onboarding, version }
}

fn pair(random: &mut Random) -> (String, String) {
    let any = (*random.pick(&ORGANIZATIONS), *random.pick(&ORGANIZATIONS));
    let (upstream, downstream) = of_hundred(random, &PAIRS).unwrap_or(any);
    (upstream.to_owned(), downstream.to_owned())
}

fn partnerships(events: &[Event]) -> impl Iterator<Item = &PartnershipEvent> {
    events.iter().filter_map(|event| match event {
        Event::Partnership(event) => Some(event),
        Event::Setting(_) => None,
    })
}

/// The terms of a partnership that begins.
pub(crate) fn new_terms(random: &mut Random) -> Terms {
    let terms = Terms {
        status: if random.chance(95) { Status::Active } else { Status::Ended },
        exclusive: random.chance(60),
        data_sync: random.chance(90),
        allow_downstream_edit: Some(random.chance(50)),
    };
    said(random, terms)
}

/// Terms that differ in one flag, most often in whether anything is synced.
fn other_terms(random: &mut Random, mut terms: Terms) -> Terms {
    match random.below(100) {
        0..40 => terms.data_sync = !terms.data_sync,
        40..60 => terms.exclusive = !terms.exclusive,
        60..85 => terms.allow_downstream_edit = Some(terms.allow_downstream_edit != Some(true)),
        _ => {
            let active = terms.status == Status::Active;
            terms.status = if active { Status::Ended } else { Status::Active };
        }
    }
    said(random, terms)
}

/// `allow_downstream_edit` may be null where it is not applicable, and must be there where it is.
fn said(random: &mut Random, mut terms: Terms) -> Terms {
    let applicable = terms.data_sync && terms.exclusive;
    if applicable {
        terms.allow_downstream_edit.get_or_insert(true);
    } else if random.chance(40) {
        terms.allow_downstream_edit = None;
    }
    terms
}

/// No version mostly, else mostly the next one, and sometimes one that was seen before.
fn version(random: &mut Random, versions: &mut Versions, of: (String, String)) -> Option<i64> {
    if random.chance(75) {
        return None;
    }
    let last = versions.entry(of).or_insert(0);
    if *last > 0 && random.chance(25) {
        return Some((*last - random.below(2) as i64).max(1));
    }
    *last += 1;
    Some(*last)
}

fn keys(random: &mut Random, count: usize) -> Vec<String> {
    let mut left = KEYS.to_vec();
    (0..count).map(|_| left.remove(random.below(left.len())).to_owned()).collect()
}

fn value(random: &mut Random) -> String {
    random.below(4).to_string()
}

/// How an event is written on the wire.
impl Event {
    /// The CloudEvents `type`.
    pub(crate) fn message_type(&self) -> &'static str {
        match self {
            Self::Setting(_) => "setting-changed",
            Self::Partnership(_) => "partnership-changed",
        }
    }

    /// The routing key that a publisher uses.
    pub(crate) fn routing_key(&self) -> String {
        match self {
            Self::Setting(event) => format!("setting-changed.{}", event.organization),
            Self::Partnership(event) => format!("partnership-changed.{}", event.upstream),
        }
    }

    /// The CloudEvents `data`.
    pub(crate) fn data(&self) -> Value {
        match self {
            Self::Setting(event) => event.data(),
            Self::Partnership(event) => event.data(),
        }
    }
}

impl SettingEvent {
    fn data(&self) -> Value {
        let mut data = json!({ "organization_id": self.organization, "category": self.category });
        if let Some(version) = self.version {
            data["version"] = json!(version);
        }
        match &self.edit {
            Edit::Changes(changes) => {
                let change = |(key, value): &(String, Option<String>)| match value {
                    Some(text) => json!({ "op": "set", "key": key, "value": json_value(text) }),
                    None => json!({ "op": "remove", "key": key }),
                };
                data["changes"] = changes.iter().map(change).collect();
            }
            Edit::Snapshot { entries, allow_empty } => {
                let entry = |(key, text): &(String, String)| (key.clone(), json_value(text));
                data["snapshot"] = Value::Object(entries.iter().map(entry).collect::<Map<_, _>>());
                if *allow_empty {
                    data["allow_empty"] = json!(true);
                }
            }
        }
        data
    }
}

impl PartnershipEvent {
    fn data(&self) -> Value {
        let Terms { status, exclusive, data_sync, allow_downstream_edit } = self.terms;
        let mut data = json!({
            "upstream_id": self.upstream,
            "downstream_id": self.downstream,
            "status": status,
            "exclusive": exclusive,
            "data_sync": data_sync,
            "allow_downstream_edit": allow_downstream_edit,
            "onboarding": self.onboarding,
        });
        if let Some(version) = self.version {
            data["version"] = json!(version);
        }
        data
    }
}

/// The value that a JSON text is; a text that is no JSON stands for the string of it.
fn json_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
