//! Keeping the embedded store within what the settings allow.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};
use tracing::{info, warn};

use crate::{
    record::{Clock, SystemClock},
    store::{Retention, Store},
};

/// How often it is looked what has grown too old or too large.
const EVERY: Duration = Duration::from_mins(10);

/// Removes what may not stay, at once and at times, until it is aborted. `None` if all may stay.
pub fn keep_within(rules: &Retention, store: &Arc<Store>) -> Option<JoinHandle<()>> {
    if rules.is_without_limit() {
        return None;
    }
    let (rules, store) = (rules.clone(), Arc::clone(store));
    Some(tokio::spawn(async move {
        loop {
            once(&rules, &store).await;
            sleep(EVERY).await;
        }
    }))
}

/// Removes what may not stay. Says what that was.
pub async fn once(rules: &Retention, store: &Arc<Store>) {
    if rules.is_without_limit() {
        return;
    }
    let (rules, store) = (rules.clone(), Arc::clone(store));
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(SystemClock.now());
    match spawn_blocking(move || store.retain(&rules, now).map(|retained| (retained, rules))).await {
        Ok(Ok((retained, rules))) => {
            for run in &retained.removed {
                info!(run_id = run.run_id, bytes = run.bytes, option = run.option, "a run was removed from the store");
            }
            if let Some(most) = rules.max_bytes.filter(|most| retained.bytes > *most) {
                let bytes = retained.bytes;
                warn!(bytes, max_bytes = most, "the store is larger than store.max_bytes, and no other run has ended");
            }
        }
        Ok(Err(error)) => {
            let error = anyhow::Error::new(error);
            warn!(error = format!("{error:#}"), "old runs cannot be removed from the store, trying again");
        }
        // The runtime is shutting down.
        Err(_) => {}
    }
}
