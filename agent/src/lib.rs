//! runlog: what a training run printed, found under its run, at the level you asked for, with nothing lost.
//!
//! One folder a stage, in the order in which a line travels:
//! [`source`] reads bytes, [`parse`] finds lines in them, [`enrich`] tags and filters, [`batch`] closes and
//! compresses, [`queue`] makes durable, [`export`] delivers. `docs/ARCHITECTURE.md` is the map.

pub mod api;
pub mod cli;
pub mod config;
pub mod export;
pub mod pipeline;
pub mod receive;
pub mod serve;
pub mod source;
pub mod store;
pub mod telemetry;

// What is done for each line: a crate of its own, `line.rs`, so that it can be compiled for speed.
pub use runlog_line::{batch, enrich, parse, queue, record, run};
