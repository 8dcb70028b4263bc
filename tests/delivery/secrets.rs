//! Secrets that a training prints.

use std::fs;

use runlog_tests::{Agent, Line};

const LINES: &str = "\
2026-03-01 12:00:00,000 INFO train: epoch 1 tokens_per_second=18234
2026-03-01 12:00:00,000 ERROR train: no access to https://bot:hunter2@models.example/ with B-17
password=hunter2 \u{e9}
";
const MASKED: [&str; 3] = [
    "2026-03-01 12:00:00,000 INFO train: epoch 1 tokens_per_second=18234",
    "2026-03-01 12:00:00,000 ERROR train: no access to https://bot:[redacted:url-password]@models.example/ with [redacted:badge]",
    "password=[redacted:password] \u{fffd}",
];

#[test]
fn h1_secrets_reach_neither_the_store_nor_the_receipt_and_are_counted() {
    let mut agent = Agent::builder().set("RUNLOG_REDACT_PATTERNS", "badge=B-[0-9]+").start();
    // The last line is not UTF-8, so its bytes would go along.
    let mut bytes = LINES.as_bytes().to_vec();
    let at = bytes.iter().rposition(|byte| *byte == 0xa9).unwrap();
    bytes.remove(at);
    fs::write(agent.path("a.log"), bytes).unwrap();

    let lines = agent.eventually_lines("r", MASKED.len());
    assert_eq!(lines.iter().map(Line::body).collect::<Vec<_>>(), MASKED);
    assert_eq!(lines[1].attribute("runlog.redacted"), "2");
    assert_eq!(agent.metric("runlog_redacted_secrets_total{rule=\"badge\"}"), 1.0);
    let status = String::from_utf8(agent.run(&["status"]).stdout).unwrap();
    assert!(status.contains("secrets masked: badge 1, password 1, url-password 1"), "{status}");

    assert_eq!(agent.terminate().status.code(), Some(0));
    let shown = agent.run(&["logs", "r", "--json"]).stdout;
    let receipt = agent.run(&["runs", "show", "r", "--json"]).stdout;
    for said in [shown, receipt] {
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("[redacted:url-password]"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("B-17"), "{said}");
    }
}

#[test]
fn secrets_stay_where_masking_is_turned_off() {
    let agent = Agent::builder().set("RUNLOG_REDACT_BUILTIN", "false").start();
    fs::write(agent.path("a.log"), "password=hunter2\n").unwrap();
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "password=hunter2");
}
