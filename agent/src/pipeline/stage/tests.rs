mod signals;

use std::{cell::OnceCell, collections::BTreeSet};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::any_value,
    logs::v1::LogRecord,
};
use proptest::prelude::*;
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    batch,
    parse::join,
    queue::{self, Disk},
    record::{BatchMeta, Bookmark, Chunk, Format, Lane, ReadTo, Resource, Severity, Signal, SourceKind, Tally, origin},
    source::intake,
};

const DESTINATION: &str = "d";

/// Writes the offsets down.
#[derive(Debug)]
struct Offset;

impl Bookmark for Offset {
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>> {
        let text = if read_to == ReadTo::whole(read_to.offset) {
            read_to.offset.to_string()
        } else {
            let ReadTo { offset, lanes } = read_to;
            format!("{offset} stdout {} stderr {}", lanes[Lane::Stdout as usize], lanes[Lane::Stderr as usize])
        };
        Some(text.into_bytes())
    }
}

fn origin(key: &str, formerly: Option<u64>) -> Arc<Origin> {
    opened(key, Format::Plain, formerly)
}

fn opened(key: &str, format: Format, formerly: Option<u64>) -> Arc<Origin> {
    let stream = origin::Stream {
        key: key.into(),
        kind: SourceKind::File,
        identity: &[b"the same stream"],
        resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, key),
        bookmark: Arc::new(Offset),
    };
    Origin::wrapped(stream, format, origin::Left { formerly, ..origin::Left::default() })
}

/// A queue and what a stage has put into it.
struct Ran {
    /// The positions when all was settled, before the sources finished.
    settled: Vec<(String, String)>,
    positions: Vec<(String, String)>,
    records: Vec<LogRecord>,
    metrics: Vec<ExportMetricsServiceRequest>,
    /// The signals of the queue's entries.
    signals: Vec<Signal>,
}

/// Lets a stage work through these chunks. What is begun waits for an hour.
async fn run(chunks: Vec<Chunk>) -> Ran {
    run_with(parse::Config::default(), chunks).await
}

/// The same with a stage that has something more.
async fn run_as(chunks: Vec<Chunk>, more: impl FnOnce(Stage) -> Stage) -> Ran {
    run_so(parse::Config::default(), chunks, more, |_| true).await
}

/// The same with other settings than tests have.
async fn run_with(parse: parse::Config, chunks: Vec<Chunk>) -> Ran {
    run_until(parse, chunks, |_| true).await
}

/// The same, where the sources end once the positions say that it is enough.
async fn run_until(parse: parse::Config, chunks: Vec<Chunk>, is_enough: fn(&[(String, String)]) -> bool) -> Ran {
    run_so(parse, chunks, |stage| stage, is_enough).await
}

async fn run_so(
    parse: parse::Config,
    chunks: Vec<Chunk>,
    more: impl FnOnce(Stage) -> Stage,
    is_enough: impl Fn(&[(String, String)]) -> bool,
) -> Ran {
    run_inputs(parse, chunks.into_iter().map(Input::Chunk).collect(), more, is_enough).await
}

