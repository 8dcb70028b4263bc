//! Every operation on the disk fails once, in every way.

use super::*;
use crate::queue::{
    segment::file_name,
    storage::sim::{Fault, FaultKind},
};

const ENTRIES: u64 = 12;

/// An ordinary day: open, append, sync, deliver, restart. Errors are what a caller may see and try again.
///
/// Returns what the destination was given, by seq. `durable` is raised to what a sync has promised.
fn day(sim: &Sim, sync: SyncPolicy, durable: &mut u64) -> Result<BTreeMap<u64, Bytes>, String> {
    let config = Config { sync, ..small() };
    let shown = |error: &dyn std::error::Error| error.to_string();
    let mut given = BTreeMap::new();
    let mut deliver = |reader: &mut Reader| {
        while let Some(stored) = reader.next_now() {
            reader.acknowledge(stored.seq);
            given.insert(stored.seq.0, stored.body);
        }
    };
    let (queue, _) = open_with(sim, &config, &["otlp"]).map_err(|error| shown(&error))?;
    let mut reader = queue.reader("otlp").map_err(|error| shown(&error))?;
    for number in 1..=ENTRIES {
        // What is refused for want of room is offered again, as the pipeline does, and the committer tries again.
        let offer = || append(&queue, &[number as u8; 500], &[("a", &number.to_le_bytes())]);
        let mut tries = 0;
        while let Appended::Full(full) = offer() {
            tries += 1;
            if tries > 10 {
                return Err(full.to_string());
            }
            let _ = queue.sync();
        }
        *durable = queue.stats().durable.0;
        if number % 3 == 0 {
            *durable = queue.sync().map_err(|error| shown(&error))?.0;
        }
        if number % 4 == 0 {
            deliver(&mut reader);
        }
    }
    drop((queue, reader));
    let (queue, _) = open_with(sim, &config, &["otlp"]).map_err(|error| shown(&error))?;
    deliver(&mut queue.reader("otlp").map_err(|error| shown(&error))?);
    Ok(given)
}

/// Whether every entry that is durable was delivered or is still there, positions and all.
fn assert_nothing_is_lost(sim: &Sim, durable: u64, context: &str) {
    let (queue, recovery) = open(sim, &["otlp"]);
    assert_eq!((recovery.lost_entries, recovery.corrupt_frames), (0, 0), "{context}");
    let recovered = queue.stats().durable.0;
    assert!(recovered >= durable, "{context}: {durable} were durable, {recovered} are there");
    if recovered > 0 {
        assert_eq!(queue.positions()["a"], recovered.to_le_bytes(), "{context}");
    }
    for stored in bodies(&mut queue.reader("otlp").unwrap()) {
        assert_eq!(stored.len(), 500, "{context}");
    }
}

/// A disk that somebody has put a file on that is none of ours.
fn disk() -> Sim {
    let sim = Sim::default();
    sim.put(&dir().join(file_name(7)), &[9; 1000]);
    sim
}

#[test]
fn q4_a_failing_operation_loses_nothing_that_was_durable() {
    let writing = [
        "create",
        "create_dir",
        "lock",
        "open",
        "remove",
        "rename",
        "set_length",
        "sync",
        "sync_dir",
        "take_up",
        "write_at",
    ];
    let reading = ["is_at", "length", "list", "read_at", "volume"];
    let kinds = [FaultKind::Broken, FaultKind::Full, FaultKind::ReadOnly, FaultKind::Interrupted, FaultKind::Short];
    for kind in kinds {
        let mut failed = BTreeSet::new();
        for times in [1, 2] {
            for at in 0.. {
                let sim = disk();
                sim.fail(Fault { at, times, kind });
                let mut durable = 0;
                let outcome = day(&sim, SyncPolicy::Group, &mut durable);
                let operations = sim.heal();
                failed.extend(sim.failed());
                let context = format!("{kind:?} {times} times from operation {at}: {outcome:?}");

                assert_nothing_is_lost(&sim.killed(), durable, &context);
                let mut random = fastrand::Rng::with_seed(at);
                assert_nothing_is_lost(&sim.without_power(|below| random.usize(..below)), durable, &context);
                if let Ok(given) = &outcome {
                    assert_eq!(given.keys().copied().collect::<Vec<_>>(), (1..=ENTRIES).collect::<Vec<_>>());
                }
                if matches!(kind, FaultKind::Interrupted | FaultKind::Short) {
                    assert!(outcome.is_ok(), "{context}");
                }
                if operations <= at {
                    assert!(outcome.is_ok(), "{context}");
                    break;
                }
            }
        }
        let mut expected = BTreeSet::from(writing);
        if kind != FaultKind::ReadOnly {
            expected.extend(reading);
        }
        if kind != FaultKind::Full {
            // A segment is only cut back when the disk is full.
            expected.remove("set_length");
        }
        assert_eq!(failed, expected, "{kind:?} has met every operation that there is");
    }
}

