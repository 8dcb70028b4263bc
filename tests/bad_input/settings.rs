//! Settings that cannot be used.

use std::fs;

use insta::assert_snapshot;
use runlog_tests::State;

use crate::told;

/// What an agent with these variables said before it gave up.
fn with(variables: &[(&str, &str)]) -> String {
    let state = State::new();
    let text = told(&state, state.command(&["agent"]).envs(variables.iter().copied()));
    assert!(!state.dir().exists(), "it made its state directory all the same");
    text
}

/// What an agent with this configuration file said before it gave up.
fn with_file(text: &str) -> String {
    let state = State::new();
    let path = state.path("runlog.toml");
    fs::write(&path, text).unwrap();
    told(&state, &state.command(&["agent", "--config", path.to_str().unwrap()]))
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_one() {
    assert_snapshot!(with(&[("RUNLOG_LEVLE", "info")]), @r#"
    exit status: 64
    --- stderr
    runlog: RUNLOG_LEVLE is not a setting (environment)
    did you mean RUNLOG_LEVEL? `runlog check --show` lists all settings
    "#);
}

#[test]
fn a_bad_level_is_refused_with_those_there_are() {
    assert_snapshot!(with(&[("RUNLOG_LEVEL", "verbose")]), @r#"
    exit status: 64
    --- stderr
    runlog: RUNLOG_LEVEL=verbose is not a level (environment)
    use one of: trace, debug, info, warn, error, fatal
    "#);
}

#[test]
fn all_faults_are_told_at_once() {
    let variables = [
        ("RUNLOG_LEVEL", "loud"),
        ("RUNLOG_BATCH_LINGER", "9"),
        ("RUNLOG_QUEUE_MAX_BYTES", "1KiB"),
        ("RUNLOG_FILES", "/logs/[.log"),
        ("RUNLOG_SERVE_LISTEN", "localhost"),
        ("RUNLOG_EXPORT_ENDPOINT", "collector:4318"),
        ("RUNLOG_EXPORT_HEADERS", "secret-without-a-name"),
        ("RUNLOG_SOMETHING_ELSE", "1"),
    ];
    assert_snapshot!(with(&variables), @r#"
    exit status: 64
    --- stderr
    runlog: RUNLOG_SOMETHING_ELSE is not a setting (environment)
    `runlog check --show` lists all settings

    RUNLOG_LEVEL=loud is not a level (environment)
    use one of: trace, debug, info, warn, error, fatal

    RUNLOG_FILES=/logs/[.log holds /logs/[.log, which is not a glob: invalid range pattern at character 7 (environment)
    use paths with *, ?, [a-z] and **

    RUNLOG_BATCH_LINGER=9 is not a duration (environment)
    write a number and a unit, from 1ms to 1m

    RUNLOG_QUEUE_MAX_BYTES=1KiB is too small (environment)
    use a size from 8MiB to 1024GiB

    RUNLOG_EXPORT_HEADERS has an entry, the number 1, without `=` (environment)
    write each as name=value, with commas between them

    RUNLOG_EXPORT_ENDPOINT=collector:4318 has no scheme (environment)
    write http://host:port, or https://host:port for TLS

    RUNLOG_SERVE_LISTEN=localhost is not an address to listen on (environment)
    use an IP address and a port such as 127.0.0.1:4319, or off
    "#);
}

#[test]
fn an_unknown_key_of_a_file_is_refused_with_the_nearest_one() {
    assert_snapshot!(with_file("level = \"info\"\n[batch]\nlinger = \"1s\"\nlingr = \"2s\"\n[exprt]\nendpoint = \"x\"\n"), @r#"
    exit status: 64
    --- stderr
    runlog: batch.lingr is not a setting (FOLDER/runlog.toml)
    did you mean batch.linger? `runlog check --show` lists all settings

    exprt.endpoint is not a setting (FOLDER/runlog.toml)
    did you mean export.endpoint? `runlog check --show` lists all settings
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    assert_snapshot!(with_file("level = \"info\"\n[batch\nlinger = 1\n"), @r#"
    exit status: 64
    --- stderr
    runlog: configuration file is not TOML at line 2: unclosed table, expected `]` (FOLDER/runlog.toml)
    write it as docs/configuration.md shows
    "#);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let state = State::new();
    let path = state.path("missing.toml");
    assert_snapshot!(told(&state, &state.command(&["--config", path.to_str().unwrap()])), @r#"
    exit status: 64
    --- stderr
    runlog: --config=FOLDER/missing.toml cannot be read: No such file or directory (os error 2) (command line)
    name a TOML file that runlog may read
    "#);
}

#[test]
fn a_file_of_a_secret_that_is_not_there_is_named() {
    assert_snapshot!(with(&[("RUNLOG_EXPORT_HEADERS_FILE", "/nonexistent/token")]), @r#"
    exit status: 64
    --- stderr
    runlog: RUNLOG_EXPORT_HEADERS_FILE=/nonexistent/token cannot be read: No such file or directory (os error 2) (environment)
    name a file that holds the value and that runlog may read
    "#);
}

#[test]
fn a_flag_is_refused_as_a_variable_is() {
    let state = State::new();
    let arguments = ["agent", "--level", "loud", "--set", "batch.lingr=1s", "--set", "batch.max_bytes=lots"];
    assert_snapshot!(told(&state, &state.command(&arguments)), @r#"
    exit status: 64
    --- stderr
    runlog: --set batch.lingr is not a setting (command line)
    did you mean batch.linger? `runlog check --show` lists all settings

    --level=loud is not a level (command line)
    use one of: trace, debug, info, warn, error, fatal

    --set batch.max_bytes=lots is not a size (command line)
    write a number and one of B, KiB, MiB, GiB, from 16KiB to 16MiB
    "#);
    assert_snapshot!(told(&state, &state.command(&["agent", "--set", "batch.linger"])), @r#"
    exit status: 64
    --- stderr
    runlog: --set batch.linger has no value
    write --set key=value, such as --set batch.linger=1s
    "#);
}

#[test]
fn what_cannot_be_typed_ends_with_64_as_well() {
    let state = State::new();
    assert_snapshot!(told(&state, &state.command(&["agnet"])), @r#"
    exit status: 64
    --- stderr
    error: unrecognized subcommand 'agnet'

      tip: some similar subcommands exist: 'inject', 'agent'

    Usage: runlog [OPTIONS] [COMMAND]

    For more information, try '--help'.
    "#);
    assert_snapshot!(told(&state, &state.command(&["logs"])), @r#"
    exit status: 64
    --- stderr
    error: the following required arguments were not provided:
      <RUN>

    Usage: runlog logs <RUN>

    For more information, try '--help'.
    "#);
    assert_snapshot!(told(&state, &state.command(&["logs", "r", "--level", "loud"])), @r#"
    exit status: 64
    --- stderr
    error: invalid value 'loud' for '--level <LEVEL>': "loud" is not a level; use one of: trace, debug, info, warn, error, fatal

    For more information, try '--help'.
    "#);
}

#[test]
fn a_flag_that_exec_or_submit_does_not_have_is_not_taken_for_a_program_in_silence() {
    let state = State::new();
    assert_snapshot!(told(&state, &state.command(&["exec", "--levl", "debug", "--", "true"])), @r#"
    exit status: 64
    --- stderr
    runlog: --levl is no flag of `runlog exec`, and no program
    `runlog exec --help` has its flags
    "#);
    let source = state.path("source");
    fs::create_dir(&source).unwrap();
    let mut submit =
        state.command(&["submit", "--source-dir", source.to_str().unwrap(), "--sweeep", "a=1", "--", "true"]);
    assert_snapshot!(told(&state, submit.env("RUNLOG_SERVE_LISTEN", "off")), @r#"
    exit status: 1
    --- stderr
    runlog: --sweeep is no flag of `runlog submit`, and no program
    `runlog submit --help` has its flags
    "#);
}

#[test]
fn exec_and_check_refuse_what_the_agent_refuses() {
    let state = State::new();
    let mut exec = state.command(&["exec", "--", "touch", state.path("ran").to_str().unwrap()]);
    assert_snapshot!(told(&state, exec.env("RUNLOG_LEVLE", "info")), @r#"
    exit status: 64
    --- stderr
    runlog: RUNLOG_LEVLE is not a setting (environment)
    did you mean RUNLOG_LEVEL? `runlog check --show` lists all settings
    "#);
    assert!(!state.path("ran").exists(), "the program was started");
    assert_snapshot!(told(&state, state.command(&["check"]).env("RUNLOG_LEVLE", "info")), @r#"
    exit status: 64
    --- stdout
    error    settings  RUNLOG_LEVLE is not a setting (environment)
                       did you mean RUNLOG_LEVEL? `runlog check --show` lists all settings
    "#);
}

#[test]
fn logs_with_nowhere_to_go_are_refused() {
    assert_snapshot!(with(&[("RUNLOG_STORE_KEEP", "off")]), @r#"
    exit status: 64
    --- stderr
    runlog: RUNLOG_STORE_KEEP=off leaves no place for the logs: nothing is exported either (environment)
    set export.endpoint, or leave store.keep at auto
    "#);
}
