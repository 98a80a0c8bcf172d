//! Random event sequences over several organizations and tiers, applied to the real service with two
//! workers, end in exactly the state that the pure domain gives when it is driven in memory.

use std::collections::BTreeMap;

use channel_sync::contract::Message;

use crate::model::Event;
use crate::recorded::{WAVES, compare, is_taken_in, of_sequence};
use crate::sequence::sequence;
use crate::support::events::event;
use crate::support::platform::Platform;

/// Sequences that one service works on at once.
const SIDE_BY_SIDE: u64 = 25;

async fn sequences_end_as_the_model_does(first_seed: u64) {
    let seeds = first_seed..first_seed + SIDE_BY_SIDE;
    let sequences: BTreeMap<u64, Vec<Event>> = seeds
        .map(|seed| (seed, sequence(seed).into_iter().map(|event| of_sequence(seed, event)).collect()))
        .collect();
    let mut platform = Platform::start().await;
    // In turn, so that they run at the same time; and in a few waves: in one, the beginnings of partnerships
    // would find all later changes of their upstreams done, and little would be left to sync.
    for wave in WAVES {
        let messages = wave.flat_map(|place| {
            sequences.iter().filter_map(move |(seed, events)| Some((seed, place, events.get(place)?)))
        });
        let messages: Vec<Message> = messages
            .map(|(seed, place, one)| event(&format!("{seed}-e{place}"), one.message_type(), one.data()))
            .collect();
        platform.apply(messages).await;
    }
    let kinds = platform.lines("select kind, count(*) >= 25 from job_view group by 1 order by 1").await;
    let expected = "own-change | t\npartnership-change | t\nreconcile | t\nsync-change | t\n";
    assert_eq!(kinds, expected, "the sequences bring about jobs of every kind");
    for (seed, events) in &sequences {
        let events: Vec<(String, &Event)> = events
            .iter()
            .enumerate()
            .filter(|(_, event)| is_taken_in(event))
            .map(|(place, event)| (format!("{seed}-e{place}"), event))
            .collect();
        compare(&platform.client, *seed, &events).await;
    }
    platform.end().await;
}

#[tokio::test]
async fn sequences_0_to_24_end_as_the_model_does() {
    sequences_end_as_the_model_does(0).await;
}

#[tokio::test]
async fn sequences_25_to_49_end_as_the_model_does() {
    sequences_end_as_the_model_does(25).await;
}

#[tokio::test]
async fn sequences_50_to_74_end_as_the_model_does() {
    sequences_end_as_the_model_does(50).await;
}

#[tokio::test]
async fn sequences_75_to_99_end_as_the_model_does() {
    sequences_end_as_the_model_does(75).await;
}
