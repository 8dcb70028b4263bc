//! runlog: what a training run printed, found under its run, at the level you asked for, with nothing lost.
//!
//! One folder a stage, in the order in which a line travels:
//! [`source`] reads bytes, [`parse`] finds lines in them, [`enrich`] tags and filters, [`batch`] closes and
//! compresses, [`queue`] makes durable, [`export`] delivers. `docs/ARCHITECTURE.md` is the map.

pub mod api;
pub mod batch;
pub mod cli;
pub mod config;
pub mod enrich;
pub mod export;
pub mod parse;
pub mod pipeline;
pub mod queue;
pub mod receive;
pub mod record;
pub mod run;
pub mod serve;
pub mod source;
pub mod store;
pub mod telemetry;
