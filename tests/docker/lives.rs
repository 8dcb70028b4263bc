//! Containers that come and go: all of their lines, and how each of them ended.

use std::collections::BTreeSet;

use runlog_tests::{Agent, AgentBuilder, Containers, Line, eventually};
use serde_json::Value;

/// How containers are read.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Through the engine.
    Engine,
    /// From the engine's files, without an engine that could be asked.
    Files,
}

const WAYS: [Way; 2] = [Way::Engine, Way::Files];

fn agent(containers: &Containers, way: Way) -> AgentBuilder {
    match way {
        Way::Engine => containers.agent(),
        Way::Files => containers
            .agent()
            .set("RUNLOG_DOCKER_FILES", containers.folder())
            .set("RUNLOG_DOCKER_HOST", "unix:///nonexistent/docker.sock"),
    }
}

fn events(agent: &Agent, run: &str, name: &str) -> Vec<Line> {
    let lines = agent.try_lines(run).unwrap_or_default();
    lines.into_iter().filter(|line| line.text("event_name") == name).collect()
}

/// What `runlog runs show` says.
fn shown(agent: &Agent, run: &str) -> Option<Value> {
    serde_json::from_slice(&agent.run(&["runs", "show", run, "--json"]).stdout).ok()
}

fn eventually_ended(agent: &Agent, run: &str, times: usize) -> Vec<Line> {
    eventually(&format!("{run} has ended"), || Some(events(agent, run, "ml.run.end")).filter(|it| it.len() == times))
}

#[test]
fn d11_d12_of_containers_that_are_removed_as_soon_as_they_end_each_line_is_there_or_said_to_be_missing() {
    const CONTAINERS: usize = 8;
    for way in WAYS {
        let containers = Containers::new();
        let agent = agent(&containers, way).start();
        for i in 0..CONTAINERS {
            let _gone = containers.run(&["--rm", "--label", "runlog.run-id=gone"], &format!("echo {i}"));
        }
        let lines = agent.eventually_lines("gone", CONTAINERS);
        let (printed, gaps): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.is_printed());
        let printed: BTreeSet<usize> = printed.iter().map(|line| line.body().parse().unwrap()).collect();
        assert_eq!(printed.len() + gaps.len(), CONTAINERS, "{way:?}");
        match way {
            // What the engine has thrown away, it says so.
            Way::Engine => {
                assert!(gaps.iter().all(|gap| gap.body().contains("exit code 0 and was removed")), "{gaps:?}")
            }
            Way::Files => assert!(gaps.is_empty(), "{gaps:?}"),
        }
    }
}

#[test]
fn a_run_begins_and_ends_with_its_container_and_then_has_its_receipt() {
    for way in WAYS {
        let containers = Containers::new();
        let agent = agent(&containers, way).start();
        let container = containers.run(&["--label", "runlog.run-id=failed"], "echo bad >&2; exit 3");
        assert_eq!(container.wait(), 3);
        let end = eventually_ended(&agent, "failed", 1).remove(0);
        assert_eq!((end.attribute("process.exit.code"), end.attribute("ml.run.result")), ("3", "failure"), "{way:?}");
        assert_eq!(events(&agent, "failed", "ml.run.start").len(), 1, "{way:?}");
        let run = eventually("the run has a receipt", || shown(&agent, "failed").filter(|run| run["complete"] == true));
        assert_eq!((run["status"].as_str(), run["exit_code"].as_i64()), (Some("failed"), Some(3)), "{way:?}");
        container.start();
        assert_eq!(container.wait(), 3);
        eventually_ended(&agent, "failed", 2);
        assert_eq!(agent.eventually_lines("failed", 2).len(), 2, "{way:?}");
    }
}