async fn run_inputs(
    parse: parse::Config,
    inputs: Vec<Input>,
    more: impl FnOnce(Stage) -> Stage,
    is_enough: impl Fn(&[(String, String)]) -> bool,
) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let linger = Duration::from_millis(5);
    let config = queue::Config::sized(64 << 20, 8 << 20);
    let (queue, _) = Queue::open(dir.path(), &config, &[DESTINATION], Arc::new(Disk), linger).unwrap();
    let batcher = Batcher::new(batch::Config { max_bytes: 1 << 20, linger }).unwrap();
    let (awaited, _awaiting) = mpsc::channel(1);
    let join = join::Config { wait: Duration::from_secs(3600), ..join::Config::default() };
    let parse = parse::Config { join, ..parse };
    let stage = Stage::new(parse, batcher, queue.clone(), &BTreeMap::new(), Arc::default(), awaited, Arc::default());
    let stage = more(stage);
    let (door, outlet) = intake(16 << 20);
    let stage = std::thread::spawn(move || stage.run(&outlet));
    let origin = |input: &Input| match input {
        Input::Chunk(chunk) => Arc::clone(&chunk.origin),
        Input::Entries(entries) => Arc::clone(&entries.origin),
        _ => panic!("neither a chunk nor entries"),
    };
    let origins: Vec<_> = inputs.iter().map(origin).collect();
    for input in inputs {
        door.send(input).await.unwrap();
    }
    let (done, settled) = oneshot::channel();
    door.send(Input::Settle(done)).await.unwrap();
    settled.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let positions = || {
        let all = queue.positions().into_iter().filter(|(key, _)| !key.starts_with("account:"));
        all.map(|(key, position)| (key, text(position))).collect::<Vec<_>>()
    };
    let settled = positions();
    while !is_enough(&positions()) {
        tokio::task::yield_now().await;
    }
    drop((door, origins));
    stage.join().unwrap().unwrap();
    let positions = positions();
    let mut reader = queue.reader(DESTINATION).unwrap();
    queue.close();
    let (mut records, mut metrics, mut signals) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(stored) = reader.next().await {
        let request = &zstd::decode_all(&stored.body[..]).unwrap()[..];
        signals.push(BatchMeta::decode(&stored.meta[..]).unwrap().signal());
        if signals.last() == Some(&Signal::Metrics) {
            metrics.push(ExportMetricsServiceRequest::decode(request).unwrap());
            continue;
        }
        let request = ExportLogsServiceRequest::decode(request).unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        records.extend(scopes.flat_map(|scope| scope.log_records));
    }
    Ran { settled, positions, records, metrics, signals }
}

fn body(record: &LogRecord) -> &str {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn attribute<'a>(record: &'a LogRecord, key: &str) -> &'a str {
    let value = record.attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.as_ref());
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        _ => "",
    }
}

/// The bodies of lines, and the sentence of the receipt.
fn told(ran: &Ran) -> (Vec<&str>, &str) {
    let (receipts, lines): (Vec<_>, Vec<_>) = ran.records.iter().partition(|record| !record.event_name.is_empty());
    (lines.into_iter().map(body).collect(), receipts.first().map_or("", |receipt| body(receipt)))
}

fn chunk(origin: &Arc<Origin>, at: u64, data: &[u8]) -> Chunk {
    Chunk { data: data.to_vec(), ..Chunk::opening(Arc::clone(origin), at, 1) }
}

#[tokio::test]
async fn f5_the_end_of_a_file_whose_begun_line_is_held_for_its_copy_moves_no_position_over_that_line() {
    let file = origin("file", None);
    let copy = origin("copy", Some(file.id));
    let begun = Chunk { data: b"whole\nbegun".to_vec(), ..Chunk::opening(Arc::clone(&file), 0, 1) };
    let kept = run(vec![begun, Chunk::opening(copy, 11, 1), Chunk::closing(file, 11, 1)]).await.positions;
    // A kill before the file's position is forgotten would lose the begun line.
    assert_eq!(kept, [("copy".to_owned(), "6".to_owned()), ("file".to_owned(), "6".to_owned())]);
}

const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'";

#[tokio::test]
async fn f21_a_position_does_not_pass_the_start_of_what_may_go_on_and_the_lines_behind_it_keep_their_order() {
    let file = origin("file", None);
    let text = format!("before\n[rank1]: {}\n[rank2]: epoch 2\n", TRACEBACK.replace('\n', "\n[rank1]: "));
    let ran = run(vec![chunk(&file, 0, text.as_bytes())]).await;
    assert_eq!(ran.settled, [("file".to_owned(), "7".to_owned())]);
    assert_eq!(ran.positions, [("file".to_owned(), text.len().to_string())]);
    let (lines, receipt) = told(&ran);
    assert_eq!(lines, ["before", TRACEBACK, "epoch 2"]);
    let prefixes: Vec<_> = ran.records.iter().map(|record| attribute(record, "runlog.prefix")).collect();
    assert_eq!(prefixes[..3], ["", "[rank1]: ", "[rank2]: "]);
    assert_eq!(receipt, "5 lines of 1 source read: 5 kept, 0 below the level; rank 1 failed first: exception");
}

