//! Settings of the Docker source.

use std::path::PathBuf;

use super::Filter;
use crate::config::Switch;

/// Which containers are collected, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether containers are collected at all.
    pub collect: Switch,
    /// The engine's unix socket.
    pub socket: PathBuf,
    /// A container has to meet one of these, if there are any.
    pub include: Vec<Filter>,
    /// A container that meets one of these is left out.
    pub exclude: Vec<Filter>,
    /// Whether containers that ended before they were first seen are read.
    pub read_exited: bool,
    /// Where the files of the engine's containers are read.
    pub files: Folder,
}

/// A folder of an engine's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// None: all containers are read through the engine.
    None,
    /// The one that the engine names, where it can be seen from here.
    OfEngine,
    /// This one.
    At(PathBuf),
}
