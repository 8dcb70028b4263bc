//! SIGHUP.

use std::fs;

use runlog_tests::{Agent, Found, Line, Trainer, eventually};

#[test]
fn s14_wrong_settings_change_nothing_and_right_ones_are_taken_without_another_process() {
    let mut agent = Agent::builder().set("RUNLOG_LEVEL", "").prepare();
    let settings = agent.path("runlog.toml");
    agent.set("RUNLOG_CONFIG", settings.to_str().unwrap());
    fs::write(&settings, "level = \"warn\"\n").unwrap();
    agent.start();
    let pid = agent.pid();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(3_000);

    fs::write(&settings, "level = \"chatty\"\n").unwrap();
    agent.signal("HUP");
    eventually("the fault is told", || agent.messages().contains("the new settings are wrong").then_some(()));
    fs::write(agent.path("b.log"), "INFO:b:left out\nWARNING:b:kept\n").unwrap();
    let lines = agent.eventually_lines("r", 1);
    assert_eq!(lines.iter().map(Line::body).collect::<Vec<_>>(), ["WARNING:b:kept"]);

    fs::write(&settings, "level = \"info\"\n").unwrap();
    trainer.eventually_has_printed(3_000);
    agent.signal("HUP");
    eventually("it has started again", || (agent.messages().matches("\"collecting\"").count() == 2).then_some(()));
    assert_eq!(agent.pid(), pid);
    trainer.print(3_000);
    fs::write(agent.path("c.log"), "INFO:c:kept\n").unwrap();
    trainer.eventually_has_printed(6_000);
    eventually("a line of the new level is stored", || {
        agent.lines("r").iter().any(|line| line.body() == "INFO:c:kept").then_some(())
    });
    assert_eq!(agent.terminate().status.code(), Some(0));
}

#[test]
fn s14_a_change_of_settings_while_lines_come_costs_none_and_cuts_none() {
    let mut agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    for reloads in 1..=3 {
        trainer.print(20_000);
        trainer.busily_wait_for((reloads - 1) * 20_000 + 5_000);
        agent.signal("HUP");
        eventually("it has started again", || {
            (agent.messages().matches("\"collecting\"").count() as u64 > reloads).then_some(())
        });
    }
    let printed = trainer.finish();
    agent.eventually_stored("r", 60_000);
    assert_eq!(agent.terminate().status.code(), Some(0));
    Found::in_store(&agent, "r").accounts_for(&[printed]);
}