#[tokio::test]
async fn s13_a_stage_that_waits_for_the_end_of_what_is_begun_shows_that_it_is_alive() {
    let file = origin("file", None);
    let begun = chunk(&file, 0, b"Traceback (most recent call last):\n");
    let (pulse, settled_at) = (OnceCell::new(), OnceCell::new());
    let more = |stage: Stage| {
        pulse.set(stage.pulse().clone()).unwrap();
        stage
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    run_so(parse::Config::default(), vec![begun], more, |_| {
        let beats = pulse.get().unwrap().count();
        assert!(Instant::now() < deadline, "still {beats} beats");
        // One beat may be that of the settling itself.
        beats > settled_at.get_or_init(|| beats) + 1
    })
    .await;
}

#[tokio::test]
async fn f21_what_is_begun_on_stderr_holds_back_no_line_of_stdout() {
    let file = opened("file", Format::Cri, None);
    let stamp = "2026-11-24T05:44:23.000000001Z";
    let begun = format!("{stamp} stderr F Traceback (most recent call last):\n");
    let text = format!("{begun}{stamp} stdout F epoch 1\n");
    let ran = run(vec![chunk(&file, 0, text.as_bytes())]).await;
    // Read again from the start, where what was printed to stdout is passed over.
    assert_eq!(ran.settled, [("file".to_owned(), format!("0 stdout {} stderr 0", text.len()))]);
    assert_eq!(told(&ran).0, ["epoch 1", "Traceback (most recent call last):"]);
}

#[tokio::test]
async fn what_is_joined_says_what_was_raised_and_takes_the_level_and_the_time_of_its_head() {
    let file = origin("file", None);
    let text = format!("2026-11-24 05:44:23,000 CRITICAL train: step 3 failed\n{TRACEBACK}\nafter\n");
    let ran = run(vec![chunk(&file, 0, text.as_bytes())]).await;
    let record = &ran.records[0];
    assert_eq!(body(record), text.strip_suffix("\nafter\n").unwrap());
    assert_eq!((record.severity_number, &*record.severity_text), (21, "CRITICAL"));
    assert_ne!(record.time_unix_nano, 0);
    let exception = ["type", "message", "stacktrace"].map(|part| attribute(record, &format!("exception.{part}")));
    assert_eq!(exception, ["KeyError", "'x'", TRACEBACK]);
    assert_eq!((body(&ran.records[1]), attribute(&ran.records[1], "exception.stacktrace")), ("after", ""));
}

#[tokio::test]
async fn a_stream_that_asks_for_it_has_each_line_as_a_record_of_the_same_level() {
    let stream = origin::Stream {
        key: "file".into(),
        kind: SourceKind::File,
        identity: &[],
        resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, "file"),
        bookmark: Arc::new(Offset),
    };
    let file = Origin::unjoined(stream, Format::Plain, ReadTo::default());
    let ran = run(vec![chunk(&file, 0, format!("{TRACEBACK}\nafter\n").as_bytes())]).await;
    let lines: Vec<_> = ran.records.iter().map(|record| (body(record), record.severity_number)).collect();
    let lines = &lines[..4];
    let expected: Vec<_> = TRACEBACK.lines().map(|line| (line, 17)).chain([("after", 9)]).collect();
    assert_eq!(lines, expected);
}

/// An origin whose lines below a level are left out.
fn quiet(key: &str, level: Severity) -> Arc<Origin> {
    let loud = opened(key, Format::Plain, None);
    Origin::new(origin::Stream {
        key: key.into(),
        kind: SourceKind::File,
        identity: &[b"the same stream"],
        resource: Arc::clone(&loud.resource),
        attributes: Vec::new(),
        level,
        tally: Tally::detached(SourceKind::File, key),
        bookmark: Arc::new(Offset),
    })
}

fn recording(stage: Stage) -> Stage {
    let config = recorder::Config { bytes: 1 << 20, span: Duration::from_secs(3600) };
    stage.recording(Some(config), Replays::default())
}

fn is_replayed(record: &LogRecord) -> bool {
    record.attributes.iter().any(|attribute| attribute.key == "runlog.replayed")
}

