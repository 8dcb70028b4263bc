//! The source against an engine that is made for the test, over a real socket.

mod ends;
mod engine;
mod lives;
mod progress;
mod sink;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use engine::{FakeContainer, FakeEngine};
use sink::Sink;
use tokio::task::JoinHandle;

use super::{fleet::Fleet, own::OwnContainer, reader::Shared, tagging::Tags, *};
use crate::{
    config::Switch,
    record::{Clock, Ledger, Resource, Severity, SystemClock},
    run::RunId,
    source::{StopSwitch, intake, stop_switch},
};

/// A source that runs.
struct Source {
    task: JoinHandle<()>,
    switch: StopSwitch,
    health: watch::Receiver<Health>,
    ledger: Arc<Ledger>,
    ways: Arc<Ways>,
    sink: Sink,
}

/// How often containers are listed where nothing is to be found by a list.
const NEVER: Duration = Duration::from_secs(3_600);

fn config(socket: &Path) -> Config {
    let (include, exclude) = (Vec::new(), Vec::new());
    Config { collect: Switch::On, socket: socket.to_owned(), include, exclude, read_exited: true, files: Folder::None }
}

impl Source {
    fn start(config: Config, positions: BTreeMap<String, Vec<u8>>) -> Self {
        Self::listing_every(Duration::from_millis(100), config, positions)
    }

    fn listing_every(list_every: Duration, config: Config, positions: BTreeMap<String, Vec<u8>>) -> Self {
        let (intake, outlet) = intake(1024 * 1024);
        let (switch, stop) = stop_switch();
        let (sender, health) = health();
        let ledger = Arc::<Ledger>::default();
        let ways = Arc::<Ways>::default();
        let context = Context {
            intake,
            stop,
            ledger: Arc::clone(&ledger),
            positions: Arc::new(positions),
            clock: Arc::new(SystemClock),
        };
        let tagger = Box::new(|container: &tagging::Container| Tags {
            name: container.name.clone(),
            resource: Arc::new(Resource { run_id: container.name.clone(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::TRACE,
            is_joined: true,
        });
        let run_id = RunId::new("of-the-agent").unwrap();
        let shared = Shared {
            config,
            context,
            tagger,
            own: OwnContainer::default(),
            run_id,
            began: SystemClock.now(),
            fates: Arc::default(),
            ways: Arc::clone(&ways),
            silence: Duration::from_millis(100),
            list_every,
        };
        let task = tokio::spawn(Fleet::new(shared, sender).run());
        Self { task, switch, health, ledger, ways, sink: Sink::start(outlet) }
    }

    /// Waits until the engine was heard to have removed that container.
    async fn hears_removal(&self, id: &str) {
        let heard = async {
            while !self.ways.is_gone(id) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap();
    }

    /// Stops it; returns what was received, and the positions that the queue then has.
    async fn stop(self) -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, Vec<u8>>) {
        self.switch.throw();
        self.task.await.unwrap();
        self.sink.finish()
    }

    /// Stops it; returns what was told.
    async fn stop_and_hear(self) -> Vec<(&'static str, String)> {
        self.switch.throw();
        self.task.await.unwrap();
        self.sink.told()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn running_ended_and_later_containers_are_read_each_line_once() {
    let engine = FakeEngine::start();
    engine.add("running", FakeContainer::running().line("stdout", "r1\n").line("stderr", "e1\n"));
    engine.add("ended", FakeContainer::ended().line("stdout", "x1\n").line("stdout", "x2\n"));
    engine.add("terminal", FakeContainer::running().terminal().line("stdout", "t1\r\n"));
    engine.add("created", FakeContainer::created());
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());

    source.sink.has("running/stdout", "r1\n").await;
    source.sink.has("running/stderr", "e1\n").await;
    source.sink.has("ended/stdout", "x1\nx2\n").await;
    source.sink.is_closed("ended/stdout").await;
    source.sink.has("terminal/stdout", "t1\r\n").await;
    engine.add("later", FakeContainer::running().line("stdout", "l1\n"));
    source.sink.has("later/stdout", "l1\n").await;
    engine.line("running", "stdout", "r2\n");
    engine.end("later");
    source.sink.is_closed("later/stdout").await;
    source.health.wait_for(|health| health.containers == 2).await.unwrap();
    assert_eq!(source.health.borrow().state, State::Collecting);

    let (received, _) = source.stop().await;
    assert_eq!(text(&received["running/stdout"]), "r1\nr2\n");
    assert_eq!(received.len(), 5, "{:?}", received.keys());
}

#[tokio::test]
async fn d3_a_connection_that_breaks_anywhere_costs_no_byte_and_repeats_none() {
    let engine = FakeEngine::start();
    let mut container = FakeContainer::running().times_go_back();
    let mut expected = [String::new(), String::new()];
    for n in 0..300 {
        let stream = ["stdout", "stderr"][usize::from(n % 3 == 0)];
        let line = format!("line {}\n", n / 7);
        expected[usize::from(n % 3 == 0)].push_str(&line);
        container = container.line(stream, &line);
    }
    engine.add("trainer", container);
    // Each connection ends inside a frame a little further on.
    engine.cut_connections_at((1..15).map(|n| n * 831).collect());
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());

    engine.end("trainer");
    source.sink.is_closed("trainer/stdout").await;

    let (received, _) = source.stop().await;
    assert_eq!(text(&received["trainer/stdout"]), expected[0]);
    assert_eq!(text(&received["trainer/stderr"]), expected[1]);
    assert!(engine.connections() > 14, "{} connections", engine.connections());
}

#[tokio::test]
async fn d1_lines_that_the_engine_keeps_back_are_asked_for_again() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "one\n").line("stderr", "two\n"));
    engine.stall_after(2);
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stderr", "two\n").await;
    engine.is_asked_for_the_newest(1).await;
    assert_eq!(engine.connections(), 1, "nothing is kept back");

