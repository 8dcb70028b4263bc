//! What happens when the engine, or a container, is not as it should be.

use std::fs;

use runlog_tests::{Agent, Containers, eventually};

#[test]
fn lines_before_a_forced_removal_are_kept_and_others_go_on() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    let removed = containers.run(&["--label", "runlog.run-id=removed"], "echo before; sleep 1000");
    assert_eq!(agent.eventually_lines("removed", 1)[0].body(), "before");
    removed.remove();
    let _next = containers.run(&["--label", "runlog.run-id=next"], "echo next");
    assert_eq!(agent.eventually_lines("next", 1)[0].body(), "next");
    assert_eq!(agent.lines("removed").len(), 1);
}

#[test]
fn an_absent_engine_is_told_once_while_files_are_collected() {
    let agent = Agent::builder()
        .set("RUNLOG_DOCKER_COLLECT", "on")
        .set("RUNLOG_DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .start();
    fs::write(agent.path("train.log"), "a line\n").unwrap();
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "a line");

    let degraded = eventually("the status names the engine", || {
        let status = agent.status();
        let degraded = status["degraded"].as_array()?.first()?.as_str()?.to_owned();
        Some(degraded)
    });
    assert!(degraded.contains("/nonexistent/docker.sock"), "{degraded}");
    assert_eq!(agent.status()["ready"], true, "files are collected all the same");
    let warnings = agent.eventually_warns("/nonexistent/docker.sock");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn a_socket_without_rights_is_told_with_the_remedy() {
    let containers = Containers::new();
    let agent = containers.agent().unprivileged().set("RUNLOG_RUN_ID", "r").start();
    let degraded = eventually("the status names the fault", || {
        Some(agent.status()["degraded"].as_array()?.first()?.as_str()?.to_owned())
    });
    assert!(degraded.contains("not allowed to use the Docker engine"), "{degraded}");
    assert!(degraded.contains("RUNLOG_DOCKER_COLLECT=off"), "the remedy is named: {degraded}");
    assert_eq!(agent.eventually_warns("not allowed to use the Docker engine").len(), 1);
}
