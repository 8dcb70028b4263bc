//! What programs log through the package, as a real OpenTelemetry Collector understands it.

use std::{collections::BTreeSet, fs};

use runlog_tests::{Agent, Collector, CollectorPoint, CollectorRecord, binary, eventually, root, tool};
use serde_json::Value;

use crate::program::{Program, agent, python, script, socket};

fn endpoint(collector: &Collector) -> String {
    format!("http://127.0.0.1:{}", collector.http_port)
}

/// An agent of this suite that sends to that Collector, and has a store as well.
fn sending_to(collector: &Collector) -> Agent {
    let mut agent = agent();
    agent.set("RUNLOG_EXPORT_ENDPOINT", endpoint(collector));
    agent.set("RUNLOG_STORE_KEEP", "on");
    agent
}

/// A run's points of that gauge, each as name, value and rank, in some order.
fn points(all: &[CollectorPoint], gauge: &str, run: &str) -> Vec<[String; 3]> {
    let of_run = all.iter().filter(|point| point.gauge == gauge && point.attributes["ml.run.id"] == run);
    let mut points: Vec<_> = of_run
        .map(|point| {
            assert_eq!(point.resource["ml.run.id"], run, "{point:?}");
            let attribute = |key| point.attributes.get(key).cloned().unwrap_or_default();
            [attribute("ml.metric.name"), point.value.clone(), attribute("ml.rank")]
        })
        .collect();
    points.sort();
    points
}

/// Waits until there are so many points of each gauge: a Collector writes down what it has taken a moment after it has said
/// so.
fn eventually_points(collector: &Collector, counts: &[(&str, usize)]) -> Vec<CollectorPoint> {
    eventually("the points are written down", || {
        let all = collector.points();
        let count = |gauge: &str| all.iter().filter(|point| point.gauge == gauge).count();
        counts.iter().all(|(gauge, expected)| count(gauge) >= *expected).then_some(all)
    })
}

fn expected(points: &[(&str, &str)]) -> Vec<[String; 3]> {
    points.iter().map(|(name, value)| [name, value, "2"].map(|text: &str| text.to_owned())).collect()
}

#[test]
fn numbers_that_a_program_logs_are_gauges_once_each_by_the_socket_and_by_the_spool() {
    let collector = Collector::start();
    let mut agent = sending_to(&collector);
    let ranks = [("RANK", "2"), ("WORLD_SIZE", "4")];
    for run in ["spooled", "told"] {
        let folder = agent.path(&format!("written.{run}")).display().to_string();
        let program = Program::start_with(&agent, &python(), run, &["training.py", &folder], &ranks);
        let (status, complaints) = program.end();
        assert!(status.success(), "{complaints}");
        if run == "spooled" {
            agent.start();
        }
        // The last that the program says. It does not end its own run.
        eventually("the Collector has the end of the run's child", || {
            let is_of_child = |one: &CollectorRecord| one.resource.get("ml.run.parent.id").is_some_and(|id| id == run);
            collector.records().iter().find(|one| one.event_name == "ml.run.end" && is_of_child(one)).map(drop)
        });
    }
    assert_eq!(agent.terminate().status.code(), Some(0));

    let all = eventually_points(&collector, &[("ml.run.metric", 2 * 8 + 2), ("ml.run.step", 2 * 5)]);
    for run in ["spooled", "told"] {
        let large = i64::MAX.to_string();
        let values =
            [("alpha", "0.4"), ("large", &large), ("loss", "0.2"), ("loss", "0.25"), ("loss", "0.3333333333333333")];
        let values = [&values[..], &[("loss", "0.5"), ("loss", "1"), ("ok", "1")]].concat();
        // Neither text nor what is not finite is a point.
        assert_eq!(points(&all, "ml.run.metric", run), expected(&values), "{run}");
        let steps = ["0", "1", "2", "3", "4"].map(|step| ("loss", step));
        assert_eq!(points(&all, "ml.run.step", run), expected(&steps), "{run}");
        let of_run = || all.iter().filter(|point| point.attributes["ml.run.id"] == run);
        eventually("there is an event of the time of each point", || {
            let events = collector.records().into_iter().filter(|one| one.resource["ml.run.id"] == run);
            let times: BTreeSet<u64> = events.filter(|one| one.event_name == "ml.metric").map(|one| one.time).collect();
            of_run().all(|point| times.contains(&point.time)).then_some(())
        });
    }
    // The one run of each that its child is.
    assert_eq!(all.iter().filter(|point| point.gauge == "ml.run.metric").count(), 2 * 8 + 2);
}

