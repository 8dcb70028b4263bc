//! The level that was asked for.

use std::fs;

use runlog_tests::{Agent, Line};

const LINES: &str = "\
2026-03-01 12:00:00,000 DEBUG PIL: opened
2026-03-01 12:00:00,000 INFO train: epoch 1
2026-03-01 12:00:00,000 DEBUG train: gradients
no level at all
2026-03-01 12:00:00,000 WARNING train: loss is high
";

#[test]
fn debug_lines_are_left_out_and_counted_at_info_and_there_at_debug() {
    let texts = LINES.lines().collect::<Vec<_>>();
    for (level, kept, filtered) in [("INFO", vec![texts[1], texts[3], texts[4]], 2.0), ("DEBUG", texts.clone(), 0.0)] {
        let agent = Agent::builder().set("RUNLOG_LEVEL", level).start();
        fs::write(agent.path("a.log"), LINES).unwrap();
        agent.eventually_metric("runlog_read_lines_total{source=\"file\"}", 5.0);
        assert_eq!(agent.eventually_lines("r", kept.len()).iter().map(Line::body).collect::<Vec<_>>(), kept);
        let sample = "runlog_filtered_lines_total{source=\"file\",level=\"debug\"}";
        assert_eq!(agent.metric(sample), filtered, "{level}");
        assert_eq!(agent.metric("runlog_lost_lines_total{source=\"file\"}"), 0.0);
    }
}
