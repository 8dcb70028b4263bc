//! What the engine's API makes of lines, and what runlog makes of the engine's API.

use std::{collections::BTreeSet, fs};

use runlog_tests::{Containers, Engine, Journal, Line, SocketProxy, docker_host, eventually};

fn bodies(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::body).collect()
}

#[test]
fn d6_d18_bytes_that_are_no_text_are_those_that_the_log_driver_gives() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    // The second line has a character whose bytes lie in two of the engine's pieces.
    let script = r"printf 'a\xffb\n'; head -c 16383 /dev/zero | tr '\0' x; printf '\xc3\xa9\n'";
    let _containers = ["local", "json-file"].map(|driver| {
        let label = format!("runlog.run-id={driver}");
        containers.run(&["--log-driver", driver, "--label", &label], script)
    });
    let whole = format!("{}\u{e9}", "x".repeat(16_383));
    let local = agent.eventually_lines("local", 2);
    assert!(bodies(&local) == ["a\u{fffd}b", &whole], "a whole character is kept");
    assert_eq!(local[0].attribute("runlog.invalid_utf8"), "1", "the byte was seen as it is");
    let json = agent.eventually_lines("json-file", 2);
    let cut = format!("{}\u{fffd}\u{fffd}", "x".repeat(16_383));
    assert!(bodies(&json) == ["a\u{fffd}b", &cut], "the engine replaced each byte, and nothing else is lost");
    assert!(json.iter().all(|line| line.attribute("runlog.invalid_utf8").is_empty()));
}

#[test]
fn d7_d8_a_terminal_may_print_what_looks_like_a_frame_or_a_time() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    // A frame's header with a length of 4 GiB; a stamp where a line is cut into pieces.
    let script = r"printf '\001\000\000\000\377\377\377\377\n'; echo after
        head -c 16384 /dev/zero | tr '\0' x; echo '2024-01-01T00:00:00.000000000Z end'";
    let _terminal = containers.run(&["--tty", "--label", "runlog.run-id=terminal"], script);
    let lines = agent.eventually_lines("terminal", 3);
    let stamped = format!("{}2024-01-01T00:00:00.000000000Z end", "x".repeat(16_384));
    assert!(bodies(&lines)[1..] == ["after", &stamped], "{:?}", lines[0]);
    assert!(lines[0].body().starts_with('\u{1}'), "{:?}", lines[0]);
    assert_eq!(agent.messages_of("WARN"), Vec::<String>::new());
}

#[test]
fn d10_what_follows_a_damaged_place_of_the_engines_file_is_read() {
    let containers = Containers::new();
    let container = containers.run_to_end(&["--label", "runlog.run-id=damaged"], "seq 5000");
    let file = format!("{}/{id}/{id}-json.log", containers.folder(), id = container.id);
    // As a power cut leaves a page that was not written.
    let mut bytes = fs::read(&file).unwrap();
    bytes[200_000..204_096].fill(0);
    fs::write(&file, bytes).unwrap();

    let agent = containers.agent().start();
    let lines = agent.eventually_lines("damaged", 2_000);
    let last =
        eventually("the last line", || agent.lines("damaged").last().filter(|line| line.body() == "5000").cloned());
    assert_eq!(last.text("stream"), "stdout");
    let printed: BTreeSet<String> = (1..=5_000).map(|n| n.to_string()).collect();
    assert!(lines.iter().all(|line| printed.contains(line.body())), "nothing but what was printed");
}

#[test]
fn d16_d17_what_the_log_driver_may_lose_is_told_once() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    let _none = containers.run(&["--log-driver", "none", "--label", "runlog.run-id=none"], "echo none; sleep 1000");
    let syslog = ["--log-driver", "syslog", "--log-opt", "syslog-address=udp://127.0.0.1:1"];
    let _syslog = containers.run(&[&syslog[..], &["--label", "runlog.run-id=syslog"]].concat(), "echo cached");
    let uncached = [&syslog[..], &["--log-opt", "cache-disabled=true"]].concat();
    let _uncached = containers.run(&uncached, "echo gone; sleep 1000");
    let lossy = ["--log-opt", "mode=non-blocking", "--label", "runlog.run-id=lossy"];
    let _lossy = containers.run(&lossy, "echo quick");

    assert_eq!(bodies(&agent.eventually_lines("syslog", 1)), ["cached"]);
    let marked = agent.eventually_lines("lossy", 1);
    assert_eq!(marked[0].attribute("runlog.source.lossy"), "true");
    let mut warnings = eventually("both that cannot be read, and the one that may lose lines, are told", || {
        Some(agent.messages_of("WARN")).filter(|warnings| warnings.len() >= 3)
    });
    warnings.sort();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    for (said, times) in [("its log driver keeps nothing", 2), ("mode=non-blocking", 1)] {
        assert_eq!(warnings.iter().filter(|warning| warning.contains(said)).count(), times, "{said}: {warnings:#?}");
    }
}

#[test]
fn d19_a_log_of_one_small_file_is_read_to_its_end() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    let rotated = ["--log-opt", "max-size=16k", "--log-opt", "max-file=1", "--label", "runlog.run-id=small"];
    let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; usleep 100; done; echo end";
    let _container = containers.run(&rotated, script);
    let lines = eventually("the end", || {
        Some(agent.lines("small")).filter(|lines| lines.last().is_some_and(|line| line.body() == "end"))
    });
    let numbers: Vec<u32> = lines.iter().filter_map(|line| line.body().strip_prefix("line ")?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "the engine repeats lines when it rotates");
    let whole = numbers.len() == 3_000;
    assert!(whole || lines.iter().any(|line| line.text("event_name") == "runlog.gap"), "{} lines", numbers.len());
}

