use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{runtime::Handle as Runtime, task};

use crate::{
    batch, parse,
    pipeline::{Destinations, DrainError, Pipeline, Plan},
    queue,
    record::{
        Bookmark, Chunk, Ending, Origin, ReadTo, Resource, Severity, SourceKind, Tally,
        origin::Stream,
        wire::{Value, resource_attribute},
    },
    source::file::{self, Disk, Entry, Extent, FileId, FileSource, Handle, RealDisk, System},
    store::{Query, Store},
};

use super::*;

/// A pipeline into a store, in a folder of its own.
struct Bench {
    folder: tempfile::TempDir,
    store: Arc<Store>,
    pipeline: Pipeline,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("store")).unwrap());
        let plan = Plan {
            queue_dir: folder.path().join("queue"),
            queue: queue::Config::sized(64 << 20, 8 << 20),
            parse: parse::Config::default(),
            redact: crate::enrich::redact::Config::default(),
            loggers: Vec::new(),
            recorder: None,
            batch: batch::Config { max_bytes: 1 << 20, linger: Duration::from_millis(5) },
            memory_bytes: 16 << 20,
        };
        let dead_letter_dir = folder.path().join("dead-letter");
        let destinations = Destinations { otlp: Vec::new(), store: Some(Arc::clone(&store)), dead_letter_dir };
        let pipeline = Pipeline::start(plan, destinations).unwrap();
        Self { folder, store, pipeline }
    }
}

/// The lines of the run, without its events.
fn bodies(store: &Store) -> Vec<String> {
    let found = store.reader().logs(&Query::of("run")).unwrap();
    found.lines.into_iter().filter(|line| line.event_name.is_empty()).map(|line| line.body).collect()
}

fn resource() -> Arc<Resource> {
    let mut encoded = Vec::new();
    resource_attribute(&mut encoded, "ml.run.id", Value::String("run"));
    Arc::new(Resource { run_id: "run".into(), encoded })
}

/// The file system, on which reading panics once, at the third chunk.
struct Flaky(Arc<AtomicUsize>);

#[derive(Debug)]
struct FlakyHandle {
    real: Box<dyn Handle>,
    chunks: Arc<AtomicUsize>,
}

impl Handle for FlakyHandle {
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        // Less is read to see whether the file is still the same.
        if length > 1024 && self.chunks.fetch_add(1, Ordering::Relaxed) == 2 {
            panic!("the third chunk");
        }
        self.real.read_at(offset, length, into)
    }

    fn extent(&self) -> io::Result<Extent> {
        self.real.extent()
    }

    fn is_unlinked(&self) -> bool {
        self.real.is_unlinked()
    }

    fn next_written(&self, offset: u64) -> io::Result<Option<u64>> {
        self.real.next_written(offset)
    }
}

impl Disk for Flaky {
    fn list(&self, folder: &Path, each: &mut dyn FnMut(&Entry<'_>)) -> io::Result<()> {
        RealDisk.list(folder, each)
    }

    fn is_folder(&self, path: &Path) -> bool {
        RealDisk.is_folder(path)
    }

    fn folder_id(&self, path: &Path) -> Option<(u64, u64)> {
        RealDisk.folder_id(path)
    }

    fn leads_up(&self, link: &Path) -> bool {
        RealDisk.leads_up(link)
    }

    fn system(&self, path: &Path) -> Option<System> {
        RealDisk.system(path)
    }

    fn has_other_names(&self, path: &Path) -> bool {
        RealDisk.has_other_names(path)
    }

    fn find_by_id(&self, folder: &Path, id: FileId) -> io::Result<Option<PathBuf>> {
        RealDisk.find_by_id(folder, id)
    }

    fn look(&self, path: &Path) -> io::Result<Option<(FileId, Extent)>> {
        RealDisk.look(path)
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        RealDisk.resolve(path)
    }

    fn open(&self, path: &Path) -> io::Result<Option<(Box<dyn Handle>, FileId)>> {
        let opened = RealDisk.open(path)?;
        Ok(opened.map(|(real, id)| (Box::new(FlakyHandle { real, chunks: Arc::clone(&self.0) }) as _, id)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s12_a_source_that_panics_goes_on_where_the_queue_says_and_reads_nothing_twice() {
    let bench = Bench::start();
    let path = bench.folder.path().join("a.log");
    let printed: Vec<String> = (0..2_000).map(|number| format!("line {number} {}", "x".repeat(400))).collect();
    fs::write(&path, printed.join("\n") + "\n").unwrap();
    let config = file::Config {
        paths: vec![path.display().to_string()],
        exclude: Vec::new(),
        poll: Duration::from_millis(20),
        scan: Duration::from_millis(40),
        rotate_grace: Duration::from_millis(100),
        format: crate::record::Format::Plain,
        max_open: 100,
    };
    let tagging = file::Tagging {
        resource: resource(),
        attributes: Vec::new(),
        level: Severity::TRACE,
        state_dir: bench.folder.path().join("state"),
        agent_id: [0; 16],
    };
    let chunks = Arc::new(AtomicUsize::new(0));
    let disk: Arc<dyn Disk> = Arc::new(Flaky(chunks));
    let source = tokio::spawn(bench.pipeline.keeper().keep("source.file", move |context| {
        let source = FileSource::new(config.clone(), context, tagging.clone(), Arc::clone(&disk), Runtime::current());
        task::spawn_blocking(move || source.run())
    }));
    let restarts = Arc::clone(bench.pipeline.restarts());
    while bodies(&bench.store).len() < 2_000 {
        task::yield_now().await;
    }
    assert_eq!(restarts.counts(), BTreeMap::from([("source.file".to_owned(), 1)]), "it has not panicked");

    let Bench { pipeline, store, folder: _folder } = bench;
    let drained = pipeline.drain(Duration::from_secs(600), std::future::pending()).await.unwrap();
    source.await.unwrap();
    assert!(drained.is_complete(), "{drained:?}");
    let stored = bodies(&store);
    assert!(stored == printed, "{} lines", stored.len());
}

#[derive(Debug)]
struct Exploding;

impl Bookmark for Exploding {
    fn at(&self, _: ReadTo) -> Option<Vec<u8>> {
        panic!("in the stage");
    }
}

#[tokio::test]
async fn s12_a_panic_of_the_stage_ends_the_pipeline_with_what_is_durable() {
    let mut bench = Bench::start();
    let origin = Origin::new(Stream {
        key: "k".into(),
        kind: SourceKind::File,
        identity: &[b"k"],
        resource: resource(),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, "k"),
        bookmark: Arc::new(Exploding),
    });
    let (data, marks) = (b"a line\n".to_vec(), Vec::new());
    let chunk = Chunk { origin, at: 0, data, observed: 0, marks, ending: Ending::Open, permit: None };
    bench.pipeline.context().intake.send(Input::Chunk(chunk)).await.unwrap();

    bench.pipeline.failed().await;

    let ended = bench.pipeline.drain(Duration::ZERO, std::future::pending()).await;
    assert!(matches!(ended, Err(DrainError::Panicked)), "{ended:?}");
}
