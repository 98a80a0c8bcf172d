//! `/metrics`: what it shows of what happens, and that dashboard, alerts and runbook speak of nothing else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use channel_sync::broker::Lookout;
use channel_sync::config::Config;
use channel_sync::flow::executor::Executor;
use channel_sync::flow::sampler::Sampler;
use channel_sync::metrics::{Format, Metrics};
use channel_sync::store::Store;
use serde_json::json;

use super::steps::Steps;
use crate::support::broker::eventually;
use crate::support::events::{edit, event, partnership, raw};
use crate::support::platform::Platform;

const DASHBOARD: &str = include_str!("../../deploy/grafana/channel-sync.json");
const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yaml");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// An exposition, read strictly by the text format of OpenMetrics.
#[derive(Debug, Default)]
struct Exposition {
    /// Type by family.
    families: BTreeMap<String, String>,
    /// Value by name and labels, as they are written.
    samples: BTreeMap<String, f64>,
    /// The labels of each name, and their values.
    labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Exposition {
    fn read(text: &str) -> Self {
        let mut all = Self::default();
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        let mut family = String::new();
        for line in body.lines() {
            assert!(!line.is_empty() && !line.starts_with("# EOF"), "{line:?}");
            if let Some(told) = line.strip_prefix("# ") {
                let [what, name, told] = told.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                    panic!("{line}")
                };
                assert!(!told.is_empty(), "{line}");
                match what {
                    "HELP" => assert!(told.ends_with('.'), "{line}"),
                    "TYPE" => {
                        let before = all.families.insert(name.to_owned(), told.to_owned());
                        assert_eq!(before, None, "{name} is there twice");
                    }
                    "UNIT" => assert!(name.ends_with(&format!("_{told}")), "{line}"),
                    _ => panic!("{line}"),
                }
                name.clone_into(&mut family);
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let suffixes: &[&str] = match all.families[&family].as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("{other}: {line}"),
            };
            let fits = suffixes.iter().any(|suffix| name == format!("{family}{suffix}"));
            assert!(fits, "{name} stands under {family}");
            let known = all.labels.entry(name.to_owned()).or_default();
            for label in labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').unwrap();
                let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
                known.entry(label.to_owned()).or_default().insert(value.to_owned());
            }
            let value: f64 = value.parse().unwrap();
            assert_eq!(all.samples.insert(series.to_owned(), value), None, "{series} is there twice");
        }
        all
    }

    fn of(metrics: &Metrics) -> Self {
        Self::read(&metrics.encode(Format::OpenMetrics).unwrap())
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        let series = format!("channel_sync_{series}");
        *self.samples.get(&series).unwrap_or_else(|| panic!("there is no {series}"))
    }
}

/// The service with samples taken all the time.
async fn sampled_platform() -> Platform {
    let mut platform = Platform::start().await;
    platform.stop_service().await;
    platform.config.metrics.sample = Duration::from_millis(50);
    platform.start_service().await;
    platform
}

fn address(platform: &Platform, path: &str) -> String {
    format!("http://{}{path}", platform.service.as_ref().unwrap().http_address().unwrap())
}

async fn scrape(platform: &Platform) -> Exposition {
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
    let request = reqwest::Client::new().get(address(platform, "/metrics")).header("accept", accept);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().unwrap();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Exposition::read(&response.text().await.unwrap())
}

