//! Numbers that are as large as they can be, and lengths and cursors that are larger than what is there.

use super::*;
use crate::queue::{
    frame::{Frame, Header, Kind, Place},
    image::{Image, cursors_payload},
    log::Active,
    segment::{FIRST_FRAME, SegmentHeader, file_name},
};

const ID: [u8; 16] = [5; 16];

/// A disk with one segment, as a queue has it that has just given these numbers.
fn continued_at(number: u64, seq: u64) -> Sim {
    let sim = Sim::default();
    let file = sim.create(&dir().join(file_name(number))).unwrap();
    SegmentHeader { queue: ID, number, first_seq: Seq(seq), created: 0 }.write(&*file).unwrap();
    let place = Place { queue: ID, segment: number, offset: FIRST_FRAME };
    let mut active = Active { file, place, synced_to: 0 };
    for kind in [Kind::Snapshot, Kind::Synced, Kind::Synced] {
        let payload = if kind == Kind::Snapshot { Image::default().snapshot() } else { Vec::new() };
        assert!(active.write(&Frame::internal(kind, Seq(seq - 1), 0, payload)).is_ok());
        active.synced_to = active.place.offset;
    }
    sim.killed()
}

#[test]
fn q12_numbers_go_on_past_what_fits_into_fewer_bits() {
    for start in [i32::MAX as u64 - 3, u64::from(u32::MAX) - 3, i64::MAX as u64 - 3, u64::MAX - 40] {
        let sim = continued_at(start, start);
        let (queue, recovery) = open(&sim, &["otlp"]);
        assert_eq!((recovery.lost_entries, recovery.corrupt_frames), (0, 0), "{start}");
        for number in 0..20 {
            assert_eq!(
                append(&queue, &[number; 500], &[("a", &[number])]),
                Appended::At(Seq(start + u64::from(number)))
            );
            queue.sync().unwrap();
        }
        let mut reader = queue.reader("otlp").unwrap();
        for number in 0..10 {
            let stored = reader.next_now().unwrap();
            assert_eq!((stored.seq.0, &stored.body[..]), (start + number, &[number as u8; 500][..]));
            reader.acknowledge(stored.seq);
        }
        drop((queue, reader));

        let (queue, recovery) = open(&sim, &["otlp"]);

        assert_eq!((recovery.lost_entries, recovery.corrupt_frames), (0, 0), "{start}");
        let given: Vec<u64> = {
            let mut reader = queue.reader("otlp").unwrap();
            std::iter::from_fn(|| reader.next_now()).map(|stored| stored.seq.0).collect()
        };
        assert_eq!(given, (start + 10..start + 20).collect::<Vec<_>>());
        assert_eq!(queue.positions()["a"], [19]);
    }
}

/// The number after the largest was the largest again, and its file was there already.
#[test]
fn q12_a_foreign_file_with_the_largest_number_does_not_use_up_the_numbers() {
    for content in [&[9; 1000][..], b""] {
        let sim = Sim::default();
        sim.put(&dir().join(file_name(u64::MAX)), content);
        let (queue, _) = open(&sim, &["otlp"]);
        for number in 0..20 {
            append(&queue, &[number; 500], &[]);
            queue.sync().unwrap();
        }
        assert!(segments(&sim).contains(&dir().join(file_name(2))));
    }
}

#[test]
fn q21_a_clock_that_jumps_expires_nothing_and_changes_no_order() {
    let sim = Sim::default();
    let century = 100 * 365 * 86_400 * 1_000_000_000;
    let (mut queue, _) = open(&sim, &["otlp"]);
    for (number, time) in [(1, century), (2, u64::MAX - 5), (3, 0), (4, 2 * century), (5, 1)] {
        sim.set_time(time);
        append(&queue, &[number; 500], &[("a", &[number])]);
        queue.sync().unwrap();
        assert!(queue.stats().destinations["otlp"].oldest_age.is_some());
        drop(queue);
        (queue, _) = open(&sim, &["otlp"]);
    }
    let given = bodies(&mut queue.reader("otlp").unwrap());
    assert_eq!(given.iter().map(|body| body[0]).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(queue.positions()["a"], [5]);
}

/// Adds a frame's header and payload to the end of the only segment, as if it had been written there.
fn add(sim: &Sim, header: Header, payload: &[u8]) -> Sim {
    let path = segments(sim).pop_first().unwrap();
    let mut bytes = sim.files()[&path].clone();
    let place = Place { queue: bytes[16..32].try_into().unwrap(), segment: 1, offset: bytes.len() as u64 };
    bytes.extend(header.encode(place));
    bytes.extend(payload);
    let changed = Sim::default();
    changed.put(&path, &bytes);
    changed
}

fn three_entries() -> Sim {
    let sim = Sim::default();
    let config = Config { segment_bytes: 1 << 18, ..small() };
    let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
    for number in 1..=3 {
        append(&queue, &[number; 50], &[]);
    }
    queue.sync().unwrap();
    sim.killed()
}

#[test]
fn q9_a_length_beyond_the_end_of_the_file_is_not_believed() {
    let header = Frame::internal(Kind::Entry, Seq(4), 0, Vec::new()).header(0);
    for payload_bytes in [1, 60 << 20] {
        let sim = add(&three_entries(), Header { payload_bytes, ..header }, b"");
        let (queue, recovery) = open(&sim, &["otlp"]);
        assert_eq!((recovery.entries, recovery.lost_entries), (3, 0));
        assert_eq!(recovery.torn_bytes, 48);
        assert_eq!(append(&queue, b"next", &[]), Appended::At(Seq(4)));
    }
}

#[test]
fn q10_a_cursor_ahead_of_the_entries_hides_none_that_come_later() {
    let payload = cursors_payload(&BTreeMap::from([("otlp".to_owned(), Seq(9))]));
    let header = Frame::internal(Kind::Cursors, Seq(3), 0, payload.clone()).header(0);
    let sim = add(&three_entries(), header, &payload);
    let (queue, _) = open(&sim, &["otlp"]);
    let mut reader = queue.reader("otlp").unwrap();
    assert_eq!(reader.next_now(), None, "the cursor has been past these");
    for number in 4..=12 {
        append(&queue, &[number; 50], &[]);
    }
    queue.sync().unwrap();
    assert_eq!(bodies(&mut reader).len(), 9);
}
