//! How far a container is read, as the status shows it.

use super::{engine::*, *};
use crate::record::{Lag, Progress};

/// Waits until the reading of the stream is so.
async fn is_read(source: &Source, stream: &str, is_so: impl Fn(&Progress) -> bool) {
    let streams = || source.ledger.streams().into_iter().filter(|tally| tally.name == stream);
    let is_there = async {
        while !streams().any(|tally| is_so(&tally.progress())) {
            tokio::task::yield_now().await;
        }
    };
    let seen = || streams().map(|tally| tally.progress()).collect::<Vec<_>>();
    assert!(tokio::time::timeout(Duration::from_secs(30), is_there).await.is_ok(), "{stream} is {:?}", seen());
}

#[tokio::test]
async fn a_container_is_read_up_to_a_byte_and_behind_until_the_engine_sends_nothing_more() {
    let mut engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "one\n").line("stdout", "two\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "one\ntwo\n").await;
    is_read(&source, "trainer/stdout", |progress| progress.position == 8 && progress.lag == Lag::Nothing).await;

    engine.kill().await;
    is_read(&source, "trainer/stdout", |progress| progress.position == 8 && progress.lag == Lag::Unknown).await;
    is_read(&source, "trainer/stdout", |progress| progress.last_error.is_some()).await;

    engine.start_listening();
    is_read(&source, "trainer/stdout", |progress| progress.lag == Lag::Nothing).await;
    source.stop().await;
}
