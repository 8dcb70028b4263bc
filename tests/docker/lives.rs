//! Containers that come and go: all of their lines, and how each of them ended.

use std::{
    fs::{self, File},
    io::Write,
    process::Command,
    thread,
};

use runlog_tests::{Agent, AgentBuilder, Container, Containers, Line, Podman, eventually};
use serde_json::Value;

/// How containers are read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// Through the engine.
    Engine,
    /// From the engine's files, without an engine that could be asked.
    Files,
    /// From the engine's files, which the agent finds by what the engine says.
    Auto,
    /// Through Podman.
    Podman,
}

const WAYS: [Way; 4] = [Way::Engine, Way::Files, Way::Auto, Way::Podman];

/// Containers that are read in that way, and their engine where it is not the one that all share.
struct Place {
    way: Way,
    containers: Containers,
    _podman: Option<Podman>,
}

impl Place {
    fn of(way: Way) -> Self {
        let podman = (way == Way::Podman).then(Podman::start);
        let containers = podman.as_ref().map_or_else(Containers::new, |podman| Containers::on(&podman.host()));
        Self { way, containers, _podman: podman }
    }

    /// An agent that hears its engine, if it has one: of what a busy Podman did before, it may tell nothing.
    fn start(&self) -> Agent {
        let agent = self.agent().start();
        if self.way != Way::Files {
            agent.eventually_says("collecting from");
        }
        agent
    }

