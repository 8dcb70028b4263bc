//! Metrics and traces of OpenTelemetry's own SDK and Collector.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use opentelemetry_proto::tonic::{
    metrics::v1::{metric::Data, number_data_point::Value},
    resource::v1::Resource,
};
use runlog_tests::{Agent, Collector, Identity, Sink, SinkRequest, eventually};

use crate::{attributes, client, numbers, raw::Address, receiving};

const STEPS: usize = 100;

/// What a run has measured and traced, as a backend finds it.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The last value of the counter.
    steps: i64,
    /// The number of values in the histogram.
    times: u64,
    spans: Vec<String>,
}

impl Found {
    /// All of so many steps.
    fn all(steps: usize) -> Self {
        let spans = (0..steps).map(|step| format!("step {step}")).collect();
        Self { steps: steps as i64, times: steps as u64, spans }
    }

    fn in_sink(sink: &Sink) -> Self {
        Self::of("python", sink)
    }

    /// Of a program in that language.
    fn of(language: &str, sink: &Sink) -> Self {
        let mut found = Self { steps: 0, times: 0, spans: Vec::new() };
        for request in sink.requests() {
            match &request.path[..] {
                "/v1/metrics" => found.measure(&request, language),
                "/v1/traces" => {
                    for resource in request.spans().resource_spans {
                        check(resource.resource.as_ref(), language);
                        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                        found.spans.extend(spans.map(|span| span.name));
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn measure(&mut self, request: &SinkRequest, language: &str) {
        for resource in request.metrics().resource_metrics {
            check(resource.resource.as_ref(), language);
            for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                match (&metric.name[..], metric.data) {
                    ("steps", Some(Data::Sum(sum))) => match sum.data_points[0].value {
                        Some(Value::AsInt(steps)) => self.steps = steps,
                        other => panic!("{other:?}"),
                    },
                    ("step.time", Some(Data::Histogram(times))) => self.times = times.data_points[0].count,
                    // The SDK measures itself, too.
                    _ => {}
                }
            }
        }
    }
}

/// Every resource has what the program said and the run's tags.
fn check(resource: Option<&Resource>, language: &str) {
    let attributes: BTreeMap<String, String> = attributes(resource);
    for (key, value) in [("service.name", "trainer"), ("telemetry.sdk.language", language), ("ml.run.id", "r")] {
        assert_eq!(attributes[key], value, "{attributes:?}");
    }
    assert!(attributes.contains_key("host.name"), "{attributes:?}");
}

#[test]
fn metrics_and_traces_of_the_sdk_arrive_with_the_runs_tags_over_both_protocols_whatever_the_level() {
    for (protocol, compression) in [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip")] {
        let sink = Sink::start();
        let mut agent = receiving(&sink).set("RUNLOG_LEVEL", "FATAL").start();
        client::measure(&client::address(&agent), protocol, compression, STEPS, &[]);
        assert_eq!(agent.metric("runlog_received_items_total{signal=\"traces\"}"), STEPS as f64);
        assert_eq!(agent.terminate().status.code(), Some(0));
        assert_eq!(Found::in_sink(&sink), Found::all(STEPS), "{protocol} {compression}");
    }
}

#[test]
fn all_signals_of_gos_sdk_arrive_with_the_runs_tags_over_both_protocols() {
    for protocol in ["grpc", "http"] {
        let sink = Sink::start();
        let mut agent = receiving(&sink).start();
        client::run_go(&agent, protocol, STEPS);
        assert_eq!(agent.terminate().status.code(), Some(0));
        assert_eq!(Found::of("go", &sink), Found::all(STEPS), "{protocol}");
        assert_eq!(numbers(&sink), (0..STEPS as u64).collect::<Vec<_>>(), "{protocol}");
        let record = &sink.records()[0].record;
        assert_eq!((record.severity_number, &record.severity_text[..]), (13, "WARN"));
        assert_eq!((record.trace_id.len(), record.span_id.len()), (16, 8), "it is known in which step it was logged");
    }
}

#[test]
fn a_signal_that_the_backend_has_no_place_for_is_counted_and_holds_up_nothing() {
    // It takes logs and metrics, and has no pipeline of traces.
    let collector = Collector::start_without_traces();
    for (protocol, port) in [("grpc", collector.grpc_port), ("http/protobuf", collector.http_port)] {
        let run = format!("run of {protocol}");
        let mut agent = Agent::builder()
            .set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0")
            .set("RUNLOG_EXPORT_ENDPOINT", format!("http://127.0.0.1:{port}"))
            .set("RUNLOG_EXPORT_PROTOCOL", protocol)
            .set("RUNLOG_EXPORT_MIN_BACKOFF", "100ms")
            .set("RUNLOG_RUN_ID", &run)
            .start();
        client::measure(&client::address(&agent), "http", "none", STEPS, &[]);
        fs::write(agent.path("a.log"), "a line behind them\n").unwrap();
        eventually("the line behind the traces arrives", || {
            collector.records().into_iter().find(|record| record.resource["ml.run.id"] == run)
        });
        let count = |family: &str, signal: &str| {
            format!("runlog_{family}_items_total{{destination=\"default\",signal=\"{signal}\"}}")
        };
        agent.eventually_metric(&count("rejected", "traces"), STEPS as f64);
        agent.eventually_metric(&count("exported", "metrics"), 2.0);
        assert_eq!(agent.metric(&count("exported", "traces")), 0.0);
        // What the Collector has taken it writes a moment later.
        let steps = eventually("the metrics arrive", || {
            let metrics = collector.metrics();
            metrics.into_iter().find(|metric| metric.name == "steps" && metric.resource["ml.run.id"] == run)
        });
        assert_eq!(steps.value, STEPS as u64);
        let warned = agent.eventually_warns("it is sent no traces");
        let mut tries = warned.iter().filter(|message| message.contains("kept in the queue"));
        assert!(tries.all(|message| message.contains("/v1/traces: ")), "whose place is missing: {warned:?}");
        assert_eq!(agent.terminate().status.code(), Some(0));
    }
}

#[test]
fn without_a_backend_metrics_and_traces_are_refused_and_their_program_told() {
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").start();
    for (protocol, word) in [("http", "404"), ("grpc", "UNIMPLEMENTED")] {
        let complaints = client::try_measure(&client::address(&agent), protocol, "none", 3, &[]).unwrap_err();
        assert!(complaints.contains(word), "{complaints}");
    }
    assert!(agent.metric("runlog_refused_requests_total{reason=\"signal\"}") >= 4.0);
    let status = agent.status();
    assert_eq!(status["ready"], true);
    assert!(status["refusals"]["signal"].as_u64().unwrap() >= 4, "{status}");
}

#[test]
fn h19_h20_with_tls_and_a_token_only_who_has_both_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::write(folder.path());
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let sink = Sink::start();
    let agent = receiving(&sink)
        .set("RUNLOG_OTLP_CERTIFICATE", path(&identity.certificate))
        .set("RUNLOG_OTLP_KEY", path(&identity.key))
        .set("RUNLOG_OTLP_TOKEN", "0123456789abcdef")
        .start();
    let address = client::address(&agent).replace("http://", "https://");
    let authority = ("OTEL_EXPORTER_OTLP_CERTIFICATE", path(&identity.authority));
    let token = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%200123456789abcdef".to_owned());
    for protocol in ["grpc", "http"] {
        client::measure(&address, protocol, "gzip", STEPS, &[authority.clone(), token.clone()]);
        let told = client::try_measure(&address, protocol, "gzip", 1, std::slice::from_ref(&authority)).unwrap_err();
        assert!(told.contains("401") || told.contains("UNAUTHENTICATED"), "{told}");
    }
    // Nothing is served without TLS, and nothing older than TLS 1.2.
    let raw = Address::of_receiver(&agent);
    assert_eq!(raw.post("/v1/logs", "Authorization: Bearer 0123456789abcdef\r\n", b"").0, 0);
    let hello_of_tls_1_0 =
        [b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01".as_slice(), &[7; 32], b"\x00\x00\x02\x00\x2f\x01\x00"]
            .concat();
    let (_, said) = raw.send(&hello_of_tls_1_0);
    assert!(said.starts_with("\x15\x03"), "an alert is what it says: {said:?}");
    agent.eventually_metric("runlog_refused_requests_total{reason=\"token\"}", 4.0);
    agent.eventually_metric("runlog_refused_requests_total{reason=\"tls\"}", 2.0);
    let exported = "runlog_exported_items_total{destination=\"default\",signal=\"traces\"}";
    agent.eventually_metric(exported, 2.0 * STEPS as f64);
    assert_eq!(Found::in_sink(&sink).spans.len(), 2 * STEPS);
    let said = [agent.messages(), agent.get("/metrics"), agent.status().to_string()].concat();
    assert!(!said.contains("0123456789abcdef"), "the token is shown");
}

#[test]
fn all_that_a_collector_between_was_given_arrives_although_it_is_killed() {
    for (protocol, compression) in [("grpc", "zstd"), ("http", "zstd"), ("grpc", "gzip")] {
        let sink = Sink::start();
        let mut agent = receiving(&sink).start();
        let mut collector = Collector::before(&client::address(&agent), protocol, compression);
        let between = format!("http://127.0.0.1:{}", collector.http_port);
        let logs = client::Client::start_at(&agent, &between, "http", "none", 3_000);
        logs.eventually_acknowledged(1_000);
        client::measure(&between, "http", "none", STEPS, &[]);
        collector.stop();
        collector.resume();
        let acknowledged = logs.finish();
        assert_eq!(acknowledged.len(), 3_000);
        // What it had sent and not heard of comes a second time.
        eventually("all records, spans and metrics arrive", || {
            let Found { mut spans, steps, times } = Found::in_sink(&sink);
            spans.sort();
            spans.dedup();
            let records: BTreeSet<u64> = numbers(&sink).into_iter().collect();
            let is_measured = (steps, times) == (STEPS as i64, STEPS as u64);
            (spans.len() == STEPS && records == acknowledged && is_measured).then_some(())
        });
        assert_eq!(agent.terminate().status.code(), Some(0));
        assert!(!collector.log().contains("Permanent error"), "{}", collector.log());
    }
}
