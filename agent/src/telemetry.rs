//! runlog's own messages and metrics.
//!
//! Messages go to stderr, so that stdout belongs to what was asked for. Metrics are counted once, in
//! [`crate::record::Ledger`] and its likes; `/metrics` and OTLP both read them there.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};
use tokio::runtime::Handle;
use tracing::{debug, warn};
use tracing_subscriber::EnvFilter;

use crate::{
    export::{self, Deliver, Delivery, Otlp},
    record::{Ledger, Signal, SourceKind, SystemClock, tally::Counts},
};

/// How runlog speaks of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The `tracing` filter of our own messages.
    pub level: String,
    /// How they are written.
    pub format: Format,
    /// Whether our own metrics are sent over OTLP, and how often.
    pub otlp_interval: Option<Duration>,
}

/// The form of our own messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, else JSON.
    Auto,
    /// One line of text each.
    Text,
    /// One JSON object each.
    Json,
}

/// Starts writing messages. Called once; a second call changes nothing.
pub fn start_messages(config: &Config) {
    let filter = EnvFilter::builder().parse_lossy(&config.level);
    let is_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // A failure means that messages are written already.
    let _ = if config.format == Format::Json || config.format == Format::Auto && !is_terminal {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(is_terminal && std::env::var_os("NO_COLOR").is_none()).compact().try_init()
    };
}

/// runlog's own metrics on their way to a destination. Dropping it sends the last values.
#[derive(Debug)]
pub struct OwnMetrics(SdkMeterProvider);

impl Drop for OwnMetrics {
    fn drop(&mut self) {
        // The destination may be away; the logs in the queue matter more than these numbers.
        let _ = self.0.shutdown_with_timeout(Duration::from_secs(2));
    }
}

/// An exporter of our own metrics that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UnusableMetrics {
    /// The destination's settings cannot be used.
    #[error("runlog's own metrics cannot be sent")]
    Destination(#[from] export::UnusableDestination),
    /// The library refuses its settings.
    #[error("runlog's own metrics cannot be encoded")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The way that logs go: the same protocol, TLS, headers and compression.
///
/// The library encodes the metrics and decides when; its own clients would have to be given all of that anew.
struct LogsWay {
    otlp: Arc<Otlp>,
    /// The library calls from a thread of its own, which has no runtime.
    runtime: Handle,
    is_failing: AtomicBool,
}

impl std::fmt::Debug for LogsWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogsWay").field(&self.otlp.address()).finish()
    }
}

#[async_trait::async_trait]
impl HttpClient for LogsWay {
    /// Delivers the request's body; where to and with which headers, the destination knows.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (otlp, message) = (Arc::clone(&self.otlp), request.into_body());
        let delivery = self.runtime.spawn(async move { otlp.send(Signal::Metrics, &message).await }).await?;
        let reason = match delivery {
            Delivery::Accepted { rejected: 0, .. } => {
                self.is_failing.store(false, Ordering::Relaxed);
                return Ok(Response::new(Bytes::new()));
            }
            Delivery::Accepted { message: reason, .. }
            | Delivery::Retry { reason, .. }
            | Delivery::Failed { reason }
            | Delivery::Unserved { reason }
            | Delivery::Misconfigured { reason }
            | Delivery::Refused { reason }
            | Delivery::TooLarge { reason } => reason,
        };
        let address = self.otlp.address_of(Signal::Metrics);
        if self.is_failing.swap(true, Ordering::Relaxed) {
            debug!("runlog's own metrics: {address}: {reason}");
        } else {
            warn!("runlog's own metrics: {address}: {reason}; trying again with newer ones");
        }
        // Not an error, since the library would repeat the old numbers at once.
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
        Ok(response)
    }
}

/// Starts sending what the ledger counts to the destination that logs go to. Must be called inside the runtime.
///
/// # Errors
/// If the exporter cannot be set up.
pub fn start_metrics(
    destination: &export::Config,
    interval: Duration,
    ledger: Arc<Ledger>,
    host_name: Option<String>,
) -> Result<OwnMetrics, UnusableMetrics> {
    let otlp = Arc::new(Otlp::new(destination, Arc::new(SystemClock))?);
    let way = LogsWay { otlp, runtime: Handle::current(), is_failing: AtomicBool::new(false) };
    let exporter = opentelemetry_otlp::MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(destination.endpoint.as_str())
        .with_timeout(destination.timeout)
        .with_http_client(way)
        .build()?;
    let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
    let mut resource = Resource::builder()
        .with_service_name("runlog")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(host_name) = host_name {
        resource = resource.with_attribute(KeyValue::new("host.name", host_name));
    }
    let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource.build()).build();
    let meter = provider.meter("runlog");
    type Get = fn(&Counts) -> u64;
    let counters: [(&str, &str, Get); 8] = [
        ("runlog.lines.read", "lines that came in", |counts| counts.lines_read),
        ("runlog.records.kept", "records that went into the queue", |counts| counts.records_kept),
        ("runlog.states.folded", "states of progress bars that were drawn over", |counts| counts.states_folded),
        ("runlog.lines.limited", "lines left out for what their stream may print in a second", |counts| {
            counts.lines_limited
        }),
        ("runlog.lines.filtered", "lines left out for their level", Counts::filtered),
        ("runlog.lines.replayed", "of those left out, lines that were sent after all", |counts| counts.lines_replayed),
        ("runlog.lines.lost", "lines that are gone although they should have been kept", |counts| counts.lines_lost),
        ("runlog.bytes.read", "bytes that came in", |counts| counts.bytes_read),
    ];
    for (name, description, value) in counters {
        let ledger = Arc::clone(&ledger);
        meter
            .u64_observable_counter(name)
            .with_description(description)
            .with_callback(move |observer| {
                for (kind, counts) in ledger.sums() {
                    observer.observe(value(&counts), &[kind_attribute(kind)]);
                }
            })
            .build();
    }
    meter
        .u64_observable_gauge("runlog.lag")
        .with_description("bytes that are there to be read and not read yet")
        .with_unit("By")
        .with_callback(move |observer| {
            for (kind, lag) in ledger.lags() {
                lag.bytes().into_iter().for_each(|bytes| observer.observe(bytes, &[kind_attribute(kind)]));
            }
        })
        .build();
    Ok(OwnMetrics(provider))
}

fn kind_attribute(kind: SourceKind) -> KeyValue {
    KeyValue::new("runlog.source.kind", kind.as_str())
}