    engine.line("trainer", "stdout", "three\n");

    source.sink.has("trainer/stdout", "one\nthree\n").await;
    assert_eq!(engine.connections(), 2, "the first connection has sent it");
    source.stop().await;
}

#[tokio::test]
async fn d1_a_container_that_is_silent_keeps_its_connection() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "one\n"));
    engine.add("mute", FakeContainer::running());
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "one\n").await;
    engine.is_asked_for_the_newest(6).await;
    assert_eq!(engine.connections(), 2);
    source.stop().await;
}

#[tokio::test]
async fn d20_lines_that_an_engine_hides_since_its_clock_went_back_are_found() {
    let mut engine = FakeEngine::start();
    engine.hide_each_older_line();
    engine.add("trainer", FakeContainer::running().line("stdout", "one\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "one\n").await;
    // The second connection asks for what is newer than the line.
    engine.kill().await;
    engine.start_listening();
    engine.is_asked_for_the_newest(1).await;
    let connections = engine.connections();

    engine.set_clock_back("trainer");
    engine.line("trainer", "stdout", "two\n");

    source.sink.has("trainer/stdout", "one\ntwo\n").await;
    assert!(engine.connections() > connections, "it was hidden");
    source.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_agent_goes_on_at_the_line_that_was_not_finished() {
    let engine = FakeEngine::start();
    let piece = "x".repeat(frame::PIECE);
    engine.add(
        "trainer",
        FakeContainer::running().line("stdout", "one\n").line("stdout", "two\n").line("stdout", &piece),
    );
    engine.add("ended", FakeContainer::ended().line("stdout", "e\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", &format!("one\ntwo\n{piece}")).await;
    source.sink.is_closed("ended/stdout").await;
    engine.line("trainer", "stderr", "while it stops\n");
    let (received, positions) = source.stop().await;
    assert_eq!(text(&received["trainer/stderr"]), "while it stops\n");

    engine.line("trainer", "stdout", "end\n");
    let mut source = Source::start(config(engine.socket()), positions);
    source.sink.has("trainer/stdout", &format!("{piece}end\n")).await;

    let (received, _) = source.stop().await;
    assert_eq!(received.keys().collect::<Vec<_>>(), ["trainer/stdout"], "all else was read before");
}

#[tokio::test]
async fn d24_a_line_without_its_end_is_ended_with_its_container_that_is_started_again() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "first\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "first\n").await;
    engine.line("trainer", "stdout", "cut");
    engine.end("trainer");
    source.sink.is_closed("trainer/stdout").await;

    engine.start_again("trainer");
    engine.line("trainer", "stdout", "second\n");
    source.sink.has("trainer/stdout", "first\ncutsecond\n").await;

    let (received, _) = source.stop().await;
    assert_eq!(text(&received["trainer/stdout"]), "first\ncutsecond\n");
}

#[tokio::test]
async fn a_run_starts_and_ends_with_its_container_and_both_are_told_once() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "first\n"));
    engine.add("of-the-agent", FakeContainer::running().line("stdout", "not its own run\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "first\n").await;
    source.sink.has("of-the-agent/stdout", "not its own run\n").await;
    engine.end("of-the-agent");
    engine.end("trainer");
    source.sink.has_events(&["ml.run.start", "ml.run.end"]).await;
    engine.start_again("trainer");
    engine.line("trainer", "stdout", "second\n");
    source.sink.has_events(&["ml.run.start", "ml.run.end", "ml.run.start"]).await;
    let (_, positions) = source.stop().await;

    // The next agent goes on with it, and one after that has nothing to tell.
    let mut source = Source::start(config(engine.socket()), positions);
    engine.line("trainer", "stdout", "third\n");
    source.sink.has("trainer/stdout", "third\n").await;
    engine.end("trainer");
    source.sink.has_events(&["ml.run.end"]).await;
    let (_, positions) = source.stop().await;
    let mut source = Source::start(config(engine.socket()), positions);
    source.health.wait_for(|health| health.state == State::Collecting).await.unwrap();
    source.health.wait_for(|health| health.containers == 0).await.unwrap();
    source.sink.has_events(&[]).await;
    drop(source.stop().await);
}

#[tokio::test]
async fn a_removed_container_is_forgotten() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "first\n"));
    engine.add("old", FakeContainer::ended().line("stdout", "old\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "first\n").await;
    source.sink.is_closed("old/stdout").await;

    engine.end("trainer");
    engine.remove("trainer");
    engine.remove("old");
    source.sink.is_forgotten("trainer/stdout").await;
    source.sink.is_forgotten("old/stdout").await;

    // Positions of containers that were removed while nobody looked.
    let stale = BTreeMap::from([("docker/gone/stdout".to_owned(), vec![1])]);
    drop(source.stop().await);
    let mut source = Source::start(config(engine.socket()), stale);
    source.sink.is_forgotten("gone/stdout").await;
    source.stop().await;
}

#[tokio::test]
async fn d14_an_engine_that_goes_away_and_comes_back_is_collected_again() {
    let mut engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "before\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "before\n").await;

    engine.kill().await;
    source.health.wait_for(|health| matches!(health.state, State::Degraded(_))).await.unwrap();
    engine.line("trainer", "stdout", "meanwhile\n");
    engine.start_listening();
    source.sink.has("trainer/stdout", "before\nmeanwhile\n").await;
    source.health.wait_for(|health| health.state == State::Collecting).await.unwrap();

    let (received, _) = source.stop().await;
    assert_eq!(text(&received["trainer/stdout"]), "before\nmeanwhile\n");
}

#[tokio::test]
async fn an_engine_that_appears_later_is_collected() {
    let mut engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "early\n"));
    engine.kill().await;
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.health.wait_for(|health| matches!(health.state, State::Degraded(_))).await.unwrap();
    engine.start_listening();
    source.sink.has("trainer/stdout", "early\n").await;
    assert_eq!(source.health.borrow().state, State::Collecting);
    source.stop().await;
}

