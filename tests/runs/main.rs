//! Runs that log themselves, from a script's `runlog run` to where they are found again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod archive;
mod grpc;
mod submit;

use std::{collections::BTreeMap, fs, process::Output};

use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use runlog_tests::{Agent, Sink, State, eventually};
use serde_json::Value;

/// What a command printed as JSON.
#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&done(output).stdout).unwrap()
}

#[track_caller]
fn done(output: &Output) -> &Output {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command in a state directory where nobody serves.
fn alone(state: &State, arguments: &[&str]) -> Output {
    state.command(arguments).env("RUNLOG_SERVE_LISTEN", "off").output().unwrap()
}

#[test]
fn a_script_logs_to_the_store_where_no_agent_runs() {
    let state = State::new();
    let started = alone(&state, &["run", "start", "--experiment", "diabetes", "--param", "alpha=0.4", "--tag", "a=b"]);
    let id = String::from_utf8(done(&started).stdout.clone()).unwrap().trim().to_owned();
    let run = |arguments: &[&str]| alone(&state, &[&["run", "--run", &id], arguments].concat());
    fs::create_dir_all(state.path("outputs/deep")).unwrap();
    fs::write(state.path("outputs/model"), b"model").unwrap();
    fs::write(state.path("outputs/deep/other"), vec![7; 1 << 20]).unwrap();
    fs::write(state.path("table.json"), r#"{"x": [1, 2], "y": [0.5, null]}"#).unwrap();
    let (folder, table) = (state.path("outputs"), state.path("table.json"));
    let calls: [&[&str]; 7] = [
        &["log", "mse", "3.5", "--step", "1"],
        &["log", "mse", "nan", "--step", "-2"],
        &["log-list", "fibonacci", "0", "1", "1"],
        &["log-row", "cosine", "angle=0.5", "cos=0.878"],
        &["log-table", "sine", table.to_str().unwrap()],
        &["upload", "outputs", folder.to_str().unwrap()],
        &["tag", "best=true"],
    ];
    for call in calls {
        done(&run(call));
    }
    done(&run(&["complete"]));

    let metrics = json(&alone(&state, &["metrics", &id, "--json"]));
    assert_eq!(metrics["metrics"]["mse"]["values"].to_string(), r#"[3.5,{"number":"NaN"}]"#);
    assert_eq!(metrics["metrics"]["mse"]["steps"].to_string(), "[1,-2]");
    assert_eq!(metrics["metrics"]["fibonacci"]["values"].to_string(), "[0,1,1]");
    assert_eq!(metrics["metrics"]["sine"]["columns"].to_string(), r#"{"x":[1,2],"y":[0.5,null]}"#);
    done(&alone(&state, &["files", &id, "get", "--to", state.path("got").to_str().unwrap()]));
    assert_eq!(fs::read(state.path("got/outputs/deep/other")).unwrap(), vec![7; 1 << 20]);
    let shown = json(&alone(&state, &["runs", "show", &id, "--json"]));
    assert_eq!((&shown["status"], &shown["tags"]["best"]), (&"completed".into(), &true.into()));
    assert_eq!(shown["parameters"]["alpha"], 0.4);
    let refusal = refused(&run(&["log", "mse", "4"]));
    assert!(refusal.contains("the run has ended"), "{refusal}");
}

#[test]
fn what_an_agent_has_answered_is_there_after_a_kill() {
    let mut agent = Agent::builder().set("RUNLOG_LEVEL", "FATAL").start();
    let run = |agent: &Agent, arguments: &[&str]| agent.run(&[&["run"], arguments].concat());
    done(&run(&agent, &["--run", "ridge", "start", "--experiment", "diabetes"]));
    for step in 0..20 {
        let step = step.to_string();
        done(&run(&agent, &["--run", "ridge", "log", "loss", &step, "--step", &step]));
    }
    fs::write(agent.path("model"), b"model").unwrap();
    done(&run(&agent, &["--run", "ridge", "upload", "model", agent.path("model").to_str().unwrap()]));
    agent.kill();
    agent.start();
    let answered: Vec<Value> = (0..20).map(Value::from).collect();
    let metrics = json(&agent.run(&["metrics", "ridge", "--json"]));
    assert_eq!(metrics["metrics"]["loss"]["values"], Value::from(answered), "whatever the level is");
    let files = json(&agent.run(&["files", "ridge", "--json"]));
    assert_eq!(files["files"][0]["is_held"], true);
    done(&run(&agent, &["--run", "ridge", "fail", "--code", "UserError"]));
    let refusal = refused(&agent.run(&["runs", "wait", "ridge"]));
    assert!(refusal.contains("failed"), "{refusal}");
}

#[test]
fn a_run_that_nobody_has_started_is_refused_and_the_agents_own_is_not() {
    let agent = Agent::builder().start();
    let refusal = refused(&agent.run(&["run", "--run", "nobody", "log", "loss", "1"]));
    assert!(refusal.contains("no run \"nobody\" is known here"), "{refusal}");
    assert!(refusal.contains("use the whole id of a run that was started; `runlog runs` lists them"), "{refusal}");
    let refusal = refused(&agent.run(&["runs", "list", "--status", "runing"]));
    assert!(
        refusal.contains("\"runing\" is no status (status)\nuse queued, preparing, starting, running"),
        "{refusal}"
    );
    done(&agent.run(&["run", "--run", "r", "log", "loss", "1"]));
    let refusal = refused(&agent.run(&["run", "log", "loss", "1"]));
    assert!(refusal.contains("RUNLOG_RUN_ID"), "{refusal}");
}

#[test]
fn a_socket_takes_calls_as_the_port_does() {
    let state = State::new();
    let socket = state.path("runlog.sock");
    let agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", format!("unix:{}", socket.display())).start();
    let call = |arguments: &[&str]| {
        let mut command = state.command(arguments);
        command.env("RUNLOG_SOCKET", &socket).env("RUNLOG_RUN_ID", "r").output().unwrap()
    };
    // The path is there before anybody listens.
    agent.eventually_says("receiving OTLP");
    done(&call(&["run", "log", "loss", "0.5"]));
    assert_eq!(json(&call(&["metrics", "r", "--json"]))["metrics"]["loss"]["values"].to_string(), "[0.5]");
    drop(agent);
}

#[test]
fn a_backend_gets_events_for_all_and_points_for_numbers() {
    let sink = Sink::start();
    let mut agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint()).start();
    for value in ["0.25", "nan", "text"] {
        done(&agent.run(&["run", "--run", "r", "log", "train/loss", value, "--step", "3"]));
    }
    done(&agent.run(&["run", "--run", "r", "log-row", "cosine", "angle=0.5"]));
    assert_eq!(agent.terminate().status.code(), Some(0));

    let is_logs = |path: &str| path.ends_with("/v1/logs");
    let requests = sink.requests();
    let mut points = BTreeMap::<String, Vec<number_data_point::Value>>::new();
    for request in requests.iter().filter(|request| request.path.ends_with("/v1/metrics")) {
        for metric in
            request.metrics().resource_metrics.into_iter().flat_map(|one| one.scope_metrics).flat_map(|one| one.metrics)
        {
            let Some(metric::Data::Gauge(gauge)) = metric.data else { panic!("{} is no gauge", metric.name) };
            points
                .entry(metric.name)
                .or_default()
                .extend(gauge.data_points.into_iter().filter_map(|point| point.value));
        }
    }
    assert_eq!(points["ml.run.metric"], [number_data_point::Value::AsDouble(0.25)], "NaN and text are no points");
    assert_eq!(points["ml.run.step"], [number_data_point::Value::AsInt(3)]);
    assert!(requests.iter().any(|request| is_logs(&request.path)));
    let records = sink.records();
    let events: Vec<_> =
        records.iter().map(|record| &record.record.event_name[..]).filter(|name| !name.starts_with("runlog")).collect();
    assert_eq!(events, ["ml.metric", "ml.metric", "ml.metric", "ml.row"]);
}

#[test]
fn a_sweep_is_a_run_whose_children_are_found_with_what_they_logged() {
    let state = State::new();
    let source = state.path("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("train.sh"), "runlog run log mse $1.5; echo ran $1; [ $1 != 3 ]\n").unwrap();
    let arguments = ["--source-dir", source.to_str().unwrap(), "--experiment", "diabetes", "--sort", "mse", "--json"];
    let sweep = ["--sweep", "alpha=3:0:-1", "--parallel", "2", "--", "sh", "train.sh", "{alpha}"];
    let mut command = state.command(&[&["submit"], &arguments[..], &sweep].concat());
    let output = command.env("RUNLOG_SERVE_LISTEN", "off").env("PATH", with_runlog()).output().unwrap();

    assert_eq!(output.status.code(), Some(1), "one has failed: {}", String::from_utf8_lossy(&output.stderr));
    let runs: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |of: fn(&Value) -> &Value| runs.iter().map(|run| of(run).to_string()).collect::<Vec<_>>();
    assert_eq!(told(|run| &run["metrics"]["mse"]["values"]), ["[1.5]", "[2.5]", "[3.5]"]);
    assert_eq!(told(|run| &run["run"]["parameters"]["alpha"]), ["1", "2", "3"]);
    assert_eq!(told(|run| &run["run"]["status"]), ["\"completed\"", "\"completed\"", "\"failed\""]);
    let parent = runs[0]["run"]["parent_run_id"].as_str().unwrap();
    let shown = json(&alone(&state, &["runs", "show", parent, "--json"]));
    assert_eq!((&shown["status"], &shown["error_message"]), (&"failed".into(), &"1 of 3 runs failed".into()));
    let child = runs[2]["run"]["run_id"].as_str().unwrap();
    assert_eq!(state.lines(child).iter().find(|line| line.is_printed()).unwrap().body(), "ran 3");
}

/// Where programs are found, with `runlog` among them.
fn with_runlog() -> std::ffi::OsString {
    let folder = runlog_tests::binary().parent().unwrap().to_owned();
    let before = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&before))).unwrap()
}
