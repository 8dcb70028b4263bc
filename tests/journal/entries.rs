//! What becomes of an entry, and which are collected.

use runlog_tests::Line;

use crate::{Site, printed};

#[test]
fn entries_become_records_with_their_levels_and_fields() {
    let mut site = Site::prepare(&[], "all");
    // Lines of one traceback may be long in coming.
    site.agent.set("RUNLOG_PARSE_JOIN_WAIT", "10m");
    site.agent.start();
    let mut train = site.journal.unit("train.service");
    for line in [
        "INFO:root:a level of its own",
        "ERROR:root:that journald does not know",
        "<4>a level that the unit gave",
        "Traceback (most recent call last):",
        "  File \"train.py\", line 1, in <module>",
        "ValueError: bad",
        "behind it",
    ] {
        train.print(line);
    }
    site.journal.eventually_ends_with("behind it");
    site.journal.write(&[
        ("MESSAGE", b"two\nlines, and \xff"),
        ("PRIORITY", b"2"),
        ("SYSLOG_IDENTIFIER", b"handler"),
        ("LOGGER", b"train.loop"),
        ("CODE_FILE", b"train.py"),
        ("CODE_LINE", b"42"),
        ("CODE_FUNC", b"step"),
        ("THREAD_NAME", b"MainThread"),
        ("TID", b"7"),
    ]);
    let train = runlog_tests::eventually("all of the journal is read", || {
        let status = site.agent.status();
        let of = |name: &str| status["streams"].as_array()?.iter().find(|stream| stream["name"] == name).cloned();
        let (train, _handler) = (of("train.service")?, of("handler")?);
        (status["sources"][0]["lag_seconds"] == 0.0 && train["lines_read"] == 7).then_some(train)
    });
    assert_eq!((&train["kind"], &train["lag_bytes"]), (&"journal".into(), &0.into()));
    assert_eq!(site.agent.terminate().status.code(), Some(0));
    // What journald says of itself is there as well.
    let own = |line: &Line| line.attribute("runlog.journal.identifier") == "systemd-journald";
    let lines: Vec<Line> = site.agent.lines("r").into_iter().filter(|line| !own(line)).collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    // What has no unit has another resource, so it may come before.
    let (of_unit, bare): (Vec<Line>, Vec<Line>) =
        lines.into_iter().partition(|line| line.attribute("code.line.number").is_empty());
    let lines = [of_unit, bare].concat();

    let seen: Vec<_> = lines.iter().map(|line| (line.severity(), line.text("severity_text"), line.body())).collect();
    assert_eq!(
        seen,
        [
            (9, "INFO", "INFO:root:a level of its own"),
            (17, "ERROR", "ERROR:root:that journald does not know"),
            (13, "warning", "a level that the unit gave"),
            (17, "", "Traceback (most recent call last):\n  File \"train.py\", line 1, in <module>\nValueError: bad"),
            (9, "", "behind it"),
            (18, "crit", "two\nlines, and \u{fffd}"),
        ]
    );
    let told = |line: &Line, keys: &[&str]| keys.iter().map(|key| line.attribute(key).to_owned()).collect::<Vec<_>>();
    let keys = ["code.file.path", "code.line.number", "code.function.name", "thread.name", "thread.id"];
    assert_eq!(told(&lines[5], &keys), ["train.py", "42", "step", "MainThread", "7"]);
    assert_eq!(told(&lines[5], &["runlog.journal.identifier", "runlog.invalid_utf8"]), ["handler", "1"]);
    assert_eq!(lines[5].attribute("process.pid"), std::process::id().to_string());
    assert_eq!(lines[0].attribute("runlog.journal.identifier"), "python");
    assert_eq!(told(&lines[3], &["exception.type", "exception.message"]), ["ValueError", "bad"]);
}

