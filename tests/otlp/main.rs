//! Programs that log through OpenTelemetry's own SDK, over the agent to a backend.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod client;
mod hostile;
mod raw;
mod signals;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
};

use client::Client;
use opentelemetry_proto::tonic::{common::v1::any_value, resource::v1::Resource};
use runlog_tests::{Agent, AgentBuilder, Sink, eventually};

fn receiving(sink: &Sink) -> AgentBuilder {
    Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint())
}

/// Number of each record in the sink, which stands in its body, as often as it came.
fn numbers(sink: &Sink) -> Vec<u64> {
    let records = sink.records();
    records.iter().map(|record| record.body().split(' ').nth(1).unwrap().parse().unwrap()).collect()
}

/// Attributes of a resource that are text.
fn attributes(resource: Option<&Resource>) -> BTreeMap<String, String> {
    let pairs = resource.into_iter().flat_map(|resource| &resource.attributes);
    let text = pairs.filter_map(|pair| match pair.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some((pair.key.clone(), text.clone())),
        _ => None,
    });
    text.collect()
}

#[test]
fn records_of_the_sdk_arrive_with_the_runs_tags_over_both_protocols() {
    for (protocol, compression) in [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip")] {
        let sink = Sink::start();
        let mut agent = receiving(&sink).start();
        let acknowledged = Client::start(&agent, protocol, compression, 300).finish();
        assert_eq!(acknowledged.len(), 300, "{protocol} {compression}");
        assert_eq!(agent.terminate().status.code(), Some(0));

        assert_eq!(numbers(&sink), (0..300).collect::<Vec<_>>(), "{protocol} {compression}");
        let record = &sink.records()[0].record;
        assert_eq!((record.severity_number, &record.severity_text[..]), (13, "WARN"));
        assert_ne!(record.time_unix_nano, 0);
        assert!(record.attributes.iter().any(|pair| pair.key == "loss"), "{record:?}");
        let request = sink.requests()[0].logs();
        let resource = attributes(request.resource_logs[0].resource.as_ref());
        for (key, value) in [("service.name", "trainer"), ("telemetry.sdk.language", "python"), ("ml.run.id", "r")] {
            assert_eq!(resource[key], value, "{resource:?}");
        }
        assert!(resource.contains_key("host.name"), "{resource:?}");
        assert_eq!(request.resource_logs[0].scope_logs[0].scope.as_ref().unwrap().name, "train");
    }
}

#[test]
fn r2_what_was_acknowledged_before_a_kill_is_delivered_after_it() {
    for protocol in ["grpc", "http"] {
        let sink = Sink::prepare();
        let mut agent = receiving(&sink).start();
        let client = Client::start(&agent, protocol, "none", 100_000);
        client.eventually_acknowledged(2_000);
        agent.kill();
        let acknowledged = client.kill();

        sink.open();
        agent.start();
        let missing = |found: &BTreeSet<u64>| acknowledged.difference(found).count();
        eventually("all that was acknowledged is delivered", || {
            let found = numbers(&sink).into_iter().collect();
            (missing(&found) == 0).then_some(())
        });
        assert!(acknowledged.len() >= 2_000);
    }
}

#[test]
fn r3_a_full_queue_sends_clients_away_and_nothing_is_lost() {
    let sink = Sink::prepare();
    let mut agent = receiving(&sink)
        .set("RUNLOG_QUEUE_MAX_BYTES", "8MiB")
        .set("RUNLOG_QUEUE_SEGMENT_BYTES", "1MiB")
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "1s")
        .start();
    // 16 MB, of which the queue can hold half.
    let client = Client::start_with_padding(&agent, "http", "none", 4_000, 4_000);
    client.eventually_complains_of("Service Unavailable");
    // There may have been no room for the request in memory, before the queue is full.
    eventually("the queue is full", || (agent.status()["ready"] == false).then_some(()));

    sink.open();
    let acknowledged = client.finish();
    assert_eq!(acknowledged.len(), 4_000);
    assert_eq!(agent.terminate().status.code(), Some(0));
    let found: BTreeSet<u64> = numbers(&sink).into_iter().collect();
    assert_eq!(found, acknowledged);
}

#[test]
fn an_address_in_use_is_told_and_all_else_is_collected() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", &address).start();
    fs::write(agent.path("a.log"), "one\n").unwrap();
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "one");
    let expected = format!("otlp: cannot listen on {address}: ");
    let status = eventually("it is told", || {
        let status = agent.status();
        status["degraded"][0].as_str().is_some_and(|told| told.starts_with(&expected)).then_some(status)
    });
    assert_eq!(status["ready"], true);
}

#[test]
fn received_records_are_found_in_the_embedded_store_and_counted() {
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").set("RUNLOG_LEVEL", "WARN").start();
    let acknowledged = Client::start(&agent, "http", "gzip", 150).finish();
    assert_eq!(acknowledged.len(), 150);
    let lines = agent.eventually_lines("r", 150);
    assert_eq!((lines.len(), lines[7].body(), lines[7].severity()), (150, "step 7 ", 13));
    assert_eq!(agent.metric("runlog_kept_records_total{source=\"otlp\"}"), 150.0);
    assert_eq!(agent.metric("runlog_read_lines_total{source=\"otlp\"}"), 150.0);
}
