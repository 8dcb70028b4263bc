//! How the Docker source is doing, for `serve` to show.

use tokio::sync::watch;

/// How the Docker source is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What it is doing.
    pub state: State,
    /// Containers whose logs are being read.
    pub containers: usize,
}

/// What the Docker source is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No engine was seen yet, and none was demanded.
    Waiting,
    /// The engine answers.
    Collecting,
    /// The engine cannot be used: why, in words for people. It is tried again without end.
    Degraded(String),
}

/// Makes the two ends: the source's, to be given to [`super::collect`], and the readers'.
#[must_use]
pub fn health() -> (watch::Sender<Health>, watch::Receiver<Health>) {
    watch::channel(Health { state: State::Waiting, containers: 0 })
}
