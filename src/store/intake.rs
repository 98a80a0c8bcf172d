//! Taking in a batch of messages: events with a letter each, and messages that cannot be events.
//!
//! One transaction a batch, and one at a time in the whole database: numbers are given in the order in which
//! they are committed. What is taken in already is found by `(source, id)`: again with the same content
//! it is a duplicate, with other content it is rejected. Whoever calls this acknowledges the messages after
//! it has returned, never before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::StoreError;
use super::payload::{PartnershipPayload, SettingPayload};
use super::pool::{Store, Transaction};
use super::statements;
use crate::contract::{
    Envelope, Event, Message, PartnershipChanged, Rejection, RejectionCode, SettingChanged,
};
use crate::domain::catalogue::{Catalogue, Reach};
use crate::domain::mailbox::JobKind;
use crate::domain::setting::Edit;
use crate::domain::{EventNo, OrganizationNo};

/// A message, with what its bytes turned out to be.
#[derive(Debug)]
pub struct Incoming {
    /// The message as it came.
    pub message: Message,
    /// What it says, or why it cannot be an event.
    pub decoded: Result<Envelope, Rejection>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is a new event, and a letter is in its organization's mailbox.
    Accepted(EventNo),
    /// It is a new event of a category that is never synced: recorded, and nothing else.
    Ignored(EventNo),
    /// The same event with the same content is there already.
    Duplicate,
    /// It stands among the rejected messages.
    Rejected(Rejection),
}

impl Store {
    /// Takes in messages, in their order; tells what became of each.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then nothing of the batch was taken in.
    pub async fn take_in(
        &self,
        catalogue: &Catalogue,
        incoming: &[Incoming],
    ) -> Result<Vec<Taken>, StoreError> {
        let mut session = self.session().await?;
        let transaction = session.begin().await?;
        transaction.query(statements::INTAKE_LOCK, &[]).await?;
        // Rejected messages get a number too: their place in the order, should they be replayed.
        let numbers = transaction.numbers(incoming.len()).await?;
        let taken = transaction.take_in_events(catalogue, incoming, &numbers, false).await?;
        transaction.add_rejected(incoming, &taken, &numbers).await?;
        transaction.commit().await?;
        Ok(taken)
    }
}

impl Transaction<'_> {
    /// As many numbers for events, ascending.
    pub(super) async fn numbers(&self, count: usize) -> Result<Vec<EventNo>, StoreError> {
        let rows = self.query_unless(count == 0, statements::NUMBERS_TAKE, [&(count as i64)]).await?;
        Ok(rows.iter().map(|row| EventNo(row.get(0))).collect())
    }

    /// Takes in those of the messages that are events, each under its number; tells what is to become of each.
    /// `replay`: they are old, and touch nothing that something newer has written. Wakes the executors.
    pub(super) async fn take_in_events(
        &self,
        catalogue: &Catalogue,
        incoming: &[Incoming],
        numbers: &[EventNo],
        replay: bool,
    ) -> Result<Vec<Taken>, StoreError> {
        let mut taken: Vec<Option<Taken>> = incoming.iter().map(|_| None).collect();
        for (place, one) in incoming.iter().enumerate() {
            if let Err(rejection) = &one.decoded {
                taken[place] = Some(Taken::Rejected(rejection.clone()));
            }
        }
        let firsts = first_of_each(incoming);
        let new = self.add_events(catalogue, incoming, &firsts, numbers, replay).await?;
        let added: HashMap<usize, EventNo> = new.iter().map(|event| (event.place, event.no)).collect();
        let known = firsts.iter().filter(|place| !added.contains_key(place));
        let known: Vec<&Envelope> =
            known.filter_map(|place| incoming[*place].decoded.as_ref().ok()).collect();
        let mut contents = self.contents(&known).await?;
        let new_events = new.iter().filter_map(|event| incoming[event.place].decoded.as_ref().ok());
        contents.extend(new_events.map(|envelope| (identity(envelope), envelope.content)));

        let mut letters = false;
        for event in &new {
            letters |= !event.ignored;
            taken[event.place] = Some(match event.ignored {
                true => Taken::Ignored(event.no),
                false => Taken::Accepted(event.no),
            });
        }
        let taken: Vec<Taken> = incoming
            .iter()
            .zip(taken)
            .map(|(one, taken)| match (taken, &one.decoded) {
                (Some(taken), _) => taken,
                (None, Ok(envelope)) => again(envelope, contents.get(&identity(envelope))),
                (None, Err(rejection)) => Taken::Rejected(rejection.clone()),
            })
            .collect();
        if letters {
            self.query(statements::LETTERS_NOTIFY, &[]).await?;
        }
        Ok(taken)
    }
}

