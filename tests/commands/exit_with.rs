//! An agent that nobody stops ends with its run, after all of it.

use std::{fs, os::unix::process::ExitStatusExt, process::Command};

use runlog_tests::{Agent, Line, Sink, eventually};

/// Writes lines of a run that is about to end, the last one without a line feed.
fn write_lines(agent: &Agent, count: usize) {
    let lines: String = (1..count).map(|n| format!("line {n}\n")).collect();
    fs::write(agent.path("train.log"), lines + "the end").unwrap();
}

/// Waits for the agent's own end, and gives how many lines its run has and the last of them.
fn ended(agent: &mut Agent) -> (usize, String) {
    let finished = agent.wait();
    assert_eq!((finished.status.code(), finished.status.signal()), (Some(0), None), "{}", finished.messages);
    let lines = agent.lines("r");
    (lines.len(), lines.last().map(Line::body).unwrap_or_default().to_owned())
}

#[test]
fn an_agent_ends_when_the_file_appears_with_all_lines_that_were_written_before() {
    let mut agent = Agent::builder().prepare();
    let done = agent.path("done");
    agent.set("RUNLOG_EXIT_WITH", format!("path:{}", done.display()));
    agent.start();
    write_lines(&agent, 5_000);
    fs::write(done, "").unwrap();
    assert_eq!(ended(&mut agent), (5_000, "the end".to_owned()));
}

#[test]
fn an_agent_ends_with_a_process_and_one_that_has_ended_already_is_no_error() {
    let mut agent = Agent::builder().prepare();
    let mut training = Command::new("sleep").arg("1000").spawn().unwrap();
    agent.set("RUNLOG_EXIT_WITH", format!("pid:{}", training.id()));
    agent.start();
    write_lines(&agent, 5_000);
    assert_eq!(agent.ended(), None, "the process lives");
    training.kill().unwrap();
    training.wait().unwrap();
    assert_eq!(ended(&mut agent), (5_000, "the end".to_owned()));

    // Its number belongs to nobody now.
    agent.spawn();
    assert_eq!(ended(&mut agent).0, 5_000);
}

#[test]
fn what_cannot_be_delivered_in_time_is_kept_and_the_exit_code_says_so() {
    let backend = Sink::prepare();
    let mut agent =
        Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", backend.endpoint()).set("RUNLOG_STOP_GRACE", "100ms").prepare();
    let done = agent.path("done");
    agent.set("RUNLOG_EXIT_WITH", format!("path:{}", done.display()));
    write_lines(&agent, 10);
    fs::write(&done, "").unwrap();
    agent.spawn();
    assert_eq!(agent.wait().status.code(), Some(75));

    backend.open();
    agent.set("RUNLOG_STOP_GRACE", "1m");
    agent.spawn();
    assert_eq!(agent.wait().status.code(), Some(0));
    eventually("all lines are there", || (backend.records().len() >= 10).then_some(()));
}
