//! Containers of a Docker engine.

mod config;

pub use config::{Config, Label};
