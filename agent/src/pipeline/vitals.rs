//! What the agent says about itself.

use std::sync::{Arc, atomic::Ordering};

use runlog_proto::v1;
use tokio::sync::watch;

use crate::{
    queue::Queue,
    record::{Ledger, Signal, UnixNanos},
    serve::{Control, Snapshot, Vitals, received},
    source::{docker, kubernetes, otlp},
};

use super::{AgentControl, Restarts, Told, Verdict};

/// Read-only handles to everything that runs.
pub struct AgentVitals {
    started: UnixNanos,
    ledger: Arc<Ledger>,
    queue: Queue,
    destinations: Vec<Told>,
    docker: Option<watch::Receiver<docker::Health>>,
    otlp: Option<watch::Receiver<otlp::Trouble>>,
    kubernetes: Option<kubernetes::Metadata>,
    restarts: Arc<Restarts>,
    verdict: Verdict,
    control: Arc<AgentControl>,
}

impl AgentVitals {
    /// The vitals of a pipeline.
    #[must_use]
    pub fn new(
        started: UnixNanos,
        pipeline: &super::Pipeline,
        docker: Option<watch::Receiver<docker::Health>>,
        otlp: Option<watch::Receiver<otlp::Trouble>>,
        kubernetes: Option<kubernetes::Metadata>,
        verdict: Verdict,
        control: Arc<AgentControl>,
    ) -> Self {
        Self {
            started,
            ledger: Arc::clone(pipeline.ledger()),
            queue: pipeline.queue().clone(),
            destinations: pipeline.destinations().to_vec(),
            docker,
            otlp,
            kubernetes,
            restarts: Arc::clone(pipeline.restarts()),
            verdict,
            control,
        }
    }
}

impl Vitals for AgentVitals {
    fn stuck(&self) -> Vec<&'static str> {
        self.verdict.stuck()
    }

    fn snapshot(&self) -> Snapshot {
        let stats = self.queue.stats();
        let mut unready = Vec::new();
        if let Some(full) = stats.full {
            unready.push(format!("the queue takes nothing: {full}"));
        }
        unready.extend(stats.failure);
        // Missing rights to the engine do not make the other sources unready, but they are told.
        let docker = self.docker.as_ref().and_then(|health| match &health.borrow().state {
            docker::State::Degraded(reason) => Some(format!("docker: {reason}")),
            docker::State::Waiting | docker::State::Collecting => None,
        });
        let mut degraded: Vec<String> = docker.into_iter().collect();
        if let Some(trouble) = &self.otlp {
            let tell =
                |(address, reason): (&otlp::Address, &String)| format!("otlp: cannot listen on {address}: {reason}");
            degraded.extend(trouble.borrow().iter().map(tell));
        }
        let unknown = self.kubernetes.as_ref().and_then(kubernetes::Metadata::trouble);
        degraded
            .extend(unknown.map(|trouble| format!("kubernetes: what pods say of themselves is not known: {trouble}")));
        let destination = |told: &Told| {
            let counts = told.stats.counts();
            let pending = stats.destinations.get(&told.name).copied().unwrap_or_default();
            v1::DestinationStatus {
                name: told.name.clone(),
                endpoint: told.address.clone(),
                state: counts.state.as_str().to_owned(),
                records_exported: counts.records,
                records_rejected: counts.rejected_records,
                batches_dead_lettered: counts.dead_lettered,
                retries: counts.retries,
                pending_entries: pending.entries,
                pending_bytes: pending.bytes,
                oldest_pending_seconds: pending.oldest_age.unwrap_or_default().as_secs_f64(),
                last_error: counts.last_error.unwrap_or_default(),
                signals: Signal::PASSED
                    .into_iter()
                    .zip(counts.passed)
                    .map(|(signal, (taken, rejected))| v1::SignalCounts {
                        signal: signal.as_str().to_owned(),
                        taken,
                        rejected,
                    })
                    .collect(),
            }
        };
        Snapshot {
            started: self.started,
            unready,
            degraded,
            sources: self.ledger.sums(),
            lags: self.ledger.lags(),
            streams: self.ledger.streams(),
            records_refused: self.ledger.records_refused.load(Ordering::Relaxed),
            restarts: self.restarts.counts(),
            queue_damages: stats.damaged_frames,
            queue_sync_failures: stats.sync_failures,
            queue_removals: stats.removals,
            queue: Some(v1::QueueStatus { bytes: stats.disk_bytes, max_bytes: stats.max_bytes }),
            destinations: self.destinations.iter().map(destination).collect(),
            signals: received(&self.ledger),
            refusals: self.ledger.refusals(),
            redactions: self.ledger.redactions(),
            levels: Some(self.control.levels()),
            recording: self.control.recording(),
        }
    }
}
