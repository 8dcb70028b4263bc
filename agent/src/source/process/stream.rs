//! One of the two outputs: shown as it comes, and collected.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, stderr, stdout};
use tracing::warn;

use crate::{
    record::{
        Chunk, Ending, Input, Origin, SourceKind, Tally,
        wire::{Value, record_attribute},
    },
    source::{Context, Offer},
};

use super::run::{Tagging, origin};

const READ_BYTES: usize = 64 * 1024;

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Copies one output.
pub struct Output {
    name: Name,
    tagging: Tagging,
    attributes: Vec<u8>,
    context: Context,
    max_wait: Duration,
    tally: Arc<Tally>,
    origin: Arc<Origin>,
    at: u64,
    /// A stream that ended in a loss and has not been closed for want of room.
    torn: Option<Arc<Origin>>,
}

impl Output {
    /// Prepares to copy.
    pub fn new(name: Name, tagging: &Tagging, context: &Context, max_wait: Duration) -> Self {
        let tally = context.ledger.open(SourceKind::Process, name.as_str());
        let mut attributes = tagging.attributes.clone();
        record_attribute(&mut attributes, "log.iostream", Value::String(name.as_str()));
        let origin = origin(tagging, attributes.clone(), name.as_str(), Arc::clone(&tally));
        Self {
            name,
            tagging: tagging.clone(),
            attributes,
            context: context.clone(),
            max_wait,
            tally,
            origin,
            at: 0,
            torn: None,
        }
    }

    /// Copies until the pipe ends. If our own output is closed, the lines are still collected.
    pub async fn copy(mut self, mut pipe: impl AsyncRead + Unpin) {
        let mut shown: Option<Box<dyn AsyncWrite + Send + Unpin>> = Some(match self.name {
            Name::Stdout => Box::new(stdout()),
            Name::Stderr => Box::new(stderr()),
        });
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let length = match pipe.read(&mut buffer).await {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) => {
                    warn!(output = self.name.as_str(), error = %error, "cannot read the process's output");
                    break;
                }
            };
            let bytes = &buffer[..length];
            self.collect(bytes).await;
            if let Some(output) = &mut shown {
                let written = match output.write_all(bytes).await {
                    Ok(()) => output.flush().await,
                    Err(error) => Err(error),
                };
                if written.is_err() {
                    shown = None;
                }
            }
        }
        self.close(Arc::clone(&self.origin)).await;
        self.context.ledger.close(&self.tally);
    }

    async fn collect(&mut self, bytes: &[u8]) {
        self.tally.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let chunk = self.chunk(Arc::clone(&self.origin), bytes.to_vec(), Ending::Open);
        match self.context.intake.offer(chunk, self.max_wait).await {
            Ok(Offer::Taken) => {
                self.at += bytes.len() as u64;
                if let Some(torn) = self.torn.take() {
                    self.close(torn).await;
                }
            }
            Ok(Offer::NoRoom(_)) => self.lose(bytes),
            Err(closed) => {
                warn!(output = self.name.as_str(), error = %closed, "lines are not collected any more");
                self.lose(bytes);
            }
        }
    }

    /// What follows a hole is another stream, so that no line is glued together across it.
    fn lose(&mut self, bytes: &[u8]) {
        let lines = memchr::memchr_iter(b'\n', bytes).count().max(1);
        let before = self.tally.lines_lost.fetch_add(lines as u64, Ordering::Relaxed);
        self.tally.bytes_lost.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before == 0 {
            warn!(
                output = self.name.as_str(),
                "there is no room in the queue, lines of the process are dropped and counted"
            );
        }
        if self.at > 0 {
            let next = origin(&self.tagging, self.attributes.clone(), self.name.as_str(), Arc::clone(&self.tally));
            self.torn = Some(std::mem::replace(&mut self.origin, next));
            self.at = 0;
        }
    }

    async fn close(&self, origin: Arc<Origin>) {
        let chunk = self.chunk(origin, Vec::new(), Ending::Closed);
        if self.context.intake.send(Input::Chunk(chunk)).await.is_err() {
            warn!(output = self.name.as_str(), "the pipeline has ended, the last line may be missing");
        }
    }

    fn chunk(&self, origin: Arc<Origin>, data: Vec<u8>, ending: Ending) -> Chunk {
        Chunk { origin, at: self.at, data, observed: self.context.clock.now(), marks: Vec::new(), ending, permit: None }
    }
}
