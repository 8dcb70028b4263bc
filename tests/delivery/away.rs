//! A backend that is away.

use runlog_tests::{Agent, Collector, Trainer, eventually};

#[test]
fn x3_nothing_is_lost_to_a_backend_that_comes_20_seconds_late_and_memory_stays_small() {
    let mut backend = Collector::prepare();
    let mut agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", format!("http://127.0.0.1:{}", backend.http_port))
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "4s")
        .start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(300_000);
    agent.eventually_metric("runlog_export_state{destination=\"default\",state=\"retrying\"}", 1.0);
    agent.eventually_metric("runlog_kept_records_total{source=\"file\"}", 300_000.0);
    agent.eventually_metric("runlog_oldest_pending_seconds{destination=\"default\"}", 20.0);
    assert_eq!(agent.metric("runlog_exported_records_total{destination=\"default\"}"), 0.0);
    let waiting_peak = agent.peak_resident_bytes();

    backend.resume();
    agent.eventually_metric("runlog_exported_records_total{destination=\"default\"}", 300_000.0);
    let bodies = eventually("the backend has written all down", || {
        let bodies = backend.bodies();
        (bodies.len() >= 300_000).then_some(bodies)
    });
    trainer.finish().is_there_once_and_in_order(bodies.iter().map(String::as_str));
    assert!(waiting_peak < 64 << 20, "{waiting_peak} bytes while 300,000 lines waited");
    assert_eq!(agent.terminate().status.code(), Some(0));
}
