//! Being told to end, once and twice, and the next one that is there already.

use std::{fs, process::Stdio, thread, time::Duration};

use runlog_tests::{Agent, Found, Line, Printed, Sink, Trainer, eventually, runlog};

#[test]
fn s1_a_stop_in_the_midst_of_printing_cuts_no_line_and_the_next_start_goes_on() {
    const AT_ONCE: u64 = 2_000;
    let mut agent = Agent::builder().set("RUNLOG_STOP_GRACE", "10m").start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    let mut lines = 60_000;
    trainer.print(lines);
    trainer.busily_wait_for(1_000);
    agent.signal("TERM");
    // Taken back when all else is done.
    let address = agent.state().join("address");
    while address.exists() {
        trainer.print(AT_ONCE);
        lines += AT_ONCE;
        trainer.eventually_has_printed(lines);
    }
    assert!(lines > 60_000, "nothing more was printed before the stop was over");
    // Long before the grace is over.
    let finished = agent.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
    assert!(agent.stored("r") > 0, "nothing was read before the end");

    agent.start();
    trainer.print(AT_ONCE);
    let printed = trainer.finish();
    agent.eventually_stored("r", printed.lines);
    // Two parts are one line.
    let mut bodies = Vec::new();
    eventually("all is stored", || {
        bodies = whole_lines(&agent.lines("r"));
        (bodies.len() as u64 >= printed.lines).then_some(())
    });
    assert_eq!(agent.terminate().status.code(), Some(0));
    printed.is_there_once_and_in_order(bodies.iter().map(String::as_str));
}

/// The bodies of lines. One in whose midst the writer had to wait for the processor for long is there in two parts.
fn whole_lines(lines: &[Line]) -> Vec<String> {
    let mut bodies = Vec::<String>::new();
    let mut last_id = "";
    for line in lines {
        let id = line.attribute("runlog.part.id");
        match bodies.last_mut().filter(|_| !id.is_empty() && id == last_id) {
            Some(begun) => *begun += line.body(),
            None => bodies.push(line.body().to_owned()),
        }
        last_id = id;
    }
    bodies
}

/// A backend that is not there yet, an agent that has it for its destination, and what was printed beside it: 5,000 lines.
fn printed_while_the_backend_is_away() -> (Sink, Agent, Printed) {
    let sink = Sink::prepare();
    let builder = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint());
    let agent = builder.set("RUNLOG_STOP_GRACE", "10m").start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(5_000);
    (sink, agent, trainer.finish())
}

#[test]
fn s2_a_second_signal_ends_at_once_with_75_and_what_was_read_is_durable() {
    let (sink, mut agent, printed) = printed_while_the_backend_is_away();
    agent.eventually_metric("runlog_kept_records_total{source=\"file\"}", 5_000.0);
    agent.signal("TERM");
    eventually("it is stopping", || agent.messages().contains("stopping: reading to the end").then_some(()));
    // For longer than the echo of a signal is expected.
    thread::sleep(Duration::from_secs(1));
    // Who has not heard the second one ends long after this has given up.
    let finished = agent.terminate();
    assert_eq!(finished.status.code(), Some(75), "{}", finished.messages);
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
    ["TERM", "INT"].into_iter().for_each(|name| agent.signal(name));
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
    let mut starts = 1;
    for name in ["USR1", "USR2", "PIPE", "HUP", "HUP", "USR1"] {
        agent.signal(name);
        starts += usize::from(name == "HUP");
        eventually("it has started again", || {
            (agent.messages().matches("\"collecting\"").count() == starts).then_some(())
        });
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
