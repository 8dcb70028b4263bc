//! Containers whose logs are read from the engine's own files.

use std::{collections::BTreeSet, fs, thread};

use runlog_tests::{AgentBuilder, Containers, Line, SocketProxy, docker_host, eventually};

use crate::lines::pausing;

fn bodies(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::body).collect()
}

/// An agent that finds out by itself where the engine's files are.
fn finding(containers: &Containers) -> AgentBuilder {
    containers.agent().set("RUNLOG_DOCKER_FILES", "auto")
}

/// An agent that reads files, and would find no engine to ask.
fn agent(containers: &Containers) -> AgentBuilder {
    let nobody = "unix:///nonexistent/docker.sock";
    containers.agent().set("RUNLOG_DOCKER_FILES", containers.folder()).set("RUNLOG_DOCKER_HOST", nobody)
}

#[test]
fn lines_arrive_under_their_runs_without_an_engine_that_answers() {
    let containers = Containers::new();
    let _before = containers.run_to_end(&["--label", "runlog.run-id=before"], "echo early; echo 'ERROR bad' >&2");
    let agent = agent(&containers).set("RUNLOG_LEVEL", "INFO").start();
    let script = "echo 'DEBUG a'; head -c 100000 /dev/zero | tr '\\0' x; echo; echo after";
    let flags = ["--label", "runlog.run-id=long", "--label", "runlog.level=debug", "--env", "RANK=3"];
    let _long = containers.run(&[&flags[..], &["--env", "WORLD_SIZE=4"]].concat(), script);

    let long = agent.eventually_lines("long", 3);
    assert!(bodies(&long) == ["DEBUG a", &"x".repeat(100_000), "after"], "{} lines", long.len());
    assert_eq!(long[0].attribute("ml.rank"), "3");
    let before = agent.eventually_lines("before", 2);
    let seen: BTreeSet<_> = before.iter().map(|line| (line.text("stream"), line.body())).collect();
    assert_eq!(seen, BTreeSet::from([("stdout", "early"), ("stderr", "ERROR bad")]));
}

#[test]
fn kill_9_in_the_middle_of_two_streams_and_of_rotations_loses_and_repeats_nothing() {
    const LINES: usize = 10_000;
    for agent in [agent, finding] {
        let containers = Containers::new();
        let mut agent = agent(&containers).start();
        let script = pausing(LINES);
        let rotated = ["--log-opt", "max-size=200k", "--log-opt", "max-file=100", "--label", "runlog.run-id=killed"];
        let container = containers.run(&rotated, &script);
        let _ = agent.eventually_lines("killed", 500);
        agent.kill();
        container.shell("touch /go");
        agent.start();
        agent.kill();
        agent.start();
        assert_eq!(container.wait(), 0);

        let lines = agent.eventually_lines("killed", 2 * LINES);
        for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
            let seen = lines.iter().filter(|line| line.text("stream") == stream).map(|line| line.body().to_owned());
            let expected: BTreeSet<String> = (1..=LINES).map(|i| format!("{word} {i}")).collect();
            assert!(seen.collect::<BTreeSet<_>>() == expected, "{stream} is not what was printed");
        }
        assert_eq!(lines.len(), 2 * LINES, "a line came twice");
    }
}

#[test]
fn d24_both_lives_of_a_restarted_container_are_read_once() {
    let containers = Containers::new();
    let agent = agent(&containers).start();
    let container = containers.run_to_end(&["--label", "runlog.run-id=twice"], "echo life; printf half");
    container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(bodies(&agent.eventually_lines("twice", 4)), ["life", "half", "life", "half"]);
}

#[test]
fn a_container_that_was_begun_through_the_engine_is_read_to_its_end_through_it() {
    let containers = Containers::new();
    for files in ["auto".to_owned(), containers.folder()] {
        let containers = Containers::new();
        let mut agent = containers.agent().start();
        let script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after; sleep 1000";
        let container = containers.run(&["--label", "runlog.run-id=changed"], script);
        assert_eq!(bodies(&agent.eventually_lines("changed", 1)), ["before"]);
        assert!(agent.terminate().status.success());
        agent.set("RUNLOG_DOCKER_FILES", files);
        agent.start();
        let _new = containers.run(&["--label", "runlog.run-id=new"], "echo new; sleep 1000");
        container.shell("touch /go");
        assert_eq!(bodies(&agent.eventually_lines("new", 1)), ["new"]);
        let _ = agent.eventually_lines("changed", 2);
        assert!(agent.terminate().status.success());
        assert_eq!(bodies(&agent.lines("changed")), ["before", "after"]);
        assert_eq!(bodies(&agent.lines("new")), ["new"]);
    }
}

#[test]
fn the_engine_is_asked_for_no_line_that_stands_in_a_file_which_can_be_seen() {
    let containers = Containers::new();
    let proxy = SocketProxy::before(docker_host());
    let agent = finding(&containers).set("RUNLOG_DOCKER_HOST", proxy.host()).start();
    let before = containers.run_to_end(&["--label", "runlog.run-id=before"], "echo before");
    let terminal = containers.run(&["--tty", "--label", "runlog.run-id=terminal"], "echo one; echo two; sleep 1000");
    let local = containers.run(&["--log-driver", "local", "--label", "runlog.run-id=local"], "echo local");
    assert_eq!(bodies(&agent.eventually_lines("before", 1)), ["before"]);
    assert_eq!(bodies(&agent.eventually_lines("terminal", 2)), ["one", "two"]);
    assert_eq!(bodies(&agent.eventually_lines("local", 1)), ["local"]);
    let is_asked = |id: &str| proxy.allowed().contains(&format!("GET /containers/{id}/logs"));
    assert_eq!([&before, &terminal, &local].map(|container| is_asked(&container.id)), [false, false, true]);
    assert_eq!(proxy.refused(), Vec::<String>::new());
}

