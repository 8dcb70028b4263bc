use tokio::sync::mpsc;

use super::*;
use crate::{
    batch,
    queue::{self, Disk},
    record::{Bookmark, Chunk, Format, ReadTo, Resource, Severity, SourceKind, Tally, origin},
    source::intake,
};

/// Writes the offset down.
#[derive(Debug)]
struct Offset;

impl Bookmark for Offset {
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>> {
        Some(read_to.offset.to_string().into_bytes())
    }
}

fn origin(key: &str, formerly: Option<u64>) -> Arc<Origin> {
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
    Origin::wrapped(stream, Format::Plain, origin::Left { formerly, ..origin::Left::default() })
}

/// The positions that the queue has when the stage has worked through these chunks.
async fn positions(chunks: Vec<Chunk>) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let linger = Duration::from_millis(5);
    let config = queue::Config::sized(64 << 20, 8 << 20);
    let (queue, _) = Queue::open(dir.path(), &config, &["d"], Arc::new(Disk), linger).unwrap();
    let batcher = Batcher::new(batch::Config { max_bytes: 1 << 20, linger }).unwrap();
    let (awaited, _awaiting) = mpsc::channel(1);
    let parse = parse::Config { max_line_bytes: 1 << 20 };
    let stage = Stage::new(parse, batcher, queue.clone(), &BTreeMap::new(), Arc::default(), awaited, Arc::default());
    let (door, outlet) = intake(16 << 20);
    let stage = std::thread::spawn(move || stage.run(&outlet));
    for chunk in chunks {
        door.send(Input::Chunk(chunk)).await.unwrap();
    }
    drop(door);
    stage.join().unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    queue.positions().into_iter().map(|(key, position)| (key, text(position))).collect()
}

#[tokio::test]
async fn f5_the_end_of_a_file_whose_begun_line_is_held_for_its_copy_moves_no_position_over_that_line() {
    let file = origin("file", None);
    let copy = origin("copy", Some(file.id));
    let begun = Chunk { data: b"whole\nbegun".to_vec(), ..Chunk::opening(Arc::clone(&file), 0, 1) };
    let kept = positions(vec![begun, Chunk::opening(copy, 11, 1), Chunk::closing(file, 11, 1)]).await;
    // A kill before the file's position is forgotten would lose the begun line.
    assert_eq!(kept, [("copy".to_owned(), "6".to_owned()), ("file".to_owned(), "6".to_owned())]);
}
