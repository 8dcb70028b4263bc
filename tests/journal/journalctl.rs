//! The journalctl that reads for the agent.

use std::{fs, process::Command};

use runlog_tests::eventually;

use crate::{Site, printed};

/// The agent's journalctl that waits for entries.
fn follower(agent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap_or_default();
    let tasks = fs::read_dir(format!("/proc/{agent}/task")).unwrap();
    let of_tasks = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: String = std::iter::once(children).chain(of_tasks).collect::<Vec<_>>().join(" ");
    let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.into_iter().find(|pid| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains("journalctl") && command.contains("--follow")
    })
}

#[test]
fn one_that_dies_is_started_again_behind_what_it_gave() {
    let site = Site::start(&[], "train");
    let mut train = site.journal.unit("train.service");
    let mut expected = Vec::new();
    let mut before = 0;
    for number in 0..4 {
        train.print(&format!("line {number}"));
        expected.push(format!("line {number}"));
        let _ = site.agent.eventually_lines("r", expected.len());
        let pid = eventually("a journalctl reads", || follower(site.agent.pid()).filter(|pid| *pid != before));
        before = pid;
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    }
    train.print("last");
    expected.push("last".to_owned());
    let lines = site.agent.eventually_lines("r", expected.len());
    assert_eq!(printed(&lines), expected);
    let told = site.agent.messages_of("WARN");
    assert!(
        told.iter().any(|message| message.starts_with("cannot read the journal: it ended with signal: 9")),
        "{told:?}"
    );
}

#[test]
fn what_is_written_before_the_stop_is_read_and_no_process_is_left() {
    let mut site = Site::start(&[], "train");
    let mut train = site.journal.unit("train.service");
    train.print("first");
    let _ = site.agent.eventually_lines("r", 1);
    let pid = eventually("a journalctl reads", || follower(site.agent.pid()));
    for number in 0..2_000 {
        train.print(&format!("line {number}"));
    }
    site.journal.eventually_ends_with("line 1999");
    assert_eq!(site.agent.terminate().status.code(), Some(0));
    assert_eq!(printed(&site.agent.lines("r")).len(), 2_001);
    eventually("its journalctl has ended", || fs::metadata(format!("/proc/{pid}")).is_err().then_some(()));
}

#[test]
fn without_one_all_else_is_collected_and_the_operator_is_told() {
    let mut site = Site::prepare(&[], "train");
    site.agent.set("PATH", "/nowhere");
    site.agent.start();
    site.agent.is_live("r");
    let expected = "cannot read the journal: journalctl is not there; install it, or take back journal.units";
    let told = site.agent.eventually_warns(expected);
    assert_eq!(told.iter().filter(|message| *message == expected).count(), 1, "{told:?}");
    assert_eq!(site.agent.terminate().status.code(), Some(0));
}
