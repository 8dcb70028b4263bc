//! The wait for the end of one container.

use std::{path::Path, time::Duration};

use tokio::task::JoinHandle;

use super::{
    super::ended,
    engine::{FakeContainer, FakeEngine},
};
use crate::record::{Clock, SystemClock};

fn wait_for(socket: &Path, name: &'static str) -> JoinHandle<()> {
    let (socket, began) = (socket.to_owned(), SystemClock.now());
    tokio::spawn(async move { ended(&socket, name, began).await })
}

async fn is_over(wait: JoinHandle<()>) {
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it waits for ever").unwrap();
}

#[tokio::test]
async fn a_container_that_had_ended_before_it_was_looked_at_has_ended() {
    let engine = FakeEngine::start();
    engine.add("train", FakeContainer::ended());
    is_over(wait_for(engine.socket(), "train")).await;
}

#[tokio::test]
async fn a_container_that_ran_and_was_removed_between_two_looks_has_ended() {
    let engine = FakeEngine::start();
    let wait = wait_for(engine.socket(), "train");
    engine.comes_and_goes("train").await;
    is_over(wait).await;
}

#[tokio::test]
async fn the_end_of_a_container_is_told_though_the_engine_was_away_at_it() {
    let mut engine = FakeEngine::start();
    engine.add("train", FakeContainer::running());
    let wait = wait_for(engine.socket(), "train");
    engine.is_asked(1).await;
    engine.kill().await;
    engine.remove("train");
    engine.start_listening();
    is_over(wait).await;
}

#[tokio::test]
async fn what_happens_to_others_is_no_end() {
    let engine = FakeEngine::start();
    let wait = wait_for(engine.socket(), "train");
    engine.comes_and_goes("other").await;
    engine.is_asked(3).await;
    assert!(!wait.is_finished());
    engine.comes_and_goes("train").await;
    is_over(wait).await;
}
