//! How many files may be open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// The part of the system's limit that is kept for connections: each of two listeners takes an eighth at most.
const KEPT_PART: u64 = 4;
/// What the queue, the store, the destinations and the process itself have open.
const KEPT: u64 = 32;

/// Raises what the system lets this process open to what it lets it ask for. Returns how many of `wanted` files can
/// be held open.
pub fn open_files(wanted: usize) -> usize {
    let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
    let is_raised = current.is_some() && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    if is_raised {
        current = maximum;
    }
    let held = held(wanted, current);
    debug!(limit = current, is_raised, held, "files that are held open");
    held
}

fn held(wanted: usize, limit: Option<u64>) -> usize {
    // No limit is none.
    limit.map_or(wanted, |limit| {
        let free = (limit - limit / KEPT_PART).saturating_sub(KEPT).max(1);
        wanted.min(usize::try_from(free).unwrap_or(usize::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s7_the_systems_limit_leaves_a_part_for_others() {
        for (wanted, limit, held_open) in [
            (4096, Some(1024), 736),
            (4096, Some(64), 16),
            (4096, Some(20), 1),
            (100, Some(1024), 100),
            (4096, None, 4096),
        ] {
            assert_eq!(held(wanted, limit), held_open);
        }
    }

    #[test]
    fn the_limit_is_as_high_as_the_system_allows_afterwards() {
        open_files(1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
