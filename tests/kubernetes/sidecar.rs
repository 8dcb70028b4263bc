//! An agent beside the containers of its own pod.

use runlog_tests::{Agent, AgentBuilder};

use crate::node::{Container, Node, uid};

/// What the downward API writes into a container's environment.
fn in_pod(agent: AgentBuilder) -> AgentBuilder {
    agent
        .set("RUNLOG_RUN_ID", "")
        .set("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .set("POD_NAMESPACE", "ml")
        .set("POD_NAME", "train-1-x7k2p")
        .set("POD_UID", uid(1))
        .set("JOB_COMPLETION_INDEX", "1")
}

#[test]
fn the_neighbours_are_read_and_neither_runlog_itself_nor_another_pod() {
    let node = Node::new();
    let own = node.pod("train-1-x7k2p", 1);
    for (pod, name) in [(&own, "runlog"), (&node.pod("other", 2), "trainer"), (&own, "trainer"), (&own, "proxy")] {
        Container::start(pod, name).print(3);
    }
    let mut agent = in_pod(node.agent()).set("RUNLOG_KUBERNETES_SCOPE", "pod").start();
    std::fs::write(agent.path("shared.log"), "a file that the trainer shares\n").unwrap();
    let lines = agent.eventually_lines("ml/train", 7);
    assert!(agent.terminate().status.success());
    let of = |container: &str| lines.iter().filter(|line| line.text("container") == container).count();
    assert_eq!((lines.len(), of("trainer"), of("proxy"), of("")), (7, 3, 3, 1));
    let runs = String::from_utf8(agent.run(&["runs"]).stdout).unwrap();
    assert!(!runs.contains("other"), "{runs}");
}

#[test]
fn a_sidecar_that_is_started_again_goes_on_with_its_run() {
    let mut agent = in_pod(Agent::builder()).start();
    for number in 1..=2 {
        std::fs::write(agent.path(&format!("{number}.log")), "line\n").unwrap();
        let _ = agent.eventually_lines("ml/train", number);
        assert!(agent.terminate().status.success());
        agent.start();
    }
}
