//! Many files, few descriptors, and one source that is louder than all others.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use runlog_tests::{Agent, eventually};

use super::append;

#[test]
fn s7_few_descriptors_hold_back_no_file_and_survive_a_crowd_of_clients() {
    const FILES: u64 = 500;
    let mut agent = Agent::builder().under(&["prlimit", "--nofile=64:64", "--"]).prepare();
    for file in 0..FILES {
        append(&agent.path(&format!("{file}.log")), &format!("first of {file}\n"));
    }
    agent.start();
    agent.eventually_stored("r", FILES);

    let address = agent.address().strip_prefix("http://").unwrap().to_owned();
    let connect = || TcpStream::connect(&address).unwrap();
    let crowd: Vec<TcpStream> = (0..64).map(|_| connect()).collect();
    assert!(!is_answered(connect()), "there is room for more clients than descriptors");
    for file in 0..FILES {
        append(&agent.path(&format!("{file}.log")), &format!("second of {file}\n"));
    }
    agent.eventually_stored("r", 2 * FILES);
    drop(crowd);
    eventually("the server answers again", || is_answered(connect()).then_some(()));
    assert_eq!(agent.terminate().status.code(), Some(0));
    assert_eq!(agent.lines("r").iter().filter(|line| line.body().starts_with("second of ")).count() as u64, FILES);
}

#[test]
fn s7_without_a_free_descriptor_all_waits_and_goes_on_when_there_is_one() {
    let mut agent = Agent::builder().start();
    agent.is_live("r");
    let limit = |files: usize| {
        let limit = format!("--nofile={files}:");
        assert!(Command::new("prlimit").args(["--pid", &agent.pid().to_string(), &limit]).status().unwrap().success());
    };
    limit(agent.bounds().open_files);
    for file in 0..10 {
        append(&agent.path(&format!("new-{file}.log")), "a line\n");
    }
    let address = agent.address().strip_prefix("http://").unwrap().to_owned();
    let connect = || TcpStream::connect(&address).unwrap();
    let crowd: Vec<TcpStream> = (0..8).map(|_| connect()).collect();
    eventually("it wants for descriptors", || agent.messages().contains("Too many open files").then_some(()));
    assert!(!is_answered(connect()), "there was another descriptor for a client");
    limit(1024);
    drop(crowd);
    eventually("the server answers again", || is_answered(connect()).then_some(()));
    agent.eventually_stored("r", 11);
    agent.is_live("r");
    assert_eq!(agent.terminate().status.code(), Some(0));
}

/// Whether the server answers on that connection, soon.
fn is_answered(mut connection: TcpStream) -> bool {
    connection.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    connection.write_all(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1")
}

/// Seconds of CPU so far.
fn cpu(agent: &Agent) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // User and system time, in ticks of a hundredth: proc_pid_stat(5).
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

#[test]
fn s8_two_thousand_idle_files_keep_nobody_busy() {
    const FILES: u64 = 2_000;
    let mut agent = Agent::builder().prepare();
    for file in 0..FILES {
        append(&agent.path(&format!("{file}.log")), "a line\n");
    }
    agent.start();
    agent.eventually_stored("r", FILES);
    let mut before = (Instant::now(), cpu(&agent));
    eventually("they cost less than 5 % of a CPU", || {
        let (since, used) = (before.0.elapsed().as_secs_f64(), cpu(&agent) - before.1);
        if since < 2.0 {
            return None;
        }
        before = (Instant::now(), cpu(&agent));
        (used / since < 0.05).then_some(())
    });
    agent.is_live("r");
}

#[test]
fn s9_a_flood_in_one_file_does_not_hold_back_lines_of_another() {
    /// As much as is written at most, so that no disk is filled.
    const FLOOD: usize = 600 << 20;
    let agent = Agent::builder().set("RUNLOG_LEVEL", "INFO").start();
    let (is_over, flooded) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let lines = "DEBUG:flood:a line of which there are too many, and which nobody asked for\n".repeat(4_096);
            let mut file = fs::File::create(agent.path("flood.log")).unwrap();
            while flooded.load(Ordering::Relaxed) < FLOOD && !is_over.load(Ordering::Relaxed) {
                file.write_all(lines.as_bytes()).unwrap();
                flooded.fetch_add(lines.len(), Ordering::Relaxed);
            }
        });
        // It is far behind before the first line is printed.
        agent.eventually_metric("runlog_lag_bytes{source=\"file\"}", (128 << 20) as f64);
        for number in 1..=3 {
            let before = flooded.load(Ordering::Relaxed);
            append(&agent.path("quiet.log"), &format!("INFO:quiet:line {number}\n"));
            eventually("the quiet line is stored", || (agent.lines("r").len() >= number).then_some(()));
            let read = agent.metric("runlog_read_bytes_total{source=\"file\"}");
            println!("line {number} came behind {read} of {before} bytes that were printed before it");
            assert!(read < before as f64, "it has waited for all of {before} bytes before it: {read}");
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap();
    });
}
