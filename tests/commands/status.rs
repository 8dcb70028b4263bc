//! `runlog status` and `runlog check`.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use insta::{assert_snapshot, with_settings};
use runlog_tests::{Agent, State, eventually};

use crate::{printed, refused};

#[test]
fn status_tells_how_a_running_agent_is_doing() {
    let agent = Agent::builder().set("RUNLOG_LEVEL", "INFO").start();
    fs::write(agent.path("train.log"), "DEBUG:a:small\nINFO:a:usual\nplain\n").unwrap();
    let _ = agent.eventually_lines("r", 2);
    let status = eventually("the store has acknowledged", || {
        let status = agent.status();
        (status["destinations"][0]["records_exported"] == 2 && status["destinations"][0]["pending_bytes"] == 0)
            .then_some(status)
    });

    assert_eq!(status["ready"], true);
    assert_eq!(status["address"], agent.address());
    let source = &status["sources"][0];
    assert_eq!(
        (&source["kind"], &source["lines_read"], &source["records_kept"]),
        (&"file".into(), &3.into(), &2.into())
    );
    assert_eq!((&source["lines_filtered"]["debug"], &source["lines_lost"]), (&1.into(), &0.into()));
    let folder = agent.path("").display().to_string();
    let filters = vec![
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"up \d+s", "up [t]"),
        (r"queue [\d.]+ \w+ of", "queue [size] of"),
        (r"\d+s ago", "[t] ago"),
        (r" +LAST ", "  LAST "),
        (folder.as_str(), "FOLDER/"),
    ];
    with_settings!({filters => filters}, {
        assert_snapshot!(printed(&agent.run(&["status"])), @r#"
        runlog 0.1.0 at http://ADDRESS, up [t]: ready
        queue [size] of 2.0 GiB

        SOURCE  LINES  KEPT  FILTERED  LOST  BEHIND  FOR  LINES/S
        file        3     2         1     0     0 B   0s        -

        DESTINATION  STATE  EXPORTED  REJECTED  WAITING  OLDEST  ENDPOINT
        store        ok            2         0      0 B      0s  the embedded store

        STREAM  READ  BEHIND  FOR  LINES  LINES/S  LAST  NAME
        file    33 B     0 B   0s      3        -  [t] ago  FOLDER/train.log
        "#);
    });
}

#[test]
fn a_health_check_says_nothing_of_an_agent_that_is_ready_and_fails_without_one() {
    let mut agent = Agent::builder().start();
    assert_eq!(printed(&agent.run(&["status", "--ready"])), "");
    let _ = agent.terminate();
    assert!(refused(&agent.run(&["status", "--ready"])).contains("no runlog serves from"));
}

#[test]
fn a_watched_status_shows_what_each_stream_gives_a_second() {
    let agent = Agent::builder().start();
    let names: Vec<String> = (0..12).map(|index| format!("{index}.log")).collect();
    names.iter().for_each(|name| fs::write(agent.path(name), "INFO:a:first\n").unwrap());
    let _ = agent.eventually_lines("r", 12);
    let text = printed(&agent.run(&["status"]));
    assert!(text.contains("and 2 more, shown with --all"), "{text}");
    let text = printed(&agent.run(&["status", "--all"]));
    assert!(names.iter().all(|name| text.contains(name)), "{text}");

    let mut watching = agent.other(&["status", "--watch", "--all"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    let rows = lines.filter(|line| line.ends_with("/7.log"));
    // A size is two words.
    let mut rates = rows.map(|row| row.split_whitespace().nth(7).unwrap().to_owned());
    assert_eq!(rates.next().unwrap(), "-", "a first look has nothing to compare with");
    let mut rates = rates.map(|rate| rate.parse::<f64>().unwrap());
    let mut file = OpenOptions::new().append(true).open(agent.path("7.log")).unwrap();
    file.write_all("INFO:a:next\n".repeat(5_000).as_bytes()).unwrap();
    // It is a second or more between two looks.
    let first = rates.find(|rate| *rate > 0.0).unwrap();
    let all = first + rates.take_while(|rate| *rate > 0.0).sum::<f64>();
    assert!(all <= 5_000.0, "{all}");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn status_of_nobody_says_what_to_start() {
    let state = State::new();
    let text = refused(&state.run(&["status"])).replace(state.folder().to_str().unwrap(), "FOLDER");
    assert_eq!(
        text,
        "runlog: no runlog serves from FOLDER/state; start one, or name another with --state-dir or --server\n"
    );
}

#[test]
fn status_of_an_agent_that_was_killed_says_that_nobody_answers() {
    let mut agent = Agent::builder().start();
    let address = agent.address();
    agent.kill();
    let text = refused(&agent.run(&["status"])).replace(&address, "ADDRESS");
    assert!(text.starts_with("runlog: no runlog answers at ADDRESS/; start one, or give its --server"), "{text}");
}

#[test]
fn check_tries_what_the_settings_name() {
    let state = State::new();
    fs::write(state.path("a.log"), "").unwrap();
    let mut command = state.command(&["check"]);
    command.env("RUNLOG_FILES", state.path("*.log")).env("RUNLOG_DOCKER_COLLECT", "off");
    command.env("RUNLOG_SERVE_LISTEN", "127.0.0.1:0");
    let text = printed(&command.output().unwrap()).replace(state.folder().to_str().unwrap(), "FOLDER");
    assert_snapshot!(text, @r#"
    ok       settings  can be used
    ok       state     FOLDER/state does not exist yet and can be made
    ok       files     FOLDER/*.log matches 1
    ok       docker    containers are not collected
    ok       export    nothing is exported; the embedded store is kept
    ok       serve     127.0.0.1:0 can be listened on
    "#);
    assert!(!state.dir().exists(), "it changes nothing");
}

#[test]
fn check_names_each_setting_with_its_origin_and_hides_secrets() {
    let state = State::new();
    fs::write(state.path("runlog.toml"), "level = \"warn\"\n[batch]\nlinger = \"1s\"\n").unwrap();
    fs::write(state.path("headers"), "authorization=my-secret\n").unwrap();
    let config = state.path("runlog.toml");
    let mut command =
        state.command(&["check", "--show", "--json", "--config", config.to_str().unwrap(), "--level", "error"]);
    command
        .env("RUNLOG_EXPORT_HEADERS_FILE", state.path("headers"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318?key=my-secret")
        .env("RUNLOG_QUEUE_MAX_BYTES", "1GiB");
    let text = printed(&command.output().unwrap());

    assert!(!text.contains("my-secret"), "{text}");
    let settings: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |key: &str| {
        let setting = settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap();
        let origin = setting["origin"].as_str().unwrap().replace(state.folder().to_str().unwrap(), "FOLDER");
        format!("{} ({origin})", setting["value"].as_str().unwrap())
    };
    let keys = ["level", "batch.linger", "queue.max_bytes", "export.headers", "export.endpoint", "stop.grace"];
    assert_snapshot!(keys.map(|key| format!("{key} = {}", of(key))).join("\n"), @r#"
    level = error (--level)
    batch.linger = 1s (FOLDER/runlog.toml)
    queue.max_bytes = 1GiB (environment variable RUNLOG_QUEUE_MAX_BYTES)
    export.headers = authorization=*** (file named by RUNLOG_EXPORT_HEADERS_FILE)
    export.endpoint = http://127.0.0.1:4318?*** (environment variable OTEL_EXPORTER_OTLP_ENDPOINT)
    stop.grace = 25s (default)
    "#);
}
