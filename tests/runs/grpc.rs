//! The Run API, called by a real client of gRPC.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use runlog_tests::{Agent, eventually, root, tool};
use serde_json::{Value, json};

/// A client in Python. Killed when dropped.
struct Client {
    child: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Client {
    fn of(agent: &Agent, target: &str, token: &str) -> Self {
        let descriptors = agent.path("descriptors");
        fs::write(&descriptors, runlog_proto::DESCRIPTORS).unwrap();
        let mut child = Command::new(tool("RUNLOG_TEST_OTEL_PYTHON", "otel-python"))
            .arg(root().join("tests/runs/calls.py"))
            .arg(target)
            .arg(descriptors)
            .args((!token.is_empty()).then_some(token))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, says) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, asks, says }
    }

    fn call(&mut self, method: &str, request: Value) -> Value {
        writeln!(self.asks, "{}", json!([method, request])).unwrap();
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|fault| panic!("{method}: {fault}: {line}"))
    }

    #[track_caller]
    fn answer(&mut self, method: &str, request: Value) -> Value {
        let mut said = self.call(method, request);
        assert!(said.get("answer").is_some(), "{method}: {said}");
        said["answer"].take()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that a run does, over that client.
fn speaks(client: &mut Client) {
    let value = |number: f64| json!({"number": number});
    let request = json!({"run_id": "ridge", "experiment": "diabetes", "parameters": {"alpha": value(0.4)}});
    let started = client.answer("StartRun", request);
    assert_eq!((&started["run"]["status"], &started["run"]["experiment"]), (&"running".into(), &"diabetes".into()));
    let scalar = |step: i64, of: f64| json!({"scalar": {"name": "mse", "value": value(of), "step": step.to_string()}});
    let bad = json!({"scalar": {"name": "", "value": value(1.0)}});
    let entries = json!([scalar(1, 2.5), bad, scalar(2, 1.5), {"tag": {"key": "model", "value": {"text": "ridge"}}}]);
    let logged = client.answer("Log", json!({"run_id": "ridge", "entries": entries}));
    assert_eq!(logged["accepted"], "3");
    let rejected = &logged["rejected"][0];
    let expected = (&1.into(), &"scalar.name".into(), &"INVALID".into());
    assert_eq!((&rejected["entry"], &rejected["field"], &rejected["reason"]), expected);
    let children = client.answer("CreateChildren", json!({"run_id": "ridge", "count": 2, "name": "part"}));
    let children: Vec<_> = children["runs"].as_array().unwrap().iter().map(|run| run["run_id"].clone()).collect();
    let ended = client.answer("FailRun", json!({"run_id": children[0], "error_message": "no more memory"}));
    assert_eq!((&ended["run"]["status"], &ended["run"]["error_message"]), (&"failed".into(), &"no more memory".into()));
    let set = client.answer("SetStatus", json!({"run_id": children[1], "status": "finalizing"}));
    assert_eq!(set["run"]["status"], "finalizing");
    assert_eq!(client.answer("CancelRun", json!({"run_id": children[1]}))["run"]["status"], "canceled");
    assert_eq!(client.answer("CompleteRun", json!({"run_id": "ridge"}))["run"]["status"], "completed");

    let run = client.answer("GetRun", json!({"run_id": "rid"}));
    assert_eq!((&run["run"]["run_id"], &run["run"]["tags"]["model"]["text"]), (&"ridge".into(), &"ridge".into()));
    let metrics = client.answer("GetMetrics", json!({"run_id": "ridge", "name": "mse", "points": 100}));
    assert_eq!(metrics["metrics"]["mse"]["values"], json!([{"number": 2.5}, {"number": 1.5}]));
    assert_eq!(metrics["metrics"]["mse"]["steps"], json!([{"integer": "1"}, {"integer": "2"}]));
    let listed = client.answer("ListRuns", json!({"parent_run_id": "ridge", "status": "failed"}));
    assert_eq!(listed["runs"].as_array().unwrap().iter().map(|run| &run["run_id"]).collect::<Vec<_>>(), [&children[0]]);
    assert_eq!(client.answer("ListFiles", json!({"run_id": "ridge"})), json!({}));
    client.answer("DeleteRun", json!({"run_id": children[1]}));

    // What is wrong is told by code, reason and field.
    let ended = client.call("Log", json!({"run_id": "ridge", "entries": [scalar(3, 1.0)]}));
    assert_eq!(
        (&ended["code"], &ended["reason"], &ended["domain"]),
        (&"FAILED_PRECONDITION".into(), &"RUN_ENDED".into(), &"runlog".into())
    );
    for (method, request, code, reason, field) in [
        ("GetRun", json!({"run_id": "nobody"}), "NOT_FOUND", "UNKNOWN_RUN", "run_id"),
        ("StartRun", json!({"run_id": "a\nb"}), "INVALID_ARGUMENT", "INVALID", "run_id"),
        (
            "Log",
            json!({"run_id": "ridge", "time": "noon", "entries": [scalar(3, 1.0)]}),
            "INVALID_ARGUMENT",
            "INVALID",
            "time",
        ),
        ("ListRuns", json!({"limit": 20_000}), "INVALID_ARGUMENT", "INVALID", "limit"),
    ] {
        let said = client.call(method, request);
        assert_eq!(
            (&said["code"], &said["reason"], &said["field"]),
            (&code.into(), &reason.into(), &field.into()),
            "{said}"
        );
        assert!(!said["message"].as_str().unwrap().is_empty());
    }
    let unknown = client.call("Dance", json!({}));
    assert_eq!(unknown["code"], "UNIMPLEMENTED");
}

#[test]
fn a_client_of_grpc_does_at_the_port_all_that_one_of_http_does() {
    let agent = Agent::builder().start();
    let address = agent.address();
    speaks(&mut Client::of(&agent, address.strip_prefix("http://").unwrap(), ""));
    // Both are answered at the same port.
    let runs = agent.run(&["runs", "list", "--experiment", "diabetes", "--json"]);
    assert_eq!(String::from_utf8(runs.stdout).unwrap().lines().count(), 2);
}

#[test]
fn a_client_of_grpc_is_answered_at_the_socket_of_otlp() {
    let mut agent = Agent::builder().prepare();
    let socket = agent.path("runlog.sock");
    agent.set("RUNLOG_OTLP_LISTEN", format!("unix:{}", socket.display()));
    agent.start();
    eventually("the socket is there", || socket.exists().then_some(()));
    speaks(&mut Client::of(&agent, &format!("unix:{}", socket.display()), ""));
}

#[test]
fn a_client_of_grpc_without_the_token_is_turned_away() {
    let agent = Agent::builder().set("RUNLOG_SERVE_TOKEN", "the-token-of-this-test").start();
    let address = agent.address();
    let target = address.strip_prefix("http://").unwrap();
    let said = Client::of(&agent, target, "").call("StartRun", json!({"run_id": "r1"}));
    assert_eq!(said["code"], "UNAUTHENTICATED", "{said}");
    let started = Client::of(&agent, target, "the-token-of-this-test").answer("StartRun", json!({"run_id": "r1"}));
    assert_eq!(started["run"]["run_id"], "r1");
}
