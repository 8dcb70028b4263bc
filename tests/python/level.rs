//! `runlog level` reaches the loggers of a program.

use runlog_tests::Agent;

use crate::program::{Program, agent, oldest_and_newest};

fn operator(agent: &Agent, arguments: &[&str]) {
    let output = agent.run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_program_logs_what_is_asked_for_until_that_is_over_and_prints_no_more_than_before() {
    let mut agent = agent();
    agent.set("RUNLOG_LEVEL", "INFO");
    agent.start();
    for python in oldest_and_newest() {
        let run = format!("followed{}", python.replace('/', "-"));
        let program = Program::start(&agent, &python, &run, &["followed.py"]);
        program.says("level 20");
        // Its run is not known to the agent before it has sent something, so the level is that of all.
        operator(&agent, &["level", "debug"]);
        program.says("level 10");
        let lines = agent.eventually_lines(&run, 3);
        assert!(lines.iter().all(|line| line.body() == "a step" && line.severity() == 5), "{lines:?}");
        operator(&agent, &["level", "--reset"]);
        program.says("level 20");
        let of_logger = ["level", "debug", "--run", &run, "--logger", "train", "--for"];
        operator(&agent, &[&of_logger[..], &["10m"]].concat());
        program.says("level 10");
        // Asked for anew: a program on a slow machine need not have seen a level that is over after a second.
        operator(&agent, &[&of_logger[..], &["1s"]].concat());
        program.says("level 20");
        program.ends_in_silence();
    }
}
