//! Stage 1: bytes come in.
//!
//! A source finds its streams, reads them and hands over chunks through an [`Intake`], which holds it back
//! while memory is short or the queue is full. It parses nothing and knows no other stage.

mod backoff;
pub mod docker;
mod exit;
pub mod file;
mod gap;
pub mod journal;
pub mod kubernetes;
pub mod otlp;
pub mod process;
mod tags;

pub use runlog_line::source::{
    Budget, Closed, HeldUp, Intake, Offer, Outlet, Received, Room, Stop, StopSwitch, intake, stop_switch,
};
pub use tags::{Tagging, Tags};

use std::{collections::BTreeMap, sync::Arc};

use crate::record::{Clock, Ledger};

/// What every source is given.
#[derive(Clone)]
pub struct Context {
    /// Where chunks go.
    pub intake: Intake,
    /// Tells when to read to the end and finish.
    pub stop: Stop,
    /// Opens the tally of each stream.
    pub ledger: Arc<Ledger>,
    /// The positions that the queue held when it was opened, by [`crate::record::Origin::key`].
    pub positions: Arc<BTreeMap<String, Vec<u8>>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}