    fn agent(&self) -> AgentBuilder {
        let agent = self.containers.agent();
        match self.way {
            Way::Engine => agent,
            Way::Files => agent
                .set("RUNLOG_DOCKER_FILES", self.containers.folder())
                .set("RUNLOG_DOCKER_HOST", "unix:///nonexistent/docker.sock"),
            Way::Auto | Way::Podman => agent.set("RUNLOG_DOCKER_FILES", "auto"),
        }
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

/// The exit codes in the receipts of a run, and whether memory was short.
fn ends(run: &Value) -> Vec<(Option<i64>, bool)> {
    let ends = run["receipts"].as_array().unwrap().iter().flat_map(|receipt| receipt["ends"].as_array().unwrap());
    ends.map(|end| (end["exit_code"].as_i64(), end["oom_killed"].as_bool().unwrap())).collect()
}

fn eventually_ended(agent: &Agent, run: &str, times: usize) -> Vec<Line> {
    eventually(&format!("{run} has ended"), || Some(events(agent, run, "ml.run.end")).filter(|it| it.len() == times))
}

#[test]
fn d11_d12_of_containers_that_are_removed_as_soon_as_they_end_each_line_is_there_or_said_to_be_missing() {
    const CONTAINERS: usize = 8;
    for way in WAYS {
        let place = Place::of(way);
        let (containers, agent) = (&place.containers, place.start());
        // Without an engine nobody tells later of one that came and went while nobody looked: there it waits for that.
        let is_awaited = matches!(way, Way::Files | Way::Auto);
        let seen = tempfile::tempdir().unwrap();
        let mount = format!("{}:/seen", seen.path().display());
        let run = |i: usize| {
            let label = format!("runlog.run-id=gone-{i}");
            let waits = format!("echo begin; until [ -e /seen/{i} ]; do sleep 0.05; done;");
            let script = format!("{} echo {i}", if is_awaited { &waits } else { "" });
            containers.run(&["--rm", "--volume", &mount, "--label", &label], &script)
        };
        // Who drops one of them ends it by force.
        let _gone: Vec<_> = (0..CONTAINERS).map(run).collect();
        for i in 0..CONTAINERS {
            let run = format!("gone-{i}");
            if is_awaited {
                assert_eq!(agent.eventually_lines(&run, 1)[0].body(), "begin");
                fs::write(seen.path().join(i.to_string()), "").unwrap();
            }
            let mut lines = agent.eventually_lines(&run, 1 + usize::from(is_awaited));
            lines.retain(|line| line.body() != "begin");
            let is_gap = |line: &&Line| line.text("event_name") == "runlog.gap";
            match (way, lines.iter().find(|line| line.is_printed()), lines.iter().find(is_gap)) {
                (_, Some(printed), None) => assert_eq!(printed.body(), i.to_string()),
                // What the engine has thrown away, or may have.
                (Way::Engine | Way::Podman, _, Some(gap)) => {
                    assert!(gap.body().contains("exit code 0 and was removed"), "{gap:?}")
                }
                (..) => panic!("{way:?}: {lines:?}"),
            }
        }
    }
}

#[test]
fn a_run_begins_and_ends_with_its_container_and_then_has_its_receipt() {
    for way in WAYS {
        let place = Place::of(way);
        let (containers, agent) = (&place.containers, place.start());
        let container = containers.run(&["--label", "runlog.run-id=failed"], "echo bad >&2; exit 3");
        assert_eq!(container.wait(), 3);
        let end = eventually_ended(&agent, "failed", 1).remove(0);
        assert_eq!((end.attribute("process.exit.code"), end.attribute("ml.run.result")), ("3", "failure"), "{way:?}");
        assert_eq!(events(&agent, "failed", "ml.run.start").len(), 1, "{way:?}");
        let run = eventually("the run has a receipt", || shown(&agent, "failed").filter(|run| run["complete"] == true));
        assert_eq!((run["status"].as_str(), run["exit_code"].as_i64()), (Some("failed"), Some(3)), "{way:?}");
        assert_eq!(ends(&run), [(Some(3), false)], "{way:?}");
        container.start();
        assert_eq!(container.wait(), 3);
        eventually_ended(&agent, "failed", 2);
        let run =
            eventually("a receipt for the second life", || shown(&agent, "failed").filter(|it| ends(it).len() == 2));
        assert_eq!(run["receipts"].as_array().unwrap().len(), 2, "{way:?}: {run}");
        assert_eq!(agent.eventually_lines("failed", 2).len(), 2, "{way:?}");
    }
}

#[test]
fn a_container_that_ends_while_no_agent_runs_is_ended_at_the_next_start_and_only_then() {
    for way in WAYS {
        let place = Place::of(way);
        let (containers, mut agent) = (&place.containers, place.start());
        let script = "echo all; while [ ! -e /go ]; do sleep 0.05; done; exit 4";
        let ended = containers.run(&["--label", "runlog.run-id=ended"], script);
        let removed = containers.run(&["--label", "runlog.run-id=removed"], script);
        // Containers of the agent's run neither begin nor end it, and what is missing of them is told all the same.
        let read = containers.run_to_end(&[], "echo read");
        let unread = containers.run(&[], script);
        let _ = (agent.eventually_lines("ended", 1), agent.eventually_lines("removed", 1));
        let _ = agent.eventually_lines("r", 2);
        assert!(agent.terminate().status.success());
        assert!(events(&agent, "ended", "ml.run.end").is_empty(), "{way:?}: it was still running");
        ended.shell("touch /go");
        assert_eq!(ended.wait(), 4);
        [&removed, &read, &unread].into_iter().for_each(Container::remove);
        agent.start();
        assert_eq!(eventually_ended(&agent, "ended", 1)[0].attribute("process.exit.code"), "4", "{way:?}");
        eventually_ended(&agent, "removed", 1);
        assert!(agent.terminate().status.success());
        agent.start();
        assert!(agent.terminate().status.success());
        let gaps = events(&agent, "r", "runlog.gap");
        assert_eq!(gaps.len(), 1, "{way:?}: {gaps:?}");
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
    // Podman starts it again at once, so that not each life is seen.
    for way in [Way::Engine, Way::Files, Way::Auto] {
        let place = Place::of(way);
        let (containers, agent) = (&place.containers, place.start());
        let restarting = format!("--restart=on-failure:{}", LIVES - 1);
        let seen = tempfile::tempdir().unwrap();
        let mount = format!("{}:/seen", seen.path().display());
        let run = |id: &str, script: &str| {
            let label = format!("runlog.run-id={id}");
            containers.run(&[&restarting, "--volume", &mount, "--label", &label], script)
        };
        // Who looks late sees one life in place of two, so here each waits until it is seen.
        let waits = "echo life >> /lives; until [ -e /seen/$(wc -l < /lives) ]; do sleep 0.05; done";
        let _looping = run("loop", &format!("echo begin; {waits}; printf end; exit 9"));
        // The lines are there however quickly it goes.
        let _quick = run("quick", "echo begin; printf end; exit 9");
        for life in 1..=LIVES {
            let starts = || events(&agent, "loop", "ml.run.start").len();
            eventually("the life is seen", || (starts() == life).then_some(()));
            fs::write(seen.path().join(life.to_string()), "").unwrap();
        }
        let ends = eventually_ended(&agent, "loop", LIVES);
        assert!(ends.iter().all(|end| end.body().contains("ended")), "{way:?}: {ends:?}");
        assert_eq!(ends.last().unwrap().attribute("process.exit.code"), "9", "{way:?}");
        for run in ["loop", "quick"] {
            let lines = agent.eventually_lines(run, 2 * LIVES);
            let bodies: Vec<_> = lines.iter().map(Line::body).collect();
            assert_eq!(bodies, ["begin", "end"].repeat(LIVES), "{way:?}: {run}");
        }
    }
}

#[test]
fn d25_a_renamed_container_goes_on_under_the_name_that_it_was_found_with() {
    for way in WAYS {
        let place = Place::of(way);
        let (containers, agent) = (&place.containers, place.start());
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

#[test]
fn a_container_that_was_killed_for_want_of_memory_ends_its_run_so() {
    for way in [Way::Engine, Way::Auto] {
        let place = Place::of(way);
        let agent = place.start();
        let script = "echo begin; x=0123456789abcdef; while :; do x=$x$x; done";
        let container = place.containers.run(&["--memory", "16m", "--label", "runlog.run-id=hungry"], script);
        assert_eq!(container.wait(), 137);
        let end = eventually_ended(&agent, "hungry", 1).remove(0);
        assert_eq!(
            (end.attribute("runlog.oom_killed"), end.attribute("process.exit.code")),
            ("true", "137"),
            "{way:?}"
        );
        assert!(end.body().contains("killed for want of memory"), "{way:?}: {}", end.body());
        let run = eventually("the run has a receipt", || shown(&agent, "hungry").filter(|run| run["complete"] == true));
        assert_eq!(run["status"], "failed", "{way:?}");
        assert_eq!(ends(&run), [(Some(137), true)], "{way:?}");
        assert_eq!(agent.eventually_lines("hungry", 1)[0].body(), "begin");
    }
}

#[test]
fn d23_of_200_containers_that_run_at_once_each_line_is_there_once() {
    const WORKERS: usize = 4;
    const EACH: usize = 50;
    let containers = Containers::new();
    let mut agent = containers.agent().set("RUNLOG_DOCKER_FILES", "auto").start();
    // All wait until a byte for each comes through a pipe.
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("mkfifo").arg(folder.path().join("go")).status().unwrap();
    assert!(made.success());
    let mount = format!("{}:/wait", folder.path().display());
    let flags = ["--volume", &mount, "--label", "runlog.run-id=many"];
    let script = "echo out; echo err >&2; read go < /wait/go; printf end";
    let running = thread::scope(|scope| {
        // One half is read from files, the other through the engine.
        let workers = [0; WORKERS].iter().enumerate().map(|(n, _)| {
            let driver = ["json-file", "local"][n % 2];
            let containers = &containers;
            let one = move || containers.run(&[&["--log-driver", driver], &flags[..]].concat(), script);
            scope.spawn(move || (0..EACH).map(|_| one()).collect::<Vec<Container>>())
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let _ = agent.eventually_lines("many", 2 * WORKERS * EACH);
    let mut pipe = File::options().read(true).write(true).open(folder.path().join("go")).unwrap();
    pipe.write_all("\n".repeat(WORKERS * EACH).as_bytes()).unwrap();
    let _ = agent.eventually_lines("many", 3 * WORKERS * EACH);
    assert!(agent.terminate().status.success());
    let lines = agent.lines("many");
    for (stream, body) in [("stdout", "out"), ("stderr", "err"), ("stdout", "end")] {
        let is_it = |line: &&Line| (line.text("stream"), line.body()) == (stream, body);
        assert_eq!(lines.iter().filter(is_it).count(), WORKERS * EACH, "{body}");
    }
    assert_eq!(lines.len(), 3 * WORKERS * EACH);
    thread::scope(|scope| running.into_iter().for_each(|some| drop(scope.spawn(move || drop(some)))));
}
