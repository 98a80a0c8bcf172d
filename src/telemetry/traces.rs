//! Spans for a collector, by OTLP over HTTP; the only place that knows OpenTelemetry.
//!
//! Each event has a span for its intake, and one for each batch that did jobs for it, as children of the publisher's
//! span: so its trace goes on from the publisher to the last downstream. Each batch has a span in a trace of its own,
//! since its work is for many: batch and events are tied by links, in both directions. There is no span for a job: a
//! fan-out has ten thousand of them; what they came to stands on the span of their event.
//!
//! What always holds: nobody waits for a collector. Spans wait for it in memory, [`WAITING_MAX`] at most; what has no
//! room, or is not taken, is gone, and counted. Where there is no endpoint, nothing is made: a batch costs one look
//! whether there is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};
use rustls::{ClientConfig, RootCertStore};

use crate::config::TelemetryConfig;
use crate::contract::TraceParent;
use crate::metrics::TraceMetrics;

/// So many spans wait for the collector at most: some 2 MiB.
pub const WAITING_MAX: usize = 4096;

/// So many are sent at once.
const EXPORT_MAX: usize = 512;

/// How long a span waits for others.
const EXPORT_DELAY: Duration = Duration::from_secs(1);

/// How long the collector may take to answer.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the spans that wait may take to be sent when the service stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// A batch has links to so many events at most.
const LINKS_MAX: u32 = 128;

/// Why no spans can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The certificates of the machine cannot be read.
    #[error("read the machine's certificates, to trust a collector: {0}")]
    Certificates(#[source] std::io::Error),
    /// The library for TLS refuses its settings.
    #[error("prepare TLS for a collector: {0}")]
    Tls(#[from] rustls::Error),
    /// The library refuses the settings, those of the environment included.
    #[error("prepare to send spans to telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

type Connector = HttpsConnector<HttpConnector>;

/// Where spans go; nowhere, as long as no collector is named.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Sending>);

#[derive(Debug, Clone)]
struct Sending {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends spans as the configuration says, and counts what becomes of them. Connects only when there is a span to
    /// send. Must be called within a runtime, which has to live until [`Traces::flush`] has returned.
    ///
    /// The variables `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_EXPORTER_OTLP_HEADERS` are taken, as OpenTelemetry defines
    /// them.
    ///
    /// # Errors
    /// Where certificates cannot be read, or these variables are malformed.
    pub fn new(config: &TelemetryConfig, metrics: TraceMetrics) -> Result<Self, TracesError> {
        let Some(endpoint) = &config.otlp_endpoint else { return Ok(Self::default()) };
        let client = OnRuntime {
            runtime: tokio::runtime::Handle::current(),
            client: HyperClient::new(connector(endpoint.expose())?, EXPORT_TIMEOUT, None),
        };
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("{}/v1/traces", endpoint.expose().trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let waiting = Arc::new(AtomicUsize::new(0));
        let exporter = Counted {
            exporter,
            waiting: Arc::clone(&waiting),
            metrics: metrics.clone(),
            failing: AtomicBool::new(false),
        };
        // Room for what is being sent, too: the bound is ours.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING_MAX + EXPORT_MAX)
            .with_max_export_batch_size(EXPORT_MAX)
            .with_scheduled_delay(EXPORT_DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance_id()));
        // Where a publisher has decided, it is followed: half a trace is of no use.
        let share = Sampler::TraceIdRatioBased(f64::from(config.sampling_percent) / 100.0);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded { processor, waiting, metrics })
            .with_sampler(Sampler::ParentBased(Box::new(share)))
            .with_max_links_per_span(LINKS_MAX)
            .with_resource(resource.build())
            .build();
        Ok(Self(Some(Sending { tracer: provider.tracer("channel-sync"), provider })))
    }

    /// Notes that a batch begins; none where no spans are sent.
    pub fn begin(&self) -> Option<Begun> {
        self.0.as_ref().map(|sending| Begun { tracer: sending.tracer.clone(), began: SystemTime::now() })
    }

    /// Sends what waits, for at most 3 s, and sends nothing any more.
    pub async fn flush(&self) {
        let Some(Sending { provider, .. }) = self.0.clone() else { return };
        let flushing = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        if let Ok(Err(error)) = flushing.await {
            tracing::info!(%error, "send the last spans to the collector");
        }
    }
}

/// What tells this process from all others: the same name for as long as it lives.
fn instance_id() -> String {
    let mut bytes = [0; 16];
    // Without random numbers it goes by its number, which is as good on one machine.
    match getrandom::fill(&mut bytes) {
        Ok(()) => uuid::Builder::from_random_bytes(bytes).into_uuid().to_string(),
        Err(_) => std::process::id().to_string(),
    }
}

/// A way to the collector, by TLS where its address says so.
fn connector(endpoint: &str) -> Result<Connector, TracesError> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = if endpoint.to_ascii_lowercase().starts_with("https:") {
        HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(TracesError::Certificates)?
    } else {
        // Certificates are not needed, and may not be there.
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        HttpsConnectorBuilder::new().with_tls_config(config)
    };
    Ok(builder.https_or_http().enable_http1().build())
}