#[test]
fn the_files_of_an_engine_on_another_host_are_not_looked_for_on_this_one() {
    let containers = Containers::new();
    // As at the end of a socket that ssh has forwarded.
    let elsewhere = ["unshare", "--uts", "sh", "-c", "hostname elsewhere; exec \"$@\"", "sh"];
    let proxy = SocketProxy::before(docker_host());
    let agent = finding(&containers).set("RUNLOG_DOCKER_HOST", proxy.host()).under(&elsewhere).start();
    let container = containers.run(&["--label", "runlog.run-id=far"], "echo far");
    assert_eq!(bodies(&agent.eventually_lines("far", 1)), ["far"]);
    assert!(proxy.allowed().contains(&format!("GET /containers/{}/logs", container.id)));
}

#[test]
fn d14_what_was_begun_from_files_is_read_on_while_the_engine_is_away() {
    let containers = Containers::new();
    let mut agent = finding(&containers).start();
    let script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after; exit 3";
    let container = containers.run(&["--label", "runlog.run-id=away"], script);
    assert_eq!(bodies(&agent.eventually_lines("away", 1)), ["before"]);
    agent.kill();
    container.shell("touch /go");
    assert_eq!(container.wait(), 3);
    agent.set("RUNLOG_DOCKER_HOST", "unix:///nonexistent/docker.sock");
    agent.start();
    let lines = agent.eventually_lines("away", 2);
    assert_eq!(bodies(&lines), ["before", "after"]);
    eventually("its end is told", || {
        let lines = agent.try_lines("away")?;
        lines.iter().any(|line| line.attribute("process.exit.code") == "3").then_some(())
    });
}

#[test]
fn a_container_that_was_begun_from_its_file_waits_for_it_and_is_not_read_again_otherwise() {
    let containers = Containers::new();
    let flags = tempfile::tempdir().unwrap();
    let hides = flags.path().join("hides");
    let script = format!("[ ! -e {} ] || mount -t tmpfs none {}; exec \"$@\"", hides.display(), containers.folder());
    let mut agent = finding(&containers).under(&["unshare", "--mount", "sh", "-c", &script, "sh"]).start();
    let script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after; sleep 1000";
    let container = containers.run(&["--label", "runlog.run-id=hidden"], script);
    assert_eq!(bodies(&agent.eventually_lines("hidden", 1)), ["before"]);
    agent.kill();
    fs::write(&hides, "").unwrap();
    agent.start();
    container.shell("touch /go");
    let other = containers.run(&["--label", "runlog.run-id=other"], "echo other; sleep 1000");
    assert_eq!(bodies(&agent.eventually_lines("other", 1)), ["other"], "through the engine");
    let _ = agent.eventually_warns("begun from its file");
    assert_eq!(bodies(&agent.lines("hidden")), ["before"]);
    agent.kill();
    fs::remove_file(&hides).unwrap();
    agent.start();
    assert_eq!(bodies(&agent.eventually_lines("hidden", 2)), ["before", "after"]);
    other.shell("echo more > /proc/1/fd/1");
    assert_eq!(bodies(&agent.eventually_lines("other", 2)), ["other", "more"]);
}

#[test]
fn d12_of_a_burst_of_containers_that_are_removed_at_once_each_is_read_whole_or_said_to_be_missing() {
    const LINES: usize = 20;
    const AT_ONCE: usize = 3;
    const ROUNDS: usize = 8;
    let containers = Containers::new();
    let mut agent = finding(&containers).start();
    agent.eventually_says("collecting from");
    let run_all = |worker: usize| {
        (0..ROUNDS).for_each(|round| {
            let name = format!("burst-{worker}-{round}");
            let script = format!("for i in $(seq {LINES}); do echo {name} $i; done");
            let container = containers.run(&["--rm", "--label", &format!("runlog.run-id={name}")], &script);
            eventually("it is removed", || (!container.is_there()).then_some(()));
        });
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|worker| drop(scope.spawn(move || run_all(worker)))));
    // Before it had time to notice all of it.
    assert!(agent.terminate().status.success());
    let names = (0..AT_ONCE).flat_map(|worker| (0..ROUNDS).map(move |round| format!("burst-{worker}-{round}")));
    for name in names {
        let lines = agent.try_lines(&name).unwrap_or_default();
        let printed: Vec<_> = lines.iter().filter(|line| line.is_printed()).map(Line::body).collect();
        let gaps = lines.iter().filter(|line| line.text("event_name") == "runlog.gap").count();
        let whole: Vec<_> = (1..=LINES).map(|i| format!("{name} {i}")).collect();
        assert!(
            gaps == 1 && whole.starts_with(&printed.iter().map(ToString::to_string).collect::<Vec<_>>())
                || gaps == 0 && printed == whole,
            "{name}: {gaps} gaps, {printed:?}"
        );
    }
}
