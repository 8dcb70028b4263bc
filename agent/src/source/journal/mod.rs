//! The journal of systemd: what units print, and what is written to journald by other ways.
//!
//! journalctl reads it for us, as a process of its own: it knows each version's files, and runlog needs no library of
//! systemd. It gives out all entries in their order from a [`cursor`] on; [`export`] takes them apart, [`entry`] says
//! what they mean, and the [`reader`] decides which are wanted, notices what is missing, and starts journalctl again
//! when it ends or stops to give out what there is. How far the queue has them is a [`place`].

mod config;
mod cursor;
mod entry;
mod export;
mod journalctl;
mod own;
mod place;
mod reader;
mod streams;

pub use config::{Config, Unit};

use crate::source::{Context, Tagging};

/// The key of the position in the queue.
const KEY: &str = "journal";

/// Whose entries are left to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// What systemd has called this start of the agent, `$INVOCATION_ID`, which is left out.
    pub invocation_id: Option<String>,
    /// Whether containers are read through their engine, also those that it logs to the journal.
    pub are_containers_read: bool,
}

/// Collects until `context.stop` is thrown and what was written by then was handed over.
///
/// It begins with the first entry of this boot, or behind what the queue has. A journalctl that is missing or may not
/// read is told and tried again without end.
pub async fn collect(config: Config, context: Context, tagging: Tagging, others: Others) {
    reader::Reader::new(config, context, tagging, others).run().await;
}
