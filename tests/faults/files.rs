//! Rows F: what can happen to a file that is read. Most are proven beside the source (`agent/src/source/file/tests`);
//! here is what takes a process: its death, its stop, what the kernel refuses it.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    process::Command,
};

use runlog_tests::{Agent, Found, Line, Trainer, eventually};

const STORED: &str = "runlog_exported_records_total{destination=\"store\"}";

#[test]
fn f4_what_was_rotated_and_compressed_after_a_kill_is_stored_once() {
    let mut agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(20_000);
    agent.eventually_metric(STORED, 1_000.0);
    trainer.print(20_000);
    trainer.busily_wait_for(21_000);
    agent.kill();
    let before = agent.stored("r");
    assert!((1..40_000).contains(&before), "{before} lines were stored, so nothing is left in the file");
    trainer.print(1_000);
    trainer.eventually_has_printed(41_000);
    trainer.rotate_into(agent.path("a.log.1"), 0);
    trainer.print(1_000);
    trainer.eventually_has_printed(42_000);
    assert!(Command::new("gzip").arg(agent.path("a.log.1")).status().unwrap().success());

    agent.start();
    agent.eventually_stored("r", 42_000);
    let printed = trainer.finish();
    agent.is_live("r");
    let found = Found::in_store(&agent, "r");
    found.accounts_for_in_any_order(&[printed]);
    assert_eq!(found.gaps, 0);
}

#[test]
fn f5_lines_that_a_truncation_cut_before_they_were_read_are_stored_from_the_copy() {
    for copy in ["a.copy", "a-copy.log"] {
        let agent = Agent::builder().start();
        let mut trainer = Trainer::start(agent.path("a.log"), "a");
        trainer.print(1_000);
        agent.eventually_stored("r", 1_000);
        agent.signal("STOP");
        trainer.print(3_000);
        trainer.eventually_has_printed(4_000);
        fs::copy(agent.path("a.log"), agent.path(copy)).unwrap();
        OpenOptions::new().write(true).open(agent.path("a.log")).unwrap().set_len(0).unwrap();
        trainer.print(10_000);
        trainer.eventually_has_printed(14_000);
        agent.signal("CONT");
        agent.eventually_stored("r", 14_000);
        agent.is_live("r");
        let found = Found::in_store(&agent, "r");
        found.accounts_for_in_any_order(&[trainer.finish()]);
        assert_eq!(found.gaps, 0);
    }
}

#[test]
fn f21_a_traceback_that_a_kill_came_into_is_stored_whole_and_once() {
    let mut agent = Agent::builder().start();
    let lines = [
        "2026-03-01 12:00:00,000 INFO train: step 1",
        "Traceback (most recent call last):",
        "  File \"train.py\", line 7, in <module>",
        "    main()",
        "ValueError: loss is nan",
    ];
    let mut file = OpenOptions::new().create(true).append(true).open(agent.path("a.log")).unwrap();
    for (number, line) in lines.iter().enumerate() {
        writeln!(file, "{line}").unwrap();
        agent.eventually_stored("r", number as u64 + 1);
        agent.kill();
        agent.start();
    }
    assert_eq!(agent.lines("r").iter().map(Line::body).collect::<Vec<_>>(), lines);
}

#[test]
fn f22_files_are_found_and_read_where_the_kernel_lets_no_folder_be_watched() {
    let mut agent = Agent::builder().with_one_watch().prepare();
    for folder in ["one", "two"] {
        fs::create_dir(agent.path(folder)).unwrap();
    }
    agent.set("RUNLOG_FILES", agent.path("*/*.log").to_str().unwrap());
    agent.start();
    let complains = || agent.messages_of("WARN").iter().any(|text| text.contains("cannot watch folder"));
    eventually("it says that it cannot watch", || complains().then_some(()));
    for (number, name) in ["one/a.log", "two/b.log", "two/c.log"].into_iter().enumerate() {
        fs::write(agent.path(name), format!("{name}\n")).unwrap();
        let lines = agent.eventually_lines("r", number + 1);
        assert_eq!(lines[number].body(), name);
    }
    assert!(agent.terminate().status.success());
}
