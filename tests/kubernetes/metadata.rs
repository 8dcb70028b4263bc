//! What pods say of themselves, and servers that do not say it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use runlog_tests::{Agent, Line, eventually};
use serde_json::json;

use crate::node::{Container, Node, uid};

/// An API server that knows a list of pods, or answers that it is overloaded.
struct Server {
    address: SocketAddr,
    list: Arc<Mutex<Option<String>>>,
    asked: Arc<Mutex<u32>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (list, asked) = (Arc::new(Mutex::new(None::<String>)), Arc::new(Mutex::new(0)));
        let (known, counted) = (Arc::clone(&list), Arc::clone(&asked));
        // Ends with the test.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A question fits in one packet.
                let length = stream.read(&mut [0; 4096]).unwrap_or(0);
                *counted.lock().unwrap() += u32::from(length > 0);
                let body = known.lock().unwrap().clone();
                let status = if body.is_some() { "200 OK" } else { "503 Service Unavailable" };
                let body = body.unwrap_or_default();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                // Whoever asked may be gone.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, list, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/pods", self.address)
    }

    /// Knows a pod of each number from now on, whose run is called so.
    fn know(&self, runs: &[(u32, &str)]) {
        let pod = |(number, run): &(u32, &str)| {
            let about = json!({ "name": "p", "namespace": "ml", "uid": uid(*number) });
            let mut item = json!({ "metadata": about, "spec": { "containers": [{ "name": "trainer" }] } });
            item["metadata"]["annotations"]["runlog.run-id"] = json!(run);
            item
        };
        let items: Vec<_> = runs.iter().map(pod).collect();
        *self.list.lock().unwrap() = Some(json!({ "items": items }).to_string());
    }

    /// Knows one pod, of run `known`, with that phase and those states of its container from now on.
    fn know_state(&self, phase: &str, status: &serde_json::Value) {
        let about = json!({
            "name": "p", "namespace": "ml", "uid": uid(1), "annotations": { "runlog.run-id": "known" },
        });
        let status = json!({ "phase": phase, "containerStatuses": [status] });
        let item = json!({ "metadata": about, "spec": { "containers": [{ "name": "trainer" }] }, "status": status });
        *self.list.lock().unwrap() = Some(json!({ "items": [item] }).to_string());
    }

    /// Knows one pod, with what stands in a manifest, from now on.
    fn know_manifest(&self, manifest: &serde_json::Value) {
        let about =
            json!({ "name": "p", "namespace": "ml", "uid": uid(1), "annotations": { "runlog.run-id": "known" } });
        let item = json!({ "metadata": about, "spec": manifest["spec"] });
        *self.list.lock().unwrap() = Some(json!({ "items": [item] }).to_string());
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }
}

#[test]
fn c10_lines_of_a_pod_come_in_time_and_under_its_run_as_soon_as_that_is_known() {
    let node = Node::new();
    let server = Server::start();
    let mut trainer = Container::start(&node.pod("train-x7k2p", 1), "trainer");
    trainer.print(10);
    let mut agent = node.agent().set("RUNLOG_KUBERNETES_METADATA", server.url()).start();
    let guessed = agent.eventually_lines("ml/train", 10);
    assert!(server.asked() > 0, "it was asked for, in vain");
    trainer.is_told_once(&guessed);
    let trouble = || agent.status()["degraded"].to_string();
    // Lines do not wait for an answer for ever.
    eventually("it is told what is missing", || {
        let told = trouble();
        (told.contains("what pods say of themselves is not known") && told.contains("503")).then_some(())
    });

    server.know(&[(1, "known")]);
    // Which lines are the first ones under the right name depends on when the pods are asked for again.
    let all = || [agent.lines("ml/train"), agent.lines("known")].concat();
    while agent.lines("known").is_empty() {
        trainer.print(1);
        eventually("the line is stored", || (all().len() as u64 == trainer.printed()).then_some(()));
    }
    trainer.print(10);
    let known = agent.eventually_lines("known", 11);
    assert_eq!(known.last().unwrap().body(), format!("line {}", trainer.printed() - 1));
    trainer.is_told_once(&all());
    eventually("nothing is degraded any more", || (trouble() == "[]").then_some(()));
    assert!(agent.terminate().status.success());
}

#[test]
fn a_new_pod_is_under_its_run_from_its_first_line_on_and_known_pods_are_not_asked_for() {
    let node = Node::new();
    let server = Server::start();
    server.know(&[(1, "first"), (2, "second")]);
    let mut agent = node.agent().set("RUNLOG_KUBERNETES_METADATA", server.url()).start();
    let pods: Vec<Container> = [1, 2]
        .map(|number| {
            let mut trainer = Container::start(&node.pod("train-x7k2p", number), "trainer");
            trainer.print(10);
            trainer
        })
        .into();
    for (trainer, run) in pods.iter().zip(["first", "second"]) {
        trainer.is_told_once(&agent.eventually_lines(run, 10));
    }
    let asked = server.asked();
    server.know(&[(1, "first"), (2, "second"), (3, "third")]);
    let mut trainer = Container::start(&node.pod("train-x7k2p", 3), "trainer");
    trainer.print(1);
    trainer.is_told_once(&agent.eventually_lines("third", 1));
    assert!(server.asked() > asked, "it was not known");
    assert!(agent.terminate().status.success());
    assert!(agent.lines("ml/train").is_empty());
}