/// An event that was added.
struct Added {
    place: usize,
    no: EventNo,
    ignored: bool,
}

/// What identifies an event: its source, and its id there.
pub type Identity = (String, String);

/// What identifies the event of this envelope.
pub fn identity(envelope: &Envelope) -> Identity {
    (envelope.source.clone(), envelope.id.clone())
}

/// The places of the first message of each identity. Those that come again are compared with what is stored in the
/// end: the first may have been refused itself, as its id was used before.
pub fn first_of_each(incoming: &[Incoming]) -> Vec<usize> {
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    let envelopes =
        incoming.iter().enumerate().filter_map(|(place, one)| Some((place, one.decoded.as_ref().ok()?)));
    envelopes
        .filter(|(_, envelope)| seen.insert((&envelope.source, &envelope.id)))
        .map(|(place, _)| place)
        .collect()
}

/// What an event is that is there already, with this content.
pub fn again(envelope: &Envelope, content: Option<&[u8; 32]>) -> Taken {
    if content == Some(&envelope.content) {
        return Taken::Duplicate;
    }
    let Envelope { source, id, .. } = envelope;
    Taken::Rejected(Rejection {
        code: RejectionCode::IdReused,
        reason: format!(
            "the event {id:?} of source {source:?} came before with other content; expected an id of its own"
        ),
        source: Some(source.clone()),
        id: Some(id.clone()),
    })
}

/// The columns of `events_add`.
#[derive(Default)]
struct EventColumns<'a> {
    nos: Vec<i64>,
    sources: Vec<&'a str>,
    ids: Vec<&'a str>,
    contents: Vec<&'a [u8]>,
    types: Vec<&'static str>,
    organizations: Vec<i32>,
    downstreams: Vec<Option<i32>>,
    categories: Vec<Option<&'a str>>,
    payloads: Vec<Option<String>>,
    verdicts: Vec<&'static str>,
    traceparents: Vec<Option<&'a str>>,
    bodies: Vec<Option<&'a [u8]>>,
    properties: Vec<Option<String>>,
}

/// The columns of `letters_add`.
#[derive(Default)]
pub(super) struct LetterColumns {
    pub(super) shards: Vec<i16>,
    pub(super) positions: Vec<i64>,
    pub(super) causes: Vec<i64>,
    pub(super) events: Vec<i64>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) organizations: Vec<Option<i32>>,
    pub(super) weights: Vec<i64>,
    pub(super) replays: Vec<bool>,
}

