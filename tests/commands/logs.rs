//! `runlog runs` and `runlog logs`, from disk.

use insta::{assert_snapshot, with_settings};
use runlog_tests::State;
use serde_json::Value;

use crate::{printed, refused, three_runs};

#[test]
fn a_run_shows_that_every_line_is_there_and_what_was_the_first_error() {
    let state = three_runs();
    let filters = vec![
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[time]"),
        (r"lasted \d+s", "lasted [t]"),
        (r"host        \S+", "host        [host]"),
    ];
    with_settings!({filters => filters}, {
        assert_snapshot!(printed(&state.run(&["runs", "show", "alpha-1"])), @r#"
        run         alpha-1
        status      completed
        host        [host]
        started     [time], lasted [t]
        receipt     complete: 5 lines read, 4 kept, 1 below the level

        SOURCE  KIND     READ  KEPT  BELOW LEVEL  LINES LOST  BYTES LOST  GAPS
        stdout  process     5     4            1           0           0     0

        ENDED                NAME  HOW
        [time]  sh    exit code 0
        "#);
        assert_snapshot!(printed(&state.run(&["runs", "show", "beta"])), @r#"
        run         beta
        experiment  ridge
        status      failed (3)
        host        [host]
        started     [time], lasted [t]
        receipt     complete: 1 line read, 1 kept, 0 below the level

        SOURCE  KIND     READ  KEPT  BELOW LEVEL  LINES LOST  BYTES LOST  GAPS
        stdout  process     1     1            0           0           0     0

        ENDED                NAME  HOW
        [time]  sh    exit code 3

        FIRST ERRORS         RANK  SOURCE  LINE
        [time]     -  stdout  ERROR:b:bad
        "#);
    });
    let run: Value = serde_json::from_str(&printed(&state.run(&["runs", "show", "beta", "--json"]))).unwrap();
    assert_eq!((&run["complete"], &run["exit_code"]), (&true.into(), &3.into()));
    assert_eq!(
        refused(&state.run(&["runs", "show", "gamma"])),
        "runlog: no run begins with \"gamma\"; `runlog runs` lists them\n"
    );
}

#[test]
fn runs_are_listed_with_how_they_ended() {
    let state = three_runs();
    with_settings!({filters => vec![(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[started]          "), (r"[ \d]\ds\b", "[t]")]}, {
        assert_snapshot!(printed(&state.run(&["runs"])), @r#"
        RUN      NAME  EXPERIMENT  STATUS      LINES  WARN  ERROR  RECEIPT   STARTED              DURATION
        beta     -     ridge       failed (3)      1     0      1  complete  [started]                 [t]
        alpha-2  -     -           completed       1     0      0  complete  [started]                 [t]
        alpha-1  -     -           completed       4     1      0  complete  [started]                 [t]
        "#);
    });
    let runs: Vec<Value> =
        printed(&state.run(&["runs", "--json"])).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |run: &Value| {
        let text = |field: &str| run[field].as_str().unwrap().to_owned();
        (text("run_id"), text("experiment"), text("status"), run["exit_code"].as_i64().unwrap())
    };
    let expected = [("beta", "ridge", "failed", 3), ("alpha-2", "", "completed", 0), ("alpha-1", "", "completed", 0)];
    let expected = expected.map(|(id, experiment, status, code)| (id.into(), experiment.into(), status.into(), code));
    assert_eq!(runs.iter().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn logs_are_narrowed_as_asked() {
    let state = three_runs();
    let (usual, plain, odd) = ("INFO:a:usual 1\nINFO:a:usual 2\n", "plain\n", "WARNING:a:odd\n");
    let all = format!("{usual}{plain}{odd}");
    let cases: [(&[&str], &str); 13] = [
        (&[], &all),
        (&["--raw"], &all),
        (&["--level", "debug"], &all),
        (&["--level", "WARNING"], odd),
        (&["--level", "error"], ""),
        (&["--grep", "usual [0-9]"], usual),
        (&["--grep", "^plain$"], plain),
        (&["--tail", "1"], odd),
        (&["-n", "2", "--level", "info"], "plain\nWARNING:a:odd\n"),
        (&["-n", "1", "--grep", "usual"], "INFO:a:usual 2\n"),
        (&["--tail", "0"], ""),
        (&["--since", "1h"], &all),
        (&["--until", "1h"], ""),
    ];
    for (arguments, expected) in cases {
        let text = printed(&state.run(&[&["logs", "alpha-1"], arguments].concat()));
        assert_eq!(text, expected, "{arguments:?}");
    }
}

#[test]
fn since_and_until_cut_at_a_lines_own_time() {
    let state = three_runs();
    let lines = state.lines("alpha-1");
    let third = lines.iter().find(|line| line.body() == "INFO:a:usual 2").unwrap().text("time").to_owned();
    let bodies = |flag: &str| printed(&state.run(&["logs", "alpha-1", flag, &third]));
    assert_eq!(bodies("--until") + &bodies("--since"), printed(&state.run(&["logs", "alpha-1"])));
    assert!(bodies("--since").contains("usual 2"));
}

#[test]
fn json_is_one_object_a_line_with_the_events_of_the_run() {
    let state = three_runs();
    let told: Vec<_> = state
        .lines("beta")
        .iter()
        .map(|line| (line.text("event_name").to_owned(), line.severity(), line.body().to_owned()))
        .collect();
    let expected = [
        ("ml.run.start", 9, "run beta started: sh"),
        ("", 17, "ERROR:b:bad"),
        ("ml.run.end", 21, "run beta ended with exit code 3"),
    ];
    assert_eq!(told, expected.map(|(event, severity, body)| (event.to_owned(), severity, body.to_owned())));
}

#[test]
fn time_and_level_are_put_before_each_line_when_asked_for() {
    let state = three_runs();
    with_settings!({filters => vec![(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "[time]")]}, {
        assert_snapshot!(printed(&state.run(&["logs", "alpha-1", "--time"])), @r#"
        [time] info  INFO:a:usual 1
        [time] info  INFO:a:usual 2
        [time] info  plain
        [time] warn  WARNING:a:odd
        "#);
    });
}

#[test]
fn a_run_is_found_by_a_beginning_that_is_its_own() {
    let state = three_runs();
    assert_eq!(printed(&state.run(&["logs", "b"])), "ERROR:b:bad\n");
    assert_eq!(printed(&state.run(&["logs", "alpha-2"])), "second\n");
    assert_eq!(printed(&state.run(&["logs", "latest"])), "ERROR:b:bad\n");
    let ambiguous = refused(&state.run(&["logs", "alpha"]));
    assert_eq!(ambiguous, "runlog: \"alpha\" begins more than one run: alpha-2, alpha-1\n");
    assert_eq!(
        refused(&state.run(&["logs", "gamma"])),
        "runlog: no run begins with \"gamma\"; `runlog runs` lists them\n"
    );
}

#[test]
fn a_run_whose_id_begins_anothers_is_found_by_its_whole_id() {
    let state = State::new();
    for run in ["sweep", "sweep-1", "sweep-1/child"] {
        state.exec(run, &format!("echo of {run}"));
    }
    for run in ["sweep", "sweep-1", "sweep-1/child"] {
        assert_eq!(printed(&state.run(&["logs", run])), format!("of {run}\n"));
    }
}

#[test]
fn where_nothing_is_stored_yet_it_is_said_what_stores_something() {
    let state = State::new();
    for command in [["runs"].as_slice(), &["logs", "latest"]] {
        let text = refused(&state.run(command)).replace(state.folder().to_str().unwrap(), "FOLDER");
        assert_eq!(
            text,
            "runlog: in FOLDER/state is nothing stored yet; `runlog exec -- COMMAND` stores a run, --state-dir or \
             --server reads elsewhere\n"
        );
        assert!(!state.dir().exists(), "a reading command makes no folder");
    }
}
