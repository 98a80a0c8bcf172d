//! What a match displaced comes back as an edit of the organization's own, and overwrites nothing newer.

use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::operations::{self, JobKey, OperationError, Restore};
use serde_json::{Value, json};

use crate::steps::Steps;
use crate::support::events::{edit, partnership};
use crate::verify::ANA;

impl Steps {
    /// Pac with three modules, a cost and a licence of its own, which became strict, and leaf below it, strict too.
    async fn with_a_match() -> (Self, JobKey) {
        let steps = Self::start().await;
        let modules = [("m", json!(1)), ("n", json!(1)), ("same", json!(5))];
        steps.apply([edit("h-1", "helios", "equipment", &[("m", json!(2)), ("same", json!(5))])]).await;
        steps.apply([edit("p-1", "pac", "equipment", &modules)]).await;
        steps.apply([edit("p-2", "pac", "default-costs", &[("battery", json!(1))])]).await;
        steps.apply([partnership("leaf", "pac", "leaf", "strict")]).await;
        steps.apply([partnership("strict", "helios", "pac", "strict")]).await;
        let key = "select idempotency_key from job_view where event_id = 'strict' and kind = 'reconcile'";
        let job = steps.lines(key).await.trim().parse().unwrap();
        assert_eq!(steps.of("pac").await, "equipment m 2 helios, equipment same 5 helios");
        (steps, job)
    }

    async fn of(&self, organization: &str) -> String {
        let query = format!(
            "select category || ' ' || key || ' ' || value || ' ' || origin from setting_view
              where organization_id = '{organization}' order by category, key"
        );
        self.lines(&query).await.trim_end().replace('\n', ", ")
    }

    async fn preview_restore(&self, job: JobKey) -> Restore {
        operations::preview_restore(&self.store, &Catalogue::parse(BUILT_IN).unwrap(), job, 100)
            .await
            .unwrap()
    }

    async fn restore(&self, job: JobKey) -> Result<Restore, OperationError> {
        operations::restore(&self.store, &Catalogue::parse(BUILT_IN).unwrap(), job, 100, ANA).await
    }
}

