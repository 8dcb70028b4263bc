//! The Run API, called by a real client of gRPC.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use runlog::store::Digest;
use runlog_tests::{Agent, eventually, root, tool};
use serde_json::{Value, json};

use crate::done;

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
        self.begin(method, request, json!({}));
        self.next()
    }

    /// Calls without waiting for what comes of it.
    fn begin(&mut self, method: &str, request: Value, how: Value) {
        writeln!(self.asks, "{}", json!([method, request, how])).unwrap();
    }

    /// What came next of the call: a message of a stream, or its end.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|fault| panic!("{fault}: {line}"))
    }

    /// The messages of a stream that ends well.
    #[track_caller]
    fn messages(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let mut said = self.next();
            if said.get("message").is_none() || said.get("code").is_some() {
                assert!(said.get("answer").is_some(), "{said}");
                return messages;
            }
            messages.push(said["message"].take());
        }
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
    // The path is there before anybody listens.
    agent.eventually_says("receiving OTLP");
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

#[test]
fn a_file_that_broke_off_goes_on_where_it_was_and_comes_back_as_it_is() {
    const PIECE: usize = 256 * 1024;
    let agent = Agent::builder().start();
    let address = agent.address();
    let mut client = Client::of(&agent, address.strip_prefix("http://").unwrap(), "");
    let bytes: Vec<u8> = (0..5_u32 << 20).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let (digest, _) = Digest::of(&bytes[..]).unwrap();
    let sha256 = digest.as_str();
    let pieces = |from: usize, to: usize| {
        let mut pieces: Vec<_> =
            bytes[from..to].chunks(PIECE).map(|piece| json!({"bytes": STANDARD.encode(piece)})).collect();
        pieces[0]["sha256"] = json!(sha256);
        pieces[0]["size"] = json!(bytes.len());
        pieces[0]["offset"] = json!(from);
        Value::from(pieces)
    };
    client.begin("SendFile", pieces(0, 3 << 20), json!({"cut_at": 1 << 20}));
    assert_eq!(client.next()["code"], "CUT");
    let looked = json!({"sha256": sha256});
    let held = client.answer("LookForFile", looked.clone())["held_bytes"].as_str().unwrap().parse::<usize>().unwrap();
    assert!((1 << 20..=3 << 20).contains(&held), "{held}");

    // The server may still be busy with what it was sent before.
    let whole = eventually("the rest is taken", || {
        let held = client.answer("LookForFile", looked.clone())["held_bytes"].as_str().unwrap().parse().unwrap();
        let said = client.call("SendFile", pieces(held, bytes.len()));
        assert!(
            said.get("answer").is_some() || ["BUSY", "WRONG_RANGE"].contains(&said["reason"].as_str().unwrap()),
            "{said}"
        );
        said.get("answer").cloned()
    });
    assert_eq!((&whole["is_whole"], &whole["held_bytes"]), (&true.into(), &bytes.len().to_string().into()));

    client.answer("StartRun", json!({"run_id": "ridge"}));
    let artifact = json!({"artifact": {"name": "outputs/model.pkl", "sha256": sha256, "size": bytes.len()}});
    client.answer("Log", json!({"run_id": "ridge", "entries": [artifact]}));
    let fetch = json!({"run_id": "ridge", "name": "outputs/model.pkl", "offset": 1});
    client.begin("FetchFile", fetch, json!({"gzip": true}));
    let messages = client.messages();
    let fetched: Vec<u8> =
        messages.iter().flat_map(|message| STANDARD.decode(message["bytes"].as_str().unwrap_or("")).unwrap()).collect();
    assert!(fetched == bytes[1..], "{} bytes came", fetched.len());
    done(&agent.run(&["files", "ridge", "get", "--to", agent.path("got").to_str().unwrap()]));
    assert!(
        fs::read(agent.path("got/outputs/model.pkl")).unwrap() == bytes,
        "it is the file of those who ask over HTTP"
    );
}

#[test]
fn a_log_is_followed_until_its_run_has_ended() {
    let agent = Agent::builder().start();
    let address = agent.address();
    let target = address.strip_prefix("http://").unwrap();
    let (mut follower, mut client) = (Client::of(&agent, target, ""), Client::of(&agent, target, ""));
    client.answer("StartRun", json!({"run_id": "ridge"}));
    follower.begin("StreamLogs", json!({"run_id": "ridge", "follow": true}), json!({"gzip": true}));
    let bodies = |message: &Value| -> Vec<String> {
        let lines = message["lines"].as_array().into_iter().flatten();
        lines.map(|line| line["body"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bodies(&follower.next()["message"]), ["run started"]);
    for step in 0..3 {
        let scalar = json!({"scalar": {"name": "loss", "value": {"number": 0.5}, "step": step}});
        client.answer("Log", json!({"run_id": "ridge", "entries": [scalar]}));
        let told = bodies(&follower.next()["message"]);
        assert!(told.len() == 1 && told[0].contains("loss"), "while the run goes on: {told:?}");
    }
    client.answer("CompleteRun", json!({"run_id": "ridge"}));
    let last: Vec<_> = follower.messages().iter().flat_map(bodies).collect();
    assert_eq!(last, ["run completed"]);
}

#[test]
fn levels_are_asked_for_over_grpc() {
    let agent = Agent::builder().set("RUNLOG_LEVEL", "INFO").start();
    let address = agent.address();
    let mut client = Client::of(&agent, address.strip_prefix("http://").unwrap(), "");
    let levels = client.answer("AskLevel", json!({"level": "debug", "logger": "train"}));
    assert_eq!((&levels["level"], &levels["asked"][0]["logger"]), (&"info".into(), &"train".into()));
    let version = &levels["version"];
    assert_eq!(&client.answer("GetLevels", json!({}))["version"], version);
    let refused = client.call("AskLevel", json!({"level": "loud"}));
    assert_eq!((&refused["code"], &refused["reason"]), (&"INVALID_ARGUMENT".into(), &"INVALID".into()));
    let unknown = client.call("AskLevel", json!({"level": "debug", "run": "nobody"}));
    assert_eq!((&unknown["code"], &unknown["reason"]), (&"NOT_FOUND".into(), &"UNKNOWN".into()), "{unknown}");
    assert_eq!(client.call("Replay", json!({}))["message"], "nothing is recorded here");
    client.begin("GetLevels", json!({"version": version, "wait_seconds": 30}), json!({}));
    done(&agent.run(&["level", "--reset"]));
    assert_eq!(client.next()["answer"].get("asked"), None, "as soon as they are other ones");
}