/// A day on which nothing happens any more from an operation on, for each operation that there is. `after` is given the
/// disk, what was called durable, and the operation.
fn end_at_each_operation(sync: SyncPolicy, after: impl Fn(&Sim, u64, u64)) {
    for at in 0.. {
        let sim = disk();
        sim.fail(Fault { at, times: u64::MAX, kind: FaultKind::Broken });
        let mut durable = 0;
        let outcome = day(&sim, sync, &mut durable);
        let operations = sim.heal();
        after(&sim, durable, at);
        if operations <= at {
            assert!(outcome.is_ok());
            break;
        }
    }
}

#[test]
fn q2_a_power_cut_at_any_operation_takes_nothing_that_the_policy_calls_durable() {
    for sync in [SyncPolicy::Group, SyncPolicy::Batch] {
        end_at_each_operation(sync, |sim, durable, at| {
            for seed in 0..3 {
                let mut random = fastrand::Rng::with_seed(seed);
                let cut = sim.without_power(|below| random.usize(..below));
                assert_nothing_is_lost(&cut, durable, &format!("{sync:?}, cut at operation {at}, seed {seed}"));
            }
        });
    }
}

#[test]
fn q1_a_kill_at_any_operation_takes_nothing_whatever_the_policy() {
    for sync in [SyncPolicy::Group, SyncPolicy::Batch, SyncPolicy::Never] {
        end_at_each_operation(sync, |sim, durable, at| {
            assert_nothing_is_lost(&sim.killed(), durable, &format!("{sync:?}, killed at operation {at}"));
        });
    }
}

#[test]
fn q7_a_disk_that_becomes_read_only_delays_entries_within_bounds_and_loses_none() {
    let sim = Sim::default();
    let (queue, _) =
        open_with(&sim, &Config { max_bytes: 1 << 30, segment_bytes: 1 << 30, ..small() }, &["otlp"]).unwrap();
    append(&queue, b"before", &[("a", b"0")]);
    queue.sync().unwrap();
    sim.fail(Fault { at: 0, times: u64::MAX, kind: FaultKind::ReadOnly });

    let mut taken = 0_u64;
    while let Appended::At(_) = append(&queue, &[1; 1024 * 1024], &[("a", b"1")]) {
        taken += 1;
        assert!(queue.sync().is_err());
    }

    assert_eq!((taken, queue.stats().full), (7, Some(Full::Unsynced)));
    let failure = queue.stats().failure.unwrap();
    assert!(failure.contains("Read-only file system"), "{failure}");
    let mut reader = queue.reader("otlp").unwrap();
    assert_eq!(bodies(&mut reader), ["before"], "what is durable can be read");
    assert_eq!(queue.stats().durable, Seq(1), "nothing else is called durable");
    sim.heal();
    assert_eq!(queue.sync().unwrap(), Seq(1 + taken));
    assert_eq!((bodies(&mut reader).len() as u64, queue.stats().failure), (taken, None));
}

