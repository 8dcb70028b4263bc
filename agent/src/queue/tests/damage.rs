//! Segments that are cut, flipped, missing, foreign or from the future.

use super::*;
use crate::queue::segment::{FIRST_FRAME, file_name};

/// A queue with some entries that nobody has read, all in one segment; and the frames' boundaries there.
fn reference() -> (Sim, PathBuf) {
    let sim = Sim::default();
    let config = Config { max_bytes: 1 << 20, segment_bytes: 1 << 18, ..small() };
    let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
    for number in 1..=6_u8 {
        append(&queue, &body(number), &[("a", &[number])]);
        if number % 2 == 0 {
            queue.sync().unwrap();
        }
    }
    drop(queue);
    (sim, dir().join(file_name(1)))
}

fn body(number: u8) -> Vec<u8> {
    vec![number; 20 + usize::from(number)]
}

/// A disk with a copy of the segments of another, one of them changed.
fn with(sim: &Sim, changed: &Path, content: &[u8]) -> Sim {
    let copy = Sim::default();
    for (path, bytes) in sim.files() {
        copy.put(&path, if path == changed { content } else { &bytes });
    }
    copy
}

/// Opens and reads everything, and checks that all of it was once appended, in order. Returns the numbers.
fn read_all(sim: &Sim, context: &str) -> (Vec<u8>, Queue, Recovery) {
    let (queue, recovery) = open(sim, &["otlp"]);
    let mut reader = queue.reader("otlp").unwrap();
    let mut numbers = Vec::new();
    while let Some(stored) = reader.next_now() {
        assert_eq!(stored.meta, b"meta"[..], "{context}");
        assert_eq!(stored.body, body(stored.body[0]), "{context}");
        numbers.push(stored.body[0]);
    }
    assert!(numbers.is_sorted(), "{context}: {numbers:?}");
    drop(reader);
    (numbers, queue, recovery)
}

#[test]
fn q1_a_tail_torn_at_any_byte_leaves_the_entries_before_it() {
    let (sim, path) = reference();
    let whole = sim.files()[&path].clone();
    let mut before = 0;
    for length in FIRST_FRAME as usize..=whole.len() {
        let torn = with(&sim, &path, &whole[..length]);
        let (numbers, queue, recovery) = read_all(&torn, &format!("cut at {length}"));
        assert_eq!(numbers, (1..=numbers.len() as u8).collect::<Vec<_>>());
        assert!(numbers.len() == before || numbers.len() == before + 1, "cut at {length}");
        before = numbers.len();
        let position = queue.positions().get("a").cloned();
        assert_eq!(position, numbers.last().map(|last| vec![*last]), "cut at {length}");
        assert_eq!((recovery.corrupt_frames, recovery.lost_entries), (0, 0), "cut at {length}");
        assert_eq!(append(&queue, b"next", &[]), Appended::At(Seq(numbers.len() as u64 + 1)));
    }
    assert_eq!(before, 6);
}

#[test]
fn q8_a_flipped_bit_costs_at_most_the_entry_that_it_is_in() {
    let (sim, path) = reference();
    let whole = sim.files()[&path].clone();
    for bit in (0..whole.len() * 8).step_by(3) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (numbers, _, recovery) = read_all(&with(&sim, &path, &flipped), &format!("bit {bit}"));
        assert!(numbers.len() >= 5, "bit {bit}: {numbers:?}");
        assert_eq!(recovery.lost_entries, 6 - numbers.len() as u64, "bit {bit}");
        if numbers.len() == 5 {
            assert_eq!((recovery.corrupt_frames, recovery.set_aside.len()), (1, 1), "bit {bit}");
        }
    }
}

