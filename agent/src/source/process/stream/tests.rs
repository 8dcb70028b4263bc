use std::collections::BTreeMap;

use tokio::{
    io::{DuplexStream, duplex, sink},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::*;
use crate::{
    record::{Ledger, Resource, Severity, SystemClock},
    source::{Outlet, Received, intake, stop_switch},
};

const LONG: Duration = Duration::from_secs(3_600);

/// A copy at work, and what is around it.
struct Site {
    pipe: DuplexStream,
    exit: watch::Sender<Option<Instant>>,
    outlet: Outlet,
    copy: JoinHandle<()>,
}

fn start(shown: impl AsyncWrite + Unpin + Send + 'static) -> Site {
    let (intake, outlet) = intake(16 << 20);
    let context = Context {
        intake,
        stop: stop_switch().1,
        ledger: Arc::new(Ledger::default()),
        positions: Arc::new(BTreeMap::new()),
        clock: Arc::new(SystemClock),
    };
    let tagging = Tagging {
        resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
    };
    let (pipe, theirs) = duplex(PIPE_BYTES);
    let (exit, exited) = watch::channel(None);
    let output = Output::new(Name::Stdout, &tagging, &context, LONG);
    Site { pipe, exit, outlet, copy: tokio::spawn(output.copy(theirs, shown, exited)) }
}

/// What was collected of the one stream, which was closed at its end.
fn collected(outlet: &Outlet) -> Vec<u8> {
    let (mut bytes, mut endings) = (Vec::new(), Vec::new());
    while let Received::Input(Input::Chunk(chunk)) = outlet.receive(std::time::Instant::now()) {
        bytes.extend(&chunk.data);
        endings.push(chunk.ending);
    }
    assert_eq!(endings.iter().filter(|ending| **ending == Ending::Closed).count(), 1);
    assert_eq!(endings.last(), Some(&Ending::Closed));
    bytes
}

// It was given up two seconds after the exit, and what was in the pipe was lost.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_shown_everything_though_the_process_has_ended_long_ago() {
    let (shown, mut reader) = duplex(16);
    let mut site = start(shown);
    let printed: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    site.pipe.write_all(&printed).await.unwrap();
    drop(site.pipe);
    site.exit.send_replace(Some(Instant::now()));
    sleep(LONG).await;

    let mut seen = Vec::new();
    reader.read_to_end(&mut seen).await.unwrap();
    site.copy.await.unwrap();
    assert!(seen == printed, "{} of {} bytes are shown", seen.len(), printed.len());
    assert!(collected(&site.outlet) == printed);
}

#[tokio::test(start_paused = true)]
async fn what_the_process_left_is_shown_to_a_slow_reader_though_a_grandchild_holds_the_pipe() {
    let (shown, mut reader) = duplex(16);
    let mut site = start(shown);
    let printed = vec![b'x'; 300_000];
    site.pipe.write_all(&printed).await.unwrap();
    site.exit.send_replace(Some(Instant::now()));
    sleep(LONG).await;

    let mut seen = Vec::new();
    reader.read_to_end(&mut seen).await.unwrap();
    site.copy.await.unwrap();
    assert!(seen == printed, "{} of {} bytes are shown", seen.len(), printed.len());
}

// The copy was aborted, and with it went the line that had begun.
#[tokio::test(start_paused = true)]
async fn a_begun_line_is_kept_though_a_grandchild_holds_the_pipe() {
    let mut site = start(sink());
    site.pipe.write_all(b"whole\nbegun").await.unwrap();
    site.exit.send_replace(Some(Instant::now()));

    timeout(2 * AFTER_EXIT, site.copy).await.expect("it ends").unwrap();
    assert_eq!(collected(&site.outlet), b"whole\nbegun");
}

#[tokio::test(start_paused = true)]
async fn a_grandchild_that_prints_on_and_on_holds_nobody() {
    let mut site = start(sink());
    let grandchild = tokio::spawn(async move {
        let line = [b'x'; 4 * 1024];
        while site.pipe.write_all(&line).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    });
    site.exit.send_replace(Some(Instant::now()));

    timeout(10 * AFTER_EXIT, site.copy).await.expect("it ends").unwrap();
    grandchild.await.unwrap();
    drop(collected(&site.outlet));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_silent_for_long_is_waited_for() {
    let mut site = start(sink());
    sleep(LONG).await;
    site.pipe.write_all(b"at last").await.unwrap();
    drop(site.pipe);
    site.copy.await.unwrap();
    assert_eq!(collected(&site.outlet), b"at last");
}

// The line that a loss had broken off was counted as none.
#[tokio::test(start_paused = true)]
async fn p1_each_line_that_is_not_there_whole_is_counted_as_lost() {
    let (intake, outlet) = intake(2 * 4096);
    let context = Context {
        intake,
        stop: stop_switch().1,
        ledger: Arc::new(Ledger::default()),
        positions: Arc::new(BTreeMap::new()),
        clock: Arc::new(SystemClock),
    };
    let resource = Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() });
    let tagging = Tagging { resource, attributes: Vec::new(), level: Severity::TRACE };
    let mut output = Output::new(Name::Stdout, &tagging, &context, Duration::ZERO);
    for piece in ["a\nb\nto", "rn\nc\n", "lost\nthe be", "gin\nlost\nthe end "] {
        output.collect(piece.as_bytes()).await;
    }
    let lost = |output: &Output| output.tally.lines_lost.load(Ordering::Relaxed);
    assert_eq!(lost(&output), 3, "two pieces found room");
    while let Received::Input(input) = outlet.receive(std::time::Instant::now()) {
        drop(input);
    }
    output.collect(b"of a lost one\nd\n").await;
    assert_eq!(lost(&output), 4);
}