#[test]
fn a_restart_and_the_end_of_a_pods_container_are_told_once_with_exit_code_and_are_in_the_receipt() {
    let node = Node::new();
    let server = Server::start();
    let ended = |code: i32, reason: &str| json!({ "terminated": { "exitCode": code, "reason": reason, "finishedAt": "2026-11-24T05:44:24Z" } });
    server.know_state("Running", &json!({ "name": "trainer", "restartCount": 0, "state": { "running": {} } }));
    let mut agent = node.agent().set("RUNLOG_KUBERNETES_METADATA", server.url()).start();
    let mut trainer = Container::start(&node.pod("train-x7k2p", 1), "trainer");
    trainer.print(10);
    let _ = agent.eventually_lines("known", 10);
    let events = |agent: &Agent, name: &str| -> Vec<Line> {
        agent
            .try_lines("known")
            .unwrap_or_default()
            .into_iter()
            .filter(|line| line.text("event_name") == name)
            .collect()
    };

    let killed = ended(137, "OOMKilled");
    server.know_state("Running", &json!({ "name": "trainer", "restartCount": 1, "lastState": killed }));
    trainer.restart();
    trainer.print(10);
    let restart = eventually("the restart is told", || events(&agent, "ml.run.status").pop());
    let told = ["k8s.container.restart_count", "process.exit.code", "runlog.oom_killed", "k8s.container.status.reason"];
    assert_eq!(told.map(|key| restart.attribute(key)), ["1", "137", "true", "OOMKilled"]);
    assert!(restart.body().ends_with("(restart 1), it had ended with exit code 137, killed for want of memory"));

    server.know_state("Failed", &json!({ "name": "trainer", "restartCount": 1, "state": ended(3, "Error") }));
    let end = eventually("the end is told", || events(&agent, "ml.run.end").pop());
    assert_eq!((end.attribute("process.exit.code"), end.attribute("ml.run.result")), ("3", "failure"));
    let run = eventually("the run has a receipt", || {
        let shown = agent.run(&["runs", "show", "known", "--json"]);
        let run: serde_json::Value = serde_json::from_slice(&shown.stdout).ok()?;
        (run["complete"] == true && run["status"] == "failed").then_some(run)
    });
    let receipts = run["receipts"].as_array().unwrap();
    let ends = receipts.iter().flat_map(|receipt| receipt["ends"].as_array().unwrap());
    let ends: Vec<_> = ends.map(|end| (end["exit_code"].as_i64(), end["oom_killed"].as_bool())).collect();
    assert_eq!((receipts.len(), ends), (1, vec![(Some(137), Some(true)), (Some(3), Some(false))]), "{receipts:?}");

    assert!(agent.terminate().status.success());
    agent.start();
    // It is seen again, and asked for.
    let asked = server.asked();
    trainer.print(1);
    let _ = agent.eventually_lines("known", 21);
    eventually("it was asked for", || (server.asked() > asked).then_some(()));
    assert!(agent.terminate().status.success());
    assert_eq!(["ml.run.status", "ml.run.end"].map(|name| events(&agent, name).len()), [1, 1]);
    trainer.is_told_once(&agent.lines("known"));
}

#[test]
fn what_the_sidecar_of_a_pod_collects_is_not_collected_on_the_node_as_well() {
    let container = |name: &str| json!({ "name": name, "image": "i", "command": ["python"] });
    let manifest = json!({ "kind": "Pod", "spec": { "containers": [container("trainer"), container("web")] } });
    let node = Node::new();
    let server = Server::start();
    let mut agent = node.agent().set("RUNLOG_KUBERNETES_METADATA", server.url()).start();
    std::fs::write(agent.path("pod.json"), manifest.to_string()).unwrap();
    let file = agent.path("pod.json").display().to_string();
    let injected = agent.run(&["inject", "-f", &file, "--container", "trainer", "--endpoint", "http://collector:4318"]);
    let injected = serde_json::from_slice(&injected.stdout).unwrap();

    server.know_manifest(&injected);
    let pod = node.pod("train-x7k2p", 1);
    let [mut trainer, mut web] = ["trainer", "web"].map(|name| Container::start(&pod, name));
    trainer.print(3);
    web.print(3);
    web.is_told_once(&agent.eventually_lines("known", 3));
    // All that is to be read has been, then.
    assert!(agent.terminate().status.success());
    web.is_told_once(&agent.lines("known"));
}

#[test]
fn a_node_that_knows_no_commands_says_that_it_collects_what_sidecars_send() {
    let agent = Node::new().agent().start();
    let _ = agent.eventually_warns("a sidecar sends");
}
