//! Settings of the Docker source.

use std::path::PathBuf;

use crate::config::Switch;

/// Which containers are collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether containers are collected at all.
    pub collect: Switch,
    /// The engine's unix socket.
    pub socket: PathBuf,
    /// Labels that a container must have, all of them.
    pub labels: Vec<Label>,
    /// Whether containers that ended before they were first seen are read.
    pub read_exited: bool,
    /// The folder of the engine's containers, to read their files there; `None` to ask the engine.
    pub files: Option<PathBuf>,
}

/// A label that a container must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The label's key.
    pub key: String,
    /// The value that it must have, or `None` for any.
    pub value: Option<String>,
}
