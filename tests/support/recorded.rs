//! What a service did of random sequences, held against the model.
//!
//! Which of two jobs of different organizations runs first is the workers' business, and sometimes counts
//! (of two upstreams that add one key, the first one's entry stays). So the model runs the jobs in the order
//! that the service recorded, and must come to the same result in each of them: counts, reason, verdict; to
//! the same settings, declined entries and partnerships in the end; and find no job that it would not run.
//!
//! To use it in a test target, beside the model and the sequences:
//! `#[path = "../support/recorded.rs"] mod recorded;`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test target uses a part of it, and fails by panicking"
)]

use std::collections::HashMap;
use std::ops::Range;

use channel_sync::domain::mailbox::Verdict;
use channel_sync::domain::{CauseNo, ChangeNo};
use tokio_postgres::Client;

use super::model::{Event, Model, Setting, State};
use super::sequence::LENGTH;

/// The places of the events that are published together.
pub(crate) const WAVES: [Range<usize>; 5] = [0..8, 8..13, 13..18, 18..24, 24..LENGTH];

/// An event of a sequence, its organizations named apart from those of other sequences.
pub(crate) fn of_sequence(seed: u64, mut event: Event) -> Event {
    let named = |name: &str| format!("{seed}-{name}");
    match &mut event {
        Event::Setting(event) => event.organization = named(&event.organization),
        Event::Partnership(event) => {
            event.upstream = named(&event.upstream);
            event.downstream = named(&event.downstream);
        }
    }
    event
}

/// Whether the contract takes the event in: a partnership with oneself is refused at the door.
pub(crate) fn is_taken_in(event: &Event) -> bool {
    !matches!(event, Event::Partnership(event) if event.upstream == event.downstream)
}

/// Fails unless exactly that came of the events of a sequence, in the order in which they were taken in, which the
/// model makes of them. Nothing must be left to do.
pub(crate) async fn compare(client: &Client, seed: u64, events: &[(String, &Event)]) {
    let mut model = Model::built_in();
    for (id, event) in events {
        model.publish_as(id, (*event).clone());
    }
    run_recorded_jobs(client, seed, &mut model).await;

    for (id, _) in events {
        let no = model.event_no(id).unwrap();
        let expected = match (model.events[&no].ignored, model.verdict(no)) {
            (true, _) => "ignored",
            (false, Some(Verdict::Applied)) => "done",
            (false, Some(Verdict::Superseded)) => "superseded",
            (false, Some(Verdict::Locked)) => "locked",
            (false, Some(Verdict::Rejected(_))) => "rejected",
            (false, None) => panic!("seed {seed}: the service ran no job for {id}"),
        };
        let state = client.query_one("select state from event_view where event_id = $1", &[id]).await;
        assert_eq!(state.unwrap().get::<_, &str>(0), expected, "seed {seed}: state of {id}");
    }
    pretty_eq(seed, &stored_state(client, seed).await, &model.state());
}

/// Runs in the model the jobs that the service ran, in the same order, and compares each.
async fn run_recorded_jobs(client: &Client, seed: u64, model: &mut Model) {
    let of_seed = format!("{seed}-%");
    let changes = "select c.change_no, c.cause_no, e.event_id, o.organization_id, c.category
                     from change c join event e using (event_no)
                     join organization o on o.organization_no = c.organization_no
                    where o.organization_id like $1 order by c.change_no";
    let mut change_rows = HashMap::new();
    for row in client.query(changes, &[&of_seed]).await.unwrap() {
        change_rows.insert(row.get::<_, i64>("change_no"), row);
    }
    let event_rows = client.query("select event_no, event_id from event", &[]).await.unwrap();
    let event_ids: HashMap<i64, String> = event_rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let jobs = "select j.*, j.state::text as state_name, o.organization_id
                  from job j join organization o using (organization_no)
                 where o.organization_id like $1 order by j.job_no";
    for row in client.query(jobs, &[&of_seed]).await.unwrap() {
        let organization = model.organization(row.get("organization_id"));
        let cause = cause(model, &change_rows, &event_ids, row.get("cause_no"));
        let what = format!("seed {seed}: job {cause:?} of {}", row.get::<_, &str>("organization_id"));
        let done = model.run_job(cause, organization);
        let done = done.unwrap_or_else(|| panic!("{what}: the rules reach nothing here"));
        let counts = done.counts;
        let expected = [
            counts.added,
            counts.changed,
            counts.removed,
            counts.unchanged,
            counts.kept_own,
            counts.declined,
        ];
        let stored = ["added", "changed", "removed", "unchanged", "kept_own", "declined"];
        assert_eq!(stored.map(|column| row.get::<_, i32>(column)), expected, "{what}: counts");
        assert_eq!(
            row.get::<_, Option<&str>>("skipped").is_some(),
            done.skipped.is_some(),
            "{what}: skipped"
        );
        assert_eq!(row.get::<_, &str>("state_name") == "discarded", done.rejected, "{what}: state");
    }
}