#[test]
fn d14_d22_an_engine_that_hangs_or_is_killed_while_containers_go_on_costs_no_line() {
    let engine = Engine::with(&["--live-restore"]);
    let containers = Containers::on(&engine.host());
    let mut agent = containers.agent().set("RUNLOG_DOCKER_INCLUDE", "").start();
    let script = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo out $i; echo err $i >&2; usleep 2000; done; echo end";
    let container = containers.run(&["--label", "runlog.run-id=flood", "--log-opt", "max-size=500m"], script);
    let _ = agent.eventually_lines("flood", 100);
    let is_missed = || {
        eventually("the agent misses the engine", || {
            agent.status()["degraded"].to_string().contains("Docker engine").then_some(())
        });
    };
    let is_back = || {
        eventually("nothing is degraded any more", || {
            agent.status()["degraded"].as_array().is_some_and(Vec::is_empty).then_some(())
        });
        let count = agent.lines("flood").len();
        let _ = agent.eventually_lines("flood", count + 100);
    };

    engine.freeze();
    is_missed();
    engine.thaw();
    is_back();
    engine.kill();
    is_missed();
    engine.up();
    is_back();

    container.shell("touch /stop");
    assert_eq!(container.wait(), 0, "the container was not ended by its engine");
    let printed = container.logs();
    assert!(agent.terminate().status.success());
    let lines = agent.lines("flood");
    for (stream, printed) in [("stdout", &printed.0), ("stderr", &printed.1)] {
        let kept: Vec<_> = lines.iter().filter(|line| line.text("stream") == stream).map(Line::body).collect();
        assert!(
            printed.lines().eq(kept.iter().copied()),
            "{stream}: {} lines of {}",
            kept.len(),
            printed.lines().count()
        );
    }
}

#[test]
fn h11_a_proxy_that_allows_only_what_is_documented_never_has_to_refuse() {
    let containers = Containers::new();
    let proxy = SocketProxy::before(docker_host());
    let finding = containers.agent().set("RUNLOG_DOCKER_FILES", "auto");
    let mut agent = finding.set("RUNLOG_DOCKER_HOST", proxy.host()).start();
    let _ended = containers.run_to_end(&["--label", "runlog.run-id=ended"], "echo ended; exit 0");
    let _terminal = containers.run(&["--tty", "--label", "runlog.run-id=terminal"], "echo terminal; sleep 1000");
    let script = "echo begin; while [ ! -e /go ]; do sleep 0.05; done; echo after; sleep 1000";
    let through_engine = ["--log-driver", "local", "--label", "runlog.run-id=lives"];
    let lives = containers.run(&through_engine, script);
    let removed = containers.run(&["--label", "runlog.run-id=removed"], "echo removed; sleep 1000");
    for run in ["ended", "terminal", "lives", "removed"] {
        let _ = agent.eventually_lines(run, 1);
    }
    removed.remove();
    assert!(agent.run(&["check"]).status.success());
    agent.kill();
    lives.shell("touch /go");
    agent.start();
    assert_eq!(bodies(&agent.eventually_lines("lives", 2)), ["begin", "after"]);
    lives.restart();
    let _ = agent.eventually_lines("lives", 3);
    assert!(agent.terminate().status.success());

    assert_eq!(proxy.refused(), Vec::<String>::new());
    let asked: BTreeSet<String> = proxy.allowed().into_iter().map(|asked| asked.replace(&lives.id, "ID")).collect();
    for path in ["_ping", "version", "info", "events", "containers/json", "containers/ID/json", "containers/ID/logs"] {
        assert!(asked.contains(&format!("GET /{path}")), "{path} was not seen: {asked:?}");
    }
}

#[test]
fn what_a_container_prints_into_the_journal_is_read_through_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::beside(Journal::start(folder.path().to_owned(), &[]));
    let containers = Containers::on(&engine.host());
    for files in ["off", "auto"] {
        let mut agent = containers.agent().set("RUNLOG_DOCKER_FILES", files).start();
        let run = format!("runlog.run-id=journal-{files}");
        let long = "x".repeat(20_000);
        let script = "echo before; echo bad >&2; head -c 20000 /dev/zero | tr '\\0' x; echo; \
                      while [ ! -e /go ]; do sleep 0.05; done; echo after";
        let container = containers.run(&["--log-driver", "journald", "--label", &run], script);
        let run = &run["runlog.run-id=".len()..];
        let _ = agent.eventually_lines(run, 3);
        agent.kill();
        container.shell("touch /go");
        assert_eq!(container.wait(), 0);
        agent.start();
        let _ = agent.eventually_lines(run, 4);
        assert!(agent.terminate().status.success());
        let lines = agent.lines(run);
        let of = |stream: &str| -> Vec<_> {
            lines.iter().filter(|line| line.text("stream") == stream).map(Line::body).collect()
        };
        assert!(of("stdout") == ["before", &long, "after"], "{} lines", of("stdout").len());
        assert_eq!(of("stderr"), ["bad"]);
    }
}
