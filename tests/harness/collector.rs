//! A real OpenTelemetry Collector that writes what it receives to a file, or sends it on.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{Identity, Port, eventually, tool};

/// A Collector with OTLP over gRPC and HTTP. Killed when dropped.
#[derive(Debug)]
pub struct Collector {
    folder: tempfile::TempDir,
    child: Option<Child>,
    identity: Option<Identity>,
    exporter: Exporter,
    signals: &'static [&'static str],
    /// Held, so that nobody takes them while it is away.
    _ports: [Port; 2],
    /// The port of OTLP/gRPC on 127.0.0.1.
    pub grpc_port: u16,
    /// The port of OTLP/HTTP on 127.0.0.1.
    pub http_port: u16,
}

/// What a Collector does with what it receives.
#[derive(Debug)]
enum Exporter {
    File,
    /// It keeps on disk what it has not sent yet.
    Otlp {
        address: String,
        protocol: &'static str,
        compression: &'static str,
    },
}

/// A log record as the Collector understood it.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectorRecord {
    /// Attributes of its resource, as text.
    pub resource: BTreeMap<String, String>,
    /// The scope's name.
    pub scope: String,
    /// Its own attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// What happened, if it is an event.
    pub event_name: String,
    /// The body.
    pub body: String,
    /// The severity number.
    pub severity_number: i64,
    /// The severity text.
    pub severity_text: String,
    /// Unix time in nanoseconds.
    pub time: u64,
}

/// A metric as the Collector understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorMetric {
    /// Attributes of its resource, as text.
    pub resource: BTreeMap<String, String>,
    /// The metric's name.
    pub name: String,
    /// The value, of all points together.
    pub value: u64,
}

/// A point of a gauge as the Collector understood it.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectorPoint {
    /// Attributes of its resource, as text.
    pub resource: BTreeMap<String, String>,
    /// The gauge's name.
    pub gauge: String,
    /// Its own attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// The value as it is written: `0.5`, or `3` where it is a whole number.
    pub value: String,
    /// Unix time in nanoseconds.
    pub time: u64,
}

impl Collector {
    /// Starts a Collector on free ports.
    #[must_use]
    pub fn start() -> Self {
        let mut collector = Self::prepare();
        collector.resume();
        collector
    }

    /// Chooses ports, and starts nothing yet.
    #[must_use]
    pub fn prepare() -> Self {
        let ports = [Port::new(), Port::new()];
        let [grpc_port, http_port] = ports.each_ref().map(Port::number);
        let folder = tempfile::tempdir().unwrap();
        let (exporter, signals) = (Exporter::File, &["logs", "metrics", "traces"][..]);
        Self { folder, child: None, identity: None, exporter, signals, _ports: ports, grpc_port, http_port }
    }

    /// Starts one that refuses traces.
    #[must_use]
    pub fn start_without_traces() -> Self {
        let mut collector = Self::prepare();
        collector.signals = &["logs", "metrics"];
        collector.resume();
        collector
    }

    /// Starts one that sends all to that address over `grpc` or `http`, until it is taken.
    #[must_use]
    pub fn before(address: &str, protocol: &'static str, compression: &'static str) -> Self {
        let exporter = Exporter::Otlp { address: address.to_owned(), protocol, compression };
        let mut collector = Self::prepare();
        collector.exporter = exporter;
        collector.resume();
        collector
    }

    /// Starts a Collector that speaks TLS, and says whom to trust: a file that names the authority.
    #[must_use]
    pub fn start_with_tls() -> (Self, PathBuf) {
        let mut collector = Self::prepare();
        let identity = Identity::write(collector.folder.path());
        let authority = identity.authority.clone();
        collector.identity = Some(identity);
        collector.resume();
        (collector, authority)
    }

