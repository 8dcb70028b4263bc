//! Containers of Kubernetes pods.
//!
//! The kubelet keeps what they print in files below one folder of the node, which the file source reads: [`Pods`] says
//! which of them are wanted, and what their lines are tagged with. The [`path`] of a log names its container, so nothing
//! has to be asked. What it does not say, labels, annotations and the environment, is asked for where that is allowed,
//! and waited for a little: [`metadata`].

mod ask;
mod config;
mod lives;
mod metadata;
mod own;
mod path;
mod pods;
#[cfg(test)]
mod tests;

pub use ask::keep_asking;
pub use config::{Choice, Config, Scope};
pub use metadata::Metadata;
pub use path::PodLog;
pub use pods::Pods;
