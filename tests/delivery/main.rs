//! Nothing lost, nothing twice: the agent as a process, with its files, its disk and its death.
//!
//! Here is what happens when it is killed; the modules have what else can happen to a line on its way.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests speak by panicking and printing")]

mod away;
mod bytes;
mod joins;
mod level;
mod progress;
mod rotation;
mod secrets;
mod stop;
mod woven;

use std::collections::{BTreeMap, BTreeSet};

use runlog_tests::{Agent, Sink, SinkRecord, Trainer};

const KILLS: u64 = 5;

/// What a destination has taken since the agent was started.
const STORED: &str = "runlog_exported_records_total{destination=\"store\"}";
const EXPORTED: &str = "runlog_exported_records_total{destination=\"default\"}";

#[test]
fn two_hundred_thousand_lines_survive_kills_in_their_midst_each_once_and_in_order_and_the_receipt_knows() {
    let mut random = random();
    let mut agent = Agent::builder().start();
    let mut trainers = ["a", "b"].map(|name| Trainer::start(agent.path(&format!("{name}.log")), name));
    let share = 10_000;
    let mut kills_in_their_midst = 0;
    for _ in 0..KILLS {
        trainers.iter_mut().for_each(|trainer| trainer.print(share));
        agent.eventually_metric(STORED, random.u64(1..share) as f64);
        // Killed while lines are being printed: the last of them cannot be safe yet.
        let until = trainers[0].printed() + random.u64(1..share);
        trainers.iter_mut().for_each(|trainer| trainer.print(share));
        trainers[0].busily_wait_for(until);
        let printed: u64 = trainers.iter().map(Trainer::printed).sum();
        agent.kill();
        kills_in_their_midst += u64::from((1..printed).contains(&agent.stored("r")));
        agent.start();
    }
    let printed = trainers.map(Trainer::finish);
    agent.eventually_stored("r", 200_000);

    assert_eq!(agent.terminate().status.code(), Some(0));
    let text = String::from_utf8(agent.run(&["logs", "r"]).stdout).unwrap();
    printed.iter().for_each(|printed| printed.is_there_once_and_in_order(text.lines()));
    assert_eq!((text.lines().count(), printed[0].lines), (200_000, 100_000));
    let shown = agent.run(&["runs", "show", "r", "--json"]);
    let run: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(run["complete"], true, "{run}");
    let read = |receipt: &serde_json::Value| {
        receipt["sources"].as_array().unwrap().iter().map(|source| source["lines_read"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(run["receipts"].as_array().unwrap().iter().map(read).sum::<u64>(), 200_000, "{run}");
    assert_ne!(kills_in_their_midst, 0, "no kill found lines both stored and outstanding: it proved nothing");
}

#[test]
fn x1_what_was_sent_and_not_answered_before_a_kill_is_sent_again_byte_for_byte() {
    let mut random = random();
    let sink = Sink::start();
    let mut agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint())
        .set("RUNLOG_EXPORT_COMPRESSION", "zstd")
        .set("RUNLOG_STOP_GRACE", "50s")
        .start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    let share = 20_000;
    for _ in 0..KILLS {
        trainer.print(share);
        agent.eventually_metric(EXPORTED, random.u64(1..share) as f64);
        sink.stop_answering();
        trainer.print(share);
        sink.eventually_owes_an_answer();
        agent.kill();
        sink.answer();
        agent.start();
    }
    let printed = trainer.finish();
    assert_eq!(agent.terminate().status.code(), Some(0));

    let (requests, records) = (sink.requests(), sink.records());
    let mut carriers = BTreeMap::<&str, Vec<&SinkRecord>>::new();
    for record in &records {
        carriers.entry(record.uid()).or_default().push(record);
    }
    let mut seen = BTreeSet::new();
    let firsts = records.iter().filter(|record| seen.insert(record.uid()));
    printed.is_there_once_and_in_order(firsts.map(SinkRecord::body));
    for same in carriers.values() {
        for again in &same[1..] {
            assert_eq!(again.body(), same[0].body(), "two lines have one uid");
            let (first, second) = (same[0].request, again.request);
            assert!(requests[first] == requests[second], "request {second} is not request {first} again");
        }
    }
    let times_resent = records.iter().map(|record| record.request).collect::<BTreeSet<_>>().len()
        - carriers.values().map(|same| same[0].request).collect::<BTreeSet<_>>().len();
    assert!(times_resent >= KILLS as usize, "each kill left an unanswered request, {times_resent} were sent again");
}

/// Random numbers that can be had again: `RUNLOG_TEST_SEED` is what a failed test has printed.
fn random() -> fastrand::Rng {
    let chosen = std::env::var("RUNLOG_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = chosen.unwrap_or_else(|| fastrand::u64(..));
    println!("RUNLOG_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
