//! Containers that start, end, are started again and removed, some of them before anybody can look.

use std::{collections::BTreeMap, fs};

use super::{Config, FakeContainer, FakeEngine, Folder, NEVER, Source, State, config, text};

#[tokio::test]
async fn d11_containers_that_end_as_soon_as_they_have_begun_are_read() {
    const CONTAINERS: usize = 300;
    let engine = FakeEngine::start();
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.health.wait_for(|health| health.state == State::Collecting).await.unwrap();
    for n in 0..CONTAINERS {
        engine.add(&format!("c{n}"), FakeContainer::ended().line("stdout", &format!("line of {n}\n")));
    }
    for n in 0..CONTAINERS {
        source.sink.has(&format!("c{n}/stdout"), &format!("line of {n}\n")).await;
    }
    let (received, _) = source.stop().await;
    assert_eq!(received.len(), CONTAINERS);
}

#[tokio::test]
async fn d12_a_container_that_is_gone_before_it_is_read_is_a_gap_with_its_exit_code() {
    let engine = FakeEngine::start();
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    engine.comes_and_goes("short").await;
    let gap =
        "lines of short may be missing: the container ended with exit code 3 and was removed before all were read";
    source.sink.has_said("runlog.gap", gap).await;
    source.sink.is_closed("").await;
    source.sink.has_events(&["runlog.gap"]).await;
    source.stop().await;
}

#[tokio::test]
async fn d12_a_container_that_is_left_to_its_file_and_removed_meanwhile_is_a_gap() {
    let engine = FakeEngine::start();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("short")).unwrap();
    fs::write(folder.path().join("short/short-json.log"), "").unwrap();
    let config = Config { files: Folder::At(folder.path().to_owned()), ..config(engine.socket()) };
    let mut source = Source::listing_every(NEVER, config, BTreeMap::new());
    source.health.wait_for(|health| health.state == State::Collecting).await.unwrap();
    engine.hesitate();
    engine.add("short", FakeContainer::running());
    engine.is_asked(1).await;
    engine.end("short");
    engine.remove("short");
    source.hears_removal("short").await;
    engine.answer();
    let gap =
        "lines of short may be missing: the container ended with exit code 3 and was removed before all were read";
    source.sink.has_said("runlog.gap", gap).await;
    assert_eq!(source.stop_and_hear().await.len(), 1, "it is told once");
}

#[tokio::test]
async fn d12_what_came_and_went_before_the_stop_and_was_not_heard_of_yet_is_a_gap() {
    let engine = FakeEngine::start();
    let mut source = Source::listing_every(NEVER, config(engine.socket()), BTreeMap::new());
    source.health.wait_for(|health| health.state == State::Collecting).await.unwrap();
    engine.delay_events();
    engine.comes_and_goes("short").await;
    let gap =
        "lines of short may be missing: the container ended with exit code 3 and was removed before all were read";
    assert_eq!(source.stop_and_hear().await, [("runlog.gap", gap.to_owned())]);
}

#[tokio::test]
async fn d12_d15_a_container_that_only_a_list_has_named_and_that_is_gone_then_is_a_gap() {
    let engine = FakeEngine::start();
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.health.wait_for(|health| health.state == State::Collecting).await.unwrap();
    engine.drop_events();
    engine.add("ghost", FakeContainer::running().ghost());
    let gap = "lines of ghost may be missing: the container was removed before all were read";
    source.sink.has_said("runlog.gap", gap).await;
    assert_eq!(source.stop_and_hear().await.len(), 1, "it is told once");
}

#[tokio::test]
async fn d12_a_container_that_is_removed_while_it_is_read_says_how_it_ended() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "first\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "first\n").await;
    engine.tell("trainer", "die");
    engine.remove("trainer");
    source.sink.is_forgotten("trainer/stdout").await;
    source.sink.has_said("ml.run.end", "container trainer of run trainer ended with exit code 3").await;
    source.sink.has_events(&["ml.run.start", "ml.run.end"]).await;
    source.stop().await;
}

#[tokio::test]
async fn d13_two_hundred_restarts_lose_and_repeat_nothing() {
    const LIVES: usize = 200;
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "life 0\n"));
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "life 0\n").await;
    let mut expected = "life 0\n".to_owned();
    for life in 1..LIVES {
        engine.end("trainer");
        engine.start_again("trainer");
        let line = format!("life {life}\n");
        engine.line("trainer", "stdout", &line);
        expected.push_str(&line);
        if life % 50 == 0 {
            source.sink.has("trainer/stdout", &expected).await;
        }
    }
    source.sink.has("trainer/stdout", &expected).await;
    let (received, _) = source.stop().await;
    assert_eq!(text(&received["trainer/stdout"]), expected);
}

#[tokio::test]
async fn d15_a_container_of_which_no_event_tells_is_found_in_the_list() {
    let engine = FakeEngine::start();
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.health.wait_for(|health| health.state == State::Collecting).await.unwrap();
    engine.drop_events();
    engine.add("running", FakeContainer::running().line("stdout", "r\n"));
    engine.add("ended", FakeContainer::ended().line("stdout", "e\n"));
    source.sink.has("running/stdout", "r\n").await;
    source.sink.has("ended/stdout", "e\n").await;
    engine.end("running");
    source.sink.is_closed("running/stdout").await;
    engine.start_again("running");
    engine.line("running", "stdout", "again\n");
    source.sink.has("running/stdout", "r\nagain\n").await;
    engine.remove("ended");
    source.sink.is_forgotten("ended/stdout").await;
    source.stop().await;
}

#[tokio::test]
async fn a_container_that_ended_or_was_removed_while_no_agent_ran_is_ended_at_the_next_start() {
    let engine = FakeEngine::start();
    for id in ["ended", "silent", "removed"] {
        engine.add(id, FakeContainer::running());
    }
    engine.line("ended", "stdout", "all that there is\n");
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("ended/stdout", "all that there is\n").await;
    source.sink.has_events(&["ml.run.start"; 3]).await;
    let (_, positions) = source.stop().await;
    engine.end("ended");
    engine.end("silent");
    engine.remove("removed");

    let left_alone = Config { read_exited: false, ..config(engine.socket()) };
    let mut source = Source::start(left_alone, positions);
    let gap = "lines of removed may be missing: the container was removed before all were read";
    source.sink.has_said("runlog.gap", gap).await;
    for id in ["ended", "silent"] {
        source.sink.has_said("ml.run.end", &format!("container {id} of run {id} ended with exit code 3")).await;
    }
    source.sink.has_said("ml.run.end", "container removed of run removed has ended, how is not known").await;
    source.sink.is_forgotten("removed/life").await;
    source.sink.count_events(4).await;
    source.stop().await;
}

#[tokio::test]
async fn what_a_health_check_finds_is_told_to_the_run() {
    let engine = FakeEngine::start();
    engine.add("trainer", FakeContainer::running().line("stdout", "first\n"));
    engine.add("of-the-agent", FakeContainer::running());
    let mut source = Source::start(config(engine.socket()), BTreeMap::new());
    source.sink.has("trainer/stdout", "first\n").await;
    engine.tell("of-the-agent", "health_status: unhealthy");
    engine.tell("trainer", "health_status: unhealthy");
    engine.tell("trainer", "health_status: healthy");
    source.sink.has_said("ml.run.status", "container trainer of run trainer is unhealthy").await;
    source.sink.has_events(&["ml.run.start", "ml.run.status", "ml.run.status"]).await;
    source.stop().await;
}