#[tokio::test]
async fn what_happens_is_counted_and_known_by_no_name_of_an_organization() {
    let mut platform = sampled_platform().await;
    let first = edit("e-1", "helios", "equipment", &[("m", json!(1)), ("n", json!(2))]);
    platform.apply([first.clone(), partnership("p-1", "helios", "newleaf", "strict")]).await;
    platform.apply([first, raw(b"{"), edit("e-2", "newleaf", "equipment", &[("m", json!(3))])]).await;
    platform.apply([event("e-3", "setting-changed", json!({ "organization_id": "helios" }))]).await;
    for path in ["/nowhere/a", "/nowhere/b"] {
        assert_eq!(reqwest::get(address(&platform, path)).await.unwrap().status(), 404);
    }
    let client = reqwest::Client::new();
    let odd = client.request("BREW".parse().unwrap(), address(&platform, "/livez")).send().await.unwrap();
    assert_eq!(odd.status(), 405);
    eventually("a sample is there of all", || async {
        let seen = scrape(&platform).await.samples;
        // The last of what is sampled, and of what is counted after it is done.
        seen.get("channel_sync_rejected_messages{code=\"missing-field\"}") == Some(&1.0)
            && seen.get("channel_sync_queue_messages") == Some(&0.0)
            && seen.get("channel_sync_ingest_acknowledged_total") == Some(&9.0)
    })
    .await;

    let seen = scrape(&platform).await;
    // Three markers, by which the platform knows that all is done, are of a category that is never synced.
    for (series, expected) in [
        ("ingest_messages_total{outcome=\"accepted\"}", 3.0),
        ("ingest_messages_total{outcome=\"duplicate\"}", 1.0),
        ("ingest_messages_total{outcome=\"rejected\"}", 2.0),
        ("ingest_messages_total{outcome=\"ignored\"}", 3.0),
        ("ingest_rejected_total{code=\"malformed-json\"}", 1.0),
        ("ingest_rejected_total{code=\"missing-field\"}", 1.0),
        ("ingest_rejected_total{code=\"id-reused\"}", 0.0),
        ("ingest_acknowledged_total", 9.0),
        ("jobs_total{kind=\"own-change\",outcome=\"succeeded\"}", 1.0),
        ("jobs_total{kind=\"own-change\",outcome=\"skipped\"}", 1.0),
        ("jobs_total{kind=\"partnership-change\",outcome=\"succeeded\"}", 1.0),
        ("jobs_total{kind=\"reconcile\",outcome=\"succeeded\"}", 1.0),
        ("jobs_total{kind=\"reconcile\",outcome=\"failed\"}", 0.0),
        ("entries_total{effect=\"added\"}", 4.0),
        ("events_total{verdict=\"locked\"}", 1.0),
        ("link_up", 1.0),
        ("link_connected_total", 1.0),
        ("link_deliveries_total", 9.0),
        ("link_unacknowledged_messages", 0.0),
        ("queue_messages", 0.0),
        ("queue_consumers", 1.0),
        ("database_up", 1.0),
        ("mailbox_letters{kind=\"own-change\"}", 0.0),
        ("rejected_messages{code=\"malformed-json\"}", 1.0),
        ("rejected_messages{code=\"missing-field\"}", 1.0),
        ("jobs_parked", 0.0),
        ("executor_workers", 2.0),
        ("pool_connections_max{pool=\"service\"}", 8.0),
        ("pool_connections_max{pool=\"http\"}", 4.0),
        ("http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"}", 2.0),
        ("http_requests_total{method=\"other\",route=\"/livez\",status=\"405\"}", 1.0),
    ] {
        assert_eq!(seen.value(series), expected, "{series}");
    }
    assert!(seen.value("executor_batch_duration_seconds_count") >= 2.0);
    let plain = reqwest::get(address(&platform, "/metrics")).await.unwrap();
    assert_eq!(plain.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let plain = plain.text().await.unwrap();
    assert!(
        plain.contains("\n# TYPE channel_sync_jobs_total counter\n") && !plain.contains("# EOF"),
        "{plain}"
    );
    assert!(seen.value("executor_locked_seconds_total") > 0.0);
    assert!(seen.samples["process_resident_memory_bytes"] > 1e6);
    assert!(seen.samples["process_cpu_seconds_total"] > 0.0);
    assert!(seen.samples["process_start_time_seconds"] > 1.7e9);
    for (name, labels) in &seen.labels {
        assert!(name.starts_with("channel_sync_") || name.starts_with("process_"), "{name}");
        for (label, values) in labels {
            assert!(values.len() <= 20, "{name}: {label} has {} values", values.len());
            for value in values {
                let is_a_name =
                    value.contains("helios") || value.contains("newleaf") || value.contains("nowhere");
                assert!(!is_a_name, "{name}: {label} is {value}");
            }
        }
    }
    platform.end().await;
}

#[tokio::test]
async fn jobs_that_fail_pauses_and_what_waits_for_them_are_seen() {
    let steps = Steps::with_partners().await;
    let metrics = Metrics::new(1);
    let sampler = Sampler::new(steps.store.clone(), Lookout::default(), metrics.sampled.clone());
    let Steps { ingest, executor, client, .. } = steps;
    let executor: Executor<Store> = executor.measured_by(metrics.executor.clone());

    // One partner's rows cannot be written: its job runs again twice, and is parked.
    let refused =
        "create trigger refuse before insert or update on setting for each row execute function refuse()";
    let only_c = "create or replace function refuse() returns trigger language plpgsql as
        $$ begin
             if new.organization_no = (select organization_no from organization where organization_id = 'c') then
               raise exception 'no' using errcode = 'check_violation';
             end if;
             return new;
           end $$";
    client.batch_execute(&format!("{only_c}; {refused}")).await.unwrap();
    let added = edit("second", "helios", "equipment", &[("x", json!(1))]);
    ingest.take_in(&ingest.decode([added])).await.unwrap();
    eventually("the job of c is parked", || async {
        executor.settle().await.unwrap();
        Exposition::of(&metrics).value("jobs_total{kind=\"sync-change\",outcome=\"failed\"}") == 1.0
    })
    .await;
    client.batch_execute("drop trigger refuse on setting").await.unwrap();
    let seen = Exposition::of(&metrics);
    assert_eq!(seen.value("jobs_total{kind=\"sync-change\",outcome=\"retried\"}"), 2.0);
    assert_eq!(seen.value("jobs_total{kind=\"sync-change\",outcome=\"succeeded\"}"), 4.0);
    assert!(seen.value("executor_batches_repeated_total") >= 1.0);

    // An organization is paused: its letter waits, and is not held against anybody.
    client
        .batch_execute(
            "insert into pause (organization_no, paused_by, reason, paused_at)
             select organization_no, 'me', 'to see', now() - interval '1 hour'
               from organization where organization_id = 'd'",
        )
        .await
        .unwrap();
    let own = |id, organization| edit(id, organization, "persona-inventory", &[("p", json!(1))]);
    ingest.take_in(&ingest.decode([own("third", "d"), own("fourth", "helios")])).await.unwrap();
    client
        .batch_execute(
            "update letter set created_at = now() - interval '1 hour', run_at = now() - interval '1 hour'",
        )
        .await
        .unwrap();
    sampler.step().await.unwrap();
    let seen = Exposition::of(&metrics);
    assert_eq!(seen.value("jobs_parked"), 1.0);
    assert_eq!(seen.value("organizations_paused"), 1.0);
    assert_eq!((seen.value("partnerships_behind"), seen.value("partnership_lag_seconds")), (1.0, 0.0));
    assert_eq!(seen.value("execution_paused"), 0.0);
    assert_eq!(seen.value("mailbox_letters{kind=\"own-change\"}"), 2.0);
    let age = seen.value("mailbox_oldest_due_age_seconds{kind=\"own-change\"}");
    assert!((3600.0..4000.0).contains(&age), "{age}");
    assert!(seen.value("oldest_pause_age_seconds") >= 3600.0);
    executor.settle().await.unwrap();
    sampler.step().await.unwrap();
    let seen = Exposition::of(&metrics);
    assert_eq!(seen.value("mailbox_letters{kind=\"own-change\"}"), 1.0);
    assert_eq!(seen.value("mailbox_oldest_due_age_seconds{kind=\"own-change\"}"), 0.0);
    // There is no link here to look at a queue by.
    assert!(!seen.samples.contains_key("channel_sync_queue_messages"));
}

#[tokio::test]
async fn how_far_partners_are_behind_is_seen_unless_it_takes_too_long() {
    let steps = Steps::with_partners().await;
    let sampled = async || {
        let metrics = Metrics::new(1);
        let sampler = Sampler::new(steps.store.clone(), Lookout::default(), metrics.sampled.clone());
        sampler.step().await.unwrap();
        Exposition::of(&metrics)
    };
    assert_eq!(sampled().await.value("partnerships_behind"), 0.0);
    // The upstream's own change is made, and its partners have still to get it.
    let added = edit("second", "helios", "equipment", &[("x", json!(1))]);
    steps.ingest.take_in(&steps.ingest.decode([added])).await.unwrap();
    steps.executor.step().await.unwrap();
    let backdate = "update change set made_at = now() - interval '1 hour'";
    steps.client.batch_execute(backdate).await.unwrap();
    let seen = sampled().await;
    assert!(seen.value("partnerships_behind") >= 3.0, "{}", seen.value("partnerships_behind"));
    assert!((3600.0..4000.0).contains(&seen.value("partnership_lag_seconds")));
    // Nobody can look now: this figure is missing, the others are there.
    let lock = "begin; lock table partnership in access exclusive mode";
    steps.client.batch_execute(lock).await.unwrap();
    let seen = sampled().await;
    assert!(!seen.samples.contains_key("channel_sync_partnerships_behind"));
    assert_eq!(seen.value("jobs_parked"), 0.0);
    steps.client.batch_execute("rollback").await.unwrap();
    steps.executor.settle().await.unwrap();
    let seen = sampled().await;
    assert_eq!((seen.value("partnerships_behind"), seen.value("partnership_lag_seconds")), (0.0, 0.0));
}

#[tokio::test]
async fn a_database_that_is_away_is_down_and_its_figures_are_gone() {
    let platform = sampled_platform().await;
    let is_up = |seen: &Exposition| seen.samples.get("channel_sync_database_up").copied();
    eventually("the database is up", || async { is_up(&scrape(&platform).await) == Some(1.0) }).await;
    let name = platform.database.url().rsplit('/').next().unwrap().to_owned();
    let admin = crate::support::database::admin_client().await;
    let refuse = format!(
        "alter database {name} allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    );
    admin.batch_execute(&refuse).await.unwrap();
    eventually("the database is down", || async { is_up(&scrape(&platform).await) == Some(0.0) }).await;
    assert!(!scrape(&platform).await.samples.contains_key("channel_sync_jobs_parked"));
    admin.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    eventually("the database is up again", || async { is_up(&scrape(&platform).await) == Some(1.0) }).await;
    assert!(scrape(&platform).await.samples.contains_key("channel_sync_jobs_parked"));
    platform.end().await;
}

#[tokio::test]
async fn where_there_are_tokens_a_viewers_is_needed() {
    let mut platform = Platform::start().await;
    platform.stop_service().await;
    // The SHA-256 of "secret".
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let tokens = [("CHANNEL_SYNC__HTTP__ACCESS_TOKENS".to_owned(), format!("prometheus:viewer:{hash}"))];
    let with_tokens = Config::load(None, tokens.into_iter()).unwrap();
    platform.config.http.access_tokens = with_tokens.http.access_tokens;
    platform.start_service().await;
    let client = reqwest::Client::new();
    let get = || client.get(address(&platform, "/metrics"));
    assert_eq!(get().send().await.unwrap().status(), 401);
    assert_eq!(get().bearer_auth("wrong").send().await.unwrap().status(), 401);
    assert_eq!(get().bearer_auth("secret").send().await.unwrap().status(), 200);
    platform.end().await;
}

/// What an expression of PromQL asks for.
#[derive(Debug, Default)]
struct Asked {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
    /// Values that a label is said to have, with the metric that it is a label of.
    values: Vec<(String, String, String)>,
}

/// Reads an expression of PromQL: names of metrics are the words that are no function, no keyword and no label.
fn asked(expression: &str) -> Asked {
    const KEYWORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"];
    const WITH_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const AGGREGATIONS: [&str; 8] = ["sum", "max", "min", "avg", "count", "topk", "bottomk", "quantile"];
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let (bytes, mut asked) = (expression.as_bytes(), Asked::default());
    let until = |from: usize, end: u8| from + bytes[from..].iter().position(|byte| *byte == end).unwrap();
    let (mut at, mut metric) = (0, String::new());
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = until(at + 1, b'"') + 1,
            b'[' => at = until(at, b']') + 1,
            b'{' => {
                let end = until(at, b'}');
                for matcher in expression[at + 1..end].split(',').filter(|matcher| !matcher.trim().is_empty())
                {
                    let name = matcher.split(['=', '!']).next().unwrap().trim().to_owned();
                    let value = matcher.split_once('"').unwrap().1.strip_suffix('"').unwrap();
                    if matcher[name.len()..].trim_start().starts_with("=\"") && !value.contains('$') {
                        asked.values.push((metric.clone(), name.clone(), value.to_owned()));
                    }
                    asked.labels.insert(name);
                }
                at = end + 1;
            }
            b'$' => {
                at += 1;
                at += bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
            }
            byte if byte.is_ascii_digit() || byte == b'.' => {
                at += bytes[at..].iter().take_while(|byte| is_word(**byte) || **byte == b'.').count();
            }
            byte if is_word(byte) => {
                let word =
                    &expression[at..at + bytes[at..].iter().take_while(|byte| is_word(**byte)).count()];
                at += word.len();
                let called = expression[at..].trim_start().starts_with('(');
                if WITH_LABELS.contains(&word) && called {
                    let (from, end) = (until(at, b'(') + 1, until(at, b')'));
                    asked
                        .labels
                        .extend(expression[from..end].split(',').map(|label| label.trim().to_owned()));
                    at = end + 1;
                } else if !called && !KEYWORDS.contains(&word) && !AGGREGATIONS.contains(&word) {
                    word.clone_into(&mut metric);
                    asked.metrics.insert(metric.clone());
                }
            }
            _ => at += 1,
        }
    }
    asked.labels.remove("");
    asked
}

