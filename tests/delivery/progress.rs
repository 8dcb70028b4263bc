//! A progress bar that is being drawn when the agent is killed.

use std::{fs::OpenOptions, io::Write};

use runlog_tests::{Agent, Found, Line};

#[test]
fn f19_a_bar_over_which_the_agent_is_killed_is_one_record_and_the_lines_around_it_come_once() {
    // As long as anything may be wrapped around the lines of a file, a line is looked at when it has ended.
    let builder = Agent::builder().set("RUNLOG_FILE_FORMAT", "plain");
    // Nor is there one state each ten seconds, should all of this take that long.
    let mut agent = builder.set("RUNLOG_PARSE_PROGRESS_EVERY", "10m").start();
    let mut file = OpenOptions::new().create_new(true).append(true).open(agent.path("a.log")).unwrap();
    let mut draw = |text: &str, steps: std::ops::Range<u32>| {
        write!(file, "{text}").unwrap();
        for step in steps {
            write!(file, "\rtrain: {step:3}%|####      | {step}/100 [00:04<00:05,  9.90it/s]").unwrap();
        }
    };
    draw("before\n", 0..50);
    // The newest state has no end yet, and the one before it is held.
    agent.eventually_metric("runlog_folded_states_total{source=\"file\"}", 48.0);
    agent.eventually_metric("runlog_exported_records_total{destination=\"store\"}", 1.0);
    agent.kill();
    agent.start();
    draw("", 50..101);
    draw("\nafter\n", 0..0);

    let lines = agent.eventually_lines("r", 3);
    let bodies: Vec<&str> = lines.iter().map(Line::body).collect();
    assert_eq!(bodies, ["before", "train: 100%|####      | 100/100 [00:04<00:05,  9.90it/s]", "after"]);
    assert_eq!(lines[1].attribute("progress.current").parse(), Ok(100.0));
    let _each_once = Found::in_store(&agent, "r");
}
