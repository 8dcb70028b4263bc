//! System calls that fail, or are the last that the agent makes.

use std::env;

use runlog_tests::{Agent, Found, Trainer, eventually};

/// Calls by which the queue and the store change what is on the disk, and how many of each its busiest thread makes
/// here, from its start until all is stored. Some starts end before that, or go another way, and are not struck.
const CALLS: [(&str, u64); 8] = [
    ("pwritev", 4),
    ("pwrite64", 30),
    ("fdatasync", 3),
    ("fsync", 14),
    ("ftruncate", 2),
    ("fallocate", 1),
    ("unlink", 2),
    ("write", 8),
];
/// So many starts are struck in a row before what is there is looked at.
const STRIKES: usize = 4;
const CHAINS: usize = 6;
/// Of so many starts one has to be struck at least.
const FOR_EACH_STRUCK: usize = 4;
const LINES: u64 = 200;

/// Where to strike is drawn from a seed. A test that fails shows it; `RUNLOG_FAULT_SEED` has it tried again.
fn random() -> fastrand::Rng {
    let given = env::var("RUNLOG_FAULT_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("RUNLOG_FAULT_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Starts an agent again and again, each time with more lines to read, and strikes it. Returns how often that struck.
fn chain(strikes: &[String], has_struck: impl Fn(&mut Agent) -> bool) -> usize {
    let mut agent = Agent::builder().prepare();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    let (mut lines, mut struck) = (0, 0);
    for strike in strikes {
        trainer.print(LINES);
        lines += LINES;
        trainer.eventually_has_printed(lines);
        agent.inject(strike);
        agent.spawn();
        eventually(&format!("the agent ends by {strike}, or has all"), || {
            (agent.ended().is_some() || agent.stored("r") >= lines).then_some(())
        });
        struck += usize::from(has_struck(&mut agent));
    }
    agent.start();
    agent.eventually_stored("r", lines);
    Found::in_store(&agent, "r").accounts_for(&[trainer.finish()]);
    agent.is_live("r");
    assert_eq!(agent.terminate().status.code(), Some(0));
    struck
}

/// Has so many chains happen, and more if the machine was of a mind to have too few of their starts struck: how many
/// calls there are depends on what comes together in one.
fn chains(count: usize, mut one: impl FnMut() -> usize) {
    let mut struck = 0;
    for done in 0.. {
        if done >= count && struck >= done * STRIKES / FOR_EACH_STRUCK {
            return;
        }
        assert!(done < 5 * count, "{struck} of {} starts were struck", done * STRIKES);
        struck += one();
    }
}

#[test]
fn q1_an_agent_that_is_killed_at_any_system_call_loses_and_repeats_nothing() {
    let mut random = random();
    chains(CHAINS, || {
        let strikes: Vec<String> = (0..STRIKES)
            .map(|_| {
                let (call, most) = CALLS[random.usize(..CALLS.len())];
                format!("{call}:signal=KILL:when={}", random.u64(1..=most))
            })
            .collect();
        println!("{strikes:?}");
        chain(&strikes, |agent| {
            let was_killed = !agent.is_running();
            if !was_killed {
                agent.kill();
            }
            was_killed
        })
    });
}

#[test]
fn q4_an_agent_whose_system_calls_fail_loses_and_repeats_nothing() {
    let mut random = random();
    chains(CHAINS / 2, || {
        let strikes: Vec<String> = (0..STRIKES)
            .map(|_| {
                // Of all others, `write` is also how threads wake each other.
                let (call, most) = CALLS[random.usize(..CALLS.len() - 1)];
                let error = ["EIO", "ENOSPC", "EROFS"][random.usize(..3)];
                format!("{call}:error={error}:when={}", random.u64(1..=most))
            })
            .collect();
        println!("{strikes:?}");
        chain(&strikes, |agent| {
            if agent.is_running() {
                let _ = agent.terminate();
            }
            agent.was_injected()
        })
    });
}