/// A batch under way.
#[derive(Debug)]
pub struct Begun {
    tracer: SdkTracer,
    began: SystemTime,
}

/// What a batch did for an event.
#[derive(Debug, Clone, Default)]
pub struct EventWork<'a> {
    /// The publisher's span, where there is one.
    pub parent: Option<&'a TraceParent>,
    /// The event's id at its source.
    pub event_id: Option<&'a str>,
    /// What became of it, in a word; none where that is not known yet.
    pub outcome: Option<&'static str>,
    /// How many of what.
    pub counts: Vec<(&'static str, i64)>,
    /// What was wrong with it.
    pub wrong: Option<&'a str>,
}

/// What a batch is called, and what it does for each of its events.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The span of the batch.
    pub batch: &'static str,
    /// The span of an event.
    pub event: &'static str,
    /// Whether the batch comes from the broker.
    pub from_broker: bool,
}

impl Begun {
    /// The batch ends, and this is what it did.
    pub fn end<'a>(
        self,
        names: Names,
        counts: &[(&'static str, i64)],
        events: impl IntoIterator<Item = EventWork<'a>>,
    ) {
        let ended = SystemTime::now();
        let kind = if names.from_broker { SpanKind::Consumer } else { SpanKind::Internal };
        let mut attributes: Vec<KeyValue> = named(counts);
        if names.from_broker {
            attributes.push(KeyValue::new("messaging.system", "rabbitmq"));
            attributes.push(KeyValue::new("messaging.operation.type", "receive"));
        }
        let mut batch = self.span(names.batch, kind.clone(), attributes, &Context::new());
        let batch_context = batch.span_context().clone();
        let own = Context::new().with_remote_span_context(batch_context.clone());
        for work in events {
            let parent = work.parent.and_then(context);
            let mut attributes = named(&work.counts);
            attributes.extend(work.event_id.map(|id| KeyValue::new("cloudevents.event_id", id.to_owned())));
            attributes.extend(work.outcome.map(|outcome| KeyValue::new("channel_sync.outcome", outcome)));
            if names.from_broker {
                attributes.push(KeyValue::new("messaging.system", "rabbitmq"));
                attributes.push(KeyValue::new("messaging.operation.type", "process"));
            }
            // An event without a trace of its own stands in that of the batch.
            let elsewhere = parent.is_some();
            let mut span = self.span(names.event, kind.clone(), attributes, parent.as_ref().unwrap_or(&own));
            if elsewhere && batch_context.is_sampled() {
                span.add_link(batch_context.clone(), Vec::new());
            }
            if elsewhere && span.span_context().is_sampled() {
                batch.add_link(span.span_context().clone(), Vec::new());
            }
            if let Some(wrong) = work.wrong {
                span.set_status(Status::error(wrong.to_owned()));
            }
            span.end_with_timestamp(ended);
        }
        batch.end_with_timestamp(ended);
    }

    /// The batch failed: nothing of it took effect.
    pub fn fail(self, names: Names, error: &dyn std::error::Error) {
        let mut span = self.span(names.batch, SpanKind::Internal, Vec::new(), &Context::new());
        span.set_status(Status::error(error.to_string()));
        span.end();
    }

    fn span(&self, name: &'static str, kind: SpanKind, attributes: Vec<KeyValue>, parent: &Context) -> Span {
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(self.began)
            .with_attributes(attributes);
        self.tracer.build_with_context(builder, parent)
    }
}

fn named(counts: &[(&'static str, i64)]) -> Vec<KeyValue> {
    counts.iter().map(|(name, count)| KeyValue::new(*name, *count)).collect()
}

/// The publisher's span as a parent.
fn context(parent: &TraceParent) -> Option<Context> {
    let trace_id = TraceId::from_hex(parent.trace_id()).ok()?;
    let span_id = SpanId::from_hex(parent.parent_id()).ok()?;
    let flags = match parent.is_sampled() {
        true => TraceFlags::SAMPLED,
        false => TraceFlags::default(),
    };
    let span = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    Some(Context::new().with_remote_span_context(span))
}

/// Lets no more spans wait than there may be.
#[derive(Debug)]
struct Bounded {
    processor: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    metrics: TraceMetrics,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.metrics.dropped(1);
            return;
        }
        self.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Counts what the collector takes, and says once that it does not, and once that it does again.
#[derive(Debug)]
struct Counted {
    exporter: OtlpExporter,
    waiting: Arc<AtomicUsize>,
    metrics: TraceMetrics,
    failing: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        match &outcome {
            Ok(()) => {
                self.metrics.exported(spans);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(error) => {
                self.metrics.failed(spans);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the collector takes no spans; they are dropped and counted");
                }
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends on the service's runtime what the library's own thread asks for: the client needs one.
#[derive(Debug)]
struct OnRuntime {
    runtime: tokio::runtime::Handle,
    client: HyperClient<Connector>,
}

impl HttpClient for OnRuntime {
    fn send_bytes<'life, 'sending>(
        &'life self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'life: 'sending,
        Self: 'sending,
    {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sending.await.map_err(|error| Box::new(error) as HttpError)? })
    }
}
