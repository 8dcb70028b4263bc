//! What one line costs in each stage between the source and the queue: `cargo bench -p runlog`.
//!
//! The lines are those of `tests/bench`. Times are for a chunk of them; criterion prints lines a second beside.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros write functions, and a benchmark may stop")]

#[path = "../../tests/bench/lines.rs"]
#[allow(dead_code, unused_imports, reason = "the marks and tests are the other benchmark's")]
mod lines;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use runlog::{
    batch::{Batcher, Config, Due},
    enrich::{Redactor, redact},
    parse::{self, Framer, Lines, LocalZone, TerminalConfig, detect, timestamp},
    record::{
        Chunk, Ending, Format, Lane, NoBookmark, Origin, ReadTo, Resource, Severity, SourceKind, Tally,
        origin::Stream,
        wire::{Fields, RequestWriter, Text, Value, record_attribute, resource_attribute},
    },
};

/// Lines of a chunk: about what one read of a file brings.
const LINES: u64 = 1700;
const BATCH_BYTES: usize = 768 << 10;
const MAX_LINE_BYTES: usize = 1 << 20;

fn hot_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot_path");
    group.throughput(Throughput::Elements(LINES));
    let text = text();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]).collect();
    let origin = origin(Format::Plain);
    parse(&mut group, &text, &lines, &origin);
    encode(&mut group, &lines, &origin);
    batch(&mut group, &lines, &origin);
    group.finish();
}

fn parse(group: &mut BenchmarkGroup<'_, WallTime>, text: &[u8], lines: &[&[u8]], origin: &Arc<Origin>) {
    let chunk = Chunk {
        origin: Arc::clone(origin),
        at: 0,
        data: text.to_vec(),
        observed: 1,
        marks: Vec::new(),
        ending: Ending::Open,
        permit: None,
    };
    group.bench_function("frame", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            Framer::new(MAX_LINE_BYTES, 0).feed(&chunk, |line| bytes += black_box(line).bytes.len());
            bytes
        });
    });
    unwrap(group, lines);
    group.bench_function("level", |bencher| {
        bencher.iter(|| lines.iter().filter(|line| black_box(detect(line)).is_some()).count());
    });
    let mut redactor = Redactor::new(redact::Config { builtin: true, patterns: Vec::new() }, Arc::default());
    group.bench_function("redact", |bencher| {
        bencher
            .iter(|| lines.iter().filter(|line| black_box(redactor.mask_line(1, Lane::Bare, line)).is_some()).count());
    });
    let mut zone = LocalZone::system();
    group.bench_function("time", |bencher| {
        bencher.iter(|| lines.iter().filter_map(|line| black_box(timestamp(line, &mut zone))).count());
    });
}

