//! What publishers send in a run: random events over three tiers, as real messages, with bad ones among them.

use channel_sync::contract::{Limits, Message, decode};
use channel_sync::domain::partnership::{Onboarding, Status, Terms};
use channel_sync::store::intake::{Identity, digest, identity};

use crate::events::{SOURCE, binary_event, event, raw};
use crate::model::{Event, PartnershipEvent, Random};
use crate::sequence::{self, LENGTH, sequence};
use crate::shared::catalogue;

/// A message, and what must become of it.
pub(crate) struct Item {
    pub(crate) message: Message,
    /// What tells it from others.
    pub(crate) digest: [u8; 32],
    pub(crate) expected: Expected,
    /// How often the broker took it.
    pub(crate) published: usize,
}

/// What must become of a message.
pub(crate) enum Expected {
    /// It is this event, unless its identity was used by another before.
    Event { identity: Identity, content: [u8; 32], event: Event },
    /// It is rejected at the door.
    Wrong,
}

impl Item {
    fn new(message: Message, expected: Expected) -> Self {
        let digest = digest(&message).unwrap();
        Self { message, digest, expected, published: 0 }
    }

    fn of(id: &str, said: Event, random: &mut Random) -> Self {
        let (kind, data) = (said.message_type(), said.data());
        let message = if random.chance(70) { event(id, kind, data) } else { binary_event(id, kind, &data) };
        let decoded = decode(&message, &catalogue(), &Limits::default());
        // The contract's own tests hold it to what it refuses; here that is one thing alone.
        let with_itself = matches!(&said, Event::Partnership(event) if event.upstream == event.downstream);
        let expected = match decoded {
            Ok(envelope) => {
                assert_eq!((&*envelope.source, &*envelope.id), (SOURCE, id));
                Expected::Event { identity: identity(&envelope), content: envelope.content, event: said }
            }
            Err(rejection) => {
                assert!(with_itself, "{rejection:?}: {said:?}");
                Expected::Wrong
            }
        };
        Self::new(message, expected)
    }
}

/// Four organizations in a ring, half of it early; then what closes it, from two sides at once. Sometimes one of
/// the partnerships on the way ends just before.
fn add_ring(random: &mut Random, events: &mut Vec<Event>) {
    let link = |upstream: usize, downstream: usize, status: Status| {
        Event::Partnership(PartnershipEvent {
            upstream: format!("ring-{upstream}"),
            downstream: format!("ring-{downstream}"),
            terms: Terms { status, exclusive: false, data_sync: true, allow_downstream_edit: None },
            onboarding: Onboarding::ExistingOrganization,
            version: None,
        })
    };
    let half = events.len() / 2;
    let mut closing = vec![link(0, 1, Status::Active), link(2, 3, Status::Active)];
    if random.chance(50) {
        closing.insert(0, link(1, 2, Status::Ended));
    }
    let place = half + random.below(half + 1);
    events.splice(place..place, closing);
    for (upstream, downstream) in [(1, 2), (3, 0)] {
        events.insert(random.below(half + 1), link(upstream, downstream, Status::Active));
    }
}

/// The load of this seed.
pub(crate) fn load(random: &mut Random) -> Vec<Item> {
    let mut events = sequence(random.below(usize::MAX) as u64);
    events.truncate(6 + random.below(LENGTH - 5));
    // More edits of those whose changes go on.
    let edits = sequence(random.below(usize::MAX) as u64).into_iter();
    let manages = |event: &Event| matches!(event, Event::Setting(event) if event.organization != "tile");
    events.extend(edits.filter(manages).take(random.below(24)));
    // More partners, so that a change goes to several in one shard.
    for partner in 0..random.below(8) {
        let upstream = (*random.pick(&["helios", "helios", "sunny", "pac"])).to_owned();
        let downstream = format!("partner-{partner}");
        let onboarding = *random.pick(&[Onboarding::NewOrganization, Onboarding::ExistingOrganization]);
        let strict = Terms {
            status: Status::Active,
            exclusive: true,
            data_sync: true,
            allow_downstream_edit: Some(false),
        };
        let terms = if random.chance(50) { strict } else { sequence::new_terms(random) };
        let event = PartnershipEvent { upstream, downstream, terms, onboarding, version: None };
        let place = random.below(events.len() / 2 + 1);
        events.insert(place, Event::Partnership(event));
    }
    if random.chance(40) {
        add_ring(random, &mut events);
    }
    let mut load: Vec<Item> = Vec::new();
    for (place, event) in events.iter().enumerate() {
        load.push(Item::of(&format!("e{place}"), event.clone(), random));
        // An id that was used before, for something else.
        if place > 0 && random.chance(3) {
            let other = random.below(place);
            if events[other] != *event {
                load.push(Item::of(&format!("e{other}"), event.clone(), random));
            }
        }
        if random.chance(4) {
            let body = match random.below(3) {
                0 => format!("no JSON {place}"),
                1 => format!("{{\"specversion\": \"1.0\", \"id\": \"bad-{place}\"}}"),
                _ => format!("[{place}"),
            };
            load.push(Item::new(raw(body.as_bytes()), Expected::Wrong));
        }
    }
    load
}
