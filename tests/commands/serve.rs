//! Reading from a server, and a server that other agents send to.

use std::fs;

use runlog_tests::{Agent, Port, State, eventually};

use crate::{printed, refused};

#[test]
fn a_server_answers_as_the_disk_does() {
    let agent = Agent::builder().start();
    let lines: String = (0..2_500)
        .map(|i| {
            format!("2026-11-24 06:00:{:02},000 {} train: line {i} é\n", i % 60, ["INFO", "ERROR", "DEBUG"][i % 3])
        })
        .collect();
    fs::write(agent.path("train.log"), lines).unwrap();
    let _ = agent.eventually_lines("r", 2_500);
    let address = agent.address();
    let questions: [&[&str]; 11] = [
        &["runs"],
        &["runs", "--json"],
        &["logs", "r"],
        &["logs", "r", "--json"],
        &["logs", "latest", "--time", "--level", "error"],
        &["logs", "r", "--grep", "line 1.*é$"],
        &["logs", "r", "--tail", "1234"],
        &["logs", "r", "--tail", "7", "--level", "warn", "--json"],
        &["logs", "r", "--since", "2026-11-24T06:00:30Z", "--until", "2026-11-24T06:00:40Z"],
        &["logs", "r", "--grep", "nowhere"],
        &["logs", "r", "--tail", "0"],
    ];
    for question in questions {
        let from_disk = printed(&agent.run(question));
        let from_server = printed(&agent.run(&[question, &["--server", &address]].concat()));
        assert!(from_disk == from_server, "{question:?} differs:\n{from_disk}---\n{from_server}");
    }
    for question in [["logs", "unknown"], ["logs", ""]] {
        let from_server = refused(&agent.run(&[question.as_slice(), &["--server", &address]].concat()));
        assert_eq!(refused(&agent.run(&question)), from_server);
    }
}

#[test]
fn a_server_keeps_what_other_agents_send() {
    let server = Agent::server().start();
    let start = |run: &str, compression: &str| {
        let agent = Agent::builder()
            .set("RUNLOG_RUN_ID", run)
            .set("RUNLOG_EXPERIMENT", "ridge")
            .set("RUNLOG_EXPORT_COMPRESSION", compression)
            .set("RUNLOG_EXPORT_ENDPOINT", server.address())
            .start();
        let lines: String = (0..1_000).map(|i| format!("INFO:{run}:line {i}\n")).collect();
        fs::write(agent.path("train.log"), lines).unwrap();
        agent
    };
    let agents = [start("a", "gzip"), start("b", "zstd"), start("c", "none")];
    let address = server.address();
    for (mut agent, run) in agents.into_iter().zip(["a", "b", "c"]) {
        let text = eventually(&format!("the server has all of {run}"), || {
            let output = agent.run(&["logs", run, "--server", &address]);
            let text = String::from_utf8(output.stdout).unwrap();
            (text.lines().count() >= 1_000).then_some(text)
        });
        assert!(text.lines().eq((0..1_000).map(|i| format!("INFO:{run}:line {i}"))), "{run}");
        let ended = agent.terminate();
        assert!(ended.status.success(), "{}", ended.messages);
    }
    let runs = printed(&server.run(&["runs", "--json"]));
    assert_eq!(runs.lines().filter(|run| run.contains("\"experiment\":\"ridge\"")).count(), 3, "{runs}");
}

#[test]
fn what_was_sent_while_the_server_was_down_arrives_once_when_it_is_back() {
    // The server comes back at the address that it had.
    let port = Port::new();
    let mut server = Agent::server().set("RUNLOG_SERVE_LISTEN", port.address()).start();
    let agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", server.address())
        .set("RUNLOG_EXPORT_MIN_BACKOFF", "50ms")
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "200ms")
        .start();
    fs::write(agent.path("a.log"), "before\n").unwrap();
    let _ = server.eventually_lines("r", 1);
    server.kill();
    fs::write(agent.path("b.log"), "while it is away\n").unwrap();
    eventually("the agent sees that it is away", || {
        (agent.status()["destinations"][0]["state"] == "retrying").then_some(())
    });
    server.start();

    let lines = server.eventually_lines("r", 2);
    let bodies: Vec<_> = lines.iter().map(|line| line.body()).collect();
    assert_eq!(bodies, ["before", "while it is away"]);
}

#[test]
fn who_has_not_shown_the_token_is_told_which_variable_has_it() {
    let token = "the-token-of-this-test";
    let agent = Agent::builder().set("RUNLOG_SERVE_TOKEN", token).start();
    let state = State::new();
    let address = agent.address();
    for question in [&["runs"][..], &["runs", "list"], &["status"]] {
        let ask = |given: Option<&str>| {
            let mut command = state.command(&[question, &["--server", &address]].concat());
            command.envs(given.map(|token| ("RUNLOG_SERVE_TOKEN", token))).output().unwrap()
        };
        for wrong in [None, Some("another-token-than-that")] {
            let refusal = refused(&ask(wrong));
            assert!(refusal.contains(" asks for a token\nset RUNLOG_SERVE_TOKEN, or "), "{question:?}: {refusal}");
        }
        let _ = printed(&ask(Some(token)));
    }
}
