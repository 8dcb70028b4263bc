//! From a request to the pipeline, and back to its answer.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    receive::{End, Refusal},
    record::{
        Clock, Kept, Ledger, NoBookmark, Origin, Pushed, SourceKind, Tally, origin::Stream, receipt, wire::Outline,
    },
    source::{Context, Intake, Room},
};

use super::Tagging;

/// How long a request waits for memory. Clients give up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a request that was handed over waits to be durable.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The way from one address into the pipeline.
pub(super) struct Gate {
    intake: Intake,
    clock: Arc<dyn Clock>,
    ledger: Arc<Ledger>,
    tally: Arc<Tally>,
    origin: Arc<Origin>,
    max_request_bytes: usize,
}

impl Gate {
    /// Opens it; it is a stream like others.
    pub(super) fn new(name: &str, max_request_bytes: usize, context: &Context, tagging: &Tagging) -> Self {
        let tally = context.ledger.open(SourceKind::Otlp, name);
        let origin = Origin::new(Stream {
            key: String::new(),
            kind: SourceKind::Otlp,
            identity: &[],
            resource: Arc::clone(&tagging.resource),
            attributes: Vec::new(),
            level: tagging.level,
            tally: Arc::clone(&tally),
            bookmark: Arc::new(NoBookmark),
        });
        let (intake, clock) = (context.intake.clone(), Arc::clone(&context.clock));
        Self { intake, clock, ledger: Arc::clone(&context.ledger), tally, origin, max_request_bytes }
    }

    /// Notes that so many bytes wait to come through it.
    pub(super) fn waits(&self, bytes: u64) {
        self.tally.reached(0, bytes, self.clock.now());
    }

    /// How what comes through it is counted.
    pub(super) const fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.ledger.close(&self.tally);
    }
}

impl End for Gate {
    type Room = Room;

    fn max_request_bytes(&self) -> usize {
        self.max_request_bytes
    }

    async fn grow(&self, room: &mut Room, bytes: usize) -> bool {
        !self.intake.is_held_up() && self.intake.grow(room, bytes, PATIENCE).await
    }

    async fn take(&self, request: Vec<u8>, room: Room) -> Result<Kept, Refusal> {
        let outline = Outline::read(&request)?;
        if outline.resources.is_empty() {
            return Ok(Kept::default());
        }
        let (receipt, answered) = receipt();
        let (origin, observed) = (Arc::clone(&self.origin), self.clock.now());
        let pushed = Pushed { origin, request, outline, observed, receipt, permit: None };
        self.intake.push(pushed, room).map_err(|_| Refusal::Busy)?;
        match timeout(ANSWER_WITHIN, answered).await {
            Ok(Ok(kept)) => Ok(kept),
            // It may become durable yet, and is then there twice: better than not at all.
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }
}
