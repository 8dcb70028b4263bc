mod gauges;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tokio::sync::mpsc;

use super::*;
use crate::{
    batch::{self, Batcher},
    enrich::{Replays, recorder, redact},
    parse,
    pipeline::receipts::answer,
    queue::{self, Disk, Queue},
    record::{
        BatchMeta, Kept, Ledger, NoBookmark, Origin, SourceKind,
        origin::Stream,
        receipt,
        tally::Counts,
        wire::{Outline, Value, resource_attribute},
    },
    source::{Room, intake},
};

const DESTINATION: &str = "d";

/// What came of some requests: their answers, the batches, and what was counted.
struct Passed {
    answers: Vec<Option<Kept>>,
    batches: Vec<(BatchMeta, ExportLogsServiceRequest)>,
    /// The batches that are no logs.
    passed_on: Vec<(BatchMeta, Vec<u8>)>,
    counts: Counts,
    /// Of metrics and traces, what was kept and what was rejected.
    items: [(u64, u64); 2],
    /// The run and the sentence of each receipt.
    receipts: Vec<(String, String)>,
}

impl Passed {
    /// The bodies of a run's records, in the order of the batches.
    fn bodies(&self, run: &str) -> Vec<String> {
        let requests = self.batches.iter().filter(|(meta, _)| meta.run_id == run).map(|(_, request)| request);
        let records = requests.flat_map(|request| &request.resource_logs).flat_map(|resource| &resource.scope_logs);
        records.flat_map(|scope| &scope.log_records).map(body).collect()
    }
}

/// Sends logs through a stage, as run `ours`, and waits for their answers.
async fn pass(level: Severity, max_bytes: usize, requests: &[Vec<u8>]) -> Passed {
    let requests: Vec<_> = requests.iter().map(|request| (Signal::Logs, request.clone())).collect();
    pass_signals(level, max_bytes, &requests, Counted::Here).await
}

/// The same for requests of any signal, from whomever.
async fn pass_signals(level: Severity, max_bytes: usize, requests: &[(Signal, Vec<u8>)], counted: Counted) -> Passed {
    pass_through(|stage| stage, level, max_bytes, requests, counted).await
}

/// The same through a stage that was changed before.
async fn pass_through(
    change: impl FnOnce(Stage) -> Stage,
    level: Severity,
    max_bytes: usize,
    requests: &[(Signal, Vec<u8>)],
    counted: Counted,
) -> Passed {
    let dir = tempfile::tempdir().unwrap();
    let config = queue::Config::sized(64 << 20, 8 << 20);
    let linger = Duration::from_millis(5);
    let (queue, _) = Queue::open(dir.path(), &config, &[DESTINATION], Arc::new(Disk), linger).unwrap();
    let batcher = Batcher::new(batch::Config { max_bytes, linger }).unwrap();
    let (awaited, awaiting) = mpsc::channel(1);
    let (ledger, gave_up) = (Arc::new(Ledger::default()), Arc::new(AtomicBool::new(false)));
    let parse = parse::Config::default();
    let stage = Stage::new(parse, batcher, queue.clone(), &BTreeMap::new(), Arc::clone(&ledger), awaited, gave_up);
    let stage = change(stage.redacting(redact::Config { builtin: true, patterns: Vec::new() }));
    let (door, outlet) = intake(16 << 20);
    let stage = thread::spawn(move || stage.run(&outlet));
    tokio::spawn(answer(queue.clone(), awaiting));

    let mut encoded = Vec::new();
    resource_attribute(&mut encoded, "ml.run.id", Value::String("ours"));
    resource_attribute(&mut encoded, "host.name", Value::String("h"));
    let tally = ledger.open(SourceKind::Otlp, "test");
    let origin = Origin::new(Stream {
        key: String::new(),
        kind: SourceKind::Otlp,
        identity: &[],
        resource: Arc::new(crate::record::Resource { run_id: "ours".into(), encoded }),
        attributes: Vec::new(),
        level,
        tally: Arc::clone(&tally),
        bookmark: Arc::new(NoBookmark),
    });
    let mut answers = Vec::new();
    let mut waiting = Vec::new();
    for (signal, request) in requests {
        let (receipt, answered) = receipt();
        let (origin, outline) = (Arc::clone(&origin), Outline::read(request).unwrap());
        let request = request.clone();
        let pushed = Pushed { origin, signal: *signal, request, outline, counted, observed: 5, receipt, permit: None };
        door.push(pushed, Room::default()).unwrap();
        waiting.push(answered);
    }
    for answered in waiting {
        answers.push(answered.await.ok());
    }
    let durable = queue.stats().durable;
    let mut reader = queue.reader(DESTINATION).unwrap();
    drop(door);
    stage.join().unwrap().unwrap();
    queue.close();
    let (mut batches, mut passed_on, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(stored) = reader.next().await {
        let meta = BatchMeta::decode(&stored.meta[..]).unwrap();
        let bytes = zstd::decode_all(&stored.body[..]).unwrap();
        assert_eq!(bytes.len(), meta.uncompressed_bytes as usize);
        if meta.signal() != Signal::Logs {
            passed_on.push((meta, bytes));
            continue;
        }
        let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
        let first = &request.resource_logs[0].scope_logs[0].log_records[0];
        if first.event_name == "runlog.receipt" {
            receipts.push((meta.run_id, body(first)));
        } else {
            let is_replayed = first.attributes.iter().any(|attribute| attribute.key == "runlog.replayed");
            assert!(stored.seq <= durable || is_replayed, "a client was answered before its records were durable");
            batches.push((meta, request));
        }
    }
    let items = Signal::PASSED.map(|signal| {
        let passed = ledger.passed(signal).unwrap();
        (passed.kept.load(Ordering::Relaxed), passed.rejected.load(Ordering::Relaxed))
    });
    Passed { answers, batches, passed_on, counts: tally.counts(), items, receipts }
}

fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) })
}

