//! The way of a line, from a chunk of bytes to the queue: all of runlog's work that is done for each line.
//!
//! It is a crate of its own, so that nothing of the rest can come in, and so that the compiler makes it fast where it makes
//! the rest small (`Cargo.toml`, `profile.release`). For its readers nothing follows from that: its folders stand beside
//! the others, `lib.rs` gives them under the same names, and `docs/ARCHITECTURE.md` is the map of both.

pub mod batch;
pub mod enrich;
pub mod parse;
pub mod queue;
pub mod record;
pub mod run;

/// The thread that a line is seen to in.
pub mod pipeline {
    pub mod receipts;
    mod stage;
    mod watchdog;

    pub use stage::{Awaited, Stage};
    pub use watchdog::{Pulse, Verdict, Watchdog};
}

/// What lies between the sources and that thread.
pub mod source {
    mod intake;
    mod turns;

    pub use intake::{
        Budget, Closed, HeldUp, Intake, Offer, Outlet, Received, Room, Stop, StopSwitch, intake, stop_switch,
    };
}
