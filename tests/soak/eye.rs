//! What the parts of an episode know of each other: how much is printed, and who could see it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Shared by those who stop the agent and those who destroy what it may not have seen.
#[derive(Debug, Clone, Default)]
pub struct Eye(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    since: Mutex<Option<Instant>>,
    lines: AtomicUsize,
}

impl Eye {
    /// So many lines more are whole.
    pub fn printed(&self, lines: usize) {
        self.0.lines.fetch_add(lines, Ordering::SeqCst);
    }

    /// How many lines are printed.
    pub fn lines(&self) -> usize {
        self.0.lines.load(Ordering::SeqCst)
    }

    /// It can look from now on.
    pub fn open(&self) {
        *self.0.since.lock().unwrap() = Some(Instant::now());
    }

    /// It cannot look from now on.
    pub fn close(&self) {
        *self.0.since.lock().unwrap() = None;
    }

    /// How long it has been able to look without interruption.
    pub fn watched(&self) -> Duration {
        self.0.since.lock().unwrap().map_or(Duration::ZERO, |since| since.elapsed())
    }
}
