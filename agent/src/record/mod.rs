//! What flows from one stage to the next.
//!
//! A [`Chunk`] of bytes comes in from a source, its lines become OTLP `LogRecord`s that are written
//! straight into a batch, and a [`Batch`] leaves for the queue. This folder holds those shapes and
//! their bytes on the wire. It imports nothing else of runlog.

pub mod account;
pub mod batch;
pub mod chunk;
pub mod clock;
pub mod end;
pub mod lane;
pub mod origin;
pub mod progress;
pub mod rank_errors;
pub mod receipt;
pub mod severity;
pub mod signal;
pub mod tally;
pub mod wire;

pub use account::{Account, FirstError};
pub use batch::{Batch, BatchMeta, PositionUpdate};
pub use chunk::{Chunk, Counted, Ending, Entries, Entry, Event, Input, Mark, Pushed};
pub use clock::{Clock, SystemClock, UnixNanos, system_time};
pub use end::End;
pub use lane::{Format, Lane, ReadTo};
pub use origin::{Bookmark, Forgotten, NoBookmark, Origin, Resource, SourceKind};
pub use progress::{Lag, Progress};
pub use rank_errors::{Cause, Collective, RankErrors, culprit};
pub use receipt::{Kept, Receipt, receipt};
pub use severity::Severity;
pub use signal::Signal;
pub use tally::{Ledger, Passed, Tally};
