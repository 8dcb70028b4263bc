//! Space: how it is bounded, refused and given back.

use super::*;
use crate::queue::storage::sim::{Fault, FaultKind};

fn read_and_acknowledge(reader: &mut Reader) -> usize {
    let mut count = 0;
    while let Some(stored) = reader.next_now() {
        reader.acknowledge(stored.seq);
        count += 1;
    }
    count
}

#[test]
fn q16_a_destination_that_is_down_holds_up_no_other_and_finds_all_of_it_later() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["fast", "slow"]);
    let mut fast = queue.reader("fast").unwrap();
    for _ in 0..40 {
        append(&queue, &[7; 200], &[("a", b"1")]);
        queue.sync().unwrap();
        read_and_acknowledge(&mut fast);
    }
    queue.sync().unwrap();
    assert!(segments(&sim).len() > 4);
    let mut slow = queue.reader("slow").unwrap();
    for seq in 1..=40 {
        assert_eq!(slow.next_now().unwrap().seq, Seq(seq), "nothing was removed under the slow one");
        slow.acknowledge(Seq(seq));
        queue.sync().unwrap();
    }
    assert!(segments(&sim).len() <= 2, "{:?}", segments(&sim));
    assert_eq!(queue.positions()["a"], b"1");
    assert!(queue.is_drained());
}

#[test]
fn q18_a_full_queue_removes_nothing_unacknowledged_and_takes_entries_again_when_some_are() {
    let sim = Sim::default();
    let config = Config { max_bytes: 64 * 1024, segment_bytes: 32 * 1024 * 1024, ..small() };
    let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
    let mut reader = queue.reader("otlp").unwrap();
    for round in 0..3 {
        let mut taken = 0;
        while let Appended::At(_) = append(&queue, &[1; 1000], &[]) {
            taken += 1;
            queue.sync().unwrap();
        }
        assert!(taken > 30, "round {round} took {taken}");
        assert_eq!(queue.stats().full, Some(Full::Budget));
        assert!(queue.stats().disk_bytes <= config.max_bytes + 1024);
        while let Appended::At(_) = append(&queue, &[1], &[]) {
            taken += 1;
        }
        queue.sync().unwrap();
        for _ in 0..10 {
            assert!(matches!(append(&queue, b"", &[("a", b"1")]), Appended::At(_)), "positions have a reserve");
        }
        assert_eq!(read_and_acknowledge(&mut reader), taken);
        queue.sync().unwrap();
    }
}

#[test]
fn too_much_that_is_not_durable_is_refused_until_the_next_commit() {
    let config = Config { max_bytes: 1 << 30, segment_bytes: 1 << 30, ..small() };
    let sim = Sim::default();
    let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
    // The committer is asked to hurry, and must not get anywhere.
    sim.fail(Fault { at: 0, times: u64::MAX, kind: FaultKind::Broken });
    let mut taken = 0;
    while let Appended::At(_) = append(&queue, &[1; 1024 * 1024], &[]) {
        taken += 1;
    }
    assert_eq!(taken, 7);
    assert_eq!(queue.stats().full, Some(Full::Unsynced));
    sim.heal();
    queue.sync().unwrap();
    assert!(matches!(append(&queue, &[1; 1024 * 1024], &[]), Appended::At(_)));
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()).len(), 7);
}

/// Leaves so much room for more.
fn leave(sim: &Sim, bytes: u64) {
    sim.set_capacity(Some(sim.used() + bytes));
}

#[test]
fn q5_a_full_disk_refuses_entries_and_harms_none_that_are_there() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    append(&queue, b"before", &[("a", b"1")]);
    queue.sync().unwrap();
    leave(&sim, 450);
    while let Appended::At(_) = append(&queue, &[1; 100], &[]) {}
    assert_eq!(queue.stats().full, Some(Full::Disk));
    assert_eq!(append(&queue, &[1; 100], &[("a", b"2")]), Appended::Full(Full::Disk));
    assert_eq!(queue.positions()["a"], b"1");
    sim.set_capacity(None);
    assert!(matches!(append(&queue, b"after", &[]), Appended::At(_)));
    queue.sync().unwrap();
    drop(queue);
    let (queue, recovery) = open(&sim, &["otlp"]);
    assert_eq!((recovery.torn_bytes, recovery.corrupt_frames), (0, 0));
    let found = bodies(&mut queue.reader("otlp").unwrap());
    assert_eq!((&found[0][..], &found[found.len() - 1][..]), (&b"before"[..], &b"after"[..]));
}

#[test]
fn q5_a_full_disk_is_emptied_by_what_is_delivered_and_filled_again_without_anybodys_help() {
    let sim = Sim::default();
    // One segment takes all of the disk: it can be removed only when there is room for the next one.
    let config = Config { max_bytes: 64 << 20, segment_bytes: 16 << 20, ..small() };
    let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
    leave(&sim, 100_000);
    let mut reader = queue.reader("otlp").unwrap();
    for round in 0..3 {
        let mut taken = 0;
        while let Appended::At(_) = append(&queue, &[1; 1000], &[("a", &[round])]) {
            taken += 1;
        }
        assert!(taken > 80, "round {round} took {taken}");
        assert_eq!(queue.stats().full, Some(Full::Disk));
        queue.sync().unwrap();
        assert_eq!(read_and_acknowledge(&mut reader), taken);
        queue.sync().unwrap();
        let (_, recovery) = open(&sim.without_power(|_| 0), &["otlp"]);
        assert_eq!((recovery.entries, recovery.lost_entries), (0, 0), "the cursors are durable on a full disk");
    }
    assert_eq!(queue.positions()["a"], [2]);
}

