//! Files of a container runtime: lines in pieces, stdout and stderr woven together.

use std::{fs::OpenOptions, io::Write, ops::Range};

use runlog_tests::Agent;

use crate::{STORED, random};

const KILLS: u64 = 5;
const SHARE: u64 = 2_000;

/// Each line of stdout is in three pieces, which lie around a line of stderr and the pieces of the next one.
fn wrapped(numbers: Range<u64>) -> String {
    let (mut file, mut rest) = (String::new(), String::new());
    for number in numbers {
        let stamp = format!("2026-11-24T05:44:23.{number:09}Z");
        file += &format!("{rest}{stamp} stdout P {number} begins,\n{stamp} stderr F {number} on stderr\n");
        file += &format!("{stamp} stdout P  goes on\n");
        rest = format!("{stamp} stderr P {number} in\n{stamp} stdout F  and ends\n{stamp} stderr F  between\n");
    }
    file + &rest
}

#[test]
fn woven_lines_survive_kills_in_their_midst_each_once_and_whole() {
    let mut random = random();
    let mut agent = Agent::builder().start();
    let mut file = OpenOptions::new().create_new(true).append(true).open(agent.path("0.log")).unwrap();
    for kill in 0..KILLS {
        file.write_all(wrapped(kill * SHARE..(kill + 1) * SHARE).as_bytes()).unwrap();
        agent.eventually_metric(STORED, random.u64(1..SHARE) as f64);
        agent.kill();
        agent.start();
    }
    let lines = KILLS * SHARE * 3;
    agent.eventually_stored("r", lines);
    assert_eq!(agent.terminate().status.code(), Some(0));

    let text = String::from_utf8(agent.run(&["logs", "r"]).stdout).unwrap();
    let mut found: Vec<&str> = text.lines().collect();
    let expected = (0..KILLS * SHARE).flat_map(|number| {
        [format!("{number} begins, goes on and ends"), format!("{number} in between"), format!("{number} on stderr")]
    });
    let mut expected: Vec<String> = expected.collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found.len() as u64, lines);
    assert!(found == expected, "the lines are not those that were printed");
}

#[test]
fn a_container_that_died_inside_a_line_has_printed_that_line() {
    let agent = Agent::builder().start();
    std::fs::write(agent.path("0.log"), "2026-11-24T05:44:23Z stderr P Enter a number: \n").unwrap();
    let lines = agent.eventually_lines("r", 1);
    assert_eq!((lines[0].body(), lines[0].text("stream")), ("Enter a number: ", "stderr"));
}
