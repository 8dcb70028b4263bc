//! What the queue costs: appending with group commits, reading back, and opening what another process left.
//!
//! Bodies have the size of a compressed batch. `RUNLOG_BENCH_DIR` names a directory on the disk to measure.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use runlog::queue::{Appended, Config, Disk, Entry, Queue};

const BODY_BYTES: usize = 180 * 1024;
const ENTRIES: usize = 200;

fn open() -> (tempfile::TempDir, Queue) {
    let parent = std::env::var_os("RUNLOG_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent).expect("a directory to measure in");
    let queue = reopen(dir.path());
    (dir, queue)
}

fn reopen(dir: &Path) -> Queue {
    let config = Config::sized(2 << 30, 32 << 20);
    let linger = Duration::from_millis(200);
    Queue::open(dir, &config, &["otlp"], Arc::new(Disk), linger).expect("a queue that was left whole opens").0
}

fn append_all(queue: &Queue) {
    let body = Bytes::from(vec![7; BODY_BYTES]);
    for number in 0..ENTRIES as u64 {
        let position = number.to_le_bytes();
        let entry = Entry { meta: &[1; 60], body: body.clone(), positions: &[("file:/logs/train.log", &position)] };
        while let Appended::Full(_) = queue.append(&entry).expect("an entry of an ordinary size") {
            queue.wait_for_room(Duration::from_secs(1));
        }
    }
    queue.sync().expect("a disk that works");
}

fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Bytes((BODY_BYTES * ENTRIES) as u64)).sample_size(10);
    group.bench_function("append", |bencher| {
        bencher.iter_batched(open, |(dir, queue)| (append_all(&queue), dir, queue), BatchSize::PerIteration);
    });
    group.bench_function("read", |bencher| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (_dir, queue) = open();
        append_all(&queue);
        queue.close();
        bencher.iter(|| {
            let mut reader = queue.reader("otlp").expect("the queue was opened with it");
            runtime.block_on(async { while black_box(reader.next().await).is_some() {} });
        });
    });
    group.bench_function("recover", |bencher| {
        let (dir, queue) = open();
        append_all(&queue);
        drop(queue);
        bencher.iter(|| black_box(reopen(dir.path())));
    });
    group.finish();
}

criterion_group!(benches, queue);
criterion_main!(benches);
