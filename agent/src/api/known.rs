//! What is known of the runs that are logged to.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use runlog_proto::v1;

/// Runs that are remembered; of others the store is asked again.
const MAX_RUNS: usize = 4_096;

/// Names of metrics that are remembered of each.
const MAX_NAMES: usize = 1_024;

/// What stands in the resource of a run's events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) experiment: String,
    pub(super) name: String,
    pub(super) parent: String,
}

impl From<&v1::Run> for Head {
    fn from(run: &v1::Run) -> Self {
        Self { experiment: run.experiment.clone(), name: run.name.clone(), parent: run.parent_run_id.clone() }
    }
}

/// One run.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) head: Head,
    pub(super) has_ended: bool,
    /// Whether each metric has rows.
    pub(super) has_rows: HashMap<String, bool>,
}

/// The runs that were logged to last.
#[derive(Debug, Default)]
pub(super) struct KnownRuns(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    by_id: HashMap<String, Arc<Mutex<Known>>>,
    /// The oldest first.
    order: VecDeque<String>,
}

impl KnownRuns {
    pub(super) fn get(&self, id: &str) -> Option<Arc<Mutex<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    /// Remembers a run, unless it is known.
    pub(super) fn put(&self, id: &str, known: Known) -> Arc<Mutex<Known>> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = runs.by_id.get(id) {
            return Arc::clone(known);
        }
        if runs.order.len() >= MAX_RUNS
            && let Some(oldest) = runs.order.pop_front()
        {
            runs.by_id.remove(&oldest);
        }
        let known = Arc::new(Mutex::new(known));
        runs.order.push_back(id.to_owned());
        runs.by_id.insert(id.to_owned(), Arc::clone(&known));
        known
    }

    pub(super) fn forget(&self, id: &str) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.by_id.remove(id);
        runs.order.retain(|known| known != id);
    }
}

impl Known {
    /// Forgets names that are too many: what they are is in the store.
    pub(super) fn trim(&mut self) {
        if self.has_rows.len() > MAX_NAMES {
            self.has_rows.clear();
        }
    }
}
