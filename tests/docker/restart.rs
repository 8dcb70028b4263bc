//! Containers, agents and engines that end and begin again.

use runlog_tests::{Agent, Containers, Engine, Line, eventually};

fn bodies(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::body).collect()
}

/// Ends the agent, after which nothing more can come, and gives all lines of a run.
fn final_bodies(agent: &mut Agent, run: &str) -> Vec<String> {
    let ended = agent.terminate();
    assert!(ended.status.success(), "{}", ended.messages);
    agent.lines(run).iter().map(|line| line.body().to_owned()).collect()
}

#[test]
fn d13_a_restart_of_a_running_container_is_followed_into_its_next_life() {
    let containers = Containers::new();
    let mut agent = containers.agent().start();
    let script = "echo begin; while :; do [ -e /go ] && rm /go && echo after; sleep 0.05; done";
    let container = containers.run(&["--label", "runlog.run-id=lives"], script);
    for life in 1..=3 {
        let count = 2 * life - 1;
        assert_eq!(agent.eventually_lines("lives", count).len(), count);
        container.shell("touch /go");
        let _ = agent.eventually_lines("lives", count + 1);
        if life < 3 {
            container.restart();
        }
    }
    assert_eq!(final_bodies(&mut agent, "lives"), ["begin", "after"].repeat(3));
}

#[test]
fn what_was_printed_while_no_agent_ran_is_read_at_the_next_start() {
    let containers = Containers::new();
    let mut agent = containers.agent().start();
    let script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; seq 1000; printf end";
    let container = containers.run(&["--label", "runlog.run-id=pause"], script);
    assert_eq!(bodies(&agent.eventually_lines("pause", 1)), ["before"]);
    assert!(agent.terminate().status.success());
    container.shell("touch /go");
    assert_eq!(container.wait(), 0);
    let _meanwhile = containers.run_to_end(&["--label", "runlog.run-id=meanwhile"], "echo came and went");

    agent.start();
    let _ = agent.eventually_lines("pause", 1_002);
    assert_eq!(bodies(&agent.eventually_lines("meanwhile", 1)), ["came and went"]);
    let mut expected = vec!["before".to_owned()];
    expected.extend((1..=1_000).map(|i| i.to_string()));
    expected.push("end".to_owned());
    assert_eq!(final_bodies(&mut agent, "pause"), expected);
}

#[test]
fn containers_that_have_ended_are_left_alone_if_asked() {
    let containers = Containers::new();
    let _ended = containers.run_to_end(&["--label", "runlog.run-id=old"], "echo old");
    let agent = containers.agent().set("RUNLOG_DOCKER_READ_EXITED", "false").start();
    // What ends before that has ended before anybody looked.
    agent.eventually_says("collecting from");
    let _new = containers.run_to_end(&["--label", "runlog.run-id=new"], "echo new");
    assert_eq!(bodies(&agent.eventually_lines("new", 1)), ["new"]);
    assert_eq!(agent.try_lines("old"), None);
}

#[test]
fn d14_a_restart_of_the_engine_loses_and_repeats_nothing() {
    let engine = Engine::start();
    let containers = Containers::on(&engine.host());
    let mut agent = containers.agent().set("RUNLOG_DOCKER_INCLUDE", "").start();
    // Ends at once when the engine ends it, and prints faster than it is read.
    let script =
        "trap 'echo last; exit 0' TERM; i=0; while :; do i=$((i+1)); echo out $i; echo err $i >&2; usleep 200; done";
    let flooding = containers.run(&["--label", "runlog.run-id=flood", "--log-opt", "max-size=500m"], script);
    let _ = agent.eventually_lines("flood", 100);
    engine.stop();
    eventually("the agent misses the engine", || {
        agent.status()["degraded"].to_string().contains("Docker engine").then_some(())
    });

    engine.up();
    let _later = containers.run(&["--label", "runlog.run-id=later"], "echo later");
    assert_eq!(bodies(&agent.eventually_lines("later", 1)), ["later"]);
    eventually("nothing is degraded any more", || {
        agent.status()["degraded"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let printed = flooding.logs();
    assert!(printed.0.ends_with("last\n"), "the container was not ended as was meant");
    assert!(agent.terminate().status.success());

    let lines = agent.lines("flood");
    for (stream, printed) in [("stdout", &printed.0), ("stderr", &printed.1)] {
        let kept: Vec<_> = lines.iter().filter(|line| line.text("stream") == stream).map(Line::body).collect();
        assert_eq!(kept.len(), printed.lines().count(), "{stream}");
        assert!(printed.lines().eq(kept), "{stream} is not in its order");
    }
}