#[test]
fn q15_a_sync_that_takes_long_holds_up_neither_appending_nor_memory() {
    let sim = Sim::default();
    let config = Config { max_bytes: 1 << 30, segment_bytes: 1 << 30, ..small() };
    let linger = Duration::from_millis(1);
    let (queue, _) = Queue::open(&dir(), &config, &["otlp"], Arc::new(sim.clone()), linger).unwrap();
    sim.set_slow(true);
    let mut taken = 0;
    let full = loop {
        match append(&queue, &[1; 1024 * 1024], &[]) {
            Appended::At(_) => taken += 1,
            Appended::Full(full) => break full,
        }
    };
    assert_eq!((taken, full), (7, Full::Unsynced), "appending returns while the disk is busy");
    assert_eq!(queue.stats().durable, Seq(0));
    sim.set_slow(false);
    while let Appended::Full(_) = append(&queue, b"next", &[]) {
        queue.wait_for_room(Duration::from_secs(60));
    }
    queue.sync().unwrap();
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()).len(), taken + 1);
}

/// Recovery once made a segment that said of durable entries that they were in it, and lost them when it was itself
/// cut short.
#[test]
fn q2_a_power_cut_while_recovering_from_a_power_cut_loses_nothing() {
    for at in 0.. {
        let sim = Sim::default();
        let (queue, _) = open(&sim, &["otlp"]);
        // Two fit into a segment; of a third, the next segment would be the proof.
        for number in 1..=2_u64 {
            append(&queue, &[number as u8; 500], &[("a", &number.to_le_bytes())]);
        }
        queue.sync().unwrap();
        let cut = sim.without_power(|_| 0);
        cut.fail(Fault { at, times: u64::MAX, kind: FaultKind::Broken });
        let opened = open_with(&cut, &small(), &["otlp"]);
        let operations = cut.heal();
        for seed in 0..10 {
            let mut random = fastrand::Rng::with_seed(seed);
            let again = cut.without_power(|below| random.usize(..below));
            assert_nothing_is_lost(&again, 2, &format!("cut at operation {at}, seed {seed}"));
        }
        if operations <= at {
            assert!(opened.is_ok());
            break;
        }
    }
}

#[test]
fn q4_a_segment_that_could_not_be_finished_takes_nothing_with_it() {
    for times in 1..4 {
        for at in 0.. {
            let sim = Sim::default();
            let (queue, _) = open(&sim, &["otlp"]);
            let append = |number: u64| append(&queue, &[number as u8; 500], &[("a", &number.to_le_bytes())]);
            for number in 1..=3 {
                append(number);
            }
            // The segment has reached its size.
            sim.fail(Fault { at, times, kind: FaultKind::Broken });
            let _ = queue.sync();
            let operations = sim.heal();
            append(4);
            let durable = queue.sync().unwrap().0;
            append(5);
            let context = format!("{times} operations failed from {at}");
            assert_nothing_is_lost(&sim.killed(), durable, &context);
            assert_nothing_is_lost(&sim.without_power(|_| 0), durable, &context);
            if operations <= at {
                break;
            }
        }
    }
}

#[test]
fn q3_entries_of_a_failed_sync_are_written_to_another_segment() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    append(&queue, b"durable", &[]);
    queue.sync().unwrap();
    append(&queue, b"dropped by the kernel", &[("a", b"1")]);
    let before = segments(&sim);
    // Before it syncs a segment, a commit looks whether it is still there.
    sim.fail(Fault { at: 1, times: 1, kind: FaultKind::Broken });

    assert_eq!(queue.sync().unwrap(), Seq(2));

    assert_eq!((sim.failed(), queue.stats().sync_failures), (BTreeSet::from(["sync"]), 1));
    assert!(segments(&sim).is_superset(&before) && segments(&sim).len() > before.len());
    // A power cut that loses all that is not synced.
    let (queue, recovery) = open(&sim.without_power(|_| 0), &["otlp"]);
    assert_eq!(recovery.lost_entries, 0);
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()), ["durable", "dropped by the kernel"]);
    assert_eq!(queue.positions()["a"], b"1");
}

#[test]
fn q4_a_disk_that_is_broken_for_long_delays_entries_and_loses_none() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    sim.fail(Fault { at: 0, times: u64::MAX, kind: FaultKind::Broken });
    for number in 1..=5 {
        assert_eq!(append(&queue, &[number; 100], &[]), Appended::At(Seq(u64::from(number))));
        assert!(queue.sync().is_err());
    }
    assert_eq!(queue.stats().durable, Seq(0));
    sim.heal();
    assert_eq!(queue.sync().unwrap(), Seq(5));
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()).len(), 5);
}
