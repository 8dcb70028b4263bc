//! The service at work.

use runlog_tests::{Containers, Line, eventually};

use crate::machine_with_runlog;

#[test]
fn a_file_a_unit_and_a_container_are_collected() {
    let containers = Containers::new();
    let machine = machine_with_runlog();
    machine.run(&format!(
        "cat >/etc/systemd/system/runlog.service.d/sources.conf <<END
[Service]
Environment=RUNLOG_JOURNAL_UNITS=train.service
Environment=RUNLOG_DOCKER_COLLECT=on RUNLOG_DOCKER_HOST=unix:///docker.sock
Environment=RUNLOG_DOCKER_INCLUDE=label={}
SupplementaryGroups=root
END
systemctl daemon-reload && systemctl restart runlog",
        containers.label()
    ));
    let _container = containers.run_to_end(&["--label", "runlog.run-id=r"], "echo from a container");
    machine
        .run("systemd-run --quiet --wait --unit train.service echo from a unit && echo from a file >>/srv/train.log");
    for body in ["from a container", "from a unit", "from a file"] {
        machine.eventually_has("r", body);
    }
}

#[test]
fn a_reload_takes_new_settings_without_a_new_process_and_wrong_ones_change_nothing() {
    let machine = machine_with_runlog();
    let pid = machine.property("runlog", "MainPID");
    machine.run("echo 'level = \"debug\"' >>/etc/runlog/runlog.toml && systemctl reload runlog");
    eventually("the new level holds", || {
        machine.run("echo 'DEBUG new level' >>/srv/train.log");
        machine.lines("r").iter().any(|line| line.body() == "DEBUG new level").then_some(())
    });
    machine.run("echo 'level = \"loud\"' >/etc/runlog/runlog.toml && systemctl reload runlog");
    eventually("the fault is told", || {
        machine.run("journalctl --unit runlog --output cat").contains("going on with the old ones").then_some(())
    });
    assert_eq!(machine.run("systemctl is-active runlog"), "active");
    assert_eq!(machine.property("runlog", "MainPID"), pid);
    // `runlog logs` reads the same file, and would refuse to go on with it.
    machine.run("echo 'level = \"info\"' >/etc/runlog/runlog.toml && echo 'DEBUG still' >>/srv/train.log");
    machine.eventually_has("r", "DEBUG still");
}

#[test]
fn one_that_does_not_move_is_killed_and_started_again_and_loses_nothing() {
    let machine = machine_with_runlog();
    machine.run(
        "printf '[Service]\\nWatchdogSec=10s\\n' >/etc/systemd/system/runlog.service.d/watchdog.conf &&
         systemctl daemon-reload && systemctl restart runlog && echo before >>/srv/train.log",
    );
    machine.eventually_has("r", "before");
    let pid = machine.property("runlog", "MainPID");
    machine.run(&format!("kill -STOP {pid} && echo while it stands >>/srv/train.log"));
    eventually("systemd starts another", || {
        let other = machine.property("runlog", "MainPID");
        (other != "0" && other != pid && machine.property("runlog", "NRestarts") != "0").then_some(())
    });
    machine.run("echo after >>/srv/train.log");
    machine.eventually_has("r", "after");
    let lines = machine.lines("r");
    let bodies: Vec<&str> = lines.iter().map(Line::body).collect();
    assert_eq!(bodies, ["before", "while it stands", "after"]);
}

#[test]
fn a_stop_reads_to_the_end_and_the_last_line_needs_no_line_feed() {
    let machine = machine_with_runlog();
    machine.run("echo first >>/srv/train.log");
    machine.eventually_has("r", "first");
    machine.run("seq 2 20000 >>/srv/train.log; printf 'the end' >>/srv/train.log; systemctl stop runlog");
    assert_eq!(machine.property("runlog", "Result"), "success");
    let lines = machine.lines("r");
    assert_eq!(lines.len(), 20_001);
    assert_eq!(lines.last().unwrap().body(), "the end");
}

#[test]
fn a_stop_while_the_backend_is_away_is_no_failed_unit() {
    let machine = machine_with_runlog();
    machine.run(
        "printf 'RUNLOG_EXPORT_ENDPOINT=http://127.0.0.1:9\\nRUNLOG_STOP_GRACE=100ms\\n' >>/etc/runlog/runlog.env &&
         systemctl restart runlog && echo epoch 1 >>/srv/train.log && systemctl stop runlog",
    );
    assert_eq!(machine.property("runlog", "ExecMainStatus"), "75");
    assert_eq!(machine.property("runlog", "Result"), "success");
    assert_eq!(machine.property("runlog", "ActiveState"), "inactive");
}

#[test]
fn headers_that_only_root_may_read_are_sent() {
    let machine = machine_with_runlog();
    let server = r#"my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:4444") or die;
        while (my $client = $server->accept) {
            open my $heads, ">>", "/srv/heads"; while (<$client>) { last if /^\r$/; print $heads $_ } close $heads;
            print $client "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"; close $client;
        }"#;
    machine.run(&format!(
        "systemd-run --quiet --unit backend perl -MIO::Socket::INET -e '{server}' &&
         install --mode 600 /dev/null /etc/runlog/headers && echo x-secret=hidden >/etc/runlog/headers &&
         echo RUNLOG_EXPORT_ENDPOINT=http://127.0.0.1:4444 >>/etc/runlog/runlog.env && systemctl restart runlog &&
         echo epoch 1 >>/srv/train.log"
    ));
    let sent = || machine.output("grep -qi 'x-secret: hidden' /srv/heads").status.success();
    eventually("the header is sent", || sent().then_some(()));
    machine.run("! su -s /bin/sh runlog -c 'cat /etc/runlog/headers' 2>/dev/null");
}