#[test]
fn a_sweep_over_alpha_is_found_in_what_a_collector_has_written() {
    let collector = Collector::start();
    let mut agent = sending_to(&collector);
    agent.start();
    let source = agent.path("source");
    fs::create_dir(&source).unwrap();
    fs::copy(script("ridge.py"), source.join("ridge.py")).unwrap();
    let interpreter = tool("RUNLOG_TEST_NOTEBOOK_PYTHON", "notebook-python");
    let arguments = ["submit", "--source-dir", source.to_str().unwrap(), "--experiment", "diabetes", "--sort", "mse"];
    let sweep = ["--json", "--sweep", "alpha=0:1:0.05", "--parallel", "2", "--", &interpreter, "ridge.py"];
    let mut submit = agent.other(&[&arguments[..], &sweep, &["--alpha", "{alpha}"]].concat());
    let output = submit
        .env("PYTHONPATH", root().join("proto/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RUNLOG_BIN", binary())
        .env("RUNLOG_SOCKET", socket(&agent))
        .env("RUNLOG_EXPORT_ENDPOINT", endpoint(&collector))
        .env("RUNLOG_STORE_KEEP", "on")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let runs: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(runs.len(), 20);
    let best = &runs[0];
    assert_eq!(best["run"]["parameters"]["alpha"], 0.4);
    let mse = best["metrics"]["mse"]["values"][0].as_f64().unwrap();
    assert!((mse - 3295.7).abs() < 0.1, "{mse}");
    let parent = best["run"]["parent_run_id"].as_str().unwrap();
    eventually("the Collector has the sweep's end", || {
        let records = collector.records();
        records.iter().find(|one| one.event_name == "ml.run.end" && one.resource["ml.run.id"] == parent).map(drop)
    });
    assert_eq!(agent.terminate().status.code(), Some(0));

    let all = eventually_points(&collector, &[("ml.run.metric", 20), ("ml.run.step", 20)]);
    // What a run says comes in its order, and its end at last.
    let records = eventually("the end of each run is written down", || {
        let records = collector.records();
        let ends = records.iter().filter(|one| one.event_name == "ml.run.end").count();
        (ends > runs.len()).then_some(records)
    });
    for run in &runs {
        let id = run["run"]["run_id"].as_str().unwrap();
        let value = run["metrics"]["mse"]["values"][0].to_string();
        assert_eq!(points(&all, "ml.run.metric", id), [["mse".to_owned(), value, String::new()]]);
        assert_eq!(points(&all, "ml.run.step", id), [["mse", "1", ""].map(str::to_owned)]);
        let of_run = || records.iter().filter(|one| one.resource["ml.run.id"] == id);
        for name in ["ml.run.start", "ml.run.end", "ml.run.param", "ml.metric"] {
            assert!(of_run().any(|one| one.event_name == name), "{name}: {:?}", of_run().collect::<Vec<_>>());
        }
        let alpha = run["run"]["parameters"]["alpha"].as_f64().unwrap();
        let printed = format!("alpha is {alpha:.2}, and mse is ");
        assert!(of_run().any(|one| one.body.starts_with(&printed)), "{printed}");
    }
    assert_eq!(all.iter().filter(|point| point.gauge == "ml.run.metric").count(), 20);
}
