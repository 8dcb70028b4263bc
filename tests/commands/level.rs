//! `runlog level`.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
};

use runlog_tests::{Agent, State, eventually};
use serde_json::Value;

use crate::{printed, refused};

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn bodies(agent: &Agent, count: usize) -> Vec<String> {
    agent.eventually_lines("r", count).iter().map(|line| line.body().to_owned()).collect()
}

fn levels(agent: &Agent) -> Value {
    serde_json::from_str(&printed(&agent.run(&["level", "--json"]))).unwrap()
}

#[test]
fn a_level_that_is_asked_for_holds_for_the_next_line_and_ends_by_itself() {
    let agent = Agent::builder().set("RUNLOG_LEVEL", "INFO").start();
    let log = agent.path("a.log");
    append(&log, "DEBUG:a:before\nINFO:a:1\n");
    assert_eq!(bodies(&agent, 1), ["INFO:a:1"]);

    printed(&agent.run(&["level", "debug"]));
    append(&log, "DEBUG:a:2\n");
    assert_eq!(bodies(&agent, 2), ["INFO:a:1", "DEBUG:a:2"]);

    printed(&agent.run(&["level", "debug", "--for", "1h"]));
    assert_eq!(
        levels(&agent)["asked"].as_array().map(Vec::len),
        Some(1),
        "it takes the place of the one without an end"
    );
    printed(&agent.run(&["level", "debug", "--for", "1s"]));
    eventually("its time is over", || (agent.status()["levels"]["asked"] == Value::Array(Vec::new())).then_some(()));
    append(&log, "DEBUG:a:after\nINFO:a:3\n");
    assert_eq!(bodies(&agent, 3), ["INFO:a:1", "DEBUG:a:2", "INFO:a:3"]);
}

#[test]
fn a_level_of_a_source_or_a_logger_is_that_of_no_other() {
    let agent = Agent::builder().set("RUNLOG_LEVEL", "INFO").set("RUNLOG_LOGGER_LEVELS", "noisy=error").start();
    let [loud, quiet] = ["loud.log", "quiet.log"].map(|name| agent.path(name));
    [&loud, &quiet].iter().for_each(|log| append(log, "INFO:a:1\nWARNING:noisy.net:left out\n"));
    let _ = agent.eventually_lines("r", 2);

    printed(&agent.run(&["level", "debug", "--source", loud.to_str().unwrap()]));
    printed(&agent.run(&["level", "debug", "--logger", "train"]));
    printed(&agent.run(&["level", "warn", "--logger", "noisy", "--run", "r"]));
    let text = "DEBUG:a:2\nDEBUG:train.loop:step\nWARNING:noisy.net:slow\nINFO:noisy:left out\n";
    [&loud, &quiet].iter().for_each(|log| append(log, text));
    let lines = agent.eventually_lines("r", 7);
    let of = |path: &Path| -> Vec<String> {
        let path = path.to_str().unwrap();
        let lines = lines.iter().filter(|line| line.attribute("log.file.path") == path);
        lines.map(|line| line.body().to_owned()).collect()
    };
    assert_eq!(of(&loud), ["INFO:a:1", "DEBUG:a:2", "DEBUG:train.loop:step", "WARNING:noisy.net:slow"]);
    assert_eq!(of(&quiet), ["INFO:a:1", "DEBUG:train.loop:step", "WARNING:noisy.net:slow"]);

    let folder = agent.path("").display().to_string();
    let text = printed(&agent.run(&["level"])).replace(&folder, "FOLDER/");
    let rows = text.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
    let expected = [
        "LEVEL OF ENDS FROM",
        "warn run r, logger noisy by --reset runlog level",
        "debug logger train by --reset runlog level",
        "debug source FOLDER/loud.log by --reset runlog level",
        "error logger noisy - logger_levels",
        "info everything - level",
    ];
    assert_eq!(rows.collect::<Vec<_>>(), expected, "what was asked for last stands first");
    printed(&agent.run(&["level", "--reset", "--logger", "train"]));
    let text = refused(&agent.run(&["level", "--reset", "--logger", "train"])).replace(&folder, "FOLDER/");
    assert_eq!(text, "runlog: no level was asked for logger train\nuse source FOLDER/loud.log, run r, logger noisy\n");
    printed(&agent.run(&["level", "--reset"]));
    assert_eq!(levels(&agent)["asked"], Value::Array(Vec::new()));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let agent = Agent::builder().start();
    append(&agent.path("a.log"), "one\n");
    let _ = agent.eventually_lines("r", 1);
    let folder = agent.path("").display().to_string();
    for (arguments, expected) in [
        (&["level", "loud"][..], "\"loud\" is not a level (level)\nuse trace, debug, info, warn, error, fatal"),
        (&["level", "debug", "--source", "gone"], "there is no source \"gone\" here (source)\nuse file, FOLDER/a.log"),
        (&["level", "debug", "--run", "gone"], "there is no run \"gone\" here (run)\nuse r"),
    ] {
        let text = refused(&agent.run(arguments)).replace(&folder, "FOLDER/");
        assert_eq!(text, format!("runlog: {expected}\n"), "{arguments:?}");
    }
    let state = State::new();
    let text = refused(&state.run(&["level"])).replace(state.folder().to_str().unwrap(), "FOLDER");
    assert!(text.starts_with("runlog: no runlog serves from FOLDER/state; start one"), "{text}");
}

#[test]
fn a_wrapped_program_is_asked_beside_the_agent() {
    let agent = Agent::builder().start();
    let script = "echo INFO:a:1; read go; echo DEBUG:a:2; echo INFO:a:3";
    let mut command = agent.other(&["exec", "--run-id", "wrapped", "--", "sh", "-c", script]);
    let mut wrapped = command.env("RUNLOG_LEVEL", "info").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(wrapped.stdout.take().unwrap());
    shown.read_line(&mut String::new()).unwrap();
    eventually("its run is known", || {
        agent.run(&["level", "debug", "--run", "wrapped"]).status.success().then_some(())
    });

    wrapped.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(wrapped.wait().unwrap().success());
    let bodies: Vec<String> = agent.eventually_lines("wrapped", 3).iter().map(|line| line.body().to_owned()).collect();
    assert_eq!(bodies, ["INFO:a:1", "DEBUG:a:2", "INFO:a:3"]);
    // The agent has no such run, and was asked as well.
    assert_eq!(levels(&agent)["asked"], Value::Array(Vec::new()));
}

#[test]
fn a_reload_takes_the_level_of_the_file_and_forgets_what_was_asked_for() {
    let mut agent = Agent::builder().prepare();
    let config = agent.path("runlog.toml");
    fs::write(&config, "level = \"warn\"\n").unwrap();
    agent.set("RUNLOG_CONFIG", config.to_str().unwrap());
    agent.set("RUNLOG_LEVEL", "");
    agent.start();
    append(&agent.path("a.log"), "INFO:a:left out\nWARNING:a:1\n");
    assert_eq!(bodies(&agent, 1), ["WARNING:a:1"]);
    printed(&agent.run(&["level", "debug"]));

    fs::write(&config, "level = \"info\"\n").unwrap();
    agent.signal("HUP");
    eventually("the level of the file holds", || {
        let output = agent.run(&["level", "--json"]);
        let levels: Value = serde_json::from_slice(&output.stdout).ok()?;
        (levels["level"] == "info" && levels["asked"] == Value::Array(Vec::new())).then_some(())
    });
    append(&agent.path("a.log"), "DEBUG:a:left out\nINFO:a:2\n");
    assert_eq!(bodies(&agent, 2), ["WARNING:a:1", "INFO:a:2"]);
}
