//! What one line costs on its way from bytes to a compressed batch, step by step.
//!
//! `cargo bench -p runlog`. Each figure is for 1,000 lines of 154 bytes, as Python's logging writes them.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros make undocumented functions")]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use runlog::{
    parse::{Framer, LocalZone, detect, timestamp},
    record::{
        Chunk, Ending, NoBookmark, Origin, Resource, Severity, SourceKind, Tally,
        origin::Stream,
        wire::{Fields, RequestWriter, Text},
    },
};

const LINES: usize = 1000;

fn line(number: usize) -> String {
    let text =
        format!("2026-11-24 06:00:00,{:03} DEBUG train.loop: step {number} loss 0.3141 lr 0.001 ", number % 1000);
    format!("{text:x<153}\n")
}

fn chunk() -> Chunk {
    let origin = Origin::new(Stream {
        key: "bench".into(),
        kind: SourceKind::File,
        identity: &[b"bench"],
        resource: Arc::new(Resource { run_id: "bench".into(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, "bench"),
        bookmark: Arc::new(NoBookmark),
    });
    let data = (0..LINES).map(line).collect::<String>().into_bytes();
    Chunk { origin, at: 0, data, observed: 1, marks: Vec::new(), ending: Ending::Open, permit: None }
}

fn encode(chunk: &Chunk, writer: &mut RequestWriter) {
    writer.clear();
    Framer::new(1 << 20, 0).feed(chunk, |line| {
        let fields = Fields {
            time: 1,
            observed: 1,
            severity: Severity::DEBUG,
            severity_text: "DEBUG",
            body: Text::from_validated(line.bytes),
            attributes: [&chunk.origin.attributes, b""],
            uid: (&chunk.origin.uid_prefix, line.at),
            event_name: "",
        };
        writer.record(b"train.loop", &fields);
    });
}

fn hot_path(criterion: &mut Criterion) {
    let chunk = chunk();
    let mut group = criterion.benchmark_group("1,000 lines");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("frame", |bencher| {
        bencher.iter(|| {
            Framer::new(1 << 20, 0).feed(&chunk, |line| {
                black_box(line);
            })
        });
    });
    group.bench_function("frame and level", |bencher| {
        bencher.iter(|| {
            Framer::new(1 << 20, 0).feed(&chunk, |line| {
                black_box(detect(line.bytes));
            })
        });
    });
    group.bench_function("frame and time", |bencher| {
        let mut zone = LocalZone::system();
        bencher.iter(|| {
            Framer::new(1 << 20, 0).feed(&chunk, |line| {
                black_box(timestamp(line.bytes, &mut zone));
            })
        });
    });
    let mut writer = RequestWriter::new(b"", "", 0);
    group.bench_function("frame and encode", |bencher| bencher.iter(|| encode(&chunk, &mut writer)));
    encode(&chunk, &mut writer);
    let request = writer.finish().to_vec();
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    group.bench_function("compress", |bencher| bencher.iter(|| compressor.compress(&request)));
    group.finish();
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
