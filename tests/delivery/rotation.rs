//! Files that are rotated while they are written.

use runlog_tests::{Agent, Printed, Trainer};

const ROTATIONS: u64 = 20;

#[test]
fn f1_lines_written_through_renames_out_of_the_glob_are_stored_once() {
    let agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    let mut printed = 0;
    for rotation in 1..=ROTATIONS {
        trainer.print(4_900);
        // A file that came and went between two looks cannot be known; each of these was seen.
        agent.eventually_stored("r", printed + 1);
        trainer.rotate_into(agent.path(&format!("a.log.{rotation}")), 100);
        printed += 5_000;
    }
    is_stored_once(agent, &trainer.finish(), &Order::Open);
}

#[test]
fn f1_lines_written_through_renames_inside_the_glob_are_stored_once_however_fast() {
    let agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    for rotation in 1..=ROTATIONS {
        trainer.print(2_000);
        trainer.rotate_into(agent.path(&format!("a-{rotation}.log")), 100);
    }
    is_stored_once(agent, &trainer.finish(), &Order::Open);
}

#[test]
fn f5_lines_written_before_and_after_a_copytruncate_are_stored_once() {
    let agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    for round in 1..=5 {
        trainer.print(1_000);
        agent.eventually_stored("r", round * 1_000);
        trainer.copy_and_truncate();
    }
    is_stored_once(agent, &trainer.finish(), &Order::AsPrinted);
}

#[test]
fn f6_a_file_that_grew_past_its_old_size_right_after_a_copytruncate_is_read_from_its_start() {
    let agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(1_000);
    agent.eventually_stored("r", 1_000);
    agent.signal("STOP");
    trainer.copy_and_truncate();
    trainer.print(3_000);
    trainer.eventually_has_printed(4_000);
    agent.signal("CONT");
    agent.eventually_stored("r", 4_000);
    is_stored_once(agent, &trainer.finish(), &Order::AsPrinted);
}

/// What is known of the order of lines.
#[derive(PartialEq)]
enum Order {
    /// Files are read side by side, so the lines of two may be mixed.
    Open,
    AsPrinted,
}

fn is_stored_once(mut agent: Agent, printed: &Printed, order: &Order) {
    assert_eq!(agent.terminate().status.code(), Some(0));
    let text = String::from_utf8(agent.run(&["logs", "r"]).stdout).unwrap();
    let mut bodies: Vec<_> = text.lines().collect();
    if *order == Order::Open {
        bodies.sort_unstable();
    }
    printed.is_there_once_and_in_order(bodies.into_iter());
}
