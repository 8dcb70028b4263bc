//! The format on disk, as a queue of each version has left it: `fixtures/format-<version>/`.
//!
//! A change of the format is a new version with a folder of its own; what is there stays readable. The folder of the
//! present version is written by `RUNLOG_WRITE_FIXTURES=1 cargo test -p runlog --lib q13_`.

use super::*;
use crate::queue::segment::{VERSION, file_name};

fn fixture(version: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../src/queue/tests/fixtures/format-{version}"))
}

fn numbered(number: u8) -> Vec<u8> {
    vec![number; 300]
}

/// What stays of two starts and a kill: entries that one of two destinations has acknowledged, and one that was never
/// synced.
fn left_by_a_kill() -> Sim {
    let sim = Sim::default();
    // No segment reaches its size, which the committer would see to in its own time.
    let config = Config { segment_bytes: 1 << 18, ..small() };
    let both = ["left", "right"];
    let (queue, _) = open_with(&sim, &config, &both).unwrap();
    for number in 1..=4 {
        append(&queue, &numbered(number), &[("a.log", &[number]), ("gone.log", b"1")]);
    }
    append(&queue, b"", &[("gone.log", b"")]);
    queue.sync().unwrap();
    drop(queue);
    let (queue, _) = open_with(&sim, &config, &both).unwrap();
    let mut left = queue.reader("left").unwrap();
    for _ in 0..3 {
        let stored = left.next_now().unwrap();
        left.acknowledge(stored.seq);
    }
    queue.sync().unwrap();
    append(&queue, &numbered(5), &[("b.log", b"5")]);
    sim.killed()
}

fn segments_of(sim: &Sim) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    segments(sim).iter().map(|path| (name(path), sim.files()[path].clone())).collect()
}

fn on_disk(version: u64) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(fixture(version)).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn q13_a_queue_that_each_version_has_left_is_read_and_continued() {
    for version in 1..=VERSION {
        let sim = Sim::default();
        for (name, bytes) in on_disk(version) {
            sim.put(&dir().join(name), &bytes);
        }
        let (queue, recovery) = open(&sim, &["left", "right"]);
        assert_eq!((recovery.entries, recovery.lost_entries, recovery.corrupt_frames), (5, 0, 0));
        let expected = |numbers: std::ops::RangeInclusive<u8>| numbers.map(numbered).collect::<Vec<_>>();
        assert_eq!(bodies(&mut queue.reader("left").unwrap()), expected(4..=5));
        assert_eq!(bodies(&mut queue.reader("right").unwrap()), expected(1..=5));
        let positions = BTreeMap::from([("a.log".to_owned(), vec![4]), ("b.log".to_owned(), b"5".to_vec())]);
        assert_eq!(queue.positions(), positions);
        assert_eq!(append(&queue, b"next", &[]), Appended::At(Seq(7)));
    }
}

#[test]
fn q13_what_is_written_is_still_the_present_version() {
    let written = segments_of(&left_by_a_kill());
    assert_eq!(written.keys().cloned().collect::<Vec<_>>(), [file_name(1), file_name(2)]);
    if std::env::var_os("RUNLOG_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(fixture(VERSION)).unwrap();
        for (name, bytes) in &written {
            std::fs::write(fixture(VERSION).join(name), bytes).unwrap();
        }
    }
    let differing: Vec<_> =
        on_disk(VERSION).into_iter().filter(|(name, bytes)| written.get(name) != Some(bytes)).collect();
    let names: Vec<_> = differing.iter().map(|(name, _)| name).collect();
    assert!(names.is_empty(), "{names:?} would be written otherwise: raise VERSION in segment.rs and keep this folder");
}