impl Transaction<'_> {
    async fn add_events(
        &self,
        catalogue: &Catalogue,
        incoming: &[Incoming],
        places: &[usize],
        numbers: &[EventNo],
        replay: bool,
    ) -> Result<Vec<Added>, StoreError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let of = |place: &usize| incoming[*place].decoded.as_ref().ok().map(|envelope| (*place, envelope));
        let events: Vec<(usize, &Envelope)> = places.iter().filter_map(of).collect();
        let organizations = self.organizations(&events).await?;
        let number = |id: &str| organizations.get(id).copied().unwrap_or_default();

        let mut columns = EventColumns::default();
        let mut letters = LetterColumns::default();
        let mut all = Vec::with_capacity(events.len());
        for (place, envelope) in &events {
            let EventNo(no) = numbers[*place];
            let message = &incoming[*place].message;
            columns.nos.push(no);
            columns.sources.push(&envelope.source);
            columns.ids.push(&envelope.id);
            columns.contents.push(&envelope.content);
            columns.traceparents.push(envelope.traceparent.as_ref().map(|trace| trace.as_str()));
            let (letter_to, kind, weight, ignored) = match &envelope.event {
                Event::SettingChanged(event) => {
                    let ignored = catalogue.get(event.category).reach == Reach::Never;
                    let organization = number(&event.organization_id);
                    columns.setting_changed(catalogue, event, organization, ignored, message)?;
                    (organization, JobKind::OwnChange, event.edit.len(), ignored)
                }
                Event::PartnershipChanged(event) => {
                    let (upstream, downstream) = (number(&event.upstream_id), number(&event.downstream_id));
                    columns.partnership_changed(event, upstream, downstream, message)?;
                    (downstream, JobKind::PartnershipChange, 1, false)
                }
            };
            all.push(Added { place: *place, no: EventNo(no), ignored });
            letters.shards.push(OrganizationNo(letter_to).shard().0);
            letters.positions.push(no);
            letters.causes.push(no);
            letters.events.push(no);
            letters.kinds.push(kind.name());
            letters.organizations.push(Some(letter_to));
            letters.weights.push(weight as i64);
            letters.replays.push(replay);
        }
        let rows = self.query(statements::EVENTS_ADD, &columns.parameters()).await?;
        let added: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        letters.retain(|place| added.contains(&all[place].no.0) && !all[place].ignored);
        let values = events.iter().zip(&all).filter(|(_, event)| added.contains(&event.no.0));
        let values = values.flat_map(|((_, envelope), _)| &envelope.values);
        let values: BTreeMap<_, _> = values.map(|(id, text)| (id.0, &**text)).collect();
        if !values.is_empty() {
            let ids: Vec<Uuid> = values.keys().map(|id| Uuid::from_u128(*id)).collect();
            let bodies: Vec<&str> = values.values().copied().collect();
            self.execute(statements::VALUES_ADD, &[&ids, &bodies]).await?;
        }
        self.add_letters(&letters).await?;
        all.retain(|event| added.contains(&event.no.0));
        Ok(all)
    }

    /// The numbers of all organizations that the events name; new ones are added.
    async fn organizations(&self, events: &[(usize, &Envelope)]) -> Result<HashMap<String, i32>, StoreError> {
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        for (_, envelope) in events {
            match &envelope.event {
                Event::SettingChanged(event) => {
                    ids.insert(&event.organization_id);
                }
                Event::PartnershipChanged(event) => {
                    ids.extend([&*event.upstream_id, &*event.downstream_id]);
                }
            }
        }
        let mut found = HashMap::new();
        for attempt in 0..2 {
            let missing: Vec<&str> = ids.iter().copied().filter(|id| !found.contains_key(*id)).collect();
            if missing.is_empty() {
                break;
            }
            if attempt == 1 {
                self.execute(statements::ORGANIZATIONS_ADD, &[&missing]).await?;
            }
            let rows = self.query(statements::ORGANIZATIONS_FIND, &[&missing]).await?;
            found.extend(rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, i32>(1))));
        }
        Ok(found)
    }

    /// The contents of those of these events that are there.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn contents(&self, known: &[&Envelope]) -> Result<HashMap<Identity, [u8; 32]>, StoreError> {
        if known.is_empty() {
            return Ok(HashMap::new());
        }
        let sources: Vec<&str> = known.iter().map(|envelope| &*envelope.source).collect();
        let ids: Vec<&str> = known.iter().map(|envelope| &*envelope.id).collect();
        let rows = self.query(statements::EVENTS_CONTENT, &[&sources, &ids]).await?;
        let content = |row: &tokio_postgres::Row| row.get::<_, &[u8]>(2).try_into().unwrap_or([0; 32]);
        Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), content(row))).collect())
    }

    pub(super) async fn add_letters(&self, letters: &LetterColumns) -> Result<(), StoreError> {
        if letters.shards.is_empty() {
            return Ok(());
        }
        let LetterColumns { shards, positions, causes, events, kinds, organizations, weights, replays } =
            letters;
        self.execute(
            statements::LETTERS_ADD,
            &[shards, positions, causes, events, kinds, organizations, weights, replays],
        )
        .await?;
        Ok(())
    }

    async fn add_rejected(
        &self,
        incoming: &[Incoming],
        taken: &[Taken],
        numbers: &[EventNo],
    ) -> Result<(), StoreError> {
        let mut places = Vec::new();
        let (mut codes, mut reasons, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        let (mut properties, mut digests, mut redelivered) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for ((one, taken), no) in incoming.iter().zip(taken).zip(numbers) {
            let Taken::Rejected(rejection) = taken else { continue };
            let digest = digest(&one.message)?;
            if !seen.insert(digest) {
                continue;
            }
            places.push(no.0);
            codes.push(rejection.code.name());
            reasons.push(&*rejection.reason);
            bodies.push(&*one.message.body);
            digests.push(digest);
            properties.push(properties_text(&one.message)?);
            redelivered.push(one.message.properties.redelivered == Some(true));
        }
        if codes.is_empty() {
            return Ok(());
        }
        let digests: Vec<&[u8]> = digests.iter().map(|digest| &digest[..]).collect();
        self.execute(
            statements::REJECTED_ADD,
            &[&codes, &reasons, &bodies, &properties, &digests, &redelivered, &places],
        )
        .await?;
        Ok(())
    }
}

