//! Every operation on the disk fails once, in every way.

use super::*;
use crate::queue::storage::sim::{Fault, FaultKind};

const ENTRIES: u64 = 12;

/// An ordinary day: open, append, sync, deliver, restart. Errors are what a caller may see and try again.
///
/// Returns what the destination was given, by seq. `durable` is raised to what a sync has promised.
fn day(sim: &Sim, durable: &mut u64) -> Result<BTreeMap<u64, Bytes>, String> {
    let shown = |error: &dyn std::error::Error| error.to_string();
    let mut given = BTreeMap::new();
    let mut deliver = |reader: &mut Reader| {
        while let Some(stored) = reader.next_now() {
            reader.acknowledge(stored.seq);
            given.insert(stored.seq.0, stored.body);
        }
    };
    let (queue, _) = open_with(sim, &small(), &["otlp"]).map_err(|error| shown(&error))?;
    let mut reader = queue.reader("otlp").map_err(|error| shown(&error))?;
    for number in 1..=ENTRIES {
        // What is refused for want of room is offered again, as the pipeline does.
        while let Appended::Full(_) = append(&queue, &[number as u8; 500], &[("a", &number.to_le_bytes())]) {}
        if number % 3 == 0 {
            *durable = queue.sync().map_err(|error| shown(&error))?.0;
        }
        if number % 4 == 0 {
            deliver(&mut reader);
        }
    }
    drop((queue, reader));
    let (queue, _) = open_with(sim, &small(), &["otlp"]).map_err(|error| shown(&error))?;
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

#[test]
fn q4_a_failing_operation_loses_nothing_that_was_durable() {
    for kind in [FaultKind::Broken, FaultKind::Full, FaultKind::Interrupted, FaultKind::Short] {
        for times in [1, 2] {
            for at in 0.. {
                let sim = Sim::default();
                sim.fail(Fault { at, times, kind });
                let mut durable = 0;
                let outcome = day(&sim, &mut durable);
                let operations = sim.heal();
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
    }
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
    sim.fail(Fault { at: 0, times: 1, kind: FaultKind::Broken });

    assert_eq!(queue.sync().unwrap(), Seq(2));

    assert_eq!(queue.stats().sync_failures, 1);
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
