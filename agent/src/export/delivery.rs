//! What a destination is asked to do, and what can become of it.

use std::time::Duration;

use bytes::Bytes;

use crate::record::{BatchMeta, Signal};

/// The next batch for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the queue.
    pub seq: u64,
    /// An encoded [`BatchMeta`].
    pub meta: Bytes,
    /// One zstd frame with an OTLP request of the signal that `meta` names.
    pub body: Bytes,
}

/// Where one destination's batches wait.
pub trait Backlog: Send {
    /// The batch after the one that was given last, once there is one. `None` when no more will come. A call that is
    /// cancelled has given nothing.
    fn next(&mut self) -> impl Future<Output = Option<Waiting>> + Send;

    /// The destination is done with this batch and all before it.
    fn acknowledge(&mut self, seq: u64);

    /// Bytes that wait, for people to read.
    fn waiting_bytes(&self) -> u64;
}

/// A way to deliver batches.
pub trait Deliver: Send + Sync {
    /// Delivers one batch, or a part of one. `body` is as in [`Waiting`].
    ///
    /// Ends within a time that the implementation bounds. May be dropped at any time; whether the batch was
    /// accepted is unknown then, and it is given again.
    fn deliver(&self, seq: u64, meta: &BatchMeta, body: &Bytes) -> impl Future<Output = Delivery> + Send;

    /// Where batches go, for people to read and without secrets.
    fn address(&self) -> &str;

    /// Where those of a signal go.
    fn address_of(&self, _signal: Signal) -> &str {
        self.address()
    }

    /// Whether it can be known without asking that the destination takes such batches.
    fn serves(&self, _signal: Signal) -> bool {
        true
    }
}

/// What became of a batch. Every reason is one line that fits after "<address>: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The destination has taken it. It must not be sent again, whatever it says beside.
    Accepted {
        /// Records that the destination did not keep.
        rejected: u64,
        /// What it said of them, or what was strange about the answer. Empty if all is well.
        message: String,
    },
    /// Not now: the same bytes are sent again later.
    Retry {
        /// How long the destination asked to be left alone, at most [`super::backoff::LONGEST_WISH`].
        after: Option<Duration>,
        /// What was answered.
        reason: String,
    },
    /// The destination failed over these bytes, and does not say whether the fault is its own or theirs. They are sent
    /// again; if they alone fail, the fault is taken to be theirs.
    Failed {
        /// What was answered.
        reason: String,
    },
    /// The request is larger than the destination takes.
    TooLarge {
        /// What was answered.
        reason: String,
    },
    /// The destination will never take these bytes, though it may take a part of them.
    Refused {
        /// What was answered.
        reason: String,
    },
    /// The destination has no place for batches of this signal, which is metrics or traces.
    Unserved {
        /// What was answered.
        reason: String,
    },
    /// Nothing would be taken with these settings: the data is kept until somebody changes them, here or there.
    Misconfigured {
        /// What was answered, and where it can be known, which option to change.
        reason: String,
    },
}