fn body(record: &LogRecord) -> String {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn record(time: u64, severity: i32, body: &str) -> LogRecord {
    LogRecord { time_unix_nano: time, severity_number: severity, body: text(body), ..LogRecord::default() }
}

/// A `ResourceLogs` whose client names that run, if any.
fn resource(run: Option<&str>, records: Vec<LogRecord>) -> ResourceLogs {
    let pair = |run| KeyValue { key: "ml.run.id".into(), value: text(run), ..KeyValue::default() };
    ResourceLogs {
        resource: run.map(|run| Resource { attributes: vec![pair(run)], ..Resource::default() }),
        scope_logs: vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    }
}

fn request(resource_logs: Vec<ResourceLogs>) -> Vec<u8> {
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

#[tokio::test]
async fn what_another_runlog_has_counted_is_in_no_second_receipt() {
    let requests = [(Signal::Logs, request(vec![resource(None, vec![record(7, 9, "line")])]))];
    let passed = pass_signals(Severity::INFO, 1 << 20, &requests, Counted::Before).await;
    assert_eq!((passed.bodies("ours"), passed.receipts), (vec!["line".to_owned()], Vec::new()));
    assert_eq!((passed.counts.lines_read, passed.counts.records_kept), (1, 1));
}

#[tokio::test]
async fn records_are_filed_under_their_run_and_left_out_below_the_level() {
    let event = LogRecord { event_name: "e".into(), ..record(9, 17, "event") };
    let requests = [
        request(vec![
            resource(None, vec![record(7, 9, "info"), record(3, 5, "debug"), record(8, 0, "no level")]),
            resource(Some("theirs"), vec![record(0, 13, "no time"), event]),
        ]),
        request(vec![resource(None, vec![record(1, 1, "trace")])]),
        request(vec![resource(Some("ours"), vec![record(2, 9, "more")])]),
    ];
    let passed = pass(Severity::INFO, 1 << 20, &requests).await;

    assert_eq!(passed.answers, vec![Some(Kept::default()); 3]);
    assert_eq!(passed.bodies("ours"), ["info", "no level", "more"]);
    assert_eq!(passed.bodies("theirs"), ["no time", "event"]);
    assert_eq!(passed.counts.lines_filtered, [0, 1, 1, 0, 0, 0, 0]);
    assert_eq!((passed.counts.lines_read, passed.counts.records_kept, passed.counts.lines_lost), (7, 5, 0));
    assert_eq!(passed.counts.bytes_read, requests.iter().map(|request| request.len() as u64).sum::<u64>());
    let receipts = [
        ("ours", "5 lines of 1 source read: 3 kept, 2 below the level"),
        ("theirs", "1 line of 1 source read: 1 kept, 0 below the level"),
    ];
    assert_eq!(passed.receipts, receipts.map(|(run, text)| (run.to_owned(), text.to_owned())));
    let (meta, theirs) = passed.batches.iter().find(|(meta, _)| meta.run_id == "theirs").unwrap();
    assert_eq!((meta.records, meta.first_time_unix_nano, meta.last_time_unix_nano), (2, 5, 9));
    assert_eq!((&meta.records_by_range[..], meta.has_events), (&[0, 0, 0, 0, 1, 1, 0][..], true));
    let keys: Vec<_> = theirs.resource_logs[0].resource.iter().flat_map(|resource| &resource.attributes).collect();
    assert_eq!(keys.iter().map(|pair| &pair.key[..]).collect::<Vec<_>>(), ["ml.run.id", "host.name"]);
}

#[tokio::test]
async fn r4_r5_a_bad_record_is_rejected_alone_and_its_client_told() {
    let good = resource(None, vec![record(1, 9, "good")]);
    let mut bad = good.encode_to_vec();
    // A resource with an attribute whose key is not UTF-8: none of its records can be passed on.
    bad.splice(0..0, *b"\x0a\x05\x0a\x03\x0a\x01\xff");
    let not_utf8 = b"\x1a\x01\xff";
    let scope = [b"\x12\x05\x12\x03".as_slice(), not_utf8].concat();
    let mixed = [good.encode_to_vec(), scope].concat();
    let framed = |message: &[u8]| [&[0x0a, u8::try_from(message.len()).unwrap()], message].concat();
    let requests = [[framed(&mixed), framed(&bad)].concat(), framed(&bad), request(vec![good])];
    let passed = pass(Severity::INFO, 1 << 20, &requests).await;

    let reason = "it has a string that is not UTF-8";
    let rejected = |rejected| Some(Kept { rejected, reason: if rejected > 0 { reason.into() } else { String::new() } });
    assert_eq!(passed.answers, [rejected(2), rejected(1), rejected(0)]);
    assert_eq!(passed.bodies("ours"), ["good", "good"]);
    assert_eq!((passed.counts.lines_read, passed.counts.records_kept, passed.counts.lines_lost), (5, 2, 3));
}

#[tokio::test]
async fn a_large_request_becomes_batches_of_the_usual_size_and_is_answered_once() {
    let bodies: Vec<String> = (0..2_000).map(|number| format!("line {number:0100}")).collect();
    let records = bodies.iter().map(|body| record(1, 9, body)).collect();
    let passed = pass(Severity::INFO, 64 * 1024, &[request(vec![resource(None, records)])]).await;

    assert_eq!(passed.answers, [Some(Kept::default())]);
    assert_eq!(passed.bodies("ours"), bodies);
    assert_eq!(passed.batches.len(), 4);
    for (meta, request) in &passed.batches {
        assert!(meta.uncompressed_bytes < 65 * 1024, "{meta:?}");
        assert_eq!(request.resource_logs.len(), 1, "each batch is whole by itself");
    }
}

#[tokio::test]
async fn s10_a_client_that_names_many_runs_has_each_of_its_records_kept() {
    let resources = (0..200).map(|run| resource(Some(&format!("run {run}")), vec![record(1, 9, "x")])).collect();
    let passed = pass(Severity::INFO, 64 * 1024, &[request(resources)]).await;
    assert_eq!(passed.answers, [Some(Kept::default())]);
    let runs: BTreeSet<_> = passed.batches.iter().map(|(meta, _)| meta.run_id.clone()).collect();
    assert_eq!((passed.batches.len(), runs.len()), (200, 200));
}

#[tokio::test]
async fn a_record_that_the_queue_can_never_take_is_rejected_and_not_asked_for_again() {
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(24 << 20).collect();
    let passed = pass(Severity::INFO, 64 * 1024, &[request(vec![resource(None, vec![record(1, 9, &noise)])])]).await;
    let Some(Kept { rejected: 1, reason }) = &passed.answers[0] else { panic!("{:?}", passed.answers) };
    assert!(reason.contains("larger than"), "{reason}");
    assert!(passed.batches.is_empty());
}

/// What a stage with a flight recorder passes on of records that came over OTLP.
async fn record_and_pass(requests: &[Vec<u8>], counted: Counted) -> Passed {
    let requests: Vec<_> = requests.iter().map(|request| (Signal::Logs, request.clone())).collect();
    let recording = |stage: Stage| {
        let config = recorder::Config { bytes: 1 << 20, span: Duration::from_secs(3600) };
        stage.recording(Some(config), Replays::default())
    };
    pass_through(recording, Severity::INFO, 1 << 20, &requests, counted).await
}

#[tokio::test]
async fn records_below_the_level_are_sent_when_an_error_of_their_run_calls_for_them() {
    let quiet = |run| request(vec![resource(run, vec![record(7, 5, "loss 0.5"), record(8, 5, "password=hunter2")])]);
    let error = request(vec![resource(Some("a"), vec![record(9, 17, "bad")])]);
    let passed = record_and_pass(&[quiet(Some("a")), quiet(Some("b")), error.clone(), error], Counted::Here).await;

    assert_eq!(passed.bodies("a"), ["bad", "loss 0.5", "password=[redacted:password]", "bad"]);
    assert_eq!(passed.bodies("b"), [] as [String; 0], "nothing has gone wrong in that run");
    let replayed = |record: &&LogRecord| record.attributes.iter().any(|attribute| attribute.key == "runlog.replayed");
    let resources: Vec<_> = passed.batches.iter().flat_map(|(_, request)| &request.resource_logs).collect();
    for resource in &resources {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        assert!(attributes.iter().any(|attribute| attribute.key == "host.name"), "the agent's tags are there");
    }
    let records = || resources.iter().flat_map(|it| &it.scope_logs).flat_map(|scope| &scope.log_records);
    assert_eq!(records().filter(replayed).map(|record| record.time_unix_nano).collect::<Vec<_>>(), [7, 8]);
    let (lines_filtered, counts) = (passed.counts.filtered(), &passed.counts);
    assert_eq!((counts.lines_read, counts.records_kept, lines_filtered, counts.lines_replayed), (6, 4, 4, 2));
    let receipts: BTreeSet<_> = passed.receipts.iter().map(|(run, told)| (run.as_str(), told.as_str())).collect();
    let expected = [
        ("a", "4 lines of 1 source read: 4 kept, 0 below the level, 2 lines replayed"),
        ("b", "2 lines of 1 source read: 0 kept, 2 below the level"),
    ];
    assert_eq!(receipts, BTreeSet::from(expected));
}

#[tokio::test]
async fn what_another_runlog_sends_below_the_level_is_in_its_own_recorder() {
    let requests = [(5, "quiet"), (17, "bad")]
        .map(|(level, body)| request(vec![resource(Some("a"), vec![record(7, level, body)])]));
    assert_eq!(record_and_pass(&requests, Counted::Before).await.bodies("a"), ["bad"]);
}

/// A gauge with so many points.
fn gauge(name: &str, points: usize) -> Metric {
    let gauge = Gauge { data_points: vec![NumberDataPoint { time_unix_nano: 3, ..Default::default() }; points] };
    Metric { name: name.to_owned(), data: Some(Data::Gauge(gauge)), ..Metric::default() }
}

fn metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

fn spans(names: &[&str]) -> ExportTraceServiceRequest {
    let span = |name: &&str| Span { name: (*name).to_owned(), start_time_unix_nano: 3, ..Span::default() };
    let scope = ScopeSpans { spans: names.iter().map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

#[tokio::test]
async fn metrics_and_traces_pass_under_the_runs_tags_whatever_the_level_in_batches_of_their_own() {
    let (sent, traced) = (metrics(vec![gauge("loss", 2), gauge("rate", 1)]), spans(&["step", "save"]));
    let requests = [
        (Signal::Metrics, sent.encode_to_vec()),
        (Signal::Logs, request(vec![resource(None, vec![record(1, 5, "debug"), record(1, 17, "error")])])),
        (Signal::Traces, traced.encode_to_vec()),
    ];
    let passed = pass_signals(Severity::ERROR, 1 << 20, &requests, Counted::Here).await;

    assert_eq!(passed.answers, vec![Some(Kept::default()); 3]);
    assert_eq!(passed.bodies("ours"), ["error"]);
    let find = |signal| passed.passed_on.iter().find(|(meta, _)| meta.signal() == signal).unwrap();
    assert_eq!(passed.passed_on.len(), 2);
    let (meta, bytes) = find(Signal::Metrics);
    assert_eq!((&meta.run_id[..], meta.records, meta.points, meta.items()), ("ours", 2, 3, 3));
    assert_eq!((meta.first_time_unix_nano, meta.last_time_unix_nano), (5, 5), "when they were received");
    let mut found = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
    let added = found.resource_metrics[0].resource.take().unwrap();
    assert_eq!(added.attributes.iter().map(|pair| &pair.key[..]).collect::<Vec<_>>(), ["ml.run.id", "host.name"]);
    assert_eq!(found, sent);
    let (meta, bytes) = find(Signal::Traces);
    assert_eq!((&meta.run_id[..], meta.records, meta.points, meta.items()), ("ours", 2, 0, 2));
    let mut found = ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
    assert!(found.resource_spans[0].resource.take().is_some());
    assert_eq!(found, traced);
    // They are no lines.
    assert_eq!((passed.counts.lines_read, passed.counts.records_kept, passed.items), (2, 1, [(3, 0), (2, 0)]));
    assert_eq!(passed.receipts.len(), 1);
    assert!(passed.receipts[0].1.starts_with("2 lines"), "{:?}", passed.receipts);
}

#[tokio::test]
async fn r4_of_bad_metrics_the_points_are_rejected_and_of_bad_traces_the_spans() {
    let spoil = |mut bytes: Vec<u8>, name: &[u8]| {
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
        bytes[at] = 0xff;
        bytes
    };
    let requests = [
        (Signal::Metrics, spoil(metrics(vec![gauge("loss", 2), gauge("rate", 3)]).encode_to_vec(), b"rate")),
        (Signal::Traces, spoil(spans(&["step", "save", "load"]).encode_to_vec(), b"save")),
    ];
    let passed = pass_signals(Severity::INFO, 1 << 20, &requests, Counted::Here).await;
    let rejected = |answer: &Option<Kept>| answer.as_ref().unwrap().rejected;
    assert_eq!(passed.answers.iter().map(rejected).collect::<Vec<_>>(), [3, 1]);
    assert_eq!((passed.items, passed.counts.lines_lost), ([(2, 3), (2, 1)], 0));
}

#[tokio::test]
async fn h7_what_would_be_repeated_in_each_batch_is_small() {
    let mut large = resource(Some(&"x".repeat(200)), vec![record(1, 9, "under a large head"); 3]);
    let value = text(&"y".repeat(64 << 10));
    large.resource.as_mut().unwrap().attributes.push(KeyValue { key: "k".into(), value, ..KeyValue::default() });
    let requests = [request(vec![large, resource(None, vec![record(1, 9, "small")])])];
    let passed = pass(Severity::INFO, 16 << 10, &requests).await;
    let Some(Kept { rejected: 3, reason }) = &passed.answers[0] else { panic!("{:?}", passed.answers) };
    assert!(reason.contains("65536 bytes"), "{reason}");
    assert_eq!(passed.bodies("ours"), ["small"]);
}

#[tokio::test]
async fn secrets_of_clients_are_masked_in_records_and_resources() {
    let pair = |key: &str, value| KeyValue { key: key.into(), value: text(value), ..KeyValue::default() };
    let mut secret = record(1, 9, "login with password=hunter2");
    secret.attributes = vec![pair("api_key", "0123456789abcdef0123456789abcdef")];
    let mut described = resource(Some("ours"), vec![secret, record(2, 9, "tokens=12")]);
    let command = pair("process.command_line", "train.py --token=0123456789abcdef0123456789abcdef");
    described.resource.get_or_insert_default().attributes.push(command);
    let passed = pass(Severity::INFO, 1 << 20, &[request(vec![described])]).await;

    assert_eq!(passed.bodies("ours"), ["login with password=[redacted:password]", "tokens=12"]);
    let above = &passed.batches[0].1.resource_logs[0];
    let command = &above.resource.as_ref().unwrap().attributes[1];
    assert_eq!(command.value, text("train.py --token=[redacted:token]"));
    let first = &above.scope_logs[0].log_records[0];
    let counted = Some(AnyValue { value: Some(any_value::Value::IntValue(2)) });
    let counted = KeyValue { key: "runlog.redacted".into(), value: counted, ..KeyValue::default() };
    assert_eq!(first.attributes, [pair("api_key", "[redacted:api-key]"), counted]);
}