#[test]
fn q8_a_flipped_bit_in_a_segment_that_has_just_begun_costs_at_most_one_entry() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    for number in 1..=3_u8 {
        append(&queue, &body(number), &[]);
    }
    let killed = sim.killed();
    drop(open(&killed, &["otlp"]));
    let path = dir().join(file_name(2));
    assert_eq!(segments(&killed), BTreeSet::from([path.clone()]), "all was written again");
    let whole = killed.files()[&path].clone();
    for bit in (0..whole.len() * 8).step_by(3) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (numbers, _, _) = read_all(&with(&killed, &path, &flipped), &format!("bit {bit}"));
        assert!(numbers.len() >= 2, "bit {bit}: {numbers:?}");
    }
}

#[test]
fn q8_damage_that_comes_while_the_queue_is_open_is_passed_by_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, _) = Queue::open(dir.path(), &small(), &["left", "right"], Arc::new(Disk), NEVER).unwrap();
    for number in 1..=3 {
        append(&queue, &body(number), &[]);
    }
    queue.sync().unwrap();
    let path = dir.path().join(file_name(1));
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(10).position(|window| window == [2; 10]).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    forget_fresh(&queue);
    for destination in ["left", "right"] {
        let mut reader = queue.reader(destination).unwrap();
        assert_eq!(bodies(&mut reader), [body(1), body(3)]);
        reader.acknowledge(Seq(3));
        assert!(reader.is_drained());
        assert_eq!(reader.next_now(), None);
    }
    assert_eq!(queue.stats().damaged_frames, 1);
    assert!(queue.is_drained());
}

#[test]
fn bytes_that_look_like_a_frame_inside_a_body_are_never_taken_for_one() {
    let (sim, path) = reference();
    let segment = sim.files()[&path].clone();
    let inside = Sim::default();
    let (queue, _) = open(&inside, &["otlp"]);
    append(&queue, &segment, &[]);
    append(&queue, b"after", &[]);
    queue.sync().unwrap();
    drop(queue);
    let path = dir().join(file_name(1));
    let mut bytes = inside.files()[&path].clone();
    // The frame's header is damaged, so that the next frame is searched through its body.
    let at = bytes.windows(4).position(|window| window == b"meta").unwrap();
    bytes[at - 30] ^= 1;
    let (queue, recovery) = open(&with(&inside, &path, &bytes), &["otlp"]);
    assert_eq!(recovery.lost_entries, 1);
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()), ["after"]);
}

/// Entries of 3000 bytes, two a segment.
fn many_segments() -> Sim {
    let sim = Sim::default();
    let config = Config { segment_bytes: 6000, ..small() };
    let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
    for number in 1..=40 {
        append(&queue, &[number; 3000], &[("a", &[number])]);
        queue.sync().unwrap();
    }
    sim.killed()
}

#[test]
fn a_start_reads_the_newest_segment_and_no_more_than_the_headers_of_the_others() {
    let sim = many_segments();
    let (queue, recovery) = open(&sim, &["otlp"]);
    assert_eq!((recovery.entries, recovery.lost_entries), (40, 0));
    assert!(sim.read_bytes() < 30_000, "{} of {} bytes were read", sim.read_bytes(), sim.used());
    assert_eq!(queue.positions()["a"], [40]);
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()).len(), 40);
}

#[test]
fn q8_damage_in_an_older_segment_costs_one_entry_when_it_is_read_and_is_counted_then() {
    let sim = many_segments();
    let path = segments(&sim).pop_first().unwrap();
    let mut bytes = sim.files()[&path].clone();
    let at = bytes.windows(10).position(|window| window == [2; 10]).unwrap();
    bytes[at] ^= 1;
    let (queue, _) = open(&with(&sim, &path, &bytes), &["otlp"]);
    let given: Vec<u8> = bodies(&mut queue.reader("otlp").unwrap()).iter().map(|body| body[0]).collect();
    assert_eq!(given, (1..=40).filter(|number| *number != 2).collect::<Vec<_>>());
    assert_eq!(queue.stats().damaged_frames, 1);
}

