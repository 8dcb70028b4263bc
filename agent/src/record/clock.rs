//! Wall-clock time behind a trait, so that tests and simulations can own it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01T00:00:00Z; zero means unknown, as in OTLP.
pub type UnixNanos = u64;

/// The same as the time of a file.
#[must_use]
pub fn system_time(time: UnixNanos) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(time)
}

/// Where the time of day comes from. Waiting is the runtime's business, not this trait's.
pub trait Clock: Send + Sync {
    /// The present time. May jump in either direction.
    fn now(&self) -> UnixNanos;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixNanos {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}
