//! `cargo bench`: decoding and deciding alone, without servers.
#![allow(clippy::unwrap_used, reason = "a program for developers ends where it cannot go on")]

use std::collections::BTreeMap;
use std::sync::Arc;

use channel_sync::contract::{Limits, Message, Properties, decode};
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue, CategoryId};
use channel_sync::domain::decide::{Part, own_change, reconcile, sync_change};
use channel_sync::domain::partnership::{Beginning, Partnership, Status, Terms};
use channel_sync::domain::setting::{Change, Edit, Effect, Entry, Key, ValueId};
use channel_sync::domain::world::World;
use channel_sync::domain::{ChangeNo, EventNo, OrganizationNo};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

const UPSTREAM: OrganizationNo = OrganizationNo(1);
const PARTNER: OrganizationNo = OrganizationNo(2);
const EVENT: EventNo = EventNo(1_000);

fn catalogue() -> Catalogue {
    Catalogue::parse(BUILT_IN).unwrap()
}

fn equipment(catalogue: &Catalogue) -> CategoryId {
    catalogue.find("equipment").unwrap()
}

fn key(no: usize) -> String {
    format!("module/helios-solar-power-series-7-hsp-{no:06}")
}

fn value(no: usize) -> Value {
    json!({
        "name": format!("Helios Solar Power Series 7 HSP-{no:06}"), "technology": "Mono-c-Si",
        "watts": 412.5, "ptc_watts": 380.1, "area_m2": 1.94, "cells": 72,
    })
}

/// An event in structured form.
fn message(event_type: &str, data: Value) -> Message {
    let event = json!({
        "specversion": "1.0", "id": "event-1", "source": "bench", "type": event_type, "data": data,
    });
    let content_type = Some("application/cloudevents+json".to_owned());
    let properties = Properties { content_type, ..Properties::default() };
    Message { body: event.to_string().into_bytes(), properties }
}

fn decodes(bencher: Bencher<'_, '_>, message: &Message, entries: usize) {
    let (catalogue, limits) = (catalogue(), Limits { body_bytes_max: usize::MAX, ..Limits::default() });
    decode(message, &catalogue, &limits).unwrap();
    bencher
        .counter(ItemsCount::new(entries))
        .counter(BytesCount::new(message.body.len()))
        .bench(|| decode(black_box(message), &catalogue, &limits));
}

#[divan::bench(args = [1, 100, 20_000])]
fn decode_changes(bencher: Bencher<'_, '_>, entries: usize) {
    let changes: Vec<Value> =
        (0..entries).map(|no| json!({ "op": "set", "key": key(no), "value": value(no) })).collect();
    let data = json!({ "organization_id": "helios", "category": "equipment", "changes": changes });
    decodes(bencher, &message("setting-changed", data), entries);
}

#[divan::bench(args = [100, 20_000])]
fn decode_snapshot(bencher: Bencher<'_, '_>, entries: usize) {
    let snapshot: BTreeMap<String, Value> = (0..entries).map(|no| (key(no), value(no))).collect();
    let data = json!({ "organization_id": "helios", "category": "equipment", "snapshot": snapshot });
    decodes(bencher, &message("setting-changed", data), entries);
}

#[divan::bench]
fn decode_partnership(bencher: Bencher<'_, '_>) {
    let data = json!({
        "upstream_id": "helios", "downstream_id": "newleaf", "status": "active", "exclusive": true,
        "data_sync": true, "allow_downstream_edit": false, "onboarding": "new-organization",
    });
    decodes(bencher, &message("partnership-changed", data), 1);
}

/// So many entries, each with a value of its own.
fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|no| Key::from(key(no))).collect()
}

fn value_id(no: usize) -> ValueId {
    ValueId(no as u128)
}

/// An upstream with so many strict partners, and nothing else.
fn world(partners: usize) -> World {
    let mut world = World::default();
    let terms = Terms {
        status: Status::Active,
        exclusive: true,
        data_sync: true,
        allow_downstream_edit: Some(false),
    };
    for downstream in downstreams(partners) {
        let since = ChangeNo(0);
        let upstream = UPSTREAM;
        world.load_partnership(Partnership {
            upstream,
            downstream,
            terms,
            since,
            version: None,
            event: None,
        });
    }
    world
}

fn downstreams(partners: usize) -> impl Iterator<Item = OrganizationNo> {
    (0..partners as i32).map(|no| OrganizationNo(PARTNER.0 + no))
}

/// An organization's own snapshot, of which it has nothing yet.
#[divan::bench(args = [1, 20_000])]
fn decide_own_change(bencher: Bencher<'_, '_>, entries: usize) {
    let catalogue = catalogue();
    let category = equipment(&catalogue);
    let entries: Vec<(Key, ValueId)> =
        keys(entries).into_iter().enumerate().map(|(no, key)| (key, value_id(no))).collect();
    let count = entries.len();
    let edit = Edit::Snapshot { entries, allow_empty: false };
    bencher.counter(ItemsCount::new(count)).with_inputs(|| world(0)).bench_refs(|world| {
        own_change(world, &catalogue, EVENT.into(), UPSTREAM, category, None, &edit);
        world.take_writes()
    });
}

/// A new entry to so many strict partners.
#[divan::bench(args = [10, 1_000, 10_000])]
fn decide_sync_change(bencher: Bencher<'_, '_>, partners: usize) {
    let catalogue = catalogue();
    let change = Change {
        no: ChangeNo(1_001),
        event: EVENT,
        cause: EVENT.into(),
        organization: UPSTREAM,
        category: equipment(&catalogue),
        entries: Arc::from([(Key::from(key(0)), Effect::Added(value_id(0)))]),
    };
    bencher.counter(ItemsCount::new(partners)).with_inputs(|| world(partners)).bench_refs(|world| {
        for downstream in downstreams(partners) {
            black_box(sync_change(world, &catalogue, &change, &change.entries, downstream));
        }
        world.take_writes()
    });
}

/// A partner that begins with an upstream of so many entries.
#[divan::bench(args = [20, 20_000])]
fn decide_reconcile(bencher: Bencher<'_, '_>, entries: usize) {
    let catalogue = catalogue();
    let category = equipment(&catalogue);
    let mut given = world(1);
    for (no, key) in keys(entries).into_iter().enumerate() {
        let entry = Entry { value: value_id(no), origin: None, written_by: EventNo(1), added_by: EventNo(1) };
        given.load_entry(UPSTREAM, category, key, entry);
    }
    bencher.counter(ItemsCount::new(entries)).with_inputs(|| given.clone()).bench_refs(|world| {
        let parties = (UPSTREAM, PARTNER);
        let _ = reconcile(world, &catalogue, EVENT.into(), Beginning::BecameStrict, parties, &Part::WHOLE);
        world.take_writes()
    });
}
