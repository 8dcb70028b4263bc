//! Logs that the kubelet rotates, compresses and removes.

use runlog_tests::{Line, eventually};

use crate::node::{Container, Node};

const ROTATIONS: u64 = 30;

#[test]
fn c1_c3_c4_lines_are_whole_through_rotations_and_kills() {
    let node = Node::new();
    let mut agent = node.agent().start();
    let mut trainer = Container::start(&node.pod("train-x7k2p", 1), "trainer");
    let long = "€".repeat(20_000);
    // No container prints so much at once that its first log is an archive before anybody can look.
    trainer.print(1);
    let _ = agent.eventually_lines("ml/train", 1);
    for rotation in 1..=ROTATIONS {
        trainer.print(190);
        trainer.rotate(10);
        trainer.print_long(&long);
        if rotation % 10 == 5 {
            // In their midst: what is not safe yet is read again.
            agent.kill();
            agent.start();
        }
        // The kubelet compresses a log 10 s after its rotation at the soonest, so that it is seen as it was.
        let _ = agent.eventually_lines("ml/train", usize::try_from(trainer.printed().saturating_sub(100)).unwrap());
    }
    let all = usize::try_from(trainer.printed() + ROTATIONS).unwrap();
    let lines = agent.eventually_lines("ml/train", all);
    assert!(agent.terminate().status.success());
    trainer.is_told_once(&lines);
    let whole = lines.iter().filter(|line| line.body() == long).count() as u64;
    assert_eq!((whole, lines.len()), (ROTATIONS, all), "long lines are joined, each once");
}

#[test]
fn c4_generations_that_were_compressed_while_the_agent_was_away_are_read() {
    let node = Node::new();
    let mut agent = node.agent().start();
    let mut trainer = Container::start(&node.pod("train-x7k2p", 1), "trainer");
    trainer.print(100);
    let _ = agent.eventually_lines("ml/train", 100);
    agent.kill();
    trainer.print(100);
    for _ in 0..4 {
        trainer.rotate(10);
        trainer.print(100);
    }
    assert_eq!(trainer.archives(), 3, "of the four generations that nobody saw, one is as it was");
    agent.start();
    let lines = agent.eventually_lines("ml/train", usize::try_from(trainer.printed()).unwrap());
    trainer.is_told_once(&lines);
    agent.kill();
    agent.start();
    trainer.print(1);
    let all = usize::try_from(trainer.printed()).unwrap();
    let lines = agent.eventually_lines("ml/train", all);
    assert!(agent.terminate().status.success());
    trainer.is_told_once(&lines);
    assert!(lines.iter().all(Line::is_printed), "nothing was lost, and nothing is said to be");
}

#[test]
fn c4_a_generation_that_was_removed_before_it_was_read_is_a_gap() {
    let node = Node::new();
    let mut agent = node.agent().start();
    let mut trainer = Container::start(&node.pod("train-x7k2p", 1), "trainer");
    trainer.print(100);
    let _ = agent.eventually_lines("ml/train", 100);
    agent.signal("STOP");
    trainer.print(100);
    // It has the first file open. The second one it never sees.
    for _ in 0..8 {
        trainer.rotate(0);
        trainer.print(10);
    }
    agent.signal("CONT");
    let is_told = |lines: &[Line]| lines.iter().any(|line| line.text("event_name") == "runlog.gap");
    // What was open is read to its end, whatever became of the name.
    let is_read = |lines: &[Line]| lines.iter().any(|line| line.body() == "line 199");
    let is_right = || Some(agent.lines("ml/train")).filter(|lines| is_told(lines) && is_read(lines));
    let _ = eventually("the gap is told and the open file is read", is_right);
    assert!(agent.terminate().status.success());
}
