//! Faults of the surroundings: the agent goes on, and they can be seen.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
};

use insta::{assert_snapshot, with_settings};
use runlog_tests::{Agent, Port, eventually};
use serde_json::Value;

/// What the status calls degraded, once there is something.
fn degraded(agent: &Agent) -> String {
    eventually("something is degraded", || {
        let status = agent.status();
        Some(status["degraded"].as_array()?.first()?.as_str()?.to_owned())
    })
}

/// Writes a line and waits until it is stored.
#[track_caller]
fn still_collects(agent: &Agent) {
    fs::write(agent.path("train.log"), "a line\n").unwrap();
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "a line");
}

fn shown(agent: &Agent, text: &str) -> String {
    text.replace(agent.path("").to_str().unwrap().trim_end_matches('/'), "FOLDER")
}

/// The warnings and errors so far, one a line.
fn complaints(agent: &Agent) -> String {
    assert!(!agent.messages().contains("panicked"), "{}", agent.messages());
    shown(agent, &[agent.messages_of("WARN"), agent.messages_of("ERROR")].concat().join("\n"))
}

/// An agent that is to collect from the engine at `docker.sock` in its folder.
fn with_engine(collect: &str) -> Agent {
    let mut agent = Agent::builder().set("RUNLOG_DOCKER_COLLECT", collect).unprivileged().prepare();
    let socket = agent.path("docker.sock");
    agent.set("RUNLOG_DOCKER_HOST", format!("unix://{}", socket.display()));
    agent
}

#[test]
fn a_socket_that_may_not_be_opened_is_told_once_with_the_remedy() {
    let mut agent = with_engine("auto");
    let _listener = UnixListener::bind(agent.path("docker.sock")).unwrap();
    fs::set_permissions(agent.path("docker.sock"), PermissionsExt::from_mode(0o000)).unwrap();
    agent.start();
    assert_snapshot!(shown(&agent, &degraded(&agent)), @r#"
    docker: not allowed to use the Docker engine at FOLDER/docker.sock (docker.host); give runlog the socket's group, usually docker, or set RUNLOG_DOCKER_COLLECT=off
    "#);
    still_collects(&agent);
    assert_snapshot!(complaints(&agent), @r#"
    not allowed to use the Docker engine at FOLDER/docker.sock (docker.host); give runlog the socket's group, usually docker, or set RUNLOG_DOCKER_COLLECT=off; trying again
    "#);
    assert!(agent.terminate().status.success());
}

#[test]
fn an_engine_that_was_asked_for_and_is_absent_is_told_once() {
    let mut agent = with_engine("on");
    agent.start();
    assert_snapshot!(shown(&agent, &degraded(&agent)), @r#"
    docker: no Docker engine at FOLDER/docker.sock (docker.host); start it, mount the socket, or set RUNLOG_DOCKER_COLLECT=off
    "#);
    still_collects(&agent);
    assert_snapshot!(complaints(&agent), @r#"
    no Docker engine at FOLDER/docker.sock (docker.host); start it, mount the socket, or set RUNLOG_DOCKER_COLLECT=off; trying again
    "#);
    assert!(agent.terminate().status.success());
}

#[test]
fn an_engine_that_nobody_asked_for_is_not_missed() {
    let mut agent = with_engine("auto");
    agent.start();
    still_collects(&agent);
    assert_eq!(agent.status()["degraded"], Value::Array(Vec::new()));
    assert_eq!(complaints(&agent), "");
    assert!(agent.terminate().status.success());
}

#[test]
fn an_endpoint_that_is_not_there_is_seen_and_what_waits_is_kept_with_75() {
    let nowhere = Port::new();
    let address = nowhere.address();
    let mut agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", format!("http://{address}"))
        .set("RUNLOG_EXPORT_MIN_BACKOFF", "20ms")
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "50ms")
        .set("RUNLOG_STOP_GRACE", "300ms")
        .start();
    fs::write(agent.path("train.log"), "a line\n").unwrap();
    let destination = eventually("it was tried several times", || {
        let destination = agent.status()["destinations"][0].clone();
        (destination["retries"].as_u64()? > 5).then_some(destination)
    });
    assert_eq!((&destination["state"], &destination["pending_entries"]), (&"retrying".into(), &1.into()));
    assert_snapshot!(destination["last_error"].as_str().unwrap().replace(&address, "ADDRESS"), @r#"
    Connection refused (os error 111)
    "#);
    with_settings!({filters => vec![(r"in \d+m?s", "in [t]")]}, {
        assert_snapshot!(complaints(&agent).replace(&address, "ADDRESS"), @r#"
        http://ADDRESS/v1/logs: Connection refused (os error 111); kept in the queue, next try in [t]
        "#);
    });

    let ended = agent.terminate();
    assert_eq!(ended.status.code(), Some(75));
    let server = Agent::server().start();
    agent.set("RUNLOG_EXPORT_ENDPOINT", server.address());
    agent.start();
    assert_eq!(server.eventually_lines("r", 1)[0].body(), "a line");
    assert!(agent.terminate().status.success());
    assert_eq!(server.lines("r").len(), 1);
}

#[test]
fn the_port_of_the_other_protocol_is_pointed_out() {
    for (port, protocol) in [(4317, "http/protobuf"), (4318, "grpc")] {
        let mut agent = Agent::builder()
            // Nobody is asked there: the name does not exist.
            .set("RUNLOG_EXPORT_ENDPOINT", format!("http://nowhere.invalid:{port}"))
            .set("RUNLOG_EXPORT_PROTOCOL", protocol)
            .start();
        let text = agent.messages_of("WARN").into_iter().find(|text| text.contains("export.endpoint")).unwrap();
        assert_snapshot!(protocol.replace('/', "-"), text);
        assert!(agent.terminate().status.success());
    }
}

#[test]
fn f27_a_file_that_may_not_be_read_is_told_once_and_read_later() {
    let mut agent =
        Agent::builder().unprivileged().set("RUNLOG_FILE_SCAN", "100ms").set("RUNLOG_FILE_POLL", "50ms").prepare();
    let closed = agent.path("closed.log");
    fs::write(&closed, "behind the door\n").unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    agent.start();
    fs::write(agent.path("train.log"), "a line\n").unwrap();
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "a line");
    let messages = shown(&agent, &agent.messages());
    let complaints: Vec<_> = messages.lines().filter(|line| line.contains("WARN")).collect();
    assert!(complaints.len() == 1 && complaints[0].contains("FOLDER/closed.log"), "{complaints:?}");
    assert!(complaints[0].contains("Permission denied"), "{complaints:?}");

    fs::set_permissions(&closed, PermissionsExt::from_mode(0o644)).unwrap();
    let lines = agent.eventually_lines("r", 2);
    assert_eq!(lines[1].body(), "behind the door");
}

#[test]
fn a_glob_that_leads_to_nothing_is_told_once_and_what_comes_is_followed() {
    let told = |agent: &Agent| {
        let messages = agent.messages();
        messages.lines().filter(|line| line.contains("no file is there yet")).map(str::to_owned).collect::<Vec<_>>()
    };
    let agent = Agent::builder().start();
    eventually("it says so", || told(&agent).first()?.contains(agent.path("").to_str()?).then_some(()));
    still_collects(&agent);
    assert_eq!(told(&agent).len(), 1);
}
