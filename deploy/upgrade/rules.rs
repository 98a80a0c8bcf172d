//! Random sequences of events over a few organizations each, which bring every rule into play: modes that flip, merges,
//! matches, deletions, versions. What came of them is held against the model in the end.

use std::collections::VecDeque;

use channel_sync::contract::Message;
use tokio_postgres::Client;

use super::model::Event;
use super::recorded::{WAVES, compare, is_taken_in, of_sequence};
use super::sequence::sequence;
use super::support::events::event;

/// How many sequences run side by side.
const SIDE_BY_SIDE: u64 = 20;

/// The sequences, a wave of each for every phase.
pub(crate) struct Rules {
    sequences: Vec<(u64, Vec<(String, Event)>)>,
    waves: VecDeque<VecDeque<(String, Message)>>,
}

impl Rules {
    /// Sequences for this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let sequences: Vec<(u64, Vec<Event>)> = (0..SIDE_BY_SIDE)
            .map(|no| seed.wrapping_mul(SIDE_BY_SIDE).wrapping_add(no))
            .map(|seed| (seed, sequence(seed).into_iter().map(|event| of_sequence(seed, event)).collect()))
            .collect();
        let wave = |places: std::ops::Range<usize>| {
            let events = places.flat_map(|place| {
                sequences.iter().filter_map(move |(seed, events)| Some((seed, place, events.get(place)?)))
            });
            let taken_in = events.filter(|(.., event)| is_taken_in(event));
            let messages = taken_in.map(|(seed, place, one)| {
                let id = id(*seed, place);
                (id.clone(), event(&id, one.message_type(), one.data()))
            });
            messages.collect()
        };
        let waves = WAVES.into_iter().map(wave).collect();
        let named = |(seed, events): (u64, Vec<Event>)| {
            let events = events.into_iter().enumerate().map(|(place, event)| (id(seed, place), event));
            (seed, events.filter(|(_, event)| is_taken_in(event)).collect())
        };
        Self { waves, sequences: sequences.into_iter().map(named).collect() }
    }

    /// The next messages of this phase, with their ids: none when all were handed out.
    pub(crate) fn take(&mut self, count: usize) -> Vec<(String, Message)> {
        let Some(wave) = self.waves.front_mut() else { return Vec::new() };
        let count = count.min(wave.len());
        wave.drain(..count).collect()
    }

    /// Goes on to the next phase.
    pub(crate) fn next_wave(&mut self) {
        self.waves.pop_front();
    }

    /// # Panics
    /// Where anything is other than the model says. All must be done.
    pub(crate) async fn compare(&self, client: &Client) {
        for (seed, events) in &self.sequences {
            let events: Vec<(String, &Event)> =
                events.iter().map(|(id, event)| (id.clone(), event)).collect();
            compare(client, *seed, &events).await;
        }
    }
}

fn id(seed: u64, place: usize) -> String {
    format!("{seed}-e{place}")
}
