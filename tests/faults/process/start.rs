//! The start: before anything else is up, after the first lines, beside one's own messages.

use std::fs;

use runlog_tests::{Agent, Line, Sink, eventually};

use super::append;

#[test]
fn s15_an_agent_is_ready_with_backend_engine_and_network_down() {
    let sink = Sink::prepare();
    let mut agent = Agent::builder()
        .set("RUNLOG_DOCKER_COLLECT", "on")
        .set("RUNLOG_DOCKER_HOST", "unix:///nowhere/docker.sock")
        .set("RUNLOG_EXPORT_ENDPOINT", "http://backend.invalid:4318")
        .set("RUNLOG_STORE_KEEP", "on")
        // An address of another machine.
        .set("RUNLOG_OTLP_LISTEN", "203.0.113.1:4317")
        .set("RUNLOG_STOP_GRACE", "100ms")
        .start();
    assert_eq!(agent.get("/readyz"), r#"{"ready":true,"reasons":[]}"#);
    agent.is_live("r");
    eventually("both that cannot be used are told", || {
        (agent.status()["degraded"].as_array().unwrap().len() == 2).then_some(())
    });
    assert_eq!(agent.terminate().status.code(), Some(75));

    agent.set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint());
    sink.open();
    agent.start();
    let _ = sink.eventually_records(1);
}

#[test]
fn s16_what_was_printed_before_the_agent_was_up_is_stored() {
    let mut agent = Agent::builder().prepare();
    append(&agent.path("a.log"), "printed long before\n");
    agent.start();
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "printed long before");
}

#[test]
fn s17_an_agent_whose_messages_lie_in_its_globs_does_not_collect_them() {
    let mut agent = Agent::builder().prepare();
    // The harness has the agent's stderr in `messages.1`.
    let everything = agent.path("*");
    agent.set("RUNLOG_FILES", everything.to_str().unwrap());
    agent.set("RUNLOG_LOG_LEVEL", "debug");
    agent.start();
    for number in 1..=3 {
        append(&agent.path("a.log"), &format!("line {number}\n"));
        let _ = agent.eventually_lines("r", number);
    }
    assert!(fs::metadata(agent.path("messages.1")).unwrap().len() > 0, "there is nothing that could be collected");
    assert_eq!(agent.lines("r").iter().map(Line::body).collect::<Vec<_>>(), ["line 1", "line 2", "line 3"]);
}