/// The model's number for a cause of the service.
fn cause(
    model: &Model,
    changes: &HashMap<i64, tokio_postgres::Row>,
    events: &HashMap<i64, String>,
    no: i64,
) -> CauseNo {
    if let Some(id) = events.get(&no) {
        return model.event_no(id).unwrap().into();
    }
    let row = &changes[&no];
    let found: Option<ChangeNo> = match row.get::<_, Option<&str>>("category") {
        Some(category) => {
            let made_by = cause(model, changes, events, row.get("cause_no"));
            let organization = model.find_organization(row.get("organization_id")).unwrap();
            model.change_made_by(made_by, organization, model.category(category))
        }
        None => model.beginning_made_by(model.event_no(row.get("event_id")).unwrap()),
    };
    found.unwrap_or_else(|| panic!("the model made no change like {no}")).into()
}

/// What stands in the database, as the model tells it.
pub(crate) async fn stored_state(client: &Client, seed: u64) -> State {
    let of_seed = format!("{seed}-%");
    let settings = "select organization_id, category, key, value::text as value, origin, locked_by, event_id
                      from setting_view where organization_id like $1";
    let declined = "select downstream.organization_id as downstream, upstream.organization_id as upstream,
                           d.category, d.key, e.event_id
                      from declined d
                      join organization downstream on downstream.organization_no = d.downstream_no
                      join organization upstream on upstream.organization_no = d.upstream_no
                      join event e on e.event_no = d.event_no
                     where downstream.organization_id like $1";
    let partnerships =
        "select upstream_id, downstream_id, mode from partnership_view where upstream_id like $1";
    let settings = client.query(settings, &[&of_seed]).await.unwrap().into_iter().map(|row| {
        let setting = Setting {
            value: row.get("value"),
            origin: row.get("origin"),
            locked_by: row.get("locked_by"),
            written_by: row.get("event_id"),
        };
        ((row.get("organization_id"), row.get("category"), row.get("key")), setting)
    });
    let declined = client.query(declined, &[&of_seed]).await.unwrap().into_iter().map(|row| {
        let address = (row.get("downstream"), row.get("upstream"), row.get("category"), row.get("key"));
        (address, row.get("event_id"))
    });
    let partnerships = client.query(partnerships, &[&of_seed]).await.unwrap().into_iter().map(|row| {
        let mode = serde_json::from_value(serde_json::Value::from(row.get::<_, String>("mode"))).unwrap();
        ((row.get("upstream_id"), row.get("downstream_id")), mode)
    });
    State { settings: settings.collect(), declined: declined.collect(), partnerships: partnerships.collect() }
}

pub(crate) fn pretty_eq(seed: u64, stored: &State, expected: &State) {
    assert_eq!(stored.settings, expected.settings, "seed {seed}: settings");
    assert_eq!(stored.declined, expected.declined, "seed {seed}: declined entries");
    assert_eq!(stored.partnerships, expected.partnerships, "seed {seed}: partnerships");
}