fn outcomes(restore: &Restore) -> String {
    let line = |entry: &operations::RestoreEntry| {
        let value = |value: &Option<operations::StoredValue>| match value {
            Some(value) => value.text().to_owned(),
            None => "-".to_owned(),
        };
        let by = entry.by.as_deref().unwrap_or("-");
        format!("{} {} {} {} {by}", entry.key, value(&entry.value), value(&entry.now), entry.outcome)
    };
    restore.entries.iter().map(line).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn what_was_displaced_comes_back_once_the_lock_is_gone() {
    let (steps, job) = Steps::with_a_match().await;
    let locked = steps.preview_restore(job).await;
    assert_eq!(outcomes(&locked), "battery 1 - locked helios, m 1 2 locked helios, n 1 - locked helios");
    assert!(matches!(steps.restore(job).await, Err(OperationError::NothingToRestore { .. })));
    assert_eq!(steps.lines("select count(*) from operator_action").await, "0\n");

    steps.apply([partnership("flexible", "helios", "pac", "flexible")]).await;
    let preview = steps.preview_restore(job).await;
    assert_eq!(outcomes(&preview), "battery 1 - restored -, m 1 2 restored -, n 1 - restored -");
    assert_eq!(steps.of("pac").await, "equipment m 2 helios, equipment same 5 helios");

    let restore = steps.restore(job).await.unwrap();
    assert_eq!(restore.events, [format!("restore-{job}-1"), format!("restore-{job}-2")]);
    assert_eq!(restore.outcomes.restored, 3);
    // Asked for once more before it is done: it waits already.
    let again = steps.restore(job).await;
    assert!(matches!(again, Err(OperationError::NothingToRestore { .. })), "{again:?}");
    steps.executor.settle().await.unwrap();
    let restored =
        "default-costs battery 1 own, equipment m 1 own, equipment n 1 own, equipment same 5 helios";
    assert_eq!(steps.of("pac").await, restored);
    assert_eq!(
        steps.of("leaf").await,
        restored.replace("own", "pac").replace("helios", "pac"),
        "and on by the rules"
    );
    let events = format!(
        "select event_id, source, type, organization_id, category, state, jobs_total from event_view
          where event_id like 'restore-{job}-%' order by 1"
    );
    assert_eq!(
        steps.lines(&events).await,
        format!(
            "restore-{job}-1 | channel-sync | setting-changed | pac | equipment | done | 2\n\
             restore-{job}-2 | channel-sync | setting-changed | pac | default-costs | done | 2\n"
        )
    );
    let action = "select who, action, reason, subject ->> 'job' from operator_action";
    assert_eq!(steps.lines(action).await, format!("ana | restore | a backup was restored | {job}\n"));

    // Twice is as once.
    let again = steps.preview_restore(job).await;
    assert_eq!((again.outcomes.in_place, again.outcomes.restored), (3, 0));
    assert!(matches!(steps.restore(job).await, Err(OperationError::NothingToRestore { .. })));
    assert_eq!(steps.of("pac").await, restored);

    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let explained =
        operations::explain(&steps.store, &catalogue, "pac", "equipment", Some("m"), 20).await.unwrap();
    let setting = explained.setting.unwrap();
    assert_eq!((setting.origin.as_str(), setting.event_id), ("own", Some(format!("restore-{job}-1"))));
    assert_eq!(explained.history[0].event_id, format!("restore-{job}-1"));
    assert_eq!(explained.history[0].source, "channel-sync");
    drop(steps.database);
}

#[tokio::test]
async fn what_a_later_event_has_said_stays() {
    let (steps, job) = Steps::with_a_match().await;
    steps.apply([partnership("flexible", "helios", "pac", "flexible")]).await;
    // Edited; added and deleted again; and one that waits.
    steps.apply([edit("p-3", "pac", "equipment", &[("m", json!(7))])]).await;
    steps.apply([edit("p-4", "pac", "equipment", &[("n", json!(8))])]).await;
    steps.apply([edit("p-5", "pac", "equipment", &[("n", Value::Null)])]).await;
    operations::pause(&steps.store, Some("pac"), ANA).await.unwrap();
    steps.take_in([edit("p-6", "pac", "default-costs", &[("battery", json!(9))])]).await;
    let preview = steps.preview_restore(job).await;
    assert_eq!(
        outcomes(&preview),
        "battery 1 - own-event-waits -, m 1 7 changed-since p-3, n 1 - changed-since p-5"
    );
    let refused = steps.restore(job).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "nothing that the job {job} displaced can be restored: 2 changed since by later events, \
             1 about which later events wait"
        )
    );
    operations::resume(&steps.store, Some("pac"), "ana").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps.of("pac").await,
        "default-costs battery 9 own, equipment m 7 own, equipment same 5 helios"
    );
    drop(steps.database);
}

#[tokio::test]
async fn what_something_newer_may_have_said_whose_results_were_dropped_stays() {
    let (steps, job) = Steps::with_a_match().await;
    steps.apply([partnership("ended", "helios", "pac", "ended")]).await;
    // Added and deleted again: only the results tell.
    steps.apply([edit("p-3", "pac", "equipment", &[("n", json!(8))])]).await;
    steps.apply([edit("p-4", "pac", "equipment", &[("n", Value::Null)])]).await;
    // A later reconcile, whose result is kept always, by itself says nothing of what it did not write.
    steps.apply([edit("s-1", "sunny", "adders", &[("a", json!(1))])]).await;
    steps.apply([partnership("merges", "sunny", "pac", "non-exclusive")]).await;
    let preview = steps.preview_restore(job).await;
    assert_eq!(outcomes(&preview), "battery 1 - restored -, m 1 2 restored -, n 1 - changed-since p-4");

    steps.results_are_dropped().await;
    steps.apply([edit("p-5", "pac", "equipment", &[("new", json!(1))])]).await;
    let preview = steps.preview_restore(job).await;
    // What the match wrote and is still there tells by itself that nothing came after it.
    assert_eq!(
        outcomes(&preview),
        "battery 1 - results-dropped -, m 1 2 restored -, n 1 - results-dropped -"
    );
    assert_eq!(steps.restore(job).await.unwrap().outcomes.restored, 1);
    steps.executor.settle().await.unwrap();
    let refused = steps.restore(job).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "nothing that the job {job} displaced can be restored: 1 in place already, \
             2 of which it is not known any more what came since, as results were dropped"
        )
    );
    assert_eq!(
        steps.of("pac").await,
        "adders a 1 sunny, equipment m 1 own, equipment new 1 own, equipment same 5 helios"
    );

    // What results that are there tell is told, and of a match after the drop everything is known.
    steps.apply([edit("p-6", "pac", "equipment", &[("n", json!(9))])]).await;
    steps.apply([edit("p-7", "pac", "equipment", &[("n", Value::Null)])]).await;
    let preview = steps.preview_restore(job).await;
    assert_eq!(
        outcomes(&preview),
        "battery 1 - results-dropped -, m 1 1 in-place -, n 1 - changed-since p-7"
    );
    steps.apply([partnership("without-sunny", "sunny", "pac", "ended")]).await;
    steps.apply([partnership("strict-2", "helios", "pac", "strict")]).await;
    steps.apply([partnership("ended-2", "helios", "pac", "ended")]).await;
    let key = "select idempotency_key from job_view where event_id = 'strict-2' and kind = 'reconcile'";
    let later: JobKey = steps.lines(key).await.trim().parse().unwrap();
    assert_eq!(
        outcomes(&steps.preview_restore(later).await),
        "a 1 - restored -, m 1 2 restored -, new 1 - restored -"
    );
    drop(steps.database);
}

