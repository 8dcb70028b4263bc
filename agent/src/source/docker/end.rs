//! Waiting for the end of one container, by which the agent itself may end.

use std::{path::Path, time::Duration};

use tracing::{debug, info};

use super::engine::Engine;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Returns when the container of that name or id has ended for good: it is neither running nor about to be started
/// again, or is gone after it was seen. One that is not there yet is waited for, and so is the engine. Cancel safe.
pub async fn ended(socket: &Path, name: &str) {
    let mut was_seen = false;
    let mut is_told = false;
    loop {
        match look(socket, name).await {
            Some(Seen::Ended) => return,
            Some(Seen::Gone) if was_seen => return,
            Some(Seen::Gone) if !is_told => {
                info!(container = name, "waiting for the container to end with, it is not there yet (exit_with)");
                is_told = true;
            }
            Some(Seen::There) => was_seen = true,
            Some(Seen::Gone) | None => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

enum Seen {
    Gone,
    There,
    Ended,
}

/// `None` if the engine cannot be asked; who collects from it says so.
async fn look(socket: &Path, name: &str) -> Option<Seen> {
    let engine = Engine::connect(socket).await.ok()?;
    match engine.inspect(name).await {
        Ok(None) => Some(Seen::Gone),
        Ok(Some((container, _))) if container.exit.is_some() && !container.running => Some(Seen::Ended),
        Ok(Some(_)) => Some(Seen::There),
        Err(failure) => {
            debug!(container = name, error = %failure, "the container to end with cannot be looked at");
            None
        }
    }
}