    /// Starts it, and waits until it listens.
    pub fn resume(&mut self) {
        let tls = self.identity.as_ref().map_or_else(String::new, |identity| {
            let (certificate, key) = (identity.certificate.display(), identity.key.display());
            format!("        tls: {{cert_file: {certificate}, key_file: {key}}}\n")
        });
        let (name, exporter, extensions) = self.exporter();
        let pipeline = |signal| format!("    {signal}:\n      receivers: [otlp]\n      exporters: [{name}]\n");
        let pipelines: String = self.signals.iter().map(pipeline).collect();
        let config = format!(
            "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: 127.0.0.1:{}\n{tls}      http:\n        endpoint: 127.0.0.1:{}\n{tls}\
             {exporter}service:\n  extensions: {extensions}\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n{pipelines}",
            self.grpc_port, self.http_port,
        );
        let path = self.folder.path().join("config.yaml");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(self.folder.path().join("collector.log")).unwrap();
        let binary = tool("RUNLOG_TEST_COLLECTOR", "collector");
        let child = Command::new(binary).arg("--config").arg(&path).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        eventually("the Collector listens", || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the Collector ended: {}", self.log());
            let listens = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            (listens(self.grpc_port) && listens(self.http_port)).then_some(())
        });
    }

    /// The exporter's name, its settings, and the extensions that it needs.
    fn exporter(&self) -> (&'static str, String, &'static str) {
        match &self.exporter {
            Exporter::File => {
                let path = self.output().display().to_string();
                let text =
                    format!("exporters:\n  file:\n    path: {path}\n    append: true\n    flush_interval: 100ms\n");
                ("file", text, "[]")
            }
            Exporter::Otlp { address, protocol, compression } => {
                let name = if *protocol == "grpc" { "otlp_grpc" } else { "otlp_http" };
                let folder = self.folder.path().join("storage").display().to_string();
                let text = format!(
                    "extensions:\n  file_storage:\n    directory: {folder}\n    create_directory: true\n\
                     exporters:\n  {name}:\n    endpoint: {address}\n    tls:\n      insecure: true\n    \
                     compression: {compression}\n    sending_queue:\n      storage: file_storage\n    \
                     retry_on_failure:\n      initial_interval: 100ms\n      max_interval: 1s\n      max_elapsed_time: 0\n"
                );
                (name, text, "[file_storage]")
            }
        }
    }

    /// Stops it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("collector.log")).unwrap_or_default()
    }

    /// What it wrote: one `ExportLogsServiceRequest` or `ExportMetricsServiceRequest` as JSON a line.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.output()).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All log records so far but receipts.
    #[must_use]
    pub fn records(&self) -> Vec<CollectorRecord> {
        let mut records = Vec::new();
        for request in self.requests() {
            for resource_logs in array(&request["resourceLogs"]) {
                for scope_logs in array(&resource_logs["scopeLogs"]) {
                    for record in array(&scope_logs["logRecords"]) {
                        if record["eventName"] == "runlog.receipt" {
                            continue;
                        }
                        records.push(CollectorRecord {
                            resource: attributes(&resource_logs["resource"]["attributes"]),
                            scope: text(&scope_logs["scope"]["name"]),
                            attributes: attributes(&record["attributes"]),
                            event_name: text(&record["eventName"]),
                            body: text(&record["body"]["stringValue"]),
                            severity_number: record["severityNumber"].as_i64().unwrap_or(0),
                            severity_text: text(&record["severityText"]),
                            time: text(&record["timeUnixNano"]).parse().unwrap_or(0),
                        });
                    }
                }
            }
        }
        records
    }

    /// All sums and gauges of whole numbers so far, in the order in which they came.
    #[must_use]
    pub fn metrics(&self) -> Vec<CollectorMetric> {
        let mut metrics = Vec::new();
        for request in self.requests() {
            for resource_metrics in array(&request["resourceMetrics"]) {
                for scope_metrics in array(&resource_metrics["scopeMetrics"]) {
                    for metric in array(&scope_metrics["metrics"]) {
                        let points = ["sum", "gauge"].map(|kind| array(&metric[kind]["dataPoints"])).concat();
                        metrics.push(CollectorMetric {
                            resource: attributes(&resource_metrics["resource"]["attributes"]),
                            name: text(&metric["name"]),
                            value: points.iter().map(|point| text(&point["asInt"]).parse().unwrap_or(0)).sum(),
                        });
                    }
                }
            }
        }
        metrics
    }

    /// All points of gauges so far, in the order in which they came.
    #[must_use]
    pub fn points(&self) -> Vec<CollectorPoint> {
        let mut points = Vec::new();
        for request in self.requests() {
            for resource_metrics in array(&request["resourceMetrics"]) {
                for scope_metrics in array(&resource_metrics["scopeMetrics"]) {
                    for metric in array(&scope_metrics["metrics"]) {
                        points.extend(array(&metric["gauge"]["dataPoints"]).iter().map(|point| CollectorPoint {
                            resource: attributes(&resource_metrics["resource"]["attributes"]),
                            gauge: text(&metric["name"]),
                            attributes: attributes(&point["attributes"]),
                            value: match &point["asInt"] {
                                Value::Null => point["asDouble"].to_string(),
                                whole => text(whole),
                            },
                            time: text(&point["timeUnixNano"]).parse().unwrap_or(0),
                        }));
                    }
                }
            }
        }
        points
    }

    /// The bodies of all log records so far: cheaper than the records, for bodies without quotes and backslashes.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        let text = fs::read_to_string(self.output()).unwrap_or_default();
        let starts = text.split("\"body\":{\"stringValue\":\"").skip(1);
        // The last one may be half written.
        starts.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    }

    /// Waits until it has at least so many log records.
    #[must_use]
    pub fn eventually_records(&self, count: usize) -> Vec<CollectorRecord> {
        eventually(&format!("the Collector has {count} records"), || {
            let records = self.records();
            (records.len() >= count).then_some(records)
        })
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output.json")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let one = |attribute: &Value| {
        let value = attribute["value"].as_object()?.values().next()?;
        Some((text(&attribute["key"]), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    };
    array(value).iter().filter_map(one).collect()
}
