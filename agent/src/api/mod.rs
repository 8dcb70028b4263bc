//! The Run API: what its calls mean, and what they become.
//!
//! A call is checked against what is known of its run, written as OTLP (`event.rs`), and handed to a [`Sink`]: the
//! agent's way into its queue, or the store itself. It is answered when it is durable. What is read comes from the store,
//! whose tables are made from the same events (`store/logged.rs`).
//!
//! How it is spoken over HTTP is the affair of `serve`.

mod call;
mod check;
mod entry;
mod event;
mod known;
mod left;
mod problem;

pub use call::{Api, End, Parts, Settle};
pub use left::take_left;
pub use problem::{Problem, Reason};
