//! Spans: the publisher's trace goes on to a collector, and a collector that hangs does no harm.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use channel_sync::config::{Config, TelemetryConfig};
use channel_sync::contract::{Message, to_message};
use channel_sync::metrics::{Format, Metrics};
use channel_sync::telemetry::Traces;
use channel_sync::telemetry::traces::{EventWork, Names, WAITING_MAX};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::broker::eventually;
use crate::support::events::{SOURCE, edit, partnership};
use crate::support::platform::Platform;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

type Received = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// A collector on loopback, and what it was sent.
async fn collector() -> (SocketAddr, Received) {
    let received = Received::default();
    let take = |State(received): State<Received>, body: Bytes| async move {
        received.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
        ([("content-type", "application/x-protobuf")], Vec::new())
    };
    let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&received));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, received)
}

fn telemetry(endpoint: SocketAddr) -> TelemetryConfig {
    let endpoint = ("CHANNEL_SYNC__TELEMETRY__OTLP_ENDPOINT".to_owned(), format!("http://{endpoint}"));
    Config::load(None, [endpoint].into_iter()).unwrap().telemetry
}

fn traced(id: &str, key: &str, flags: &str) -> Message {
    let data = json!({
        "organization_id": "helios", "category": "equipment",
        "changes": [{ "op": "set", "key": key, "value": 1 }],
    });
    let event = json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": "setting-changed", "data": data,
        "traceparent": format!("00-{TRACE}-{PARENT}-{flags}"),
    });
    to_message(&event.to_string()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, name: &str) -> Value {
    let value = span.attributes.iter().find(|attribute| attribute.key == name);
    match value.and_then(|value| value.value.clone()?.value) {
        Some(AnyValue::IntValue(number)) => json!(number),
        Some(AnyValue::StringValue(text)) => json!(text),
        other => json!(format!("{other:?}")),
    }
}

#[tokio::test]
async fn the_publishers_trace_goes_on_to_intake_and_jobs() {
    let (address, received) = collector().await;
    let mut platform = Platform::start().await;
    platform.stop_service().await;
    platform.config.telemetry = telemetry(address);
    platform.start_service().await;
    let partners = ["a", "b", "c"].map(|name| partnership(&format!("p-{name}"), "helios", name, "strict"));
    platform.apply(partners).await;
    platform.apply([traced("e-1", "m", "01"), traced("e-2", "n", "00")]).await;
    platform.apply([edit("e-3", "helios", "equipment", &[("o", json!(1))])]).await;
    // What waits is sent before the service ends.
    platform.stop_service().await;

    let requests = std::mem::take(&mut *received.lock().unwrap());
    let resources: Vec<_> = requests.iter().flat_map(|request| &request.resource_spans).collect();
    for resource in &resources {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        let name = name.value.clone().unwrap().value;
        assert!(matches!(name, Some(AnyValue::StringValue(name)) if name == "channel-sync"));
    }
    let spans: Vec<&Span> =
        resources.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans).collect();
    let of_event = |name: &str, id: &str| -> Vec<&Span> {
        let is_it = |span: &&&Span| span.name == name && attribute(span, "cloudevents.event_id") == id;
        spans.iter().filter(is_it).copied().collect()
    };

    // The intake is a child of the publisher's span, and tied to the batch.
    let [intake] = of_event("take in event", "e-1")[..] else { panic!("{spans:#?}") };
    assert_eq!((hex(&intake.trace_id), hex(&intake.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(attribute(intake, "channel_sync.outcome"), "accepted");
    assert_eq!(attribute(intake, "messaging.system"), "rabbitmq");
    assert!(intake.end_time_unix_nano > intake.start_time_unix_nano);
    let batch = spans.iter().find(|span| span.span_id == intake.links[0].span_id).unwrap();
    assert_eq!(batch.name, "take in batch");
    assert_ne!(batch.trace_id, intake.trace_id);
    assert!(
        batch.links.iter().any(|link| link.span_id == intake.span_id && link.trace_id == intake.trace_id)
    );

    // So is the work: the event's own job, and those of three partners.
    let work = of_event("work off event", "e-1");
    let jobs: i64 = work.iter().map(|span| attribute(span, "channel_sync.jobs").as_i64().unwrap()).sum();
    assert_eq!(jobs, 4);
    for span in &work {
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
        let batch = spans.iter().find(|batch| batch.span_id == span.links[0].span_id).unwrap();
        assert_eq!(batch.name, "work off batch");
    }

    // Whose publisher keeps no trace has none here; who comes without one stands in that of the batch.
    assert!(of_event("take in event", "e-2").is_empty() && of_event("work off event", "e-2").is_empty());
    let [intake] = of_event("take in event", "e-3")[..] else { panic!("{spans:#?}") };
    let batch = spans.iter().find(|span| span.span_id == intake.parent_span_id).unwrap();
    assert_eq!((batch.name.as_str(), &batch.trace_id), ("take in batch", &intake.trace_id));
    platform.end().await;
}

const NAMES: Names = Names { batch: "a batch", event: "an event", from_broker: true };

fn counted(metrics: &Metrics, outcome: &str) -> f64 {
    let text = metrics.encode(Format::OpenMetrics).unwrap();
    let series = format!("channel_sync_trace_spans_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_collector_that_hangs_keeps_nobody_waiting() {
    // It takes connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = Metrics::new(1);
    let traces = Traces::new(&telemetry(listener.local_addr().unwrap()), metrics.traces.clone()).unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        traces.begin().unwrap().end(NAMES, &[], (0..100).map(|_| EventWork::default()));
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    // 10,100 spans: what has no room is dropped, and counted.
    let dropped = counted(&metrics, "dropped");
    assert!(dropped >= 10_100.0 - WAITING_MAX as f64 - 512.0, "{dropped}");
    let began = Instant::now();
    traces.flush().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn spans_that_no_collector_takes_are_counted_and_the_service_goes_on() {
    // Nobody listens there any more.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut platform = Platform::start().await;
    platform.stop_service().await;
    platform.config.telemetry = telemetry(nobody);
    platform.start_service().await;
    platform.apply([traced("e-1", "m", "01")]).await;
    let address = platform.service.as_ref().unwrap().http_address().unwrap();
    eventually("spans are counted as failed", || async {
        let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let series = "channel_sync_trace_spans_total{outcome=\"failed\"} ";
        text.lines().find_map(|line| line.strip_prefix(series)).is_some_and(|count| count != "0")
    })
    .await;
    assert_eq!(platform.lines("select state from event_view where event_id = 'e-1'").await, "done\n");
    platform.end().await;
}

#[tokio::test]
async fn without_a_collector_there_is_nothing_to_begin() {
    let config = Config::built_in().unwrap().telemetry;
    let traces = Traces::new(&config, Metrics::new(1).traces.clone()).unwrap();
    assert!(traces.begin().is_none());
    traces.flush().await;
}
