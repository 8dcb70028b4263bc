//! The page, in a real browser, over a real agent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod jupyter;
mod results;
mod visit;

use std::fs;

use runlog_tests::Agent;
use serde_json::Value;

const LINES: &str = "\
2026-11-24 06:00:01,000 INFO train: first line
2026-11-24 06:00:02,000 WARNING train: hostile <script>window.hacked = true; alert(1)</script>
2026-11-24 06:00:03,000 INFO train: hostile <img src=x onerror=\"window.hacked = true\">
";

/// What the browser saw, after `page.mjs` has clicked through.
fn visit(agent: &Agent, token: &str) -> Value {
    let log = agent.path("train.log").display().to_string();
    let output = visit::script("page.mjs", &[&agent.address(), "r", &log], token).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_run_is_read_live_filtered_and_shown_as_text() {
    let agent = Agent::builder().start();
    fs::write(agent.path("train.log"), LINES).unwrap();
    assert_eq!(agent.eventually_lines("r", 3).len(), 3);

    let seen = visit(&agent, "");
    let text = |field: &str| seen[field].as_str().unwrap().to_owned();

    assert_eq!(text("title"), "r");
    for line in LINES.lines() {
        assert!(text("before").contains(line), "{line} is shown as it was printed: {}", text("before"));
    }
    assert!(!text("before").contains("written later") && text("after").contains("written later"));
    assert!(text("errors").contains("written later") && !text("errors").contains("hostile"), "{}", text("errors"));
    assert!(text("filtered").contains("hostile") && !text("filtered").contains("first line"), "{}", text("filtered"));
    assert_eq!(seen["injected"], 0, "no element comes out of a line");
    assert_eq!(seen["executed"], false);
    assert_eq!(seen["complaints"], Value::Array(Vec::new()));
    assert_eq!(seen["overflow"], 0, "a phone need not scroll sideways");
}

#[test]
fn h19_a_page_that_is_behind_a_token_asks_for_it_and_is_live_then() {
    let token = "the-token-of-this-test";
    let agent = Agent::builder().set("RUNLOG_SERVE_TOKEN", token).start();
    fs::write(agent.path("train.log"), LINES).unwrap();
    assert_eq!(agent.eventually_lines("r", 3).len(), 3);
    let seen = visit(&agent, token);
    assert_eq!(seen["closed"], 0, "nothing is shown before");
    assert!(seen["after"].as_str().unwrap().contains("written later"), "{seen}");
    assert_eq!(seen["complaints"], Value::Array(Vec::new()));
}