/// The same lines as files of a container runtime have them: whole, with quotes in each, in pieces.
fn unwrap(group: &mut BenchmarkGroup<'_, WallTime>, lines: &[&[u8]]) {
    let stamp = "2026-11-24T05:44:23.123456789Z";
    let docker = |log: String| {
        let log = serde_json::Value::from(log);
        format!("{{\"log\":{log},\"stream\":\"stdout\",\"time\":\"{stamp}\"}}\n")
    };
    let texts = || lines.iter().map(|line| String::from_utf8_lossy(line));
    let quoted = texts().map(|text| docker(text.replace(' ', "\"") + "\n"));
    let pieces = texts().map(|text| {
        let (head, tail) = text.split_at(text.len() / 2);
        format!("{stamp} stdout P {head}\n{stamp} stdout F {tail}\n")
    });
    let files: [(&str, String); 5] = [
        ("plain", texts().map(|text| text.into_owned() + "\n").collect()),
        ("docker", texts().map(|text| docker(text.into_owned() + "\n")).collect()),
        ("docker_escaped", quoted.collect()),
        ("cri", texts().map(|text| format!("{stamp} stdout F {text}\n")).collect()),
        ("cri_pieces", pieces.collect()),
    ];
    let terminal = Some(TerminalConfig { progress_every: Duration::from_secs(10) });
    let join = parse::join::Config { is_on: false, wait: Duration::ZERO, max_bytes: 0 };
    let rank_prefix = parse::Prefixes::Known;
    let parse = parse::Config {
        max_line_bytes: MAX_LINE_BYTES,
        rank_prefix,
        terminal,
        join,
        scalars: Vec::new(),
        are_gauges_sent: false,
        alike: parse::AlikeConfig::default(),
        silent_rank_after: None,
        lines_per_second: None,
    };
    for (name, text) in files {
        let origin = origin(Format::Auto);
        let data = text.into_bytes();
        let mut chunk =
            Chunk { origin, at: 0, data, observed: 1, marks: Vec::new(), ending: Ending::Open, permit: None };
        let mut found = Lines::new(&parse, &chunk.origin, 0);
        group.bench_function(format!("unwrap/{name}"), |bencher| {
            bencher.iter(|| {
                let mut bytes = 0;
                found.feed(&chunk, |line| bytes += black_box(line).bytes.len());
                chunk.at += chunk.data.len() as u64;
                bytes
            });
        });
    }
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, lines: &[&[u8]], origin: &Origin) {
    let mut writer = RequestWriter::new(&origin.resource.encoded, "", BATCH_BYTES);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            writer.clear();
            for (at, line) in (0..).zip(lines) {
                writer.record(Text::new("train.loop"), &fields(origin, line, at));
            }
            black_box(writer.finish().len())
        });
    });
    let request = writer.finish();
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    let mut compressed = Vec::with_capacity(zstd::zstd_safe::compress_bound(request.len()));
    group.bench_function("compress", |bencher| {
        bencher.iter(|| {
            compressed.clear();
            compressor.compress_to_buffer(black_box(request), &mut compressed).unwrap()
        });
    });
}

/// Encoding, counting and compressing together, as the pipeline does it.
fn batch(group: &mut BenchmarkGroup<'_, WallTime>, lines: &[&[u8]], origin: &Arc<Origin>) {
    let config = Config { max_bytes: BATCH_BYTES, linger: Duration::from_millis(100) };
    let mut batcher = Batcher::new(config).unwrap();
    group.bench_function("batch", |bencher| {
        bencher.iter(|| {
            let mut slot = batcher.slot(origin, Instant::now());
            for (at, line) in (0..).zip(lines) {
                if let Some(full) =
                    batcher.push(slot, Text::new("train.loop"), &fields(origin, line, at), Some(ReadTo::whole(at)))
                {
                    black_box(batcher.close(full).unwrap());
                    slot = batcher.slot(origin, Instant::now());
                }
            }
            for slot in batcher.due(Due::All) {
                black_box(batcher.close(slot).unwrap());
            }
        });
    });
}

fn text() -> Vec<u8> {
    let (mut lines, mut text) = (lines::Lines::new(0), Vec::new());
    (0..LINES).for_each(|_| lines.write(&mut text));
    text
}

fn fields<'a>(origin: &'a Origin, line: &'a [u8], at: u64) -> Fields<'a> {
    Fields {
        time: 1_795_500_000_000_000_000,
        observed: 1_795_500_000_000_000_001,
        severity: Severity::DEBUG,
        severity_text: Text::new("DEBUG"),
        body: Text::from_validated(line),
        attributes: [&origin.attributes, b""],
        uid: (&origin.uid_prefix, at),
        event_name: "",
    }
}

/// A file of a run, with the attributes that such lines carry.
fn origin(format: Format) -> Arc<Origin> {
    let mut resource = Vec::new();
    for (key, value) in [("service.name", "runlog"), ("ml.run.id", "bench"), ("host.name", "node-17")] {
        resource_attribute(&mut resource, key, Value::String(value));
    }
    let mut attributes = Vec::new();
    record_attribute(&mut attributes, "log.file.path", Value::String("/logs/train.log"));
    record_attribute(&mut attributes, "log.file.name", Value::String("train.log"));
    let stream = Stream {
        key: "file:/logs/train.log".to_owned(),
        kind: SourceKind::File,
        identity: &[b"bench"],
        resource: Arc::new(Resource { run_id: "bench".to_owned(), encoded: resource }),
        attributes,
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, "train.log"),
        bookmark: Arc::new(NoBookmark),
    };
    Origin::wrapped(stream, format, ReadTo::default())
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
