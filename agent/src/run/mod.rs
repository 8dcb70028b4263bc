//! Which run a line belongs to: its id, where that was found, and what else is known about it.

mod id;
mod identity;
mod platform;
mod pod;
mod resource;

pub use id::{RunId, UnusableRunId};
pub use identity::{Identity, identify};
pub use pod::Pod;
pub use resource::{Facts, host_name, record_attributes, resource};