#[tokio::test]
async fn lines_below_the_level_are_the_same_records_when_an_error_calls_for_them() {
    let text = b"DEBUG:a:1\n[rank3]: DEBUG:b:2\nINFO:a:3\nERROR:a:bad\n2026-11-24 05:44:23,000 DEBUG a: 4\n";
    let all = run(vec![chunk(&origin("file", None), 0, text)]).await;
    let ran = run_as(vec![chunk(&quiet("file", Severity::INFO), 0, text)], recording).await;

    let (replayed, kept): (Vec<_>, Vec<_>) = ran.records.iter().partition(|record| is_replayed(record));
    let bodies = |records: &[&LogRecord]| records.iter().map(|record| body(record).to_owned()).collect::<Vec<_>>();
    assert_eq!(bodies(&replayed), ["DEBUG:a:1", "DEBUG:b:2", "2026-11-24 05:44:23,000 DEBUG a: 4"]);
    assert_eq!(bodies(&kept)[..2], ["INFO:a:3", "ERROR:a:bad"]);
    let seen = |record: &LogRecord| {
        let uid = attribute(record, "log.record.uid").to_owned();
        let prefix = attribute(record, "runlog.prefix").to_owned();
        (uid, body(record).to_owned(), record.severity_number, record.time_unix_nano > 1, prefix)
    };
    let in_order = |records: &[LogRecord]| {
        records.iter().filter(|record| record.event_name.is_empty()).map(seen).collect::<BTreeSet<_>>()
    };
    assert_eq!(in_order(&ran.records), in_order(&all.records));
    let (_, receipt) = told(&ran);
    assert_eq!(receipt, "5 lines of 1 source read: 5 kept, 0 below the level, 3 lines replayed");
    assert_eq!(ran.positions, all.positions);
}

#[tokio::test]
async fn lines_below_the_level_are_left_out_where_nothing_goes_wrong() {
    let ran = run_as(vec![chunk(&quiet("file", Severity::INFO), 0, b"DEBUG:a:1\nWARNING:a:2\n")], recording).await;
    let (lines, receipt) = told(&ran);
    assert_eq!(lines, ["WARNING:a:2"]);
    assert_eq!(receipt, "2 lines of 1 source read: 1 kept, 1 below the level");
}

#[tokio::test]
async fn the_rest_of_a_private_key_is_masked_though_its_beginning_was_sent_before() {
    let file = quiet("file", Severity::WARN);
    let chunks =
        ["-----BEGIN PRIVATE KEY-----\nERROR:a:1\n", "MIIEpAIBAAKCAQEA7bq0l1nYcM0u5cY8cO4o2m8vTqkJtq1\nERROR:a:2\n"];
    let second = chunk(&file, chunks[0].len() as u64, chunks[1].as_bytes());
    let ran = run_as(vec![chunk(&file, 0, chunks[0].as_bytes()), second], |mut stage| {
        // An error is one at once then.
        stage.parse.join.is_on = false;
        recording(stage).redacting(redact::Config { builtin: true, patterns: Vec::new() })
    });
    let ran = ran.await;
    let replayed: Vec<&str> = ran.records.iter().filter(|record| is_replayed(record)).map(body).collect();
    assert_eq!(replayed, ["[redacted:private-key]", "[redacted:private-key]"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_records_are_the_same_however_the_bytes_are_cut(
        order in prop::collection::vec((0..4_usize, 0..5_usize), 1..24),
        cuts in prop::collection::vec(0..4096_usize, 0..12),
    ) {
        // Four ranks, each of which prints its own lines in their order.
        const LINES: [&str; 5] = [
            "Traceback (most recent call last):",
            "  File \"a.py\", line 1, in f",
            "KeyError: 'x'",
            "2026-11-24 05:44:23,000 ERROR train: step 3 failed",
            "epoch 1",
        ];
        let text: String = order.iter().map(|(rank, line)| format!("[rank{rank}]: {}\n", LINES[*line])).collect();
        let mut cuts: BTreeSet<usize> = cuts.into_iter().map(|cut| cut % text.len()).collect();
        cuts.extend([0, text.len()]);
        let cuts: Vec<usize> = cuts.into_iter().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = |pieces: &[usize]| {
            let file = origin("file", None);
            let pieces = pieces.windows(2).map(|piece| chunk(&file, piece[0] as u64, &text.as_bytes()[piece[0]..piece[1]]));
            let ran = runtime.block_on(run(pieces.collect()));
            let one = |record: &LogRecord| {
                let uid = attribute(record, "log.record.uid").to_owned();
                (uid, body(record).to_owned(), record.severity_number)
            };
            ran.records.iter().map(one).collect::<Vec<_>>()
        };
        prop_assert_eq!(seen(&[0, text.len()]), seen(&cuts));
    }
}