#[tokio::test]
async fn an_absent_engine_is_waited_for_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let mut source = Source::start(config(&socket), BTreeMap::new());
    let health = source.health.wait_for(|health| health.state != State::Waiting).await.unwrap().clone();
    let State::Degraded(reason) = health.state else { panic!("{health:?}") };
    let reason = reason.replace(&*socket.to_string_lossy(), "SOCKET");
    assert_eq!(
        reason,
        "no Docker engine at SOCKET (docker.host); start it, mount the socket, or set RUNLOG_DOCKER_COLLECT=off"
    );
    assert!(!source.task.is_finished());
    source.stop().await;
}

#[tokio::test]
async fn containers_that_had_ended_are_left_alone_if_so_configured() {
    let engine = FakeEngine::start();
    engine.add("ended", FakeContainer::ended().line("stdout", "old\n"));
    engine.add("running", FakeContainer::running().line("stdout", "r\n"));
    let mut source = Source::start(Config { read_exited: false, ..config(engine.socket()) }, BTreeMap::new());
    source.sink.has("running/stdout", "r\n").await;
    // Events from shortly before the start told of it once more, and it was read.
    engine.recall("ended");
    engine.add("short", FakeContainer::ended().line("stdout", "gone at once\n"));
    source.sink.is_closed("short/stdout").await;

    let (received, _) = source.stop().await;
    assert_eq!(received.keys().collect::<Vec<_>>(), ["running/stdout", "short/stdout"]);
}

#[tokio::test]
async fn d9_an_error_inside_the_logs_is_no_line_and_they_are_read_on() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "one\n"));
    engine.error_in_next_answer("Error grabbing logs: invalid character\n");
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "one\n").await;
    let (received, _) = source.stop().await;
    assert_eq!(text(&received["trainer/stdout"]), "one\n");
}

#[tokio::test]
async fn d23_two_hundred_containers_are_read_at_once_over_one_connection_each() {
    let engine = FakeEngine::start();
    for n in 0..200 {
        engine.add(&format!("c{n}"), FakeContainer::running().line("stdout", "line\n"));
    }
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    for n in 0..200 {
        source.sink.has(&format!("c{n}/stdout"), "line\n").await;
        engine.line(&format!("c{n}"), "stdout", "more\n");
    }
    for n in 0..200 {
        source.sink.has(&format!("c{n}/stdout"), "line\nmore\n").await;
    }
    assert_eq!(engine.connections(), 200);
    let (received, _) = source.stop().await;
    assert_eq!(received.len(), 200);
}
