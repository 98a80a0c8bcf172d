//! What is published, and what must come of it.

use std::collections::BTreeMap;

use channel_sync::contract::Message;
use serde_json::{Map, Value, json};

use super::equipment;
use super::support::events::{edit, partnership, snapshot};

/// The organization whose settings change: the upstream of everybody else.
pub(crate) const UPSTREAM: &str = "helios";

/// The one category of all workloads.
pub(crate) const CATEGORY: &str = "equipment";

/// The id of the event of the past whose rows stand for all past ones.
pub(crate) const PAST: &str = "past-0";

/// What happens in a workload.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    /// The upstream adds an entry with each of so many events, published at full speed.
    FanOut { events: usize },
    /// The same, but each event only when all is idle: latency in place of throughput.
    Idle { events: usize },
    /// The upstream's whole equipment list comes as one snapshot.
    Snapshot,
    /// All partnerships begin at once, with an upstream that has so many entries.
    Beginning { entries: usize },
}

/// A workload.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether it is run unless it is asked for.
    pub(crate) usual: bool,
    pub(crate) happening: Happening,
    /// How many strict partners the upstream has.
    pub(crate) partners: usize,
    /// How many events (or, where partnerships begin, partners) the floor puts into a transaction.
    pub(crate) floor_batch: usize,
    /// How many jobs were done before.
    pub(crate) past_jobs: usize,
    /// Whether somebody else holds a transaction open, with a snapshot and a transaction id.
    pub(crate) foreign_transaction: bool,
    /// Configuration keys that are not as their defaults are.
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

/// The names of all workloads.
pub(crate) fn names() -> Vec<&'static str> {
    all(1.0).iter().map(|workload| workload.name).collect()
}

/// All workloads, this part of each.
pub(crate) fn all(scale: f64) -> Vec<Workload> {
    let part = |count: usize| ((count as f64 * scale).round() as usize).max(1);
    let fan_out = |name, about, events, partners, floor_batch| Workload {
        name,
        about,
        usual: true,
        happening: Happening::FanOut { events: part(events) },
        partners,
        floor_batch,
        past_jobs: 0,
        foreign_transaction: false,
        variables: &[],
    };
    let half_thousand = |name, about| Workload { usual: false, ..fan_out(name, about, 200, 500, 1) };
    vec![
        fan_out("200x500", "200 events to 500 partners each", 200, 500, 1),
        fan_out("2000x10", "2,000 events to 10 partners each", 2_000, 10, 50),
        fan_out("10x10000", "10 events to 10,000 partners each", 10, 10_000, 1),
        fan_out("20000x1", "20,000 events to 1 partner each", 20_000, 1, 500),
        Workload {
            happening: Happening::Idle { events: part(100) },
            ..fan_out("latency", "100 events to 1,000 partners each, one at a time", 0, 1_000, 1)
        },
        Workload {
            usual: false,
            ..fan_out("10x1000", "10 events to 1,000 partners each, to compare with 10x10000", 10, 1_000, 1)
        },
        Workload {
            usual: false,
            ..fan_out(
                "200000x1",
                "200,000 events to 1 partner each, to compare with 20000x1",
                200_000,
                1,
                500,
            )
        },
        Workload {
            usual: false,
            happening: Happening::Snapshot,
            // More than the default allows: the list is one message.
            variables: &[("INGEST__BODY_BYTES_MAX", "16777216")],
            ..fan_out("equipment", "a snapshot of 24,773 entries to 100 partners", 0, part(100), 1)
        },
        Workload {
            usual: false,
            happening: Happening::Beginning { entries: 20 },
            ..fan_out("beginning", "10,000 partnerships begin at once, 20 entries each", 0, part(10_000), 500)
        },
        Workload {
            past_jobs: part(10_000_000),
            ..half_thousand("past", "200x500 with 10 million jobs done before")
        },
        Workload {
            foreign_transaction: true,
            ..half_thousand("foreign", "200x500 while somebody else holds a transaction open")
        },
    ]
}

/// Entries by key.
pub(crate) type Entries = BTreeMap<String, Value>;

impl Workload {
    /// The jobs that count: those of the partners. The upstream's own, one for each event, come on top.
    pub(crate) fn jobs(&self) -> usize {
        match self.happening {
            Happening::FanOut { events } | Happening::Idle { events } => events * self.partners,
            Happening::Snapshot => self.partners,
            // The partnership's own, and the reconcile.
            Happening::Beginning { .. } => 2 * self.partners,
        }
    }

