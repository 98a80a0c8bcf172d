//! Taking in a batch of messages: events with a letter each, and messages that cannot be events.
//!
//! One transaction a batch, and one at a time in the whole database (`hold_intake`): numbers are given
//! in the order in which they are committed, and what was looked up as missing is missing still when it is added. What
//! is taken in already is found by `(source, id)`: again with the same content it is a duplicate, with other content
//! it is rejected. Whoever calls this acknowledges the messages after it has returned, never before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio_postgres::types::{Json, ToSql, Type};
use uuid::Uuid;

use super::error::StoreError;
use super::payload::{PartnershipPayload, SettingPayload};
use super::pool::{Store, Transaction};
use super::save::LetterColumns;
use super::statements;
use super::together::together;
use crate::contract::{
    Envelope, Event, Message, PartnershipChanged, Properties, Rejection, RejectionCode, SettingChanged,
};
use crate::domain::catalogue::{Catalogue, Reach};
use crate::domain::mailbox::JobKind;
use crate::domain::setting::Edit;
use crate::domain::{EventNo, OrganizationNo, Position};

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
        transaction.hold_intake().await?;
        // Rejected messages get a number too: their place in the order, should they be replayed.
        let numbers = transaction.numbers(incoming.len()).await?;
        let taken = transaction.take_in_events(catalogue, incoming, &numbers, false).await?;
        transaction.add_rejected(incoming, &taken, &numbers).await?;
        transaction.commit().await?;
        Ok(taken)
    }
}

impl Transaction<'_> {
    /// Keeps everybody else from taking in events until the transaction ends; waits until nobody does. Whoever takes
    /// numbers for events or adds some calls it first, but after it has locked what shards it wants: decision 0004.
    ///
    /// # Errors
    /// Where the database cannot be reached, or somebody else takes in events for too long.
    pub(super) async fn hold_intake(&self) -> Result<(), StoreError> {
        together!(
            self.query(statements::INTAKE_LOCK, &[]),
            self.execute(statements::INTAKE_TABLES_LOCK, &[]),
        )?;
        Ok(())
    }

    /// As many numbers for events, ascending.
    pub(super) async fn numbers(&self, count: usize) -> Result<Vec<EventNo>, StoreError> {
        let rows = self.query_unless(count == 0, statements::NUMBERS_TAKE, [&(count as i64)]).await?;
        Ok(rows.iter().map(|row| EventNo(row.get(0))).collect())
    }

    /// Takes in those of the messages that are events, each under its number; tells what is to become of each.
    /// `replay`: they are old, and touch nothing that something newer has written. Wakes the executors. The
    /// transaction holds the intake.
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
        let firsts: Vec<(usize, &Envelope)> = first_of_each(incoming).collect();
        let envelopes: Vec<&Envelope> = firsts.iter().map(|(_, envelope)| *envelope).collect();
        let values: Vec<Uuid> = values(&envelopes).into_keys().collect();
        let (organizations, mut contents, known_values) =
            together!(self.organizations(&envelopes), self.contents(&envelopes), self.known_values(&values))?;
        let is_new = |(_, envelope): &&(usize, &Envelope)| !contents.contains_key(&identity(envelope));
        let new: Vec<(usize, &Envelope)> = firsts.iter().filter(is_new).copied().collect();
        let mut events = Events::new(catalogue, &organizations);
        for (place, envelope) in &new {
            let ignored = events.push(numbers[*place], envelope, &incoming[*place].message, replay)?;
            let taken_in = if ignored { Taken::Ignored } else { Taken::Accepted };
            taken[*place] = Some(taken_in(numbers[*place]));
        }
        contents.extend(new.iter().map(|(_, envelope)| (identity(envelope), envelope.content)));
        let new: Vec<&Envelope> = new.into_iter().map(|(_, envelope)| envelope).collect();
        // What is copied goes out while nothing else is under way: see `Transaction::copy_unless`.
        self.add_events(&events.columns).await?;
        self.add_values(&new, &known_values).await?;
        self.insert_letters(&events.letters).await?;
        if !events.letters.shards.is_empty() {
            self.query(statements::LETTERS_NOTIFY, &[]).await?;
        }

        let taken = incoming.iter().zip(taken).map(|(one, taken)| match (taken, &one.decoded) {
            (Some(taken), _) => taken,
            (None, Ok(envelope)) => again(envelope, contents.get(&identity(envelope))),
            (None, Err(rejection)) => Taken::Rejected(rejection.clone()),
        });
        Ok(taken.collect())
    }
}

/// What identifies an event: its source, and its id there.
pub type Identity = (String, String);

/// What identifies the event of this envelope.
pub fn identity(envelope: &Envelope) -> Identity {
    (envelope.source.clone(), envelope.id.clone())
}

/// The first message of each identity, with its place. Those that come again are compared with what is stored in the
/// end: the first may have been refused itself, as its id was used before.
pub fn first_of_each(incoming: &[Incoming]) -> impl Iterator<Item = (usize, &Envelope)> {
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    let envelopes =
        incoming.iter().enumerate().filter_map(|(place, one)| Some((place, one.decoded.as_ref().ok()?)));
    envelopes.filter(move |(_, envelope)| seen.insert((&envelope.source, &envelope.id)))
}

