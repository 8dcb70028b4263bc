//! Agents that are away, killed, restarted or stuck while a program logs.

use std::collections::BTreeMap;

use runlog_tests::{Agent, Found, eventually};

use crate::program::{Program, agent, python, spooled};

/// Waits until each of so many steps is there. Fails if two records are of one step: whatever came twice was sent
/// again, which a uid tells.
fn eventually_has_each_step_once(agent: &Agent, run: &str, steps: usize) {
    let mut by_step = BTreeMap::new();
    eventually("all steps are there", || {
        by_step.clear();
        for line in agent.lines(run) {
            let uid = line.attribute("log.record.uid").to_owned();
            let before = by_step.insert(line.body().to_owned(), uid.clone());
            assert!(before.is_none_or(|before| before == uid), "two records of {:?}", line.body());
        }
        (by_step.len() >= steps).then_some(())
    });
    assert_eq!(by_step.len(), steps);
}

#[test]
fn nothing_is_lost_of_a_program_whose_agent_comes_late_and_is_killed() {
    let mut agent = agent();
    // It logs until it is told to stop, however long an agent takes to start.
    let mut program = Program::start(&agent, &python(), "r", &["steps.py", "0", "0.005", "1"]);
    program.says("ready");
    eventually("there is something in the spool", || (spooled(&agent) > 0).then_some(()));
    agent.start();
    let there = agent.eventually_lines("r", 200).len();
    for round in 1..=2 {
        agent.kill();
        agent.start();
        let _ = agent.eventually_lines("r", there + round * 100);
    }
    let steps = program.stops();
    assert!(program.end().0.success());
    eventually_has_each_step_once(&agent, "r", steps);
    eventually("the spool is empty", || (spooled(&agent) == 0).then_some(()));
}

#[test]
fn a_restart_of_the_agent_repeats_nothing() {
    let mut agent = agent();
    agent.start();
    let mut program = Program::start(&agent, &python(), "r", &["steps.py", "0", "0.005", "1"]);
    program.says("ready");
    for round in 1..=2 {
        let _ = agent.eventually_lines("r", round * 300);
        let _ = agent.terminate();
        agent.start();
    }
    let steps = program.stops();
    assert!(program.end().0.success());
    let _ = agent.eventually_lines("r", steps);
    // Fails if a uid is there twice.
    assert_eq!(Found::in_store(&agent, "r").bodies().count(), steps);
}

#[test]
fn an_agent_that_is_stuck_holds_up_no_program() {
    const STEPS: usize = 30_000;
    let mut agent = agent();
    agent.start();
    agent.signal("STOP");
    let program = Program::start(&agent, &python(), "r", &["steps.py", &STEPS.to_string(), "0", "1"]);
    program.says("ready");
    program.says("logged");
    let (status, told) = program.end();
    assert!(status.success(), "{told}");
    agent.signal("CONT");
    // The agent has ten seconds for each answer. The program waits for it at its end, and for no longer than it says: five
    // seconds of a flush, and three of the close. What others took of the machine is not counted.
    let idle = |when: &str| told.lines().find_map(|line| line.strip_prefix(when)?.parse::<f64>().ok()).unwrap();
    assert!(idle("logging: ") < 5.0 && idle("ending: ") < 10.0, "{told}");
    eventually_has_each_step_once(&agent, "r", STEPS);
}