#[test]
fn what_is_not_wanted_is_left_out_and_passed_over_for_good() {
    let mut site = Site::prepare(&[], "train,gpu@*");
    site.agent.set("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
    site.journal.set_invocation("gpu@own.service", "0123456789abcdef0123456789abcdef");
    site.agent.start();
    for (unit, line) in [
        ("train.service", "first"),
        ("train.socket", "not a service"),
        ("gpu@0.service", "a template's"),
        ("gpu@own.service", "runlog's own"),
        ("other.service", "another unit's"),
        ("train.service", "last"),
    ] {
        site.journal.unit(unit).print(line);
        site.journal.eventually_ends_with(line);
    }
    // Each unit has a resource of its own, so the order is that of each unit.
    let sorted = |count: usize| {
        let lines = site.agent.eventually_lines("r", count);
        let mut printed: Vec<String> = printed(&lines).into_iter().map(str::to_owned).collect();
        printed.sort();
        printed
    };
    assert_eq!(sorted(3), ["a template's", "first", "last"]);

    // The position is behind them, although nothing of what was wanted has come since.
    for number in 0..50 {
        site.journal.unit("other.service").print(&format!("other {number}"));
    }
    site.journal.eventually_ends_with("other 49");
    assert_eq!(site.agent.terminate().status.code(), Some(0));
    site.journal.rotate();
    site.journal.vacuum();
    site.agent.start();
    site.journal.unit("train.service").print("after");
    let lines = site.agent.eventually_lines("r", 4);
    assert_eq!(lines.len(), 4, "a gap is told: {lines:?}");
    assert_eq!(lines[3].body(), "after");
}

#[test]
fn an_entry_may_name_its_run_and_a_long_one_is_split() {
    let mut site = Site::prepare(&[], "all");
    site.agent.set("RUNLOG_PARSE_MAX_LINE_BYTES", "1KiB");
    site.agent.start();
    let long = "x".repeat(2_500);
    site.journal.write(&[("MESSAGE", b"of a run"), ("PRIORITY", b"6"), ("RUNLOG_RUN_ID", b"ridge-1")]);
    site.journal.write(&[("MESSAGE", long.as_bytes()), ("RUNLOG_RUN_ID", b"ridge-1")]);
    let lines = site.agent.eventually_lines("ridge-1", 4);
    assert_eq!(lines[0].body(), "of a run");
    let parts: Vec<_> =
        lines[1..].iter().map(|line| (line.body().len(), line.attribute("runlog.part.index"))).collect();
    assert_eq!(parts, [(1024, "0"), (1024, "1"), (452, "2")]);
    assert_eq!(site.agent.terminate().status.code(), Some(0));
    let run: serde_json::Value =
        serde_json::from_slice(&site.agent.run(&["runs", "show", "ridge-1", "--json"]).stdout).unwrap();
    assert_eq!((&run["complete"], &run["receipts"][0]["sources"][0]["lines_read"]), (&true.into(), &2.into()));
}

#[test]
fn containers_that_log_to_the_journal_are_left_to_the_docker_source_unless_it_is_off() {
    for (collect, expected) in [("auto", &["last"][..]), ("off", &["ERROR:root:of a container", "last"])] {
        let mut site = Site::prepare(&[], "all");
        site.agent.set("RUNLOG_DOCKER_COLLECT", collect);
        site.agent.set("RUNLOG_DOCKER_HOST", "unix:///nowhere");
        site.agent.start();
        let run: (&str, &[u8]) = ("RUNLOG_RUN_ID", b"c");
        let container: [(&str, &[u8]); 2] = [("CONTAINER_ID_FULL", b"c0ffee"), ("CONTAINER_NAME", b"trainer")];
        // Docker says 6 for standard output and 3 for standard error, which is no level.
        site.journal.write(
            &[[("MESSAGE", &b"ERROR:root:of a container"[..]), ("PRIORITY", b"6"), run].as_slice(), &container]
                .concat(),
        );
        site.journal.write(&[("MESSAGE", b"last"), run]);
        let _ = site.agent.eventually_lines("c", expected.len());
        assert_eq!(site.agent.terminate().status.code(), Some(0));
        let mut lines = site.agent.lines("c");
        // Each has a resource of its own, and an error waits a moment for its traceback.
        lines.sort_by_key(|line| line.body().to_owned());
        assert_eq!(printed(&lines), expected, "{collect}");
        assert_eq!(lines[0].severity(), if collect == "off" { 17 } else { 9 });
    }
}

#[test]
fn entries_below_the_level_are_counted_and_left_out() {
    let mut site = Site::prepare(&[], "train");
    site.agent.set("RUNLOG_LEVEL", "warn");
    site.agent.start();
    let mut train = site.journal.unit("train.service");
    train.print("<7>fine");
    train.print("<3>bad");
    let lines = site.agent.eventually_lines("r", 1);
    assert_eq!(printed(&lines), ["bad"]);
    site.agent.eventually_metric("runlog_filtered_lines_total{source=\"journal\",level=\"debug\"}", 1.0);
}

#[test]
fn tracebacks_of_two_processes_of_a_unit_are_one_record_each_also_with_a_kill_in_their_midst() {
    let mut site = Site::prepare(&[], "train");
    // What is begun waits longer than the test takes.
    site.agent.set("RUNLOG_PARSE_JOIN_WAIT", "10m");
    site.agent.start();
    let mut units = [0, 1].map(|_| site.journal.unit("train.service"));
    units[0].print("before");
    let _ = site.agent.eventually_lines("r", 1);
    let head = "Traceback (most recent call last):";
    units.iter_mut().for_each(|unit| unit.print(head));
    // Which of two sockets journald reads first is not said.
    site.journal.eventually_ends_with(&format!("{head}\n{head}"));
    let frame = |number: usize| format!("  File \"train.py\", line {number}, in <module>");
    for (number, unit) in units.iter_mut().enumerate() {
        unit.print(&frame(number));
        site.journal.eventually_ends_with(&frame(number));
    }
    runlog_tests::eventually("all of the journal is read", || {
        (site.agent.status()["sources"][0]["lag_seconds"] == 0.0).then_some(())
    });
    site.agent.kill();
    site.agent.start();
    for text in ["KeyError: ", "after "] {
        for (number, unit) in units.iter_mut().enumerate() {
            unit.print(&format!("{text}{number}"));
            site.journal.eventually_ends_with(&format!("{text}{number}"));
        }
    }

    let _ = site.agent.eventually_lines("r", 5);
    assert_eq!(site.agent.terminate().status.code(), Some(0));
    let lines = site.agent.lines("r");
    let mut bodies = printed(&lines);
    bodies.sort_unstable();
    let traceback = |number| format!("{head}\n{}\nKeyError: {number}", frame(number));
    assert_eq!(bodies, [&traceback(0), &traceback(1), "after 0", "after 1", "before"]);
}
