//! The agents that are compared. A peer says how it is started; everything else is the same for all.

mod collector;
mod runlog;

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use self::{
    collector::{Collector, Queue},
    runlog::{Features, Runlog, Wire},
};
use crate::{containers::Engine, format::Format, measure::Task};

/// What an agent is to do.
#[derive(Debug)]
pub struct Job<'a> {
    /// Where lines come from.
    pub input: Input<'a>,
    /// Where it sends logs: OTLP over HTTP/1.1 or gRPC, without TLS.
    pub sink: SocketAddr,
    /// An empty folder of its own: for its settings, and for what it keeps.
    pub folder: &'a Path,
}

/// Where an agent's lines come from.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// The folder whose `*.log` it follows, from their beginnings, and what is in them.
    Files(&'a Path, Format),
    /// The address where it takes OTLP over HTTP.
    Otlp(SocketAddr),
    /// The containers of that engine that have our label.
    Containers(Engine),
}

/// How an agent is started.
#[derive(Debug)]
pub struct Invocation {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(&'static str, OsString)>,
}

/// An agent with its settings, set up as its own documents advise where lines must not be lost.
pub trait Peer {
    /// Its name in tables. Names are unique.
    fn name(&self) -> &'static str;

    /// What is measured, in a few words: for the reader of a table.
    fn settings(&self) -> &'static str;

    /// The program that `--version` is asked of.
    fn program(&self) -> &Path;

    /// Whether the agent that keeps its things in that folder says that it is ready. `None` if it cannot be asked.
    fn is_ready(&self, _folder: &Path) -> Option<bool> {
        None
    }

    /// Whether it has a way of its own to do that.
    fn takes(&self, _task: Task) -> bool {
        true
    }

    /// Whether it leaves out lines below the level info.
    fn leaves_out(&self) -> bool {
        false
    }

    /// Prepares `job.folder` and says how to start. The agent runs until SIGTERM.
    ///
    /// # Errors
    /// If the folder cannot be written.
    fn prepare(&self, job: &Job<'_>) -> io::Result<Invocation>;
}