/// What tells a message from others, whether it was delivered before or not.
///
/// # Errors
/// Where its properties cannot be written as JSON.
pub fn digest(message: &Message) -> Result<[u8; 32], StoreError> {
    let mut undelivered = message.clone();
    undelivered.properties.redelivered = None;
    undelivered.properties.headers.remove("x-delivery-count");
    let mut hash = Sha256::new();
    hash.update(properties_text(&undelivered)?.as_bytes());
    hash.update(&undelivered.body);
    Ok(hash.finalize().into())
}

fn properties_text(message: &Message) -> Result<String, StoreError> {
    to_json(&message.properties, "the properties of a message")
}

fn to_json(value: &impl serde::Serialize, what: &str) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Row { what: what.to_owned(), reason: error.to_string() })
}

impl<'a> EventColumns<'a> {
    fn setting_changed(
        &mut self,
        catalogue: &'a Catalogue,
        event: &'a SettingChanged,
        organization: i32,
        ignored: bool,
        message: &'a Message,
    ) -> Result<(), StoreError> {
        self.types.push("setting-changed");
        self.organizations.push(organization);
        self.downstreams.push(None);
        self.categories.push(Some(catalogue.name(event.category)));
        let payload = SettingPayload::new(event.version, &event.edit);
        self.payloads.push(if ignored { None } else { Some(to_json(&payload, "an event")?) });
        self.verdicts.push(if ignored { "ignored" } else { "accepted" });
        let may_be_found_wrong =
            matches!(&event.edit, Edit::Snapshot { entries, allow_empty: false } if entries.is_empty());
        self.message(message, may_be_found_wrong && !ignored)
    }

    fn partnership_changed(
        &mut self,
        event: &'a PartnershipChanged,
        upstream: i32,
        downstream: i32,
        message: &'a Message,
    ) -> Result<(), StoreError> {
        self.types.push("partnership-changed");
        self.organizations.push(upstream);
        self.downstreams.push(Some(downstream));
        self.categories.push(None);
        let PartnershipChanged { terms, onboarding, version, .. } = *event;
        self.payloads.push(Some(to_json(&PartnershipPayload { terms, onboarding, version }, "an event")?));
        self.verdicts.push("accepted");
        self.message(message, true)
    }

    /// Keeps the message where the event can be found wrong only when it runs.
    fn message(&mut self, message: &'a Message, keep: bool) -> Result<(), StoreError> {
        self.bodies.push(keep.then_some(&*message.body));
        self.properties.push(if keep { Some(properties_text(message)?) } else { None });
        Ok(())
    }

    fn parameters(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 13] {
        [
            &self.nos,
            &self.sources,
            &self.ids,
            &self.contents,
            &self.types,
            &self.organizations,
            &self.downstreams,
            &self.categories,
            &self.payloads,
            &self.verdicts,
            &self.traceparents,
            &self.bodies,
            &self.properties,
        ]
    }
}

impl LetterColumns {
    fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        fn filter<T>(column: &mut Vec<T>, keep: &impl Fn(usize) -> bool) {
            let mut place = 0;
            column.retain(|_| {
                place += 1;
                keep(place - 1)
            });
        }
        filter(&mut self.shards, &keep);
        filter(&mut self.positions, &keep);
        filter(&mut self.causes, &keep);
        filter(&mut self.events, &keep);
        filter(&mut self.kinds, &keep);
        filter(&mut self.organizations, &keep);
        filter(&mut self.weights, &keep);
        filter(&mut self.replays, &keep);
    }
}