#[test]
fn expressions_are_read() {
    let asked = asked(
        "sum by (kind, le) (rate(a_total{kind=\"x\",code=~\"y.*\"}[$__rate_interval])) / on (instance) max(b) > 1e3 \
         and absent(c) unless d offset 5m",
    );
    assert_eq!(asked.metrics.iter().map(String::as_str).collect::<Vec<_>>(), ["a_total", "b", "c", "d"]);
    assert_eq!(
        asked.labels.iter().map(String::as_str).collect::<Vec<_>>(),
        ["code", "instance", "kind", "le"]
    );
    assert_eq!(asked.values, [("a_total".to_owned(), "kind".to_owned(), "x".to_owned())]);
}

/// All expressions of the dashboard, with the titles of their panels.
fn dashboard_expressions() -> Vec<(String, String)> {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
        assert!(panel["type"] == "row" || panel["description"].is_string(), "{title} says nothing of itself");
    }
    all
}

/// An alert, by its fields.
type Alert = BTreeMap<String, String>;

/// The alerts, each field on a line of its own.
fn alerts() -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for line in ALERTS.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push(Alert::from([("alert".to_owned(), name.to_owned())]));
        } else if let (Some((name, value)), Some(alert)) = (line.split_once(": "), alerts.last_mut()) {
            let value = value.trim_matches('\'').trim_matches('"').to_owned();
            alert.insert(name.to_owned(), value);
        }
    }
    alerts
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_is_there() {
    let mut platform = sampled_platform().await;
    platform.apply([edit("e-1", "helios", "equipment", &[("m", json!(1))])]).await;
    eventually("a sample is there of all", || async {
        let seen = scrape(&platform).await.samples;
        seen.contains_key("channel_sync_jobs_parked") && seen.contains_key("channel_sync_queue_messages")
    })
    .await;
    let seen = scrape(&platform).await;
    let of_alerts = alerts().into_iter().map(|alert| (alert["alert"].clone(), alert["expr"].clone()));
    let expressions: Vec<(String, String)> = dashboard_expressions().into_iter().chain(of_alerts).collect();
    assert!(expressions.len() > 40, "{}", expressions.len());
    let mut used = BTreeSet::new();
    for (title, expression) in &expressions {
        let asked = asked(expression);
        assert!(!asked.metrics.is_empty(), "{title}: {expression}");
        let mut labels: HashSet<&str> = ["instance", "job", "le"].into();
        // `up` is Prometheus' own; RabbitMQ has figures of its own: `deploy/dev alerts` sees them.
        let of_others = |metric: &String| metric == "up" || metric.starts_with("rabbitmq_");
        for metric in asked.metrics.iter().filter(|metric| !of_others(metric)) {
            let known = seen.labels.get(metric).unwrap_or_else(|| panic!("{title}: there is no {metric}"));
            labels.extend(known.keys().map(String::as_str));
            used.insert(metric.clone());
        }
        for label in &asked.labels {
            assert!(labels.contains(label.as_str()), "{title}: {label} is no label: {expression}");
        }
        for (metric, label, value) in &asked.values {
            let values = seen.labels.get(metric).and_then(|labels| labels.get(label));
            let known = values.is_some_and(|values| values.contains(value)) || metric == "up";
            assert!(known, "{title}: {metric} has no {label} {value:?}");
        }
    }
    // And nothing is measured that nobody looks at.
    let parts = ["", "_total", "_bucket", "_sum", "_count"];
    let unused: Vec<&String> = seen
        .families
        .keys()
        .filter(|family| !parts.iter().any(|part| used.contains(&format!("{family}{part}"))))
        .collect();
    assert!(unused.is_empty(), "{unused:?} stand on no dashboard and in no alert");
    platform.end().await;
}

