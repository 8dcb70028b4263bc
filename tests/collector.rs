//! What a real OpenTelemetry Collector understands of what runlog sends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use runlog_tests::{Agent, AgentBuilder, Collector, CollectorRecord, Sink, eventually};

const LINES: &str = "\
2026-03-01 12:00:00,250 DEBUG PIL.Image: opened
2026-03-01T12:00:01Z WARNING train: loss is high
a line without a level
";

/// 2026-03-01T12:00:00Z in Unix nanoseconds.
const NOON: u64 = 1_772_366_400_000_000_000;

#[test]
fn records_are_understood_over_both_protocols_in_every_compression() {
    let collector = Collector::start();
    for protocol in ["grpc", "http/protobuf"] {
        for compression in ["gzip", "zstd", "none"] {
            let run = format!("{}-{compression}", protocol.split('/').next().unwrap());
            let mut agent = exporting_to(&collector, protocol)
                .set("RUNLOG_EXPORT_COMPRESSION", compression)
                .set("RUNLOG_RUN_ID", &run)
                .start();
            let log = agent.path("rank1.log");
            fs::write(&log, LINES).unwrap();
            let records = eventually_records_of(&collector, &run, 3);
            assert_record(&records[0], "DEBUG PIL.Image: opened", "PIL.Image", (5, "DEBUG"), NOON + 250_000_000);
            assert_record(&records[1], "WARNING train: loss is high", "train", (13, "WARNING"), NOON + 1_000_000_000);
            assert_record(&records[2], "a line without a level", "", (9, ""), 0);
            for record in &records {
                let expected = [("log.file.name", "rank1.log"), ("log.file.path", log.to_str().unwrap())];
                let ranks = [("ml.rank", "1"), ("ml.local_rank", "1"), ("ml.world_size", "2")];
                let mut attributes = record.attributes.clone();
                let uid = attributes.remove("log.record.uid").unwrap();
                assert!(uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{uid}");
                assert_eq!(attributes, map(&[expected.as_slice(), &ranks].concat()));
            }
            let uids: BTreeSet<_> = records.iter().map(|record| &record.attributes["log.record.uid"]).collect();
            assert_eq!(uids.len(), 3);
            // A compression that the other side does not take would have been given up, with a warning.
            let finished = agent.terminate();
            assert_eq!(finished.status.code(), Some(0));
            assert!(!finished.messages.contains("\"WARN\""), "{}", finished.messages);
        }
    }
}

#[test]
fn the_resource_says_which_run_on_which_host_and_stays_the_same_after_a_restart() {
    let collector = Collector::start();
    let mut agent = exporting_to(&collector, "grpc").start();
    fs::write(agent.path("a.log"), "before\n").unwrap();
    let before = eventually_records_of(&collector, "r", 1).remove(0).resource;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut rest = before.clone();
    let instance = rest.remove("service.instance.id").unwrap();
    assert_eq!(instance.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{instance}");
    let expected = [
        ("service.name", "ridge"),
        ("ml.run.id", "r"),
        ("ml.experiment.name", "ridge"),
        ("host.name", host.trim()),
        ("team", "vision"),
    ];
    assert_eq!(rest, map(&expected));

    agent.kill();
    agent.start();
    fs::write(agent.path("b.log"), "after\n").unwrap();
    // The line before may come a second time: its acknowledgement need not have been durable.
    let after = eventually("the line after the restart comes", || {
        collector.records().into_iter().find(|record| record.body == "after")
    });
    assert_eq!(after.resource, before);
}

#[test]
fn records_arrive_over_tls_from_a_server_whose_authority_is_named() {
    let (collector, authority) = Collector::start_with_tls();
    for (protocol, run, port) in [("grpc", "grpc", collector.grpc_port), ("http/protobuf", "http", collector.http_port)]
    {
        let agent = exporting_to(&collector, protocol)
            .set("RUNLOG_EXPORT_ENDPOINT", format!("https://127.0.0.1:{port}"))
            .set("RUNLOG_EXPORT_CERTIFICATE", authority.to_str().unwrap())
            .set("RUNLOG_TELEMETRY_OTLP", "true")
            .set("RUNLOG_TELEMETRY_INTERVAL", "1s")
            .set("RUNLOG_RUN_ID", run)
            .start();
        fs::write(agent.path("a.log"), "secret\n").unwrap();
        assert_eq!(eventually_records_of(&collector, run, 1)[0].body, "secret");
        eventually_own_metric(&collector, "runlog.records.kept", 1);
    }
}

#[test]
fn own_metrics_arrive_over_both_protocols() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start();
        let agent = exporting_to(&collector, protocol)
            .set("RUNLOG_LEVEL", "INFO")
            .set("RUNLOG_TELEMETRY_OTLP", "true")
            .set("RUNLOG_TELEMETRY_INTERVAL", "1s")
            .start();
        fs::write(agent.path("a.log"), LINES).unwrap();
        for (name, value) in
            [("runlog.lines.read", 3), ("runlog.records.kept", 2), ("runlog.lines.filtered", 1), ("runlog.lag", 0)]
        {
            let resource = eventually_own_metric(&collector, name, value);
            assert_eq!(resource["service.name"], "runlog");
            assert!(resource.contains_key("host.name") && resource.contains_key("service.version"), "{resource:?}");
        }
    }
}

