//! Which run a line belongs to: its id, where that was found, and what else is known about it.

mod identity;
mod resource;

pub use identity::{Identity, RunId, UnusableRunId, identify};
pub use resource::{Facts, record_attributes, resource};
