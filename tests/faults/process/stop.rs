//! Being told to end, once and twice, and the next one that is there already.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use runlog_tests::{Agent, Found, Printed, Sink, Trainer, eventually, runlog};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn s1_a_stop_in_the_midst_of_printing_cuts_no_line_and_the_next_start_goes_on() {
    const AT_ONCE: u64 = 2_000;
    let mut agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    let mut lines = 60_000;
    trainer.print(lines);
    trainer.busily_wait_for(1_000);
    let asked = Instant::now();
    agent.signal("TERM");
    assert!(trainer.printed() < lines, "the printing was over before the stop was asked for");
    // Taken back when all else is done.
    let address = agent.state().join("address");
    while address.exists() {
        trainer.print(AT_ONCE);
        lines += AT_ONCE;
        trainer.eventually_has_printed(lines);
    }
    let finished = agent.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
    assert!(asked.elapsed() < Duration::from_secs(15), "the stop took {:?}", asked.elapsed());
    assert!(agent.stored("r") > 0, "nothing was read before the end");

    agent.start();
    trainer.print(AT_ONCE);
    let printed = trainer.finish();
    agent.eventually_stored("r", printed.lines);
    assert_eq!(agent.terminate().status.code(), Some(0));
    Found::in_store(&agent, "r").accounts_for(&[printed]);
}

/// A backend that is not there yet, an agent that has it for its destination, and what was printed beside it: 5,000 lines.
fn printed_while_the_backend_is_away() -> (Sink, Agent, Printed) {
    let sink = Sink::prepare();
    let agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint()).start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(5_000);
    (sink, agent, trainer.finish())
}

#[test]
fn s2_a_second_signal_ends_at_once_with_75_and_what_was_read_is_durable() {
    let (sink, mut agent, printed) = printed_while_the_backend_is_away();
    agent.signal("TERM");
    eventually("it is stopping", || agent.messages().contains("stopping: reading to the end").then_some(()));
    // For longer than the echo of a signal is expected.
    thread::sleep(Duration::from_secs(1));
    let asked = Instant::now();
    let finished = agent.terminate();
    assert_eq!(finished.status.code(), Some(75), "{}", finished.messages);
    // The grace period is 25 s.
    assert!(asked.elapsed() < Duration::from_secs(5), "the second signal took {:?}", asked.elapsed());
    // What was read is in the queue: the file is not needed any more.
    fs::remove_file(agent.path("a.log")).unwrap();

    sink.open();
    agent.start();
    let _ = sink.eventually_records(5_000);
    Found::at(&sink).accounts_for(&[printed]);
}

// timeout(1) signals its child and then its whole group.
#[test]
fn s2_two_signals_at_once_are_one_and_all_is_delivered_within_the_grace() {
    let (sink, mut agent, printed) = printed_while_the_backend_is_away();
    let pid = Pid::from_raw(agent.pid().cast_signed()).unwrap();
    // Not by another process, which takes its time.
    [Signal::TERM, Signal::INT].into_iter().for_each(|signal| kill_process(pid, signal).unwrap());
    // One that were in a hurry would be gone.
    thread::sleep(Duration::from_secs(3));
    sink.open();
    let finished = agent.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
    Found::at(&sink).accounts_for(&[printed]);
}

#[test]
fn s2_signals_of_the_training_and_a_closed_pipe_end_nothing() {
    let mut agent = Agent::builder().start();
    for name in ["USR1", "USR2", "PIPE", "HUP", "HUP", "USR1"] {
        agent.signal(name);
        agent.is_live("r");
    }
    assert_eq!(agent.terminate().status.code(), Some(0));
}

#[test]
fn s22_the_next_agent_waits_for_one_that_is_stopping_and_takes_over() {
    let sink = Sink::prepare();
    let endpoint = sink.endpoint();
    let mut agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", &endpoint).set("RUNLOG_STOP_GRACE", "2s").start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(1_000);
    let printed = trainer.finish();
    agent.signal("TERM");
    eventually("it is stopping", || agent.state().join("stopping").exists().then_some(()));

    let mut next = runlog(&agent.state());
    next.arg("agent").stdout(Stdio::null()).stderr(fs::File::create(agent.path("next")).unwrap());
    next.env("RUNLOG_FILES", agent.path("*.log")).env("RUNLOG_RUN_ID", "r").env("RUNLOG_DOCKER_COLLECT", "off");
    next.env("RUNLOG_EXPORT_ENDPOINT", &endpoint).env("RUNLOG_SERVE_LISTEN", "127.0.0.1:0");
    let mut next = next.spawn().unwrap();
    let finished = agent.wait();
    assert_eq!(finished.status.code(), Some(75), "{}", finished.messages);
    assert_eq!(
        next.try_wait().unwrap(),
        None,
        "it has not waited: {}",
        fs::read_to_string(agent.path("next")).unwrap()
    );

    sink.open();
    let _ = sink.eventually_records(1_000);
    Found::at(&sink).accounts_for(&[printed]);
    next.kill().unwrap();
    next.wait().unwrap();
}
