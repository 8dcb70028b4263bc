//! What the whole-process suites share: the agent as a process, real tools, and questions to the store.
//!
//! A suite starts what it needs. A tool that is missing is built by its script in `tests/tools`, and a script that
//! fails fails the test: nothing is skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a harness speaks by panicking")]

mod agent;
mod collector;
mod container;
mod disk;
mod engine;
mod guide;
mod image;
mod journal;
mod machine;
mod metrics;
mod oracle;
mod podman;
mod port;
mod privilege;
mod process;
mod proxy;
mod sink;
mod state;
mod text;
mod tls;
mod tools;
mod trainer;
mod wait;

pub use agent::{Agent, AgentBuilder, Finished, Line, runlog};
pub use collector::{Collector, CollectorMetric, CollectorPoint, CollectorRecord};
pub use container::{Container, Containers, docker_host};
pub use disk::SmallDisk;
pub use engine::Engine;
pub use guide::{Desk, commands_of};
pub use image::{docker, runlog_image};
pub use journal::{Journal, UnitOutput};
pub use machine::{Machine, PACKAGE_VERSIONS};
pub use oracle::{Bounds, Found};
pub use podman::Podman;
pub use port::Port;
pub use privilege::unprivileged;
pub use proxy::SocketProxy;
pub use sink::{Sink, SinkRecord, SinkRequest};
pub use state::State;
pub use text::{Lines, transcript};
pub use tls::Identity;
pub use tools::{binary, root, tool, use_binary};
pub use trainer::{Printed, Trainer};
pub use wait::{eventually, eventually_within};
