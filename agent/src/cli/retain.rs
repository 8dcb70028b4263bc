//! Keeping the embedded store within what the settings allow, and with it what submits have left behind.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};
use tracing::{info, warn};

use crate::{
    record::{Clock, SystemClock, system_time},
    store::{FindError, Retention, Store},
};

use super::submit::left;

/// How often it is looked what has grown too old or too large.
const EVERY: Duration = Duration::from_mins(10);

/// Removes what may not stay in the store, where there is one, and of a state directory, at once and at times, until it is
/// aborted.
pub fn keep_within(rules: &Retention, store: Option<&Arc<Store>>, state_dir: &Path) -> JoinHandle<()> {
    let (rules, store, state_dir) = (rules.clone(), store.cloned(), state_dir.to_owned());
    tokio::spawn(async move {
        loop {
            once(&rules, store.as_ref(), &state_dir).await;
            sleep(EVERY).await;
        }
    })
}

/// Removes what may not stay. Says what that was.
pub async fn once(rules: &Retention, store: Option<&Arc<Store>>, state_dir: &Path) {
    let (rules, store, state_dir) = (rules.clone(), store.cloned(), state_dir.to_owned());
    let now = system_time(SystemClock.now());
    // It fails when the runtime is shutting down.
    let _ = spawn_blocking(move || {
        let removed = store.as_ref().map(|store| runs(&rules, store, now)).unwrap_or_default();
        copies(store.as_deref(), state_dir, &removed, now);
    })
    .await;
}

/// Removes runs, and gives their ids.
fn runs(rules: &Retention, store: &Store, now: SystemTime) -> Vec<String> {
    if rules.is_without_limit() {
        return Vec::new();
    }
    match store.retain(rules, now) {
        Ok(retained) => {
            for run in &retained.removed {
                info!(run_id = run.run_id, bytes = run.bytes, option = run.option, "a run was removed from the store");
            }
            if let Some(most) = rules.max_bytes.filter(|most| retained.bytes > *most) {
                let bytes = retained.bytes;
                warn!(bytes, max_bytes = most, "the store is larger than store.max_bytes, and no other run has ended");
            }
            retained.removed.into_iter().map(|run| run.run_id).collect()
        }
        Err(error) => {
            let error = anyhow::Error::new(error);
            warn!(error = format!("{error:#}"), "old runs cannot be removed from the store, trying again");
            Vec::new()
        }
    }
}

/// Removes the copies of these runs, and those that nobody misses.
fn copies(store: Option<&Store>, state_dir: PathBuf, removed: &[String], now: SystemTime) {
    let removed: Vec<_> = removed.iter().map(String::as_str).collect();
    let is_known = |id: &str| {
        let found = store.map(|store| store.reader().find(id));
        !matches!(found, None | Some(Err(FindError::Unknown(_))))
    };
    for (run_id, result) in left::clear(&state_dir, &removed, is_known, now) {
        match result {
            Ok(()) => info!(run_id, "the copy that a submitted run had was removed"),
            Err(error) => warn!(run_id, %error, "the copy that a submitted run had cannot be removed"),
        }
    }
}
