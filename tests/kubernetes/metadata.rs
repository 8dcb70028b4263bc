//! What pods say of themselves, and servers that do not say it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use runlog_tests::eventually;
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
    assert!(
        trouble().contains("what pods say of themselves is not known") && trouble().contains("503"),
        "{}",
        trouble()
    );

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
    assert_eq!(trouble(), "[]");
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