#[test]
fn a_container_that_ends_while_no_agent_runs_is_ended_at_the_next_start_and_only_then() {
    for way in WAYS {
        let containers = Containers::new();
        let mut agent = agent(&containers, way).start();
        let script = "echo all; while [ ! -e /go ]; do sleep 0.05; done; exit 4";
        let ended = containers.run(&["--label", "runlog.run-id=ended"], script);
        let removed = containers.run(&["--label", "runlog.run-id=removed"], script);
        let _ = (agent.eventually_lines("ended", 1), agent.eventually_lines("removed", 1));
        assert!(agent.terminate().status.success());
        assert!(events(&agent, "ended", "ml.run.end").is_empty(), "{way:?}: it was still running");
        ended.shell("touch /go");
        assert_eq!(ended.wait(), 4);
        removed.remove();
        agent.start();
        assert_eq!(eventually_ended(&agent, "ended", 1)[0].attribute("process.exit.code"), "4", "{way:?}");
        eventually_ended(&agent, "removed", 1);
        assert!(agent.terminate().status.success());
        agent.start();
        assert!(agent.terminate().status.success());
        // What was removed may have said more than anybody has read.
        for (run, gaps) in [("ended", 0), ("removed", 1)] {
            let told = ["ml.run.start", "ml.run.end", "runlog.gap"].map(|name| events(&agent, run, name).len());
            assert_eq!((told, agent.lines(run).len()), ([1, 1, gaps], 1 + gaps), "{way:?}: {run}");
        }
    }
}

#[test]
fn d13_a_crash_loop_is_read_life_by_life() {
    const LIVES: usize = 4;
    for way in WAYS {
        let containers = Containers::new();
        let agent = agent(&containers, way).start();
        let restarting = format!("--restart=on-failure:{}", LIVES - 1);
        let _looping =
            containers.run(&[&restarting, "--label", "runlog.run-id=loop"], "echo begin; printf end; exit 9");
        let ends = eventually("each life has ended", || {
            let ends = events(&agent, "loop", "ml.run.end");
            (ends.len() >= LIVES).then_some(ends)
        });
        assert!(ends.iter().all(|end| end.body().contains("ended")), "{way:?}: {ends:?}");
        assert_eq!(ends.last().unwrap().attribute("process.exit.code"), "9", "{way:?}");
        let lines = agent.eventually_lines("loop", 2 * LIVES);
        let bodies: Vec<_> = lines.iter().map(Line::body).collect();
        assert_eq!(bodies, ["begin", "end"].repeat(LIVES), "{way:?}");
    }
}

#[test]
fn d25_a_renamed_container_goes_on_under_the_name_that_it_was_found_with() {
    for way in WAYS {
        let containers = Containers::new();
        let agent = agent(&containers, way).start();
        let script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after";
        let name = format!("named-{}", std::process::id());
        let container = containers.run(&["--name", &name, "--label", "runlog.run-id=renamed"], script);
        let _ = agent.eventually_lines("renamed", 1);
        container.rename(&format!("re{name}"));
        container.shell("touch /go");
        let lines = agent.eventually_lines("renamed", 2);
        assert_eq!(lines.iter().map(Line::body).collect::<Vec<_>>(), ["before", "after"], "{way:?}");
        let run =
            eventually("the run has a receipt", || shown(&agent, "renamed").filter(|run| run["complete"] == true));
        let sources = run["receipts"][0]["sources"].as_array().unwrap();
        let names: Vec<_> = sources.iter().filter_map(|source| source["name"].as_str()).collect();
        assert_eq!(names.len(), 1, "{way:?}: {names:?}");
        assert!(names[0].starts_with(&name), "{way:?}: {names:?}");
    }
}

#[test]
fn what_a_health_check_finds_is_an_event_of_the_run() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    let checked = ["--health-cmd", "test -e /well", "--health-interval", "200ms", "--health-retries", "1"];
    let container =
        containers.run(&[&checked[..], &["--label", "runlog.run-id=checked"]].concat(), "echo up; sleep 1000");
    let healths = || -> Vec<String> {
        let told = events(&agent, "checked", "ml.run.status");
        told.iter().map(|event| event.attribute("runlog.container.health").to_owned()).collect()
    };
    eventually("it is unhealthy", || (healths() == ["unhealthy"]).then_some(()));
    container.shell("touch /well");
    eventually("it is healthy", || (healths() == ["unhealthy", "healthy"]).then_some(()));
}
