//! An agent that ends with a container.

use runlog_tests::{Agent, Containers, Line, eventually};

fn name() -> String {
    let unique = tempfile::Builder::new().prefix("runlog-ends-").tempdir().unwrap();
    unique.path().file_name().unwrap().to_str().unwrap().to_owned()
}

fn bodies(agent: &Agent) -> Vec<String> {
    agent.lines("r").iter().map(|line| Line::body(line).to_owned()).collect()
}

#[test]
fn an_agent_waits_for_its_container_and_ends_with_it_and_all_of_its_lines() {
    let (containers, name) = (Containers::new(), name());
    let mut agent = containers.agent().set("RUNLOG_EXIT_WITH", format!("container:{name}")).start();
    agent.eventually_says("not there yet");
    let script = "while ! test -e /go; do sleep 0.1; done; seq 1 5000; exit 3";
    let container = containers.run(&["--name", &name], script);
    let _other = containers.run_to_end(&[], "echo another container has ended");
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "another container has ended");
    assert_eq!(agent.ended(), None, "its own container runs");
    container.shell("touch /go");

    let finished = agent.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
    let found = bodies(&agent);
    let expected = (1..=5000).map(|n| n.to_string());
    assert!(expected.eq(found.into_iter().filter(|body| !body.contains("another"))));
}

#[test]
fn a_container_that_its_engine_starts_again_has_not_ended() {
    let (containers, name) = (Containers::new(), name());
    let mut agent = containers.agent().set("RUNLOG_EXIT_WITH", format!("container:{name}")).start();
    let script = "echo life >>/lives; cat /lives | wc -l; test $(cat /lives | wc -l) = 3";
    let _container = containers.run(&["--name", &name, "--restart", "on-failure"], script);
    let finished = agent.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
    assert_eq!(bodies(&agent), ["1", "2", "3"]);
}

#[test]
fn a_container_that_comes_and_is_removed_between_two_looks_has_ended() {
    let (containers, name) = (Containers::new(), name());
    let mut agent = containers.agent().set("RUNLOG_EXIT_WITH", format!("container:{name}")).start();
    agent.eventually_says("not there yet");
    agent.signal("STOP");
    let container = containers.run(&["--name", &name, "--rm"], "true");
    eventually("the container is gone", || (!container.is_there()).then_some(()));
    agent.signal("CONT");
    let finished = agent.wait();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
}