#[test]
fn headers_and_the_compression_stand_on_each_request_for_logs_and_for_metrics() {
    for (compression, encoding) in [("gzip", Some("gzip")), ("zstd", Some("zstd")), ("none", None)] {
        let sink = Sink::start();
        let agent = Agent::builder()
            .set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint())
            .set("RUNLOG_EXPORT_COMPRESSION", compression)
            .set("RUNLOG_EXPORT_HEADERS", "authorization=Bearer abc,X-Scope-OrgID=vision")
            .set("RUNLOG_TELEMETRY_OTLP", "true")
            .set("RUNLOG_TELEMETRY_INTERVAL", "1s")
            .start();
        fs::write(agent.path("a.log"), "one\n").unwrap();
        let paths = || sink.requests().into_iter().map(|request| request.path).collect::<BTreeSet<_>>();
        eventually("logs and metrics come", || {
            (paths() == ["/v1/logs", "/v1/metrics"].map(str::to_owned).into()).then_some(())
        });
        for request in sink.requests() {
            let header = |name: &str| request.headers.get(name).map(String::as_str);
            assert_eq!(header("authorization"), Some("Bearer abc"), "{}", request.path);
            assert_eq!(header("x-scope-orgid"), Some("vision"));
            assert_eq!(header("content-type"), Some("application/x-protobuf"));
            assert_eq!(header("content-encoding"), encoding, "{}", request.path);
            assert!(header("user-agent").unwrap().starts_with("runlog/"));
        }
        assert!(!agent.messages().contains("Bearer"), "a secret is in our own messages");
    }
}

fn exporting_to(collector: &Collector, protocol: &str) -> AgentBuilder {
    let port = if protocol == "grpc" { collector.grpc_port } else { collector.http_port };
    Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .set("RUNLOG_EXPORT_PROTOCOL", protocol)
        .set("RUNLOG_EXPERIMENT", "ridge")
        .set("OTEL_RESOURCE_ATTRIBUTES", "team=vision")
        .set("RANK", "1")
        .set("LOCAL_RANK", "1")
        .set("WORLD_SIZE", "2")
}

fn eventually_records_of(collector: &Collector, run: &str, count: usize) -> Vec<CollectorRecord> {
    eventually(&format!("the Collector has {count} records of {run}"), || {
        let all = collector.records().into_iter();
        let of_run: Vec<_> = all.filter(|record| record.resource["ml.run.id"] == run).collect();
        (of_run.len() >= count).then_some(of_run)
    })
}

fn assert_record(record: &CollectorRecord, end: &str, scope: &str, severity: (i64, &str), time: u64) {
    assert!(record.body.ends_with(end), "{record:?}");
    let found = (record.scope.as_str(), (record.severity_number, record.severity_text.as_str()), record.time);
    assert_eq!(found, (scope, severity, time), "{record:?}");
}

/// Waits until one of runlog's own metrics has that value, and gives its resource.
fn eventually_own_metric(collector: &Collector, name: &str, value: u64) -> BTreeMap<String, String> {
    eventually(&format!("{name} is {value}"), || {
        let found = collector.metrics().into_iter().rev().find(|metric| metric.name == name)?;
        (found.value == value).then_some(found.resource)
    })
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
