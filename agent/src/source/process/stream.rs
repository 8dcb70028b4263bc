//! One stream that cannot be read again, such as an output of the process: shown as it comes, and collected.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::{Instant, sleep_until},
};
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

/// How long a grandchild may keep an output open once the process has ended.
const AFTER_EXIT: Duration = Duration::from_secs(2);

/// What a process can leave in a pipe at most: `/proc/sys/fs/pipe-max-size` as it is by default, pipe(7).
const PIPE_BYTES: usize = 1 << 20;

/// When the process ended; `None` as long as it runs.
pub type Exited = watch::Receiver<Option<Instant>>;

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Somebody's output that comes in as our standard input.
    Stdin,
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Stdin => "stdin",
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
    /// Whether what was dropped last broke off inside a line, whose rest is no line either.
    is_inside_lost_line: bool,
    /// Whether the pipeline has ended before the process.
    is_deserted: bool,
}

impl Output {
    /// Prepares to copy.
    pub fn new(name: Name, tagging: &Tagging, context: &Context, max_wait: Duration) -> Self {
        let tally = context.ledger.open(SourceKind::Process, name.as_str());
        let mut attributes = tagging.attributes.clone();
        // What was whose output before a pipe nobody tells.
        if name != Name::Stdin {
            record_attribute(&mut attributes, "log.iostream", Value::String(name.as_str()));
        }
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
            is_inside_lost_line: false,
            is_deserted: false,
        }
    }

    /// Copies until the pipe ends, or a while after the process has ended if a child of it holds the pipe open. If
    /// nobody reads `shown` any more, the lines are still collected.
    pub async fn copy(mut self, mut pipe: impl AsyncRead + Unpin, shown: impl AsyncWrite + Unpin, mut exited: Exited) {
        let mut shown = Some(shown);
        let mut buffer = vec![0; READ_BYTES];
        let mut left_behind = 0;
        loop {
            let exit = *exited.borrow();
            let read = tokio::select! {
                // What is in the pipe is read, however long it took to show what was before it.
                biased;
                read = pipe.read(&mut buffer) => read,
                () = long_over(&mut exited) => {
                    self.leave();
                    break;
                }
            };
            let bytes = match read {
                Ok(0) => break,
                Ok(length) => &buffer[..length],
                Err(error) => {
                    warn!(output = self.name.as_str(), error = %error, "cannot read the process's output");
                    break;
                }
            };
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
            if let Some(exit) = exit {
                left_behind += bytes.len();
                if left_behind >= PIPE_BYTES && exit.elapsed() >= AFTER_EXIT {
                    self.leave();
                    break;
                }
            }
        }
        self.end_loss();
        self.close(Arc::clone(&self.origin)).await;
        self.context.ledger.close(&self.tally);
    }

    fn leave(&self) {
        match self.name {
            Name::Stdin => warn!("standard input is still open, not waiting for its end"),
            Name::Stdout | Name::Stderr => {
                let output = self.name.as_str();
                warn!(output, "a child of the process still holds its output open, not waiting for it");
            }
        }
    }

    async fn collect(&mut self, bytes: &[u8]) {
        self.tally.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let chunk = Chunk {
            origin: Arc::clone(&self.origin),
            at: self.at,
            data: bytes.to_vec(),
            observed: self.context.clock.now(),
            marks: Vec::new(),
            ending: Ending::Open,
            permit: None,
        };
        match self.context.intake.offer(chunk, self.max_wait).await {
            Ok(Offer::Taken) => {
                self.at += bytes.len() as u64;
                self.end_loss();
                if let Some(torn) = self.torn.take() {
                    self.close(torn).await;
                }
            }
            Ok(Offer::NoRoom(_)) => self.lose(bytes),
            Err(closed) => {
                if !std::mem::replace(&mut self.is_deserted, true) {
                    warn!(output = self.name.as_str(), error = %closed, "lines are not collected any more");
                }
                self.lose(bytes);
            }
        }
    }

    /// What follows a hole is another stream, so that no line is glued together across it.
    fn lose(&mut self, bytes: &[u8]) {
        let lines = memchr::memchr_iter(b'\n', bytes).count();
        self.is_inside_lost_line = !bytes.ends_with(b"\n");
        self.tally.lines_lost.fetch_add(lines as u64, Ordering::Relaxed);
        let before = self.tally.bytes_lost.fetch_add(bytes.len() as u64, Ordering::Relaxed);
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

    /// Counts the line in whose midst a loss has ended.
    fn end_loss(&mut self) {
        let lines = u64::from(std::mem::take(&mut self.is_inside_lost_line));
        self.tally.lines_lost.fetch_add(lines, Ordering::Relaxed);
    }

    async fn close(&self, origin: Arc<Origin>) {
        let chunk = Chunk::closing(origin, self.at, self.context.clock.now());
        if self.context.intake.send(Input::Chunk(chunk)).await.is_err() {
            warn!(output = self.name.as_str(), "the pipeline has ended, the last line may be missing");
        }
    }
}

/// Waits until the process has ended and a while has passed. Cancel safe.
async fn long_over(exited: &mut Exited) {
    // If the sender is gone, nobody waits for us.
    let exit = exited.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
    if let Some(exit) = exit {
        sleep_until(exit + AFTER_EXIT).await;
    }
}

#[cfg(test)]
mod tests;