    /// All jobs.
    pub(crate) fn jobs_with_own(&self) -> usize {
        match self.happening {
            Happening::FanOut { events } | Happening::Idle { events } => events + self.jobs(),
            Happening::Snapshot => 1 + self.jobs(),
            Happening::Beginning { .. } => self.jobs(),
        }
    }

    /// How many events are published.
    pub(crate) fn events(&self) -> usize {
        match self.happening {
            Happening::FanOut { events } | Happening::Idle { events } => events,
            Happening::Snapshot => 1,
            Happening::Beginning { .. } => self.partners,
        }
    }

    /// How many settings partners get.
    pub(crate) fn settings(&self) -> usize {
        match self.happening {
            Happening::FanOut { .. } | Happening::Idle { .. } => self.jobs(),
            Happening::Snapshot | Happening::Beginning { .. } => self.partners * self.added().len(),
        }
    }

    /// What is published before anything is measured, step by step, with how many jobs follow from each: what
    /// the upstream changes goes only to those who are partners by then.
    pub(crate) fn prelude(&self) -> Vec<(Vec<Message>, usize)> {
        match self.happening {
            Happening::Beginning { .. } => {
                vec![(vec![snapshot("entries", UPSTREAM, CATEGORY, object(self.added()))], 1)]
            }
            _ => {
                let begin = (partnerships(self.partners).collect(), 2 * self.partners);
                let past = (vec![adding(PAST, PAST_NO)], 1 + self.partners);
                if self.past_jobs > 0 { vec![begin, past] } else { vec![begin] }
            }
        }
    }

    /// How many jobs of the past are added to those of the event [`PAST`]: whole events, so a few more than asked
    /// for.
    pub(crate) fn past_jobs_added(&self) -> usize {
        self.past_events() * (1 + self.partners)
    }

    /// How many events of the past are added.
    pub(crate) fn past_events(&self) -> usize {
        self.past_jobs.div_ceil(1 + self.partners)
    }

    /// What is published while it is measured.
    pub(crate) fn messages(&self) -> Vec<Message> {
        match self.happening {
            Happening::FanOut { events } | Happening::Idle { events } => {
                (0..events).map(|no| adding(&format!("event-{no}"), no)).collect()
            }
            Happening::Snapshot => vec![snapshot("list", UPSTREAM, CATEGORY, object(self.added()))],
            Happening::Beginning { .. } => partnerships(self.partners).collect(),
        }
    }

    /// What every organization has in the end.
    pub(crate) fn expected(&self) -> Entries {
        let past = (self.past_jobs > 0).then(|| entry(PAST_NO));
        self.added().into_iter().chain(past).collect()
    }

    /// What every partner gets while it is measured.
    pub(crate) fn added(&self) -> Entries {
        match self.happening {
            Happening::FanOut { events } | Happening::Idle { events } => (0..events).map(entry).collect(),
            Happening::Snapshot => equipment::all(),
            Happening::Beginning { entries } => (0..entries).map(entry).collect(),
        }
    }
}

/// The number of the entry of the past: none of a workload has it.
const PAST_NO: usize = 999_999;

/// An entry that nobody has yet: a key and a value of the size of those in a real list.
fn entry(no: usize) -> (String, Value) {
    let value = json!({
        "name": format!("Helios Solar Power Series 7 HSP-{no:06}"), "technology": "Mono-c-Si",
        "watts": 412.5, "ptc_watts": 380.1, "area_m2": 1.94, "cells": 72,
    });
    (format!("module/helios-solar-power-series-7-hsp-{no:06}"), value)
}

/// The event that adds such an entry.
fn adding(id: &str, no: usize) -> Message {
    let (key, value) = entry(no);
    edit(id, UPSTREAM, CATEGORY, &[(&key, value)])
}

/// The beginnings of all partnerships.
fn partnerships(count: usize) -> impl Iterator<Item = Message> {
    (0..count)
        .map(|no| partnership(&format!("partnership-{no}"), UPSTREAM, &format!("partner-{no:05}"), "strict"))
}

fn object(entries: Entries) -> Value {
    Value::Object(entries.into_iter().collect::<Map<_, _>>())
}