#[test]
fn q8_positions_and_cursors_are_told_by_older_segments_when_the_newest_begins_with_damage() {
    let sim = many_segments();
    let (queue, _) = open(&sim, &["otlp"]);
    let mut reader = queue.reader("otlp").unwrap();
    for _ in 0..10 {
        let stored = reader.next_now().unwrap();
        reader.acknowledge(stored.seq);
    }
    drop((queue, reader));
    let path = segments(&sim).pop_last().unwrap();
    let mut bytes = sim.files()[&path].clone();
    bytes[FIRST_FRAME as usize + 50] ^= 1;
    let (queue, recovery) = open(&with(&sim, &path, &bytes), &["otlp"]);
    assert_eq!((recovery.corrupt_frames, recovery.lost_entries), (1, 0));
    assert_eq!(queue.positions()["a"], [40]);
    let given = bodies(&mut queue.reader("otlp").unwrap());
    assert_eq!(given.last().unwrap()[0], 40);
    assert!(given.len() >= 30, "{} were given", given.len());
}

#[test]
fn q10_missing_and_foreign_segments_do_not_stop_the_start() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    for number in 1..=60 {
        append(&queue, &body(number), &[]);
        queue.sync().unwrap();
    }
    drop(queue);
    let paths: Vec<PathBuf> = segments(&sim).into_iter().collect();
    assert!(paths.len() >= 4);
    let missing = Sim::default();
    for (path, bytes) in sim.files().into_iter().filter(|(path, _)| *path != paths[1]) {
        missing.put(&path, &bytes);
    }
    let (other, path) = reference();
    missing.put(&dir().join(file_name(90)), &other.files()[&path]);
    missing.put(&dir().join(file_name(91)), &[9; 1000]);
    missing.put(&dir().join("notes.txt"), b"not ours");

    let (numbers, queue, recovery) = read_all(&missing, "missing");

    assert_eq!(recovery.lost_entries, 60 - numbers.len() as u64);
    assert!(recovery.lost_entries > 0 && numbers.len() > 30);
    assert_eq!(recovery.set_aside.len(), 2, "{:?}", recovery.set_aside);
    assert!(missing.files().contains_key(&dir().join("notes.txt")));
    assert_eq!(append(&queue, b"next", &[]), Appended::At(Seq(61)));
}

#[test]
fn q10_entries_and_cursors_are_safe_when_all_segments_but_the_last_are_missing() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    for number in 1..=60 {
        append(&queue, &body(number), &[("a", &[number])]);
        queue.sync().unwrap();
    }
    drop(queue);
    let last = segments(&sim).into_iter().next_back().unwrap();
    let left = Sim::default();
    left.put(&last, &sim.files()[&last]);
    let (numbers, queue, _) = read_all(&left, "last alone");
    assert!(numbers.len() < 60 && numbers.ends_with(&[60]) || numbers.is_empty());
    assert_eq!(queue.positions()["a"], [60]);
    assert_eq!(append(&queue, b"next", &[]), Appended::At(Seq(61)));
}

#[test]
fn q13_a_newer_format_is_refused_and_left_as_it_is() {
    let (sim, path) = reference();
    let mut newer = sim.files()[&path].clone();
    for copy in [0, 64] {
        newer[copy + 8] = 2;
        let crc = crc32c::crc32c(&newer[copy..copy + 60]);
        newer[copy + 60..copy + 64].copy_from_slice(&crc.to_le_bytes());
    }
    let sim = with(&sim, &path, &newer);
    sim.put(&dir().join(file_name(2)), b"torn");
    let before = sim.files();
    match open_with(&sim, &small(), &["otlp"]) {
        Err(error @ OpenError::Newer { version: 2, .. }) => assert_eq!(
            error.to_string(),
            "segment /state/queue/00000000000000000001.segment has format version 2, which is newer than this \
             binary; run the newer one, or empty the queue with it"
        ),
        other => panic!("opened: {:?}", other.map(|(_, recovery)| recovery)),
    }
    assert_eq!(sim.files(), before);
}
