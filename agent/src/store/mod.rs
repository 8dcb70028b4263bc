//! The embedded store: the very blocks that arrived, and an index over them.
//!
//! Goals: storing costs nearly nothing more than queueing did; each batch is stored exactly once; several
//! processes write and read at the same time; what was stored is found by run, time and level without opening
//! blocks that cannot match. Not goals: a full-text index (a scan answers in a third of a second per two million
//! lines, the index would cost twenty times the ingest), editing, stores shared over a network file system.
//!
//! ```text
//! index.sqlite                           runs, writers, files, blocks, metrics (write-ahead log, synchronous = FULL)
//! lock                                   held while the index is made or checked
//! runs/<32 hex digits>/<32 hex digits>   zstd frames, one after the other, each one OTLP
//!                                        `ExportLogsServiceRequest`; a folder per run, a file per writer
//! files/                                 what runs have uploaded, by digest (`files.rs`)
//! ```
//!
//! A folder is named by a hash of the run id, never by the id, which others choose.
//!
//! What survives a crash: a block's bytes are synced before the transaction that names them is committed, and the
//! writer's high-water mark moves in that same transaction. So a block that the index names is whole, and one that
//! it does not name was not acknowledged and comes again. What a crash leaves behind the last named block of a
//! file is overwritten by the next one.
//!
//! Metrics, tags and the like are tables that are made from the events in the blocks (`logged.rs`), and of long metrics
//! there is a thinned copy for charts (`thinned.rs`).
//!
//! An index that is missing or damaged is made again from the blocks (`rebuild.rs`).

mod append;
mod archive;
mod artifacts;
mod blocks;
mod cell;
mod delete;
mod files;
mod find;
mod index;
mod life;
mod line;
mod logged;
mod logs;
mod metrics;
mod moment;
mod reader;
mod rebuild;
mod received;
mod retain;
#[cfg(test)]
pub(crate) mod samples;
mod seen;
#[cfg(test)]
mod tests;
mod thinned;

pub use append::{Appended, Store, StoreError};
pub use archive::{AdoptError, Stored};
pub use files::{Digest, FileError, NoDigest, Upload};
pub use find::{FindError, LATEST, RunFilter};
pub use index::OpenError;
pub use life::statuses;
pub use logs::{Cursor, Events, MAX_LINES, Query, Take, UnknownCursor};
pub use metrics::{MAX_POINTS, MetricsQuery};
pub use moment::{UnknownMoment, parse_moment};
pub use reader::{ReadError, Reader};
pub use received::by_run;
pub use retain::{Removed, Retained, Retention};

/// Names a writer, whose batches are stored once each: the id of a queue.
pub type Writer = [u8; 16];
