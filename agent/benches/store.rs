//! What it costs to read a metric for a chart from a store with many points: `cargo bench -p runlog --bench store`.
//!
//! All points are of one metric, which is the worst that they can be. `RUNLOG_BENCH_POINTS` says how many there are, and
//! `RUNLOG_BENCH_DIR` names a directory on the disk to measure. To fill it takes longer than to read it.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros write functions, and a benchmark may stop")]

use std::{hint::black_box, path::PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use runlog::{
    record::{
        Severity,
        wire::{Fields, RequestWriter, Text, Value, record_attribute, resource_attribute},
    },
    store::{MetricsQuery, Reader, Store, by_run},
};

const BATCH: u64 = 5_000;
const ZSTD_LEVEL: i32 = 1;
/// Of a chart.
const SHOWN: usize = 1_000;

fn filled(points: u64) -> (tempfile::TempDir, Reader) {
    let parent = std::env::var_os("RUNLOG_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut resource = Vec::new();
    resource_attribute(&mut resource, "ml.run.id", Value::String("r"));
    let mut attributes = Vec::new();
    for (seq, first) in (1..).zip((0..points).step_by(BATCH as usize)) {
        let mut request = RequestWriter::new(&resource, "", 1 << 20);
        for at in first..points.min(first + BATCH) {
            attributes.clear();
            record_attribute(&mut attributes, "ml.metric.name", Value::String("loss"));
            record_attribute(&mut attributes, "ml.metric.value", Value::Double((at * 7919 % 10_007) as f64));
            record_attribute(&mut attributes, "ml.step", Value::Int(at.cast_signed()));
            let fields = Fields {
                time: 1 + at,
                observed: 1 + at,
                severity: Severity::INFO,
                severity_text: Text::EMPTY,
                body: Text::EMPTY,
                attributes: [&attributes, &[]],
                uid: (&[], 0),
                event_name: "ml.metric",
            };
            request.record(Text::new("run"), &fields);
        }
        let (meta, bytes) = by_run(request.finish()).unwrap().remove(0);
        store.append([7; 16], &[(seq, &meta, &zstd::bulk::compress(&bytes, ZSTD_LEVEL).unwrap())]).unwrap();
    }
    let reader = store.reader();
    (dir, reader)
}

fn metrics(criterion: &mut Criterion) {
    let points = std::env::var("RUNLOG_BENCH_POINTS").map_or(1_000_000, |points| points.parse().unwrap());
    let (_dir, reader) = filled(points);
    let query = MetricsQuery { name: Some("loss".to_owned()), points: SHOWN, ..MetricsQuery::of("r") };
    let mut group = criterion.benchmark_group("metrics");
    group.sample_size(10);
    group.bench_function(format!("{SHOWN}_of_{points}_points"), |bencher| {
        bencher.iter(|| black_box(reader.metrics(&query)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, metrics);
criterion_main!(benches);