#[test]
fn q5_no_entry_takes_the_reserve_and_it_comes_back() {
    let reserve = dir().join("reserve");
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    append(&queue, b"one", &[]);
    queue.sync().unwrap();
    let mut reader = queue.reader("otlp").unwrap();
    assert_eq!(read_and_acknowledge(&mut reader), 1);
    leave(&sim, 20);
    queue.sync().unwrap();
    assert!(!sim.files().contains_key(&reserve), "the cursor took its place");
    assert_eq!(append(&queue, b"two", &[]), Appended::Full(Full::Disk));
    sim.set_capacity(None);
    queue.sync().unwrap();
    assert!(sim.files().contains_key(&reserve));
    assert!(matches!(append(&queue, b"two", &[]), Appended::At(_)));
}

#[test]
fn q6_what_others_need_of_the_disk_is_left_to_them() {
    let sim = Sim::default();
    let (queue, _) = open_with(&sim, &Config { min_free_bytes: 50_000, ..small() }, &["otlp"]).unwrap();
    // A twentieth of it is left, not more.
    sim.set_capacity(Some(400_000));
    sim.set_total(400_000);
    queue.sync().unwrap();
    let mut taken = 0;
    while let Appended::At(_) = append(&queue, &[1; 1000], &[]) {
        taken += 1;
        queue.sync().unwrap();
    }
    assert_eq!(queue.stats().full, Some(Full::MinFree));
    let free = 400_000 - sim.used();
    assert!((19_000..=21_100).contains(&free), "{free} bytes are free");
    assert!(matches!(append(&queue, b"", &[("a", b"1")]), Appended::At(_)), "positions go on");
    let mut reader = queue.reader("otlp").unwrap();
    assert_eq!(read_and_acknowledge(&mut reader), taken);
    queue.sync().unwrap();
    assert!(matches!(append(&queue, &[1; 1000], &[]), Appended::At(_)));
}

#[test]
fn q6_without_inodes_the_queue_goes_on_once_there_are_some() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    sim.set_inodes(Some(sim.files().len()));
    let mut taken = 0;
    while let Appended::At(_) = append(&queue, &[1; 500], &[]) {
        taken += 1;
        let _ = queue.sync();
    }
    assert!(segments(&sim).len() >= 2, "the reserve made room for one more segment");
    let mut reader = queue.reader("otlp").unwrap();
    let delivered = read_and_acknowledge(&mut reader);
    let _ = queue.sync();
    while let Appended::Full(_) = append(&queue, b"last", &[]) {
        queue.sync().unwrap();
    }
    queue.sync().unwrap();
    assert_eq!(delivered + read_and_acknowledge(&mut reader), taken + 1);
}

/// A queue with thirty entries that nobody has, on a disk without room for anything more.
fn full_of_thirty() -> Sim {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    for _ in 0..30 {
        append(&queue, &[1; 200], &[]);
        queue.sync().unwrap();
    }
    drop(queue);
    sim
}

#[test]
fn q5_a_queue_opens_on_a_full_disk_and_is_emptied() {
    let sim = full_of_thirty();
    leave(&sim, 0);
    let (queue, recovery) = open(&sim, &["otlp"]);
    assert_eq!((recovery.entries, queue.stats().sync_failures), (30, 0));
    assert_eq!(read_and_acknowledge(&mut queue.reader("otlp").unwrap()), 30);
    queue.sync().unwrap();
    assert!(matches!(append(&queue, &[1; 200], &[]), Appended::At(_)));
}

#[test]
fn q5_a_queue_without_a_reserve_opens_on_a_full_disk_and_is_emptied() {
    let sim = full_of_thirty();
    sim.remove(&dir().join("reserve")).unwrap();
    leave(&sim, 0);
    let (queue, recovery) = open(&sim, &["otlp"]);
    assert_eq!(recovery.entries, 30);
    let before = segments(&sim).len();
    assert!(queue.sync().is_err(), "nothing is acknowledged yet");
    let mut reader = queue.reader("otlp").unwrap();
    assert_eq!(read_and_acknowledge(&mut reader), 30);
    queue.sync().unwrap();
    assert!(segments(&sim).len() < before, "what is acknowledged makes room");
    drop((queue, reader));
    let (_, recovery) = open(&sim, &["otlp"]);
    assert_eq!((recovery.entries, recovery.lost_entries), (0, 0));
}

#[test]
fn what_a_killed_process_left_is_given_to_nobody_before_it_is_durable() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    append(&queue, b"one", &[("a", b"1")]);
    let killed = sim.killed();
    killed.remove(&dir().join("reserve")).unwrap();
    leave(&killed, 0);
    let (queue, recovery) = open(&killed, &["otlp"]);
    let mut reader = queue.reader("otlp").unwrap();
    assert_eq!((recovery.entries, queue.stats().durable, reader.next_now()), (1, Seq(0), None));
    assert_eq!(queue.positions()["a"], b"1");
    killed.set_capacity(None);
    assert_eq!(queue.sync().unwrap(), Seq(1));
    assert_eq!(bodies(&mut reader), ["one"]);
}

#[test]
fn an_entry_that_could_never_fit_is_an_error() {
    let (queue, _) = open(&Sim::default(), &["otlp"]);
    let body = Bytes::from(vec![0; 600 * 1024]);
    assert!(matches!(
        queue.append(&Entry { meta: b"", body, positions: &[] }),
        Err(AppendError::TooLarge { limit: 524_288, .. })
    ));
}
