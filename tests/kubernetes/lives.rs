//! Containers that crash and start again, and pods that go.

use std::{collections::BTreeSet, fs};

use runlog_tests::{Line, eventually};
use serde_json::Value;

use crate::node::{Container, Node};

const LIVES: u64 = 12;

#[test]
fn c2_c9_every_life_of_a_container_that_crashes_is_read_to_its_last_word() {
    let node = Node::new();
    let agent = node.agent().start();
    let mut trainer = Container::start(&node.pod("train-x7k2p", 1), "trainer");
    for life in 1..=LIVES {
        trainer.print(20);
        trainer.print_half(&format!("died in life {life}"));
        // The kubelet waits ever longer before a restart. What it removes then is the life before this one, of which this is
        // the last line that has an end.
        let last = format!("line {}", ((life - 1) * 20).saturating_sub(1));
        eventually("the life before was seen", || {
            agent.lines("ml/train").iter().any(|line| line.body() == last).then_some(())
        });
        trainer.restart();
    }
    let lines = agent.eventually_lines("ml/train", usize::try_from(LIVES * 21).unwrap());
    trainer.is_told_once(&lines);
    let words: BTreeSet<(&str, &str)> = lines
        .iter()
        .filter(|line| line.body().starts_with("died"))
        .map(|line| (line.attribute("k8s.container.restart_count"), line.body()))
        .collect();
    assert_eq!(words.len() as u64, LIVES);
    assert!(words.contains(&("0", "died in life 1")) && words.contains(&("11", "died in life 12")), "{words:?}");
}

#[test]
fn c9_a_life_that_was_removed_before_it_was_seen_is_a_gap() {
    let node = Node::new();
    let agent = node.agent().start();
    let mut trainer = Container::start(&node.pod("train-x7k2p", 1), "trainer");
    trainer.print(1);
    let _ = agent.eventually_lines("ml/train", 1);
    agent.signal("STOP");
    for _ in 0..3 {
        trainer.restart();
        trainer.print(1);
    }
    agent.signal("CONT");
    let lines = agent.eventually_lines("ml/train", 4);
    let told: Vec<&str> = lines.iter().filter(|line| !line.is_printed()).map(Line::body).collect();
    assert_eq!(told.len(), 1, "{lines:?}");
    assert!(told[0].ends_with("trainer/1.log was removed before it could be opened"), "{told:?}");
}

#[test]
fn c8_last_words_of_pods_that_are_deleted_at_once_are_read() {
    const PODS: u32 = 20;
    let node = Node::new();
    let mut agent = node.agent().start();
    for number in 0..PODS {
        let pod = node.pod(&format!("train-{number}"), number);
        let mut trainer = Container::start(&pod, "trainer");
        trainer.print(10);
        let _ = agent.eventually_lines(&format!("ml/train-{number}"), 10);
        trainer.print(100);
        fs::remove_dir_all(pod).unwrap();
        let lines = agent.eventually_lines(&format!("ml/train-{number}"), 110);
        trainer.is_told_once(&lines);
        assert!(lines.iter().all(Line::is_printed));
    }
    // The receipt of each run comes with the last log of its last pod.
    for number in 0..PODS {
        let receipts = eventually("the run has a receipt", || {
            let shown = agent.run(&["runs", "show", &format!("ml/train-{number}"), "--json"]);
            let run: Value = serde_json::from_slice(&shown.stdout).ok()?;
            (run["complete"] == true).then(|| run["receipts"].clone())
        });
        let receipts = receipts.as_array().unwrap().iter();
        assert_eq!(receipts.map(|receipt| &receipt["sources"][0]["lines_read"]).collect::<Vec<_>>(), [110]);
    }
    assert!(agent.terminate().status.success());
}
