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
    runlog::Runlog,
};

/// What an agent is to do.
#[derive(Debug)]
pub struct Job<'a> {
    /// The folder whose `*.log` it follows, from their beginnings.
    pub logs: &'a Path,
    /// Where it sends logs: OTLP over HTTP/1.1, without TLS.
    pub sink: SocketAddr,
    /// An empty folder of its own: for its settings, and for what it keeps.
    pub folder: &'a Path,
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

    /// Prepares `job.folder` and says how to start. The agent runs until SIGTERM.
    ///
    /// # Errors
    /// If the folder cannot be written.
    fn prepare(&self, job: &Job<'_>) -> io::Result<Invocation>;
}
