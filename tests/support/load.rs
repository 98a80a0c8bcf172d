//! A load of events of which everything that must come of them is known: managers with strict partners, some of
//! them managers themselves, and a few messages that are refused, ignored, repeated or bad.
//!
//! The same for the same seed. What it has handed out counts as published: whoever takes messages must publish
//! them, in their order, until they are confirmed.

use std::collections::BTreeMap;

use channel_sync::contract::Message;
use serde_json::{Value, json};

use super::events::{edit, partnership, raw};

/// Keys of a manager in `equipment`.
const KEYS: usize = 12;

const SLOTS: [&str; 5] = ["solar-module", "inverter", "battery", "energy-efficiency", "project"];

/// An entry of an organization: organization, category, key.
pub type Place = (String, String, String);

/// A load, and what must come of it.
#[derive(Debug)]
pub struct Load {
    random: u64,
    count: u64,
    managers: Vec<String>,
    /// Strict partners that are in reach of a manager, through however many tiers.
    pub reached: Vec<(String, String)>,
    /// Direct strict partnerships.
    partners: Vec<(String, String)>,
    /// Edits that take effect or are refused: event and organization.
    pub edits: Vec<(String, String)>,
    /// Events of partnerships: event and downstream.
    pub partnerships: Vec<(String, String)>,
    /// Events of a category that never syncs.
    pub ignored: Vec<String>,
    /// Ids of messages that are no events.
    pub bad: Vec<String>,
    /// Events of others, published besides: whoever publishes them knows what must come of them.
    pub others: Vec<String>,
    /// What each manager's entries are in the end; none where it was removed.
    pub values: BTreeMap<Place, Option<u64>>,
    last: Option<Message>,
    repeats: bool,
}

impl Load {
    /// So many managers, each with so many strict partners, the first of which has two strict partners of its
    /// own.
    pub fn new(seed: u64, managers: usize, partners: usize) -> Self {
        let mut load = Self {
            random: seed,
            count: 0,
            managers: (0..managers).map(|no| format!("manager-{no}")).collect(),
            reached: Vec::new(),
            partners: Vec::new(),
            edits: Vec::new(),
            partnerships: Vec::new(),
            ignored: Vec::new(),
            bad: Vec::new(),
            others: Vec::new(),
            values: BTreeMap::new(),
            last: None,
            repeats: true,
        };
        for manager in load.managers.clone() {
            for no in 0..partners {
                let partner = format!("{manager}-{no:04}");
                if no == 0 {
                    for below in ["a", "b"].map(|name| format!("{partner}-{name}")) {
                        load.partners.push((partner.clone(), below.clone()));
                        load.reached.push((manager.clone(), below));
                    }
                }
                load.partners.push((manager.clone(), partner.clone()));
                load.reached.push((manager.clone(), partner));
            }
        }
        load
    }

    /// The same load without messages that were published before.
    pub fn without_repetitions(mut self) -> Self {
        self.repeats = false;
        self
    }

    /// The beginnings of all partnerships. Nothing must have been taken before.
    pub fn beginning(&mut self) -> Vec<Message> {
        let begin = |(no, (upstream, downstream)): (usize, &(String, String))| {
            let id = format!("partnership-{no}");
            self.partnerships.push((id.clone(), downstream.clone()));
            partnership(&id, upstream, downstream, "strict")
        };
        self.partners.iter().enumerate().map(begin).collect()
    }

    /// The next so many messages.
    pub fn take(&mut self, count: usize) -> Vec<Message> {
        (0..count).map(|_| self.next()).collect()
    }

    /// An event that changes nothing.
    pub fn marker(&mut self) -> Message {
        self.count += 1;
        let id = format!("e{}", self.count);
        let manager = self.manager();
        self.ignored.push(id.clone());
        edit(&id, &manager, "notifications", &[("n", json!(self.count))])
    }

    /// The first manager gives a certain entry another value.
    pub fn edit_of_one_entry(&mut self) -> (String, Message) {
        self.count += 1;
        let (id, manager) = (format!("e{}", self.count), self.managers[0].clone());
        self.edits.push((id.clone(), manager.clone()));
        self.values.insert((manager.clone(), "equipment".to_owned(), "one".to_owned()), Some(self.count));
        let message = edit(&id, &manager, "equipment", &[("one", json!(self.count))]);
        (id, message)
    }

    /// How many messages were handed out that are not repetitions.
    pub fn published(&self) -> usize {
        self.edits.len() + self.partnerships.len() + self.ignored.len() + self.bad.len() + self.others.len()
    }

    /// The next message.
    fn next(&mut self) -> Message {
        self.count += 1;
        let id = format!("e{}", self.count);
        let message = match self.below(100) {
            0..80 => self.manager_edits(&id),
            80..88 if !self.partners.is_empty() => self.partner_edits(&id),
            88..92 => self.marker(),
            92..96 => {
                self.bad.push(id.clone());
                let mut message = raw(format!("{{ \"id\": \"{id}\", ").as_bytes());
                message.properties.message_id = Some(id);
                message.properties.routing_key = Some("setting-changed.somebody".to_owned());
                return message;
            }
            _ => match &self.last {
                Some(last) if self.repeats => return last.clone(),
                _ => self.manager_edits(&id),
            },
        };
        self.last = Some(message.clone());
        message
    }

    /// Always effective: a value that was never there, or the removal of an entry that is there.
    fn manager_edits(&mut self, id: &str) -> Message {
        let manager = self.manager();
        let (category, key) = match self.below(4) {
            0 => ("default-costs", SLOTS[self.below(SLOTS.len())].to_owned()),
            _ => ("equipment", format!("key-{}", self.below(KEYS))),
        };
        let place = (manager.clone(), category.to_owned(), key.clone());
        let there = self.values.get(&place).is_some_and(Option::is_some);
        let removes = there && self.below(100) < 10;
        let value = (!removes).then_some(self.count);
        self.values.insert(place, value);
        self.edits.push((id.to_owned(), manager.clone()));
        edit(id, &manager, category, &[(&key, value.map_or(Value::Null, Value::from))])
    }

    /// Refused: the settings are locked.
    fn partner_edits(&mut self, id: &str) -> Message {
        let no = self.below(self.partners.len());
        let partner = self.partners[no].1.clone();
        self.edits.push((id.to_owned(), partner.clone()));
        edit(id, &partner, "equipment", &[("key-0", json!("mine"))])
    }

    fn manager(&mut self) -> String {
        let no = self.below(self.managers.len());
        self.managers[no].clone()
    }

    /// A number from 0 up to, but not including, `end`.
    fn below(&mut self, end: usize) -> usize {
        (splitmix(&mut self.random) % end as u64) as usize
    }
}

/// The next number of the generator SplitMix64.
pub fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
