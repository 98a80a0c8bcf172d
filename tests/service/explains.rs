//! Explain: an answer for every setting, and the right one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::domain::partnership::Mode;
use channel_sync::operations::{self, Explanation, JobSelection, OperationError, Operator, explain};
use serde_json::{Value, json};

use crate::model::{Event, State};
use crate::recorded::{of_sequence, stored_state};
use crate::sequence::{ORGANIZATIONS, sequence};
use crate::steps::Steps;
use crate::support::events::{edit, event, invitation, partnership};

async fn explained(steps: &Steps, organization: &str, category: &str, key: Option<&str>) -> Explanation {
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    explain(&steps.store, &catalogue, organization, category, key, 100).await.unwrap()
}

/// The codes and texts of the reasons, a line each.
async fn reasons(steps: &Steps, organization: &str, key: &str) -> String {
    let explanation = explained(steps, organization, "equipment", Some(key)).await;
    explanation.reasons.iter().map(|reason| format!("{}: {}\n", reason.code, reason.text)).collect()
}

/// What has named a setting: event, what it says, state, what became of it, and by which rule.
async fn history(steps: &Steps, organization: &str, category: &str, key: &str) -> String {
    let explanation = explained(steps, organization, category, Some(key)).await;
    let lines = explanation.history.iter().map(|row| {
        let rule = row.rule.as_ref().map_or("-", |rule| rule.name());
        let (said, effect) = (row.said.as_deref().unwrap_or("-"), row.effect.unwrap_or("-"));
        format!("{} {said}: {} {effect} {rule}\n", row.event_id, row.state)
    });
    lines.collect()
}

/// Helios, with pac (flexible) and, below that, roof (strict).
async fn three_tiers() -> Steps {
    let steps = Steps::start().await;
    steps.apply([edit("1", "helios", "equipment", &[("a", json!(1)), ("b", json!(1))])]).await;
    steps.apply([invitation("2", "helios", "pac", "flexible")]).await;
    steps.apply([partnership("3", "pac", "roof", "strict")]).await;
    steps
}

