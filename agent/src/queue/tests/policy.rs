//! What each way to sync means when the process is killed and when the power is cut.

use super::*;

#[test]
fn q22_a_power_cut_takes_what_the_policy_says_and_a_kill_takes_nothing() {
    let cases: [(SyncPolicy, &[&str], &[&str]); 3] = [
        (SyncPolicy::Group, &["synced", "written"], &["synced"]),
        (SyncPolicy::Batch, &["synced", "written"], &["synced", "written"]),
        (SyncPolicy::Never, &["synced", "written"], &[]),
    ];
    for (sync, after_a_kill, after_a_power_cut) in cases {
        let sim = Sim::default();
        let config = Config { sync, ..small() };
        let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
        append(&queue, b"synced", &[]);
        queue.sync().unwrap();
        append(&queue, b"written", &[]);
        for (disk, expected) in [(sim.killed(), after_a_kill), (sim.without_power(|_| 0), after_a_power_cut)] {
            let (queue, recovery) = open_with(&disk, &config, &["otlp"]).unwrap();
            assert_eq!(bodies(&mut queue.reader("otlp").unwrap()), expected, "{sync:?}");
            assert_eq!(recovery.lost_entries, 0, "{sync:?}");
        }
    }
}

#[test]
fn an_entry_is_durable_when_the_call_that_appends_it_returns_only_if_each_is_synced() {
    for (sync, durable) in [(SyncPolicy::Group, Seq(0)), (SyncPolicy::Batch, Seq(1)), (SyncPolicy::Never, Seq(0))] {
        let (queue, _) = open_with(&Sim::default(), &Config { sync, ..small() }, &["otlp"]).unwrap();
        append(&queue, b"one", &[]);
        assert_eq!(queue.stats().durable, durable, "{sync:?}");
        assert_eq!(queue.sync().unwrap(), Seq(1));
    }
}

#[test]
fn q22_a_network_file_system_is_refused_unless_it_is_allowed() {
    for (medium, allow_network_fs, is_opened) in [
        (Medium::Network, false, false),
        (Medium::Network, true, true),
        (Medium::Memory, false, true),
        (Medium::Disk, false, true),
    ] {
        let sim = Sim::default();
        sim.set_medium(medium);
        match open_with(&sim, &Config { allow_network_fs, ..small() }, &["otlp"]) {
            Ok(_) => assert!(is_opened, "{medium:?}"),
            Err(error) => assert!(!is_opened && matches!(error, OpenError::Network { .. }), "{medium:?}: {error}"),
        }
        assert_eq!(sim.files().is_empty(), !is_opened, "nothing is written where it is refused");
    }
}

/// Numbers are given again to other entries when unsynced ones are lost; a store that knows them by (id, number) would
/// take the new ones for repetitions.
#[test]
fn without_syncs_the_queue_has_another_id_after_a_power_cut() {
    for (sync, is_other) in [(SyncPolicy::Group, false), (SyncPolicy::Never, true)] {
        let sim = Sim::default();
        let config = Config { sync, ..small() };
        let (queue, _) = open_with(&sim, &config, &["otlp"]).unwrap();
        append(&queue, b"one", &[]);
        queue.sync().unwrap();
        let id_on = |disk: &Sim| open_with(disk, &config, &["otlp"]).unwrap().0.id();
        assert_eq!(id_on(&sim.killed()), queue.id(), "{sync:?}");
        let cut = sim.without_power(|below| below - 1);
        assert_eq!(id_on(&cut) != queue.id(), is_other, "{sync:?}");
    }
}
