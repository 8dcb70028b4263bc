//! Files that are removed, cut or replaced while the queue is in use.

use super::*;
use crate::queue::{
    segment::file_name,
    state::MAX_HELD,
    storage::sim::{Fault, FaultKind},
};

fn filled(sim: &Sim, entries: u64) -> Queue {
    let (queue, _) = open(sim, &["otlp"]);
    for number in 1..=entries {
        append(&queue, &[number as u8; 500], &[("a", &number.to_le_bytes())]);
        queue.sync().unwrap();
    }
    forget_fresh(&queue);
    queue
}

fn numbers(reader: &mut Reader) -> Vec<u64> {
    std::iter::from_fn(|| reader.next_now()).map(|stored| stored.seq.0).collect()
}

#[test]
fn q14_what_was_removed_while_in_use_is_there_again_after_the_next_commit() {
    let sim = Sim::default();
    let queue = filled(&sim, 40);
    append(&queue, b"not durable yet", &[("a", &41_u64.to_le_bytes())]);
    assert!(segments(&sim).len() > 10);
    sim.remove_directory();
    assert!(sim.files().is_empty());

    assert_eq!(queue.sync().unwrap(), Seq(41));

    assert_eq!((queue.stats().removals, queue.stats().damaged_frames), (1, 0));
    for disk in [sim.killed(), sim.without_power(|_| 0)] {
        let (queue, recovery) = open(&disk, &["otlp"]);
        assert_eq!((recovery.lost_entries, recovery.corrupt_frames), (0, 0));
        assert_eq!(numbers(&mut queue.reader("otlp").unwrap()), (1..=41).collect::<Vec<_>>());
        assert_eq!(queue.positions()["a"], 41_u64.to_le_bytes());
    }
    assert_eq!(numbers(&mut queue.reader("otlp").unwrap()), (1..=41).collect::<Vec<_>>());
    queue.sync().unwrap();
    assert_eq!(queue.stats().removals, 1);
}

#[test]
fn q14_what_was_removed_can_be_read_before_it_is_there_again() {
    let sim = Sim::default();
    let queue = filled(&sim, 40);
    sim.remove_directory();
    assert_eq!(numbers(&mut queue.reader("otlp").unwrap()), (1..=40).collect::<Vec<_>>());
    assert_eq!(queue.stats().damaged_frames, 0);
}

#[test]
fn q14_writing_again_goes_on_where_the_disk_failed() {
    for kind in [FaultKind::Broken, FaultKind::Full] {
        for at in 0.. {
            let sim = Sim::default();
            let queue = filled(&sim, 10);
            sim.remove_directory();
            sim.fail(Fault { at, times: 3, kind });
            let _ = queue.sync();
            let operations = sim.heal();
            assert_eq!(queue.sync().unwrap(), Seq(10), "{kind:?} at {at}");
            assert_eq!(queue.stats().removals, 1, "{kind:?} at {at}");
            let (queue, recovery) = open(&sim.without_power(|_| 0), &["otlp"]);
            assert_eq!((recovery.lost_entries, recovery.corrupt_frames), (0, 0), "{kind:?} at {at}");
            assert_eq!(numbers(&mut queue.reader("otlp").unwrap()), (1..=10).collect::<Vec<_>>(), "{kind:?} at {at}");
            if operations <= at {
                break;
            }
        }
    }
}

#[test]
fn q14_entries_of_segments_that_are_not_kept_open_are_counted_as_damage() {
    let sim = Sim::default();
    let queue = filled(&sim, 4 * MAX_HELD as u64);
    let there = segments(&sim).len();
    assert!(there > MAX_HELD);
    sim.remove_directory();
    queue.sync().unwrap();
    let found = numbers(&mut queue.reader("otlp").unwrap());
    let first = found[0];
    assert!(first > 1);
    assert_eq!(found, (first..=4 * MAX_HELD as u64).collect::<Vec<_>>());
    assert_eq!(queue.stats().damaged_frames, (there - MAX_HELD) as u64);
}

#[test]
fn q14_a_removed_directory_of_a_real_disk_is_noticed_and_locked_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("state/queue");
    let open = || Queue::open(&dir, &small(), &["otlp"], Arc::new(Disk), NEVER);
    let (queue, _) = open().unwrap();
    for number in 0..20_u8 {
        append(&queue, &[number; 500], &[]);
    }
    queue.sync().unwrap();
    std::fs::remove_dir_all(parent.path().join("state")).unwrap();
    queue.sync().unwrap();
    assert!(matches!(open(), Err(OpenError::Locked { .. })));
    drop(queue);
    let (_, recovery) = open().unwrap();
    assert_eq!((recovery.entries, recovery.lost_entries), (20, 0));
}

#[test]
fn q20_a_segment_that_is_cut_under_its_reader_costs_what_was_cut_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, _) = Queue::open(dir.path(), &small(), &["otlp"], Arc::new(Disk), NEVER).unwrap();
    for number in 1..=3 {
        append(&queue, &[number; 100], &[]);
    }
    queue.sync().unwrap();
    forget_fresh(&queue);
    let mut reader = queue.reader("otlp").unwrap();
    assert_eq!(reader.next_now().unwrap().body, [1; 100][..]);
    let path = dir.path().join(file_name(1));
    let bytes = std::fs::read(&path).unwrap();
    let cut = bytes.windows(100).position(|window| window == [2; 100]).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut as u64 + 50).unwrap();
    assert_eq!(reader.next_now(), None);
    append(&queue, &[4; 100], &[]);
    queue.sync().unwrap();
    forget_fresh(&queue);
    assert_eq!(reader.next_now().unwrap().body, [4; 100][..]);
    assert_eq!(queue.stats().damaged_frames, 3, "two entries, and the mark of their sync");
}
