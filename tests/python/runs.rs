//! Runs that programs log through the package, and what they read back.

use std::{collections::BTreeMap, fs};

use runlog_tests::{Agent, eventually};
use serde_json::{Value, json};

use crate::program::{Program, agent, oldest_and_newest, python, pythons};

/// What `training.py` logs, as it is read back. NaN and the infinities are what Python's `json` makes of them.
fn metrics(run: &str) -> Value {
    json!({
        "alpha": 0.4,
        "loss": [1.0, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0, 1.0 / 5.0],
        "category": "Red",
        "ok": true,
        "nothing": null,
        "odd": "{'a set'}",
        "nan": "NaN",
        "infinite": "-Infinity",
        "large": i64::MAX,
        "text": "umlaut ü, a pair 😀, quote \" and \\, two\nlines",
        "fibonacci": (0..600).collect::<Vec<_>>(),
        "cosine": {"angle": [0, 1, 2], "cos": [0.0, 0.5, 1.0]},
        "sine": {"angle": [0, 1], "sin": [0.5, null], "kind": ["a", "b"]},
        "matrix": format!("runlog://{run}/matrix"),
    })
}

/// What `asking.py` prints; none while the run, its end or a file of it is not in the store: what a spool holds is there a
/// moment later.
fn asked(agent: &Agent, python: &str, run: &str) -> Option<Value> {
    let folder = agent.path(&format!("read.{run}"));
    match Program::start(agent, python, run, &["asking.py", &folder.display().to_string()]).ends() {
        Ok(said) => Some(
            serde_json::from_str(&said.replace(": NaN", ": \"NaN\"").replace(": -Infinity", ": \"-Infinity\""))
                .unwrap(),
        ),
        Err(complaints) => {
            assert!(complaints.contains("ServiceException: ") && complaints.contains("(status 404)"), "{complaints}");
            None
        }
    }
}

/// Digests of the files of a folder, by their paths in it.
fn digests(agent: &Agent, folder: &str) -> BTreeMap<String, String> {
    let files = agent.path(folder).read_dir().unwrap().flatten();
    files
        .map(|file| {
            let output = std::process::Command::new("sha256sum").arg(file.path()).output().unwrap();
            let digest = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
            (format!("outputs/{}", file.file_name().to_string_lossy()), digest)
        })
        .collect()
}

fn is_read_back(agent: &Agent, python: &str, run: &str, written: &str) {
    let said = eventually("the run is in the store", || asked(agent, python, run).filter(|said| !said.is_null()));
    assert_eq!(said["metrics"], metrics(run), "{python}");
    assert_eq!(said["matrix"]["matrix"]["data"], json!({"matrix": [[1, 2]]}));
    assert_eq!(said["recursive"]["loss"].as_array().unwrap().len(), 6);
    assert_eq!(said["files"], json!(["matrix", "outputs/empty", "outputs/large.bin", "outputs/small.bin"]));
    assert_eq!(said["digests"], json!(digests(agent, written)), "{python}");
    assert_eq!(said["tags"], json!({"favourite": null, "rank": "1"}));
    assert_eq!(said["properties"], json!({"owner": "me"}));
    assert_eq!(said["parameters"], json!({"alpha": 0.4, "layers": 3}));
    assert_eq!(said["child"], json!(["part", run, "Completed", {"loss": 5}]));
}

#[test]
fn every_interpreter_reads_back_what_it_logged_through_the_socket_or_the_spool() {
    let (mut listening, mut silent) = (agent(), Agent::builder().prepare());
    listening.start();
    silent.start();
    let programs: Vec<_> = pythons()
        .iter()
        .flat_map(|python| [&listening, &silent].map(|agent| (python.clone(), agent)))
        .map(|(python, agent)| {
            let run = format!("by{}", python.replace('/', "-"));
            let written = format!("written.{run}");
            let folder = agent.path(&written).display().to_string();
            (Program::start(agent, &python, &run, &["training.py", &folder]), agent, python, run, written)
        })
        .collect();
    for (program, agent, python, run, written) in programs {
        let (status, complaints) = program.end();
        assert!(status.success(), "{python}: {complaints}");
        is_read_back(agent, &python, &run, &written);
    }
}

#[test]
fn a_run_that_was_logged_while_no_agent_ran_is_there_when_one_comes() {
    let mut agent = agent();
    for (nth, python) in oldest_and_newest().iter().enumerate() {
        let folder = agent.path(&format!("written.{nth}")).display().to_string();
        let (status, complaints) = Program::start(&agent, python, &nth.to_string(), &["training.py", &folder]).end();
        assert!(status.success(), "{complaints}");
        assert_eq!(complaints.matches("no agent takes what the run says").count(), 1, "{complaints}");
    }
    agent.start();
    for (nth, python) in oldest_and_newest().iter().enumerate() {
        is_read_back(&agent, python, &nth.to_string(), &format!("written.{nth}"));
    }
    let left = agent.state().join("spool/files");
    eventually("the files are in the store", || {
        fs::read_dir(&left).map_or(true, |mut files| files.next().is_none()).then_some(())
    });
}

#[test]
fn a_metric_that_is_logged_while_the_agent_is_killed_has_each_point_once() {
    const STEPS: usize = 4_000;
    let mut agent = agent();
    agent.start();
    let program = Program::start(&agent, &python(), "r", &["points.py", &STEPS.to_string()]);
    program.says("ready");
    for round in 1..=2 {
        let _ = agent.eventually_lines("r", round * 300);
        agent.kill();
        agent.start();
    }
    program.says("logged");
    let said = program.prints();
    let points: Vec<usize> = serde_json::from_str(&said).unwrap();
    let differs = points.iter().enumerate().find(|(at, point)| at != *point);
    assert_eq!((points.len(), differs), (STEPS, None));
}
