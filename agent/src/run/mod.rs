//! Which run a line belongs to: its id, where that was found, and what else is known about it.

mod exit_with;
mod id;
mod identity;
mod platform;
mod pod;
mod resource;

pub use exit_with::{ExitWith, UnusableExitWith};
pub use id::{RunId, UnusableRunId};
pub use identity::{Identity, identify};
pub use pod::Pod;
pub use resource::{Facts, host_name, record_attributes, resource};
