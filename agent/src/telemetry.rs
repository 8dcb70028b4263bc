//! runlog's own messages and metrics.
//!
//! Messages go to stderr, so that stdout belongs to what was asked for. Metrics are counted once, in
//! [`crate::record::Ledger`] and its likes; `/metrics` and OTLP both read them there.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};
use tracing_subscriber::EnvFilter;

use crate::{
    export,
    record::{Ledger, SourceKind, tally::Counts},
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
#[error("runlog's own metrics cannot be sent")]
pub struct UnusableMetrics(#[from] opentelemetry_otlp::ExporterBuildError);

/// Starts sending what the ledger counts to the destination that logs go to.
///
/// Metrics are sent over HTTP, where each destination that takes logs by HTTP takes them too; a gRPC destination is
/// asked at the same address.
///
/// # Errors
/// If the exporter cannot be set up.
pub fn start_metrics(
    destination: &export::Config,
    interval: Duration,
    ledger: Arc<Ledger>,
    host_name: Option<String>,
) -> Result<OwnMetrics, UnusableMetrics> {
    let mut endpoint = destination.endpoint.clone();
    let base = endpoint.path().trim_end_matches('/').trim_end_matches("/v1/logs").to_owned();
    endpoint.set_path(&format!("{base}/v1/metrics"));
    let exporter = opentelemetry_otlp::MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.as_str())
        .with_timeout(destination.timeout)
        .with_headers(destination.headers.0.iter().cloned().collect())
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
    let counters: [(&'static str, &'static str, fn(&Counts) -> u64); 5] = [
        ("runlog.lines.read", "lines that came in", |counts| counts.lines_read),
        ("runlog.records.kept", "records that went into the queue", |counts| counts.records_kept),
        ("runlog.lines.filtered", "lines left out for their level", Counts::filtered),
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
            for (kind, counts) in ledger.sums() {
                observer.observe(counts.lag_bytes, &[kind_attribute(kind)]);
            }
        })
        .build();
    Ok(OwnMetrics(provider))
}

fn kind_attribute(kind: SourceKind) -> KeyValue {
    KeyValue::new("runlog.source.kind", kind.as_str())
}
