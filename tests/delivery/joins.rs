//! Lines that are one record: a kill, a stop and a silence in their midst.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
};

use runlog_tests::{Agent, AgentBuilder, Line};

use crate::{STORED, random};

const KILLS: u64 = 5;
const SHARE: u64 = 500;
const BEGUN: &str = "Traceback (most recent call last):\n  File \"train.py\", line 1, in <module>\n";

/// What is begun waits longer than the test takes.
fn patient() -> AgentBuilder {
    Agent::builder().set("RUNLOG_PARSE_JOIN_WAIT", "10m")
}

fn bodies(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::body).collect()
}

#[test]
fn f21_a_traceback_in_whose_midst_the_agent_was_killed_is_one_record() {
    let mut agent = patient().start();
    fs::write(agent.path("a.log"), format!("before\n{BEGUN}")).unwrap();
    assert_eq!(bodies(&agent.eventually_lines("r", 1)), ["before"]);
    agent.kill();
    agent.start();
    let mut file = OpenOptions::new().append(true).open(agent.path("a.log")).unwrap();
    file.write_all(b"KeyError: 'x'\nafter\n").unwrap();

    let lines = agent.eventually_lines("r", 3);
    assert_eq!(bodies(&lines), ["before", &format!("{BEGUN}KeyError: 'x'"), "after"]);
    assert_eq!((lines[1].severity(), lines[1].attribute("exception.type")), (17, "KeyError"));
    // The uid tells where the record begins.
    assert!(lines[1].attribute("log.record.uid").ends_with(&format!("{:016x}", "before\n".len())));
}

/// Tracebacks of two ranks, line by line in turns, and a line of a third one between them.
fn interleaved(numbers: std::ops::Range<u64>) -> (String, Vec<String>) {
    let (mut text, mut records) = (String::new(), Vec::new());
    for number in numbers {
        let lines = |rank: u64| {
            let (head, frame) = BEGUN.trim_end().split_once('\n').unwrap();
            [head.to_owned(), frame.to_owned(), format!("KeyError: {number} of {rank}")]
                .map(|line| format!("[default{rank}]:{line}"))
        };
        let [first, second] = [lines(0), lines(1)];
        for (first, second) in first.iter().zip(&second) {
            text += &format!("{first}\n{second}\n");
        }
        text += &format!("[default2]:step {number}\n");
        let whole = |lines: [String; 3], rank| lines.join("\n").replace(&format!("\n[default{rank}]:"), "\n");
        records.extend([whole(first, 0), whole(second, 1), format!("[default2]:step {number}")]);
    }
    (text, records)
}

#[test]
fn f21_tracebacks_of_two_ranks_survive_kills_in_their_midst_each_once_and_whole_and_the_receipt_knows() {
    let mut random = random();
    let mut agent = patient().start();
    let mut file = OpenOptions::new().create_new(true).append(true).open(agent.path("a.log")).unwrap();
    let (text, mut expected) = interleaved(0..KILLS * SHARE);
    let mut written = 0;
    for kill in 1..=KILLS {
        // Anywhere: inside a line, between the lines of a traceback.
        let to = if kill == KILLS { text.len() } else { text.len() * usize::try_from(kill).unwrap() / KILLS as usize };
        file.write_all(&text.as_bytes()[written..to]).unwrap();
        written = to;
        agent.eventually_metric(STORED, random.u64(1..SHARE) as f64);
        agent.kill();
        agent.start();
    }
    let count = expected.len();
    // The last ones may go on until the stop.
    agent.eventually_stored("r", count as u64 - 3);
    assert_eq!(agent.terminate().status.code(), Some(0));

    let lines: Vec<_> = agent.lines("r").into_iter().filter(Line::is_printed).collect();
    let uids: BTreeSet<&str> = lines.iter().map(|line| line.attribute("log.record.uid")).collect();
    assert_eq!((lines.len(), uids.len()), (count, count));
    let printed = |line: &Line| line.attribute("runlog.prefix").to_owned() + line.body();
    let mut found: Vec<_> = lines.iter().map(printed).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert!(found == expected, "the records are not what was printed");
    let shown = agent.run(&["runs", "show", "r", "--json"]);
    let run: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(run["complete"], true, "{run}");
    let sources = run["receipts"].as_array().unwrap().iter().flat_map(|receipt| receipt["sources"].as_array().unwrap());
    let read: u64 = sources.map(|source| source["lines_read"].as_u64().unwrap()).sum();
    assert_eq!(read, text.lines().count() as u64, "{run}");
}

#[test]
fn f21_a_begun_traceback_is_stored_before_a_stop_ends_and_after_a_silence() {
    let mut agent = patient().start();
    fs::write(agent.path("a.log"), BEGUN).unwrap();
    fs::write(agent.path("b.log"), "read\n").unwrap();
    let _ = agent.eventually_lines("r", 1);
    assert_eq!(agent.terminate().status.code(), Some(0));
    assert!(bodies(&agent.lines("r")).contains(&BEGUN.trim_end()));

    agent.set("RUNLOG_PARSE_JOIN_WAIT", "100ms");
    agent.start();
    fs::write(agent.path("c.log"), BEGUN).unwrap();
    let lines = agent.eventually_lines("r", 3);
    assert_eq!(lines.iter().filter(|line| line.body() == BEGUN.trim_end()).count(), 2);
}