/// The labels that an aggregation leaves; none where the expression is none, and keeps those of its metric.
fn labels_kept(expression: &str) -> Option<BTreeSet<String>> {
    let aggregated = ["sum", "max", "absent"]
        .iter()
        .any(|name| expression.contains(&format!("{name}(")) || expression.contains(&format!("{name} by (")));
    aggregated.then(|| match expression.split_once(" by (") {
        Some((_, labels)) => {
            labels.split(')').next().unwrap().split(',').map(|label| label.trim().to_owned()).collect()
        }
        None => BTreeSet::new(),
    })
}

#[test]
fn every_alert_says_what_to_do() {
    let alerts = alerts();
    assert!(alerts.len() >= 10);
    let sections: HashSet<String> =
        RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    let mut named = HashSet::new();
    for alert in &alerts {
        let name = &alert["alert"];
        for field in ["expr", "severity", "summary", "description", "runbook_url"] {
            assert!(alert.get(field).is_some_and(|text| !text.is_empty()), "{name} has no {field}");
        }
        assert!(["critical", "warning"].contains(&alert["severity"].as_str()), "{name}");
        let (page, anchor) = alert["runbook_url"].rsplit_once('#').unwrap();
        assert!(page.ends_with("docs/runbook.md"), "{name}: {page}");
        assert_eq!(anchor, name.to_lowercase(), "{name}");
        assert!(sections.contains(anchor), "the runbook has no section {name}");
        named.insert(anchor.to_owned());
    }
    for alert in &alerts {
        let (name, kept) = (&alert["alert"], labels_kept(&alert["expr"]));
        for field in ["summary", "description"] {
            let text = &alert[field];
            for label in text.split("$labels.").skip(1) {
                let label = label.split([' ', '}']).next().unwrap();
                let is_kept = kept.as_ref().is_none_or(|kept| kept.contains(label));
                assert!(is_kept, "{name}: {field} names {label}, which is not there: {}", alert["expr"]);
            }
            // It writes a twentieth as 50m, and five and a half batches.
            assert!(!text.contains("| humanize }}"), "{name}: {text}");
        }
    }
    let without_alert: Vec<&String> = sections.difference(&named).collect();
    assert!(without_alert.is_empty(), "the runbook speaks of alerts that are none: {without_alert:?}");
    // What to do is said in three parts.
    for section in RUNBOOK.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap();
        for part in ["**Means.**", "**See.**", "**Do.**"] {
            assert!(section.contains(part), "{name} lacks {part}");
        }
    }
}