/// The values of events, each once, in the order of their ids.
fn values<'e>(envelopes: &[&'e Envelope]) -> BTreeMap<Uuid, &'e str> {
    let values = envelopes.iter().flat_map(|envelope| &envelope.values);
    values.map(|(id, text)| (Uuid::from_u128(id.0), &**text)).collect()
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
    properties: Vec<Option<Json<&'a Properties>>>,
}

/// Their types, as they are sent: the server takes enumerations and `json` as text.
const EVENT_TYPES: [Type; 13] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::TEXT,
    Type::INT4,
    Type::INT4,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::JSONB,
];

/// New events, and their letters.
struct Events<'a> {
    catalogue: &'a Catalogue,
    organizations: &'a HashMap<String, i32>,
    columns: EventColumns<'a>,
    letters: LetterColumns,
}

impl<'a> Events<'a> {
    /// None yet; `organizations` has the numbers of all that they name.
    fn new(catalogue: &'a Catalogue, organizations: &'a HashMap<String, i32>) -> Self {
        let (columns, letters) = (EventColumns::default(), LetterColumns::default());
        Self { catalogue, organizations, columns, letters }
    }

    /// Adds one under this number. Returns whether it is ignored, and has no letter.
    fn push(
        &mut self,
        EventNo(no): EventNo,
        envelope: &'a Envelope,
        message: &'a Message,
        replay: bool,
    ) -> Result<bool, StoreError> {
        let number = |id: &str| self.organizations.get(id).copied().unwrap_or_default();
        let columns = &mut self.columns;
        columns.nos.push(no);
        columns.sources.push(&envelope.source);
        columns.ids.push(&envelope.id);
        columns.contents.push(&envelope.content);
        columns.traceparents.push(envelope.traceparent.as_ref().map(|trace| trace.as_str()));
        let (letter_to, kind, weight) = match &envelope.event {
            Event::SettingChanged(event) => {
                let ignored = self.catalogue.get(event.category).reach == Reach::Never;
                let organization = number(&event.organization_id);
                columns.setting_changed(self.catalogue, event, organization, ignored, message)?;
                if ignored {
                    return Ok(true);
                }
                (organization, JobKind::OwnChange, event.edit.len())
            }
            Event::PartnershipChanged(event) => {
                let (upstream, downstream) = (number(&event.upstream_id), number(&event.downstream_id));
                columns.partnership_changed(event, upstream, downstream, message)?;
                (downstream, JobKind::PartnershipChange, 1)
            }
        };
        let (event, to) = (EventNo(no), OrganizationNo(letter_to));
        let order = (Position(no), event);
        self.letters.push((to.shard(), Some(to)), (kind, event.into()), order, (weight as i64, replay));
        Ok(false)
    }
}

impl Transaction<'_> {
    async fn add_events(&self, events: &EventColumns<'_>) -> Result<(), StoreError> {
        let rows = (0..events.nos.len()).map(|at| events.row(at));
        self.copy_unless(events.nos.is_empty(), statements::EVENTS_ADD, &EVENT_TYPES, rows).await
    }

    /// Adds the values of events, but for those that are there.
    async fn add_values(&self, envelopes: &[&Envelope], known: &HashSet<Uuid>) -> Result<(), StoreError> {
        let mut values = values(envelopes);
        values.retain(|id, _| !known.contains(id));
        let values: Vec<(Uuid, Json<&RawValue>)> = values
            .into_iter()
            .map(|(id, text)| match serde_json::from_str(text) {
                Ok(body) => Ok((id, Json(body))),
                Err(error) => {
                    Err(StoreError::Row { what: format!("the value {id}"), reason: error.to_string() })
                }
            })
            .collect::<Result<_, _>>()?;
        let rows = values.iter().map(|(id, body)| -> [&(dyn ToSql + Sync); 2] { [id, body] });
        self.copy_unless(values.is_empty(), statements::VALUES_ADD, &[Type::UUID, Type::JSONB], rows).await
    }

    /// Which of these values are there.
    async fn known_values(&self, ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
        let rows = self.query_unless(ids.is_empty(), statements::VALUES_KNOWN, [&ids]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The numbers of all organizations that the events name; new ones are added.
    async fn organizations(&self, events: &[&Envelope]) -> Result<HashMap<String, i32>, StoreError> {
        let ids: BTreeSet<&str> =
            events.iter().flat_map(|envelope| envelope.event.organizations()).map(|id| &**id).collect();
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
        self.message(message, may_be_found_wrong && !ignored);
        Ok(())
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
        self.message(message, true);
        Ok(())
    }

    /// Keeps the message where the event can be found wrong only when it runs.
    fn message(&mut self, message: &'a Message, keep: bool) {
        self.bodies.push(keep.then_some(&*message.body));
        self.properties.push(keep.then_some(Json(&message.properties)));
    }

    fn row(&self, at: usize) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.nos[at],
            &self.sources[at],
            &self.ids[at],
            &self.contents[at],
            &self.types[at],
            &self.organizations[at],
            &self.downstreams[at],
            &self.categories[at],
            &self.payloads[at],
            &self.verdicts[at],
            &self.traceparents[at],
            &self.bodies[at],
            &self.properties[at],
        ]
    }
}
