//! What the kernel says of a process.

use std::{fs, path::Path, time::Duration};

use crate::eventually;

/// Waits until a process that was sent SIGSTOP stands still: each of its threads stops by itself, on a busy machine a
/// moment later.
pub(crate) fn eventually_stands_still(pid: u32) {
    let stats = || of_threads(pid, "stat").into_iter();
    let state = |stat: String| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    eventually("it stands still", || stats().filter_map(state).all(|state| state == 'T').then_some(()));
}

/// How long its threads, together, have waited for a processor that others had.
pub(crate) fn waited_for_a_processor(pid: u32) -> Duration {
    let waited = |stat: String| stat.split(' ').nth(1)?.parse::<u64>().ok();
    Duration::from_nanos(of_threads(pid, "schedstat").into_iter().filter_map(waited).sum())
}

/// What a file of proc(5) has for each thread. Threads end while this looks.
fn of_threads(pid: u32, file: &str) -> Vec<String> {
    let Ok(threads) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")) else { return Vec::new() };
    threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join(file)).ok()).collect()
}
