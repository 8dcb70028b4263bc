//! Clocks, time zones, and a process that is given no time.

use std::{
    os::unix::net::UnixDatagram,
    thread,
    time::{Duration, Instant},
};

use runlog_tests::{Agent, Found, Trainer};
use rustix::process::{Pid, Signal, kill_process};

use super::append;

#[test]
fn s11_an_agent_that_was_suspended_goes_on_as_if_nothing_had_been() {
    let mut agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(1_000);
    agent.eventually_stored("r", 1_000);
    agent.signal("STOP");
    trainer.print(20_000);
    let printed = trainer.finish();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(agent.stored("r"), 1_000, "it was not suspended");
    agent.signal("CONT");
    agent.eventually_stored("r", 21_000);
    assert_eq!(agent.get("/livez"), r#"{"live":true,"stuck":[]}"#);
    agent.is_live("r");
    assert_eq!(agent.terminate().status.code(), Some(0));
    Found::in_store(&agent, "r").accounts_for(&[printed]);
}

#[test]
fn s18_a_time_without_a_zone_is_local_and_one_with_a_zone_is_not() {
    let printed = "2026-03-01 12:00:00,000 - train - INFO - local\n2026-03-01T12:00:00+02:00 INFO zoned\n";
    for (zone, local) in [
        ("UTC0", "2026-03-01T12:00:00Z"),
        ("IST-5:30", "2026-03-01T06:30:00Z"),
        ("EST5EDT,M3.2.0,M11.1.0", "2026-03-01T17:00:00Z"),
        ("Europe/Nowhere", "2026-03-01T12:00:00Z"),
    ] {
        let agent = Agent::builder().set("TZ", zone).set("LC_ALL", "tr_TR.UTF-8").start();
        append(&agent.path("a.log"), printed);
        let lines = agent.eventually_lines("r", 2);
        let times: Vec<&str> = lines.iter().map(|line| line.text("time")).collect();
        assert_eq!(times, [local, "2026-03-01T10:00:00Z"], "TZ={zone}");
    }
}

#[test]
fn s21_an_agent_with_a_twentieth_of_a_cpu_collects_and_is_not_taken_for_stuck() {
    let mut agent = Agent::builder().prepare();
    let socket = agent.path("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_nonblocking(true).unwrap();
    agent.set("NOTIFY_SOCKET", socket.to_str().unwrap());
    agent.set("WATCHDOG_USEC", "1000000");
    agent.start();
    let pid = Pid::from_raw(agent.pid().cast_signed()).unwrap();
    let hears = || {
        let mut buffer = [0; 64];
        let heard = std::iter::from_fn(|| systemd.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
        heard.map(|bytes| String::from_utf8(bytes).unwrap()).collect::<Vec<_>>()
    };
    append(&agent.path("a.log"), &"a line\n".repeat(1_000));
    let mut heard = Vec::new();
    let is_well = |heard: &[String]| heard.iter().filter(|state| *state == "WATCHDOG=1").count() >= 2;
    let began = Instant::now();
    // For longer than the watchdog waits, and until it has heard twice: on a busy machine a twentieth is less.
    while began.elapsed() < Duration::from_secs(4) || !is_well(&heard) {
        assert!(began.elapsed() < Duration::from_secs(120), "{heard:?}");
        for (signal, time) in [(Signal::STOP, 190), (Signal::CONT, 10)] {
            kill_process(pid, signal).unwrap();
            thread::sleep(Duration::from_millis(time));
        }
        heard.extend(hears());
    }
    assert!(heard.contains(&"READY=1".to_owned()), "{heard:?}");
    agent.eventually_stored("r", 1_000);
    assert_eq!(agent.terminate().status.code(), Some(0));
    // A last sign of life may be behind it.
    assert!(hears().contains(&"STOPPING=1".to_owned()));
}