#[tokio::test]
async fn a_restore_that_finds_its_settings_locked_when_it_runs_is_refused_and_can_be_done_again() {
    let (steps, job) = Steps::with_a_match().await;
    steps.apply([partnership("flexible", "helios", "pac", "flexible")]).await;
    // An event that stands before it makes the partnership strict again.
    operations::pause(&steps.store, Some("pac"), ANA).await.unwrap();
    steps.take_in([partnership("again", "helios", "pac", "strict")]).await;
    steps.restore(job).await.unwrap();
    operations::resume(&steps.store, Some("pac"), "ana").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.of("pac").await, "equipment m 2 helios, equipment same 5 helios");
    let states = format!("select state from event_view where event_id like 'restore-{job}-%'");
    assert_eq!(steps.lines(&states).await, "locked\nlocked\n");
    steps.apply([partnership("flexible-2", "helios", "pac", "flexible")]).await;
    let restore = steps.restore(job).await.unwrap();
    assert_eq!(restore.events, [format!("restore-{job}-3"), format!("restore-{job}-4")]);
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps.of("pac").await,
        "default-costs battery 1 own, equipment m 1 own, equipment n 1 own, equipment same 5 helios"
    );
    drop(steps.database);
}

#[tokio::test]
async fn what_displaced_nothing_is_told_so_and_what_is_unknown_too() {
    let (steps, _) = Steps::with_a_match().await;
    let key = "select idempotency_key from job_view where event_id = 'h-1'";
    let job: JobKey = steps.lines(key).await.trim().parse().unwrap();
    assert_eq!(steps.preview_restore(job).await.displaced, 0);
    let refused = steps.restore(job).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        format!("nothing that the job {job} displaced can be restored: it displaced nothing")
    );
    let unknown = steps.restore("9999-9999".parse().unwrap()).await;
    assert!(matches!(unknown, Err(OperationError::UnknownJob(_))), "{unknown:?}");
    drop(steps.database);
}

#[tokio::test]
async fn many_entries_come_back_in_several_events() {
    let steps = Steps::start().await;
    let entries: Vec<(String, Value)> = (0..12_000).map(|no| (format!("k{no:05}"), json!(no))).collect();
    let entries: Vec<(&str, Value)> =
        entries.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    steps.apply([edit("p-1", "pac", "equipment", &entries)]).await;
    steps.apply([edit("h-1", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.apply([partnership("strict", "helios", "pac", "strict")]).await;
    steps.apply([partnership("ended", "helios", "pac", "ended")]).await;
    let key = "select idempotency_key from job_view where event_id = 'strict' and kind = 'reconcile'";
    let job: JobKey = steps.lines(key).await.trim().parse().unwrap();
    let restore = steps.restore(job).await.unwrap();
    assert_eq!((restore.outcomes.restored, restore.entries.len()), (12_000, 100));
    assert!((3..=4).contains(&restore.events.len()), "{:?}", restore.events);
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.lines("select count(*) from setting where origin_no is null").await, "12001\n");
    drop(steps.database);
}
