//! Rows X: what a backend can do to a delivery.

use std::{fs, net::SocketAddr};

use runlog_tests::{Agent, Found, Sink, SinkRequest, Trainer, eventually};

const EXPORTED: &str = "runlog_exported_records_total{destination=\"default\"}";
const RETRYING: &str = "runlog_export_state{destination=\"default\",state=\"retrying\"}";

#[test]
fn x4_x3_a_backend_that_is_away_then_fails_then_is_busy_gets_every_line_once_and_in_order() {
    let sink = Sink::prepare();
    let mut agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint())
        .set("RUNLOG_EXPORT_MIN_BACKOFF", "10ms")
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "200ms")
        .start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(5_000);
    agent.eventually_metric(RETRYING, 1.0);
    agent.kill();
    agent.start();
    for status in [500, 408, 503, 429] {
        let before = sink.refused();
        sink.answer_by(move |_| status);
        if before == 0 {
            sink.open();
        }
        trainer.print(5_000);
        // More often than the same bytes have patience for.
        eventually("the backend has refused often", || (sink.refused() > before + 12).then_some(()));
    }
    assert!(sink.records().is_empty());

    sink.answer_by(|_| 200);
    agent.is_live_at(&sink);
    let printed = trainer.finish();
    // The probe, in a file of its own, may have come before the last of them.
    let _ = sink.eventually_records(25_000 + 1);
    Found::at(&sink).accounts_for(&[printed]);
    assert_eq!(agent.metric("runlog_dead_lettered_batches_total{destination=\"default\"}"), 0.0);
    assert_eq!(agent.terminate().status.code(), Some(0));
}

#[test]
fn x14_a_token_is_replaced_in_its_file_and_in_the_backend_and_nobody_restarts_anything() {
    let sink = Sink::start();
    let expects = |token: &'static str| {
        move |request: &SinkRequest| {
            let shown = request.headers.get("authorization").map(String::as_str);
            if shown == Some(token) { 200 } else { 401 }
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    fs::write(&file, "authorization=Bearer one").unwrap();
    sink.answer_by(expects("Bearer one"));
    let mut agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint())
        .set("RUNLOG_EXPORT_HEADERS_FILE", file.display().to_string())
        .start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(1_000);
    agent.eventually_metric(EXPORTED, 1_000.0);
    assert_eq!(sink.refused(), 0);

    fs::write(&file, "authorization=Bearer two").unwrap();
    sink.answer_by(expects("Bearer two"));
    trainer.print(1_000);
    agent.eventually_metric(EXPORTED, 2_000.0);
    Found::at(&sink).accounts_for(&[trainer.finish()]);
    assert!(!agent.terminate().messages.contains("Bearer"));
}

#[test]
fn x19_a_backlog_goes_to_the_endpoint_that_is_set_now_and_the_start_says_so() {
    let (old, new) = (Sink::prepare(), Sink::start());
    let mut agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", old.endpoint()).start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(1_000);
    agent.eventually_metric(RETRYING, 1.0);
    agent.eventually_metric("runlog_kept_records_total{source=\"file\"}", 1_000.0);
    agent.kill();
    agent.set("RUNLOG_EXPORT_ENDPOINT", new.endpoint());
    agent.start();

    agent.eventually_metric(EXPORTED, 1_000.0);
    Found::at(&new).accounts_for(&[trainer.finish()]);
    let said = agent.messages_of("INFO");
    let line = said.iter().find(|line| line.contains("waits in the queue")).expect("the start says what waits");
    assert!(line.contains(&new.endpoint()), "{line}");
}

#[test]
fn x11_a_name_is_looked_up_again_and_all_its_addresses_are_tried() {
    let old = Sink::start();
    let new = Sink::prepare_at(SocketAddr::from(([127, 0, 0, 2], old.port())));
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 backend.test\n").unwrap();
    let mut agent = Agent::builder()
        .with_hosts(hosts.clone())
        .set("RUNLOG_EXPORT_ENDPOINT", format!("http://backend.test:{}", old.port()))
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "1s")
        .start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(100);
    agent.eventually_metric(EXPORTED, 100.0);
    assert_eq!(old.records().len(), 100);

    drop(old);
    trainer.print(100);
    agent.eventually_metric(RETRYING, 1.0);
    // Nobody listens at the first.
    fs::write(&hosts, "127.0.0.3 backend.test\n127.0.0.2 backend.test\n").unwrap();
    new.open();
    agent.eventually_metric(EXPORTED, 200.0);
    assert_eq!(new.records().len(), 100);
    let printed = trainer.finish();
    assert_eq!(printed.lines, 200);
    assert_eq!(agent.terminate().status.code(), Some(0));
}
