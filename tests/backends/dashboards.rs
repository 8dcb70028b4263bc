//! The dashboards of `deploy/backends/grafana`: each query in them is asked of the backend that it is for.

use std::fs;

use runlog_tests::{Agent, eventually, eventually_within};
use serde_json::Value;

use crate::{PATIENCE, agent, deployed, prometheus::Prometheus, victorialogs::VictoriaLogs};

/// What there is nothing to tell about while all is well.
const MAY_BE_EMPTY: [&str; 2] = ["runlog_restarts_total", "runlog_stream_lag_bytes"];

/// The queries of a dashboard's panels.
fn targets(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap();
    panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).collect()
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&deployed(&format!("grafana/{name}"))).unwrap()
}

/// The names of metrics in a text.
fn metrics(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("runlog_")).collect()
}

/// The labels that a legend shows.
fn labels(legend: &str) -> Vec<&str> {
    legend.split("{{").skip(1).map(|rest| rest.split_once("}}").unwrap().0).collect()
}

#[test]
fn every_query_of_the_agents_dashboard_is_answered_from_an_agents_numbers() {
    let store = Agent::server().start();
    let agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", store.address()).start();
    fs::write(agent.path("train.log"), "epoch 1\n").unwrap();
    agent.eventually_metric("runlog_read_lines_total{source=\"file\"}", 1.0);
    let prometheus = Prometheus::start(agent.address().strip_prefix("http://").unwrap());

    let dashboard = dashboard("agent.json");
    let exposed = agent.get("/metrics");
    let choice = dashboard["templating"]["list"][1]["query"]["query"].as_str().unwrap();
    let queries = targets(&dashboard);
    assert!(queries.len() > 10);
    for name in queries.iter().flat_map(|target| metrics(target["expr"].as_str().unwrap())).chain(metrics(choice)) {
        assert!(exposed.contains(&format!("# TYPE {name} ")), "{name} is no metric of runlog");
    }
    for target in queries {
        let query = target["expr"].as_str().unwrap();
        let query = query.replace("$agent", ".*").replace("$__rate_interval", "1m").replace("$__range", "1h");
        if MAY_BE_EMPTY.iter().any(|name| query.contains(name)) {
            prometheus.ask(&query);
            continue;
        }
        // A rate needs two looks.
        let results = eventually(&query, || Some(prometheus.ask(&query)).filter(|results| !results.is_empty()));
        for label in labels(target["legendFormat"].as_str().unwrap_or_default()) {
            assert!(
                results.iter().all(|result| result["metric"][label].is_string()),
                "{query}: {label} in {results:?}"
            );
        }
    }
}

#[test]
fn every_query_of_a_runs_dashboard_is_answered_by_victorialogs() {
    let backend = VictoriaLogs::start();
    let endpoint = format!("{}/insert/opentelemetry", backend.address());
    let agent = agent(Some("victorialogs.env"), endpoint).set("RUNLOG_RUN_ID", "ml/ridge").start();
    fs::write(agent.path("train.log"), "epoch 1\n[rank3]: ERROR: bad\n").unwrap();
    let dashboard = dashboard("runs.json");
    let queries = targets(&dashboard);
    assert!(queries.len() > 2);
    let run = &dashboard["templating"]["list"][1]["query"];
    assert_eq!((run["type"].as_str(), run["field"].as_str()), (Some("fieldValue"), Some("ml.run.id")));
    for target in queries {
        let query = target["expr"].as_str().unwrap().replace("$run", "ml/ridge");
        // As the plugin for Grafana asks each type.
        let answers = || match target["queryType"].as_str().unwrap() {
            "instant" => backend.ask(&query),
            "stats" => backend.results("stats_query", &query, ""),
            "statsRange" => backend.results("stats_query_range", &query, "&start=1h&step=1m"),
            other => panic!("{other} is no type of a query"),
        };
        // The last line is held back for what may go on with it, and may come later than the first.
        let has_rank = |results: &[Value]| results.iter().any(|result| result["metric"]["ml.rank"] == "3");
        eventually_within(PATIENCE, &query, || {
            let results = answers();
            (!results.is_empty() && (!query.contains("ml.rank") || has_rank(&results))).then_some(())
        });
    }
}