#[tokio::test]
async fn a_synced_setting_is_explained_by_its_way() {
    let steps = three_tiers().await;
    steps.apply([edit("4", "helios", "equipment", &[("c", json!(1)), ("d", json!(2))])]).await;
    let explanation = explained(&steps, "roof", "equipment", Some("c")).await;
    let texts: Vec<&str> = explanation.reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "it came from pac with the event 4, on the way helios → pac → roof: match, strict: what is added, \
             changed and removed all applies",
            "pac has the same value now",
        ]
    );
    assert_eq!(explanation.edit.locked_by.as_deref(), Some("pac"));
    assert!(!explanation.edit.allowed);
    assert_eq!(explanation.edit.because, "the partnership with pac is strict: equipment is locked");
    let way: Vec<&str> = explanation.way.iter().map(|step| step.organization_id.as_str()).collect();
    assert_eq!(way, ["helios", "pac"]);
    assert_eq!(
        explained(&steps, "pac", "equipment", Some("c")).await.edit.because,
        "no partnership of it is strict"
    );
    assert_eq!(
        history(&steps, "pac", "equipment", "c").await,
        "4 added: succeeded added merge\n2 -: succeeded - match\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn what_a_merge_leaves_alone_is_explained_by_the_rule() {
    let steps = three_tiers().await;
    steps.apply([edit("4", "pac", "equipment", &[("a", json!(7))])]).await;
    steps.apply([edit("5", "helios", "equipment", &[("a", json!(2)), ("b", Value::Null)])]).await;
    assert_eq!(
        reasons(&steps, "pac", "a").await,
        "own: it is pac's own, by its event 4\n\
         kept-own: helios has another value: flexible: of a collection, only what is new is added, and an own one \
         is kept\n"
    );
    assert_eq!(
        reasons(&steps, "pac", "b").await,
        "synced: it came from helios with the event 2: match, a new organization was invited: it becomes a replica\n\
         not-removed: helios does not have it any more: flexible: of a collection, only what is new is added\n"
    );
    assert_eq!(
        history(&steps, "pac", "equipment", "b").await,
        "2 -: succeeded added match\n",
        "what a merge does not take at all has no job"
    );
    steps.apply([edit("5b", "helios", "equipment", &[("a", json!(3)), ("m", json!(1))])]).await;
    assert!(
        history(&steps, "pac", "equipment", "a")
            .await
            .starts_with("5b changed: succeeded left alone merge\n")
    );
    // A default reaches nobody here.
    steps.apply([edit("6", "helios", "default-costs", &[("battery", json!(1))])]).await;
    let explanation = explained(&steps, "pac", "default-costs", Some("battery")).await;
    let [reason] = explanation.reasons.as_slice() else { panic!("{explanation:?}") };
    assert_eq!(
        (reason.code, reason.text.as_str()),
        ("not-synced", "helios has it: flexible: default-costs is a default, and left alone")
    );
    // Anew as its own, and added by the upstream besides.
    steps.apply([edit("7", "pac", "equipment", &[("n", json!(1))])]).await;
    steps.apply([edit("8", "helios", "equipment", &[("n", json!(2)), ("o", json!(2))])]).await;
    assert_eq!(
        history(&steps, "pac", "equipment", "n").await,
        "8 added: succeeded kept own merge\n7 set: succeeded added -\n2 -: succeeded - match\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn what_is_missing_is_explained_by_who_removed_it() {
    let steps = three_tiers().await;
    steps.apply([edit("4", "pac", "equipment", &[("a", Value::Null), ("mine", json!(1))])]).await;
    steps.apply([edit("5", "pac", "equipment", &[("mine", Value::Null)])]).await;
    let declined = "declined: pac deleted it by the event 4 after it had come from helios, which has it: it stays away \
                    until helios adds it anew, or a match brings it back\n";
    let removed = "removed: pac removed it itself, by its event 4\n";
    assert_eq!(reasons(&steps, "pac", "a").await, format!("{declined}{removed}"));
    assert_eq!(reasons(&steps, "pac", "mine").await, "removed: pac removed it itself, by its event 5\n");
    assert_eq!(reasons(&steps, "roof", "a").await, "removed: it went with the event 4, as pac's did\n");
    let nobody_of_pac =
        "never-there: pac does not have it: nobody is known to have set it, neither itself nor an upstream\n";
    assert_eq!(reasons(&steps, "pac", "other").await, nobody_of_pac);
    let nobody = "never-there: helios does not have it: nobody is known to have set it, neither itself nor an upstream\n";
    assert_eq!(reasons(&steps, "helios", "other").await, nobody);

    // A snapshot that leaves out what was not there removed nothing of it.
    let others = json!({ "b": 1, "never": 1 });
    steps.apply([crate::support::events::snapshot("whole", "pac", "equipment", others)]).await;
    assert_eq!(reasons(&steps, "pac", "other").await, nobody_of_pac);
    assert_eq!(
        history(&steps, "pac", "equipment", "other").await.lines().next(),
        Some("whole left out: succeeded unchanged -")
    );

    steps.apply([edit("6", "pac", "equipment", &[("mine", json!("precious"))])]).await;
    steps.apply([partnership("7", "helios", "pac", "strict")]).await;
    let explanation = explained(&steps, "pac", "equipment", Some("mine")).await;
    let [reason] = explanation.reasons.as_slice() else { panic!("{explanation:?}") };
    assert!(
        reason.text.starts_with("a match with helios displaced it, with the event 7; it was its own"),
        "{reason:?}"
    );
    let archived = explanation.history[0].archived.as_ref().unwrap();
    assert_eq!((archived.value.text(), archived.origin.as_str()), ("\"precious\"", "own"));

    steps.apply([edit("8", "pac", "equipment", &[("mine", json!("again"))])]).await;
    assert!(
        reasons(&steps, "pac", "mine").await.starts_with("edit-refused: its edit by the event 8 was refused")
    );
    steps.apply([partnership("9", "helios", "pac", "ended")]).await;
    steps.apply([edit("10", "helios", "equipment", &[("late", json!(1))])]).await;
    assert_eq!(reasons(&steps, "pac", "late").await, "not-synced: helios has it: off: nothing is synced\n");
    drop(steps.database);
}

#[tokio::test]
async fn what_waits_or_has_failed_is_told_first() {
    let steps = three_tiers().await;
    let refuse =
        "alter table setting add constraint test_refuse check (organization_no <> 2 or key <> 'x') not valid";
    steps.client.batch_execute(refuse).await.unwrap();
    steps.take_in([edit("4", "helios", "equipment", &[("x", json!(1))])]).await;
    steps.executor.step().await.unwrap();
    let waits = reasons(&steps, "pac", "x").await;
    assert!(waits.starts_with("job-waits: the job "), "{waits}");
    assert!(
        waits.contains("of the event 4 waits to be done\nnot-new: helios has it since the event 4"),
        "{waits}"
    );
    crate::support::broker::eventually("the job is given up", || async {
        steps.executor.settle().await.unwrap();
        steps.lines("select count(*) from job where state = 'failed'").await == "1\n"
    })
    .await;
    let failed = reasons(&steps, "pac", "x").await;
    assert!(failed.starts_with("job-failed: the job "), "{failed}");
    assert!(failed.contains("check constraint"), "{failed}");
    drop(steps.database);
}

#[tokio::test]
async fn what_a_match_took_over_is_explained_by_that_match() {
    let steps = Steps::start().await;
    steps.apply([edit("1", "helios", "equipment", &[("a", json!(1))])]).await;
    steps.apply([edit("2", "pac", "equipment", &[("a", json!(1))])]).await;
    steps.apply([partnership("3", "helios", "pac", "flexible")]).await;
    steps.apply([partnership("4", "helios", "pac", "strict")]).await;
    assert_eq!(
        reasons(&steps, "pac", "a").await,
        "synced: pac set it itself, by its event 2; a match with helios took it over with the event 4, as the value \
         was the same: the mode becomes strict: it becomes a replica\n\
         in-step: helios has the same value now\n"
    );
    let so_far = "4 -: succeeded taken over match\n3 -: succeeded - merge\n2 set: succeeded added -\n";
    assert_eq!(history(&steps, "pac", "equipment", "a").await, so_far);

    // Once more, by an upstream that follows; and from one upstream by another.
    steps.apply([edit("5", "keystone", "equipment", &[("a", json!(1)), ("b", json!(1))])]).await;
    steps.apply([partnership("6", "helios", "pac", "ended")]).await;
    steps.apply([partnership("7", "keystone", "pac", "strict")]).await;
    steps.apply([edit("8", "helios", "equipment", &[("b", json!(1))])]).await;
    steps.apply([partnership("9", "keystone", "pac", "ended")]).await;
    let of_a = reasons(&steps, "pac", "a").await;
    let by_keystone =
        "synced: pac set it itself, by its event 2; a match with keystone took it over with the event 7,";
    assert!(of_a.starts_with(by_keystone), "{of_a}");
    steps.apply([partnership("10", "helios", "pac", "strict")]).await;
    let of_b = reasons(&steps, "pac", "b").await;
    let by_helios = "synced: it had come from keystone, with the event 7; a match with helios took it over with the \
                     event 10,";
    assert!(of_b.starts_with(by_helios), "{of_b}");
    drop(steps.database);
}

#[tokio::test]
async fn an_edit_that_its_version_made_void_is_named() {
    let steps = three_tiers().await;
    let versioned = |id: &str, version: i64, key: &str| {
        let changes = json!([{ "op": "set", "key": key, "value": version }]);
        let data = json!({
            "organization_id": "pac", "category": "adders", "version": version, "changes": changes,
        });
        event(id, "setting-changed", data)
    };
    let of = async |key: &str| {
        let explanation = explained(&steps, "pac", "adders", Some(key)).await;
        explanation.reasons.iter().map(|one| format!("{}: {}\n", one.code, one.text)).collect::<String>()
    };
    let void = "edit-superseded: its edit by the event 5 changed nothing: a version that is not smaller was seen \
                before\n";
    steps.apply([versioned("4", 9, "new")]).await;
    steps.apply([versioned("5", 8, "old")]).await;
    assert_eq!(of("old").await, void);
    assert_eq!(of("new").await, "own: it is pac's own, by its event 4\n");
    // It is not why, once something else has decided.
    steps.apply([versioned("6", 10, "old")]).await;
    assert_eq!(of("old").await, "own: it is pac's own, by its event 6\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_job_that_was_discarded_is_named_with_who_did_that_and_why() {
    let steps = three_tiers().await;
    steps
        .failing("pac", async |steps| {
            steps.take_in([edit("4", "pac", "equipment", &[("mine", json!(1))])]).await;
            steps.take_in([edit("5", "helios", "equipment", &[("theirs", json!(1))])]).await;
        })
        .await;
    let of_pac = JobSelection { organization_id: Some("pac".to_owned()), ..JobSelection::default() };
    let by = Operator { name: "ana", reason: "unwanted" };
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    assert_eq!(operations::discard_jobs(&steps.store, &catalogue, &of_pac, None, by).await.unwrap(), 2);
    let keys = "select idempotency_key from job_view where state = 'discarded' order by event_id";
    let keys = steps.lines(keys).await;
    let (own, synced) = keys.trim_end().split_once('\n').unwrap();
    assert_eq!(
        reasons(&steps, "pac", "mine").await,
        format!("job-discarded: the job {own} of the event 4 was discarded by ana: unwanted\n")
    );
    assert_eq!(
        reasons(&steps, "pac", "theirs").await,
        format!(
            "job-discarded: the job {synced} of the event 5 was discarded by ana: unwanted\n\
             not-new: helios has it since the event 5: flexible: of a collection, only what is new is added, and that \
             is brought once\n"
        )
    );
    drop(steps.database);
}

#[tokio::test]
async fn that_everything_is_paused_is_told() {
    let steps = three_tiers().await;
    let by = Operator { name: "ana", reason: "moving" };
    operations::pause(&steps.store, None, by).await.unwrap();
    steps.take_in([edit("4", "helios", "equipment", &[("x", json!(1))])]).await;
    let key = steps.lines("select idempotency_key from job_view where state = 'pending'").await;
    assert_eq!(
        reasons(&steps, "helios", "x").await,
        format!(
            "job-waits: the job {} of the event 4 waits to be done\n\
             paused: all execution is paused: what comes is kept\n",
            key.trim_end()
        )
    );
    drop(steps.database);
}

#[tokio::test]
async fn an_upstream_with_another_value_than_the_one_it_came_from_is_told() {
    let steps = Steps::start().await;
    steps.apply([edit("1", "helios", "equipment", &[("a", json!(1))])]).await;
    steps.apply([edit("2", "keystone", "equipment", &[("a", json!(11))])]).await;
    steps.apply([partnership("3", "helios", "pac", "non-exclusive")]).await;
    steps.apply([partnership("4", "keystone", "pac", "non-exclusive")]).await;
    assert_eq!(
        reasons(&steps, "pac", "a").await,
        "synced: it came from helios with the event 3: merge, sync with an existing organization begins, \
         non-exclusive: of a collection, what is missing is added\n\
         in-step: helios has the same value now\n\
         kept: keystone has another value: non-exclusive: of a collection, only what is new is added, and what came \
         from helios is kept\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn what_a_replay_left_alone_is_told() {
    let steps = three_tiers().await;
    steps
        .failing("pac", async |steps| {
            steps.take_in([edit("4", "helios", "equipment", &[("x", json!(1))])]).await;
            let both = [("y", json!(1)), ("z", json!(1))];
            steps.take_in([edit("5", "helios", "equipment", &both)]).await;
        })
        .await;
    // Nothing is there to be removed: it is touched nevertheless.
    steps.apply([edit("6", "pac", "equipment", &[("x", Value::Null), ("y", Value::Null)])]).await;
    let keys =
        steps.lines("select idempotency_key from job_view where state = 'failed' order by event_id").await;
    let (all, both) = keys.trim_end().split_once('\n').unwrap();
    let failed = JobSelection { organization_id: Some("pac".to_owned()), ..JobSelection::default() };
    let failed = JobSelection { state: Some(operations::JobState::Failed), ..failed };
    steps.replay(&failed).await;
    steps.finish_replays().await;
    let brought_once = |event: &str| {
        format!(
            "not-new: helios has it since the event {event}: flexible: of a collection, only what is new is added, \
             and that is brought once\n"
        )
    };
    assert_eq!(
        reasons(&steps, "pac", "x").await,
        format!(
            "overtaken: the job {all} of the event 4 was done once more, and left it alone: something newer had \
             touched it\n{}",
            brought_once("4")
        )
    );
    // What it did to which of them is not kept.
    assert_eq!(
        reasons(&steps, "pac", "y").await,
        format!(
            "overtaken: the job {both} of the event 5 was done once more, and left 1 of its settings alone, which \
             something newer had touched\n{}",
            brought_once("5")
        )
    );
    assert!(reasons(&steps, "pac", "z").await.starts_with("synced: it came from helios with the event 5"));

    // An edit of its own, likewise.
    steps
        .failing("pac", async |steps| {
            steps.take_in([edit("7", "pac", "equipment", &[("mine", json!(1))])]).await;
        })
        .await;
    steps.apply([edit("8", "pac", "equipment", &[("mine", Value::Null)])]).await;
    let key = steps.lines("select idempotency_key from job_view where state = 'failed'").await;
    steps.replay(&failed).await;
    steps.finish_replays().await;
    assert_eq!(
        reasons(&steps, "pac", "mine").await,
        format!(
            "overtaken: the job {} of the event 7 was done once more, and left it alone: something newer had touched \
             it\n",
            key.trim_end()
        )
    );
    drop(steps.database);
}

#[tokio::test]
async fn a_category_is_compared_with_those_of_the_upstreams() {
    let steps = three_tiers().await;
    steps
        .apply([edit("4", "pac", "equipment", &[("a", Value::Null), ("b", json!(2)), ("mine", json!(1))])])
        .await;
    let explanation = explained(&steps, "pac", "equipment", None).await;
    let [compared] = explanation.compared.as_slice() else { panic!("{explanation:?}") };
    assert_eq!((compared.same, compared.missing, compared.other, compared.extra), (0, 1, 1, 1));
    let differing: Vec<_> = compared
        .differing
        .iter()
        .map(|row| (row.key.as_str(), row.relation.as_str(), row.declined_event_id.as_deref()))
        .collect();
    assert_eq!(differing, [("a", "missing", Some("4")), ("b", "other", None), ("mine", "extra", None)]);
    assert_eq!(explanation.origins.unwrap().into_iter().collect::<Vec<_>>(), [("own".to_owned(), 2)]);

    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let unknown = explain(&steps.store, &catalogue, "pac", "roofs", None, 10).await;
    assert!(matches!(unknown, Err(OperationError::UnknownCategory { .. })));
    let unknown = explain(&steps.store, &catalogue, "pca", "equipment", None, 10).await;
    assert!(matches!(unknown, Err(OperationError::UnknownOrganization { .. })));
    drop(steps.database);
}

/// Every setting of every organization, there or not, after random events.
#[tokio::test]
async fn every_setting_of_random_sequences_is_explained() {
    let steps = Steps::start().await;
    for seed in 500..504 {
        let events: Vec<Event> = sequence(seed).into_iter().map(|event| of_sequence(seed, event)).collect();
        let mut modes = HashMap::new();
        for (place, one) in events.iter().enumerate() {
            let id = format!("{seed}-e{place}");
            steps.apply([event(&id, one.message_type(), one.data())]).await;
            // The jobs of an event run in the modes that it leaves behind.
            modes.insert(id, stored_state(&steps.client, seed).await.partnerships);
        }
        let state = stored_state(&steps.client, seed).await;
        let addresses: BTreeSet<(String, String)> =
            state.settings.keys().map(|(_, category, key)| (category.clone(), key.clone())).collect();
        let known = "select organization_id from organization";
        let known: BTreeSet<String> =
            steps.client.query(known, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        for organization in ORGANIZATIONS {
            let organization = format!("{seed}-{organization}");
            for (category, key) in addresses.iter().filter(|_| known.contains(&organization)) {
                agrees(&steps, &state, &modes, &organization, category, key).await;
            }
        }
    }
    drop(steps.database);
}

/// The modes of partnerships, by upstream and downstream, after each event.
type Modes = HashMap<String, BTreeMap<(String, String), Mode>>;

/// Whether an explanation says of a setting what the state does, and of each job what the rule was.
async fn agrees(steps: &Steps, state: &State, modes: &Modes, organization: &str, category: &str, key: &str) {
    let explanation = explained(steps, organization, category, Some(key)).await;
    let what = format!("{organization} {category} {key}: {explanation:#?}");
    let codes: Vec<&str> = explanation.reasons.iter().map(|reason| reason.code).collect();
    assert!(!codes.is_empty(), "{what}");
    for row in explanation.history.iter().filter(|row| row.state == "succeeded") {
        let Some(upstream) = &row.upstream_id else {
            assert_eq!((row.kind.as_str(), row.rule.is_none()), ("own-change", true), "{what}");
            continue;
        };
        let mode = modes[&row.event_id].get(&(upstream.clone(), organization.to_owned()));
        assert_eq!(row.mode.as_ref(), mode, "{} {what}", row.event_id);
    }
    let address = (organization.to_owned(), category.to_owned(), key.to_owned());
    match (state.settings.get(&address), &explanation.setting) {
        (Some(stored), Some(told)) => {
            assert_eq!((told.value.text(), &told.origin), (stored.value.as_str(), &stored.origin), "{what}");
            assert_eq!(told.event_id.as_ref(), Some(&stored.written_by), "{what}");
            assert_eq!(explanation.edit.locked_by, stored.locked_by, "{what}");
            assert!(codes.contains(&if stored.origin == "own" { "own" } else { "synced" }), "{what}");
            // What is strict is in step, and nothing waits.
            assert!(stored.locked_by.is_none() || codes.contains(&"in-step"), "{what}");
            let wrote = explanation.history.iter().find(|row| {
                let origin = row.upstream_id.as_deref().unwrap_or("own");
                (Some(&row.event_id), origin) == (told.event_id.as_ref(), stored.origin.as_str())
            });
            let rule = wrote.and_then(|row| row.rule.as_ref()).map_or("-", |rule| rule.name());
            let expected: &[&str] = if stored.origin == "own" { &["-"] } else { &["match", "merge"] };
            assert!(wrote.is_some() && expected.contains(&rule), "{rule} {what}");
        }
        (None, None) => {
            let is_declined = state.declined.keys().any(|(downstream, _, of, declined)| {
                (downstream.as_str(), of.as_str(), declined.as_str()) == (organization, category, key)
            });
            assert_eq!(codes.contains(&"declined"), is_declined, "{what}");
            assert!(!codes.contains(&"to-be-matched"), "{what}");
        }
        _ => panic!("{what}"),
    }
}
