//! From a request to the pipeline, and back to its answer.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::oneshot::{Receiver, error::RecvError},
    time::timeout,
};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::{
    receive::{End, Refusal, Sink, Token},
    record::{
        Clock, Counted, Kept, Ledger, NoBookmark, Origin, Pushed, Signal, SourceKind, Tally, origin::Stream, receipt,
        wire::Outline,
    },
    source::{Budget, Context, Intake, Room},
};

use super::{
    Config, Tagging,
    unanswered::{Print, Unanswered},
};

/// How long a request waits for memory. Clients give up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a request that was handed over waits to be durable.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Requests may take this part of the memory that they share with all other sources: a client that sends slowly holds up
/// none of those.
const PART: usize = 2;

/// What the addresses have in common.
#[derive(Clone)]
pub(super) struct Desk {
    intake: Intake,
    receiving: Budget,
    clock: Arc<dyn Clock>,
    ledger: Arc<Ledger>,
    unanswered: Arc<Mutex<Unanswered>>,
}

impl Desk {
    pub(super) fn new(context: &Context) -> Self {
        let intake = context.intake.clone();
        Self {
            receiving: Budget::new(intake.budget().bytes() / PART),
            intake,
            clock: Arc::clone(&context.clock),
            ledger: Arc::clone(&context.ledger),
            unanswered: Arc::default(),
        }
    }
}

/// The way from one address into the pipeline.
pub(super) struct Gate {
    desk: Desk,
    tally: Arc<Tally>,
    origin: Arc<Origin>,
    max_request_bytes: usize,
    token: Option<Token>,
    passes_on: bool,
}

impl Gate {
    /// Opens it; it is a stream like others. The token is what its clients have to show.
    pub(super) fn new(name: &str, config: &Config, token: Option<Token>, desk: Desk, tagging: &Tagging) -> Self {
        let tally = desk.ledger.open(SourceKind::Otlp, name);
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
        Self { desk, tally, origin, max_request_bytes: config.max_request_bytes, token, passes_on: tagging.passes_on }
    }

    /// Notes that so many bytes wait to come through it.
    pub(super) fn waits(&self, bytes: u64) {
        self.tally.reached(0, bytes, self.desk.clock.now());
    }

    /// How what comes through it is counted.
    pub(super) const fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Counts a connection that was not served, by the reason in one word.
    pub(super) fn turned_away(&self, reason: &'static str) {
        self.desk.ledger.refuse(reason);
    }

    /// How many requests are remembered whose clients did not hear what became of them.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.unanswered().len()
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        self.desk.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.desk.ledger.close(&self.tally);
    }
}

/// A way for what is made in this process, which is a stream once something comes.
pub(super) struct Inlet {
    config: Config,
    desk: Desk,
    tagging: Tagging,
    gate: OnceLock<Gate>,
}

impl Inlet {
    pub(super) fn new(config: Config, desk: Desk, tagging: Tagging) -> Self {
        Self { config, desk, tagging, gate: OnceLock::new() }
    }
}

#[async_trait]
impl Sink for Inlet {
    async fn put(&self, signal: Signal, request: Vec<u8>) -> Result<Kept, Refusal> {
        let open = || Gate::new("run API", &self.config, None, self.desk.clone(), &self.tagging);
        self.gate.get_or_init(open).put(signal, request).await
    }
}

/// A share of the memory for requests, and of that for all sources.
#[derive(Default)]
pub(super) struct Share {
    receiving: Room,
    intake: Room,
}

/// A request that was handed over. If it is dropped before its outcome is there, the request is remembered.
struct HandedOver<'a> {
    gate: &'a Gate,
    print: Print,
    outcome: Option<Receiver<Kept>>,
}

impl HandedOver<'_> {
    async fn outcome(&mut self) -> Result<Kept, RecvError> {
        let outcome = match &mut self.outcome {
            Some(outcome) => outcome.await,
            None => return Ok(Kept::default()),
        };
        self.outcome = None;
        outcome
    }
}

impl Drop for HandedOver<'_> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.gate.unanswered().remember(self.print, outcome);
        }
    }
}

impl End for Gate {
    type Room = Share;

    fn max_request_bytes(&self) -> usize {
        self.max_request_bytes
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Logs || self.passes_on
    }

    fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    async fn grow(&self, room: &mut Share, bytes: usize) -> bool {
        let Desk { intake, receiving, .. } = &self.desk;
        !intake.is_held_up()
            && receiving.grow(&mut room.receiving, bytes, PATIENCE).await
            && intake.budget().grow(&mut room.intake, bytes.min(receiving.bytes()), PATIENCE).await
    }

    async fn take(&self, signal: Signal, request: Vec<u8>, counted: Counted, room: Share) -> Result<Kept, Refusal> {
        let print = xxh3_128_with_seed(&request, signal as u64);
        let again = self.unanswered().again(print);
        let outcome = match again {
            Some(Ok(kept)) => return Ok(kept),
            Some(Err(outcome)) => outcome,
            None => {
                let outline = Outline::read(&request)?;
                if outline.resources.is_empty() {
                    return Ok(Kept::default());
                }
                let (receipt, outcome) = receipt();
                let (origin, observed) = (Arc::clone(&self.origin), self.desk.clock.now());
                let pushed = Pushed { origin, signal, request, outline, counted, observed, receipt, permit: None };
                self.desk.intake.push(pushed, room.intake).map_err(|_| Refusal::Busy)?;
                // It is the pipeline's from here on.
                drop(room.receiving);
                outcome
            }
        };
        let mut handed_over = HandedOver { gate: self, print, outcome: Some(outcome) };
        match timeout(ANSWER_WITHIN, handed_over.outcome()).await {
            Ok(Ok(kept)) => Ok(kept),
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }

    fn refused(&self, refusal: &Refusal) {
        self.tally.failed(format_args!("a request was refused: {refusal}"));
        self.turned_away(refusal.word());
    }
}
