//! Queues that `runlog exec` left behind because their destination was away.

use std::{fs, future, io, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::queue::{self, OpenError, Queue};

use super::{Destinations, open};

/// In the folder of such a queue: what its program could not send, as files of a spool.
pub const SPOOL: &str = "spool";

/// Delivers what is in the queues below `dir` and removes those that are empty then. A queue that another process
/// holds is left alone. What programs have spooled beside them goes to `spool`, where an agent looks. Ends at `deadline` at the latest, or never if there is none and a destination stays away.
pub async fn adopt_left_behind(
    dir: &Path,
    spool: &Path,
    config: &queue::Config,
    destinations: &Destinations,
    linger: Duration,
    deadline: Option<Instant>,
) {
    // No folder means that nothing was left behind.
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let path = entry.path();
        match open(&path, config, &destinations.names(), linger) {
            Ok(queue) => deliver(&path, spool, queue, destinations.clone(), deadline).await,
            Err(OpenError::Locked { .. }) => {}
            Err(error) => {
                warn!(path = %path.display(), error = %error, "a queue that was left behind cannot be opened")
            }
        }
    }
}

async fn deliver(path: &Path, spool: &Path, queue: Queue, destinations: Destinations, deadline: Option<Instant>) {
    let waiting = queue.stats().entries_left();
    if waiting > 0 {
        info!(path = %path.display(), batches = waiting, "delivering what an earlier run left behind");
    }
    let running = match destinations.start(&queue, &Arc::default()) {
        Ok(running) => running,
        Err(error) => {
            warn!(path = %path.display(), error = %error, "cannot deliver what was left behind");
            return;
        }
    };
    queue.close();
    // A year stands for "as long as it takes": the task ends with the process anyway.
    let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(365 * 86_400));
    running.finish(deadline, future::pending()).await;
    if queue.is_drained() {
        remove(path, queue, spool);
    }
}

/// Removes the folder of a queue that holds nothing any more, once what was spooled in it is in the other spool.
pub fn remove(path: &Path, queue: Queue, spool: &Path) {
    drop(queue);
    if let Err(error) = move_spooled(&path.join(SPOOL), spool) {
        warn!(path = %path.display(), spool = %spool.display(), error = %error,
            "what a program has spooled cannot be moved to where an agent takes it, trying again at the next start");
        return;
    }
    if let Err(error) = fs::remove_dir_all(path) {
        warn!(path = %path.display(), error = %error, "cannot remove an empty queue");
    }
}

/// Their writers may have them open still, and go on writing.
fn move_spooled(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            move_spooled(&entry.path(), &place)?;
            continue;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
        fs::rename(entry.path(), place)?;
    }
    Ok(())
}
