//! Which level holds where: the configured ones, and those that were asked for while runlog runs.
//!
//! A line is kept if it is not below the level of its logger, or of its stream where nothing is said of the logger:
//!
//! 1. **Of the logger** the longest name counts that it is or lies below, as in Python's hierarchy, whatever else is
//!    said. Of two equal names the one that was asked for counts before the configured one.
//! 2. **Of the stream** what was asked for counts before what its container's label says, and that before `level`.
//! 3. Of what was asked for, that counts which names more of source and run, and then what was asked for last.
//!
//! What was asked for is in memory alone: a restart, and a reload by SIGHUP, return to the configuration.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tracing::info;

use crate::record::{Clock, Severity, SourceKind, SystemClock, UnixNanos};

/// What can be asked for at the same time.
pub const MAX_ASKED: usize = 100;

/// So many runs are remembered.
pub(super) const MAX_RUNS: usize = 1_000;

/// What stands behind a logger's name where another one lies below it: in Python and Java, in Rust and C++, in paths.
const SEPARATORS: [u8; 3] = [b'.', b':', b'/'];

/// The level of a logger and of those below it, as the settings have it: `nccl=warn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggerLevel {
    /// Its name, in whatever case.
    pub logger: String,
    /// Its lines below this are left out.
    pub level: Severity,
}

/// What is no level of a logger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableLevel {
    /// It names no logger, or no level.
    #[error("holds {0}, which is not LOGGER=LEVEL")]
    Shapeless(String),
    /// What stands behind the name is no level.
    #[error("holds {0}, whose level is none")]
    Unknown(String),
}

impl FromStr for LoggerLevel {
    type Err = UnusableLevel;

    fn from_str(text: &str) -> Result<Self, UnusableLevel> {
        let split = text.split_once('=').map(|(logger, level)| (logger.trim(), level.trim()));
        let split = split.filter(|(logger, level)| !logger.is_empty() && !level.is_empty());
        let (logger, level) = split.ok_or_else(|| UnusableLevel::Shapeless(text.to_owned()))?;
        let level = level.parse().map_err(|_| UnusableLevel::Unknown(text.to_owned()))?;
        Ok(Self { logger: logger.to_owned(), level })
    }
}

/// What a level is asked for. With nothing in it, for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// A kind of source, the name of a stream or what stands before a `/` of it, or a glob of names.
    pub source: Option<String>,
    /// The run, by its whole id.
    pub run: Option<String>,
    /// The logger, and those below it.
    pub logger: Option<String>,
}

/// A level that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Lines below it are left out.
    pub level: Severity,
    /// What for.
    pub scope: Scope,
    /// When it ends by itself.
    pub until: Option<Until>,
}

/// The end of what was asked for, by the clock that counts and on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "two names for one moment")]
pub struct Until {
    pub instant: Instant,
    pub time: UnixNanos,
}

/// More than [`MAX_ASKED`] were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_ASKED} levels are asked for already")]
pub struct TooMany;

/// The levels of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// That of lines whose logger is not among the others.
    pub stream: Severity,
    /// Those of loggers, what counts first first.
    pub loggers: Vec<LoggerLevel>,
}

/// All levels. Clones are the same levels.
#[derive(Debug, Clone)]
pub struct Levels(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    configured: Vec<LoggerLevel>,
    asked: Mutex<Vec<Asked>>,
    version: AtomicU64,
    /// The runs that lines came of, what was heard of last last.
    runs: Mutex<VecDeque<String>>,
}

impl Default for Levels {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Levels {
    /// The levels of the settings, with nothing asked for.
    #[must_use]
    pub fn new(configured: Vec<LoggerLevel>) -> Self {
        // No version of another process is one of this one.
        let version = AtomicU64::new(SystemClock.now());
        Self(Arc::new(Shared { configured, asked: Mutex::default(), version, runs: Mutex::default() }))
    }

    /// Another number after each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// The levels of loggers in the settings.
    #[must_use]
    pub fn configured(&self) -> &[LoggerLevel] {
        &self.0.configured
    }

    /// Sets a level, in place of one that was asked for the same.
    ///
    /// # Errors
    /// If too much is asked for.
    pub fn ask(&self, asked: Asked) -> Result<(), TooMany> {
        let mut all = self.lock();
        all.retain(|known| known.scope != asked.scope);
        if all.len() >= MAX_ASKED {
            return Err(TooMany);
        }
        let until = asked.until.map(|until| jiff::Timestamp::from_nanosecond(until.time.into()).unwrap_or_default());
        info!(level = %asked.level, scope = %asked.scope, until = until.map(tracing::field::display), "a level was asked for");
        all.push(asked);
        self.changed();
        Ok(())
    }

    /// Forgets what was asked for: all, or what was asked for that alone. Says how much that was.
    pub fn reset(&self, scope: &Scope) -> usize {
        let mut all = self.lock();
        let before = all.len();
        all.retain(|asked| *scope != Scope::default() && asked.scope != *scope);
        let forgotten = before - all.len();
        if forgotten > 0 {
            info!(%scope, forgotten, "levels are what they were before they were asked for");
            self.changed();
        }
        forgotten
    }

    /// What is asked for at that moment, in the order in which it was.
    #[must_use]
    pub fn asked(&self, now: Instant) -> Vec<Asked> {
        let mut all = self.lock();
        all.retain(|asked| {
            let is_over = asked.is_over(now);
            if is_over {
                info!(level = %asked.level, scope = %asked.scope, "the time of a level that was asked for is over");
                self.changed();
            }
            !is_over
        });
        all.clone()
    }

    /// The levels of a stream, whose label or settings say `base`, in a run.
    #[must_use]
    pub fn of(&self, asked: &[Asked], (kind, name): (SourceKind, &str), run_id: &str, base: Severity) -> Thresholds {
        // In reverse, so that what is equal stands after what was asked for later.
        let mut here: Vec<&Asked> = asked.iter().rev().filter(|asked| asked.scope.holds(kind, name, run_id)).collect();
        here.sort_by_key(|asked| std::cmp::Reverse(asked.scope.named()));
        let stream = here.iter().find(|asked| asked.scope.logger.is_none()).map_or(base, |asked| asked.level);
        let of_logger = |asked: &&Asked| {
            asked.scope.logger.as_ref().map(|logger| LoggerLevel { logger: logger.clone(), level: asked.level })
        };
        let mut loggers: Vec<LoggerLevel> = here.iter().filter_map(of_logger).collect();
        loggers.extend(self.0.configured.iter().cloned());
        loggers.sort_by_key(|known| std::cmp::Reverse(known.logger.len()));
        Thresholds { stream, loggers }
    }

    /// Notes a run that lines come of.
    pub(super) fn met(&self, run_id: &str) {
        let mut runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|known| known != run_id);
        if runs.len() >= MAX_RUNS {
            runs.pop_front();
        }
        runs.push_back(run_id.to_owned());
    }

    /// The runs that lines have come of, as far as they are remembered.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn changed(&self) {
        self.0.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until.instant <= now)
    }
}

impl Scope {
    /// Whether a stream of a run is meant.
    fn holds(&self, kind: SourceKind, name: &str, run_id: &str) -> bool {
        self.run.as_ref().is_none_or(|run| run == run_id)
            && self.source.as_ref().is_none_or(|source| is_source(source, kind, name))
    }

    fn named(&self) -> usize {
        usize::from(self.source.is_some()) + usize::from(self.run.is_some())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("source", &self.source), ("run", &self.run), ("logger", &self.logger)];
        let mut parts = parts.iter().filter_map(|(word, part)| Some((word, part.as_ref()?))).peekable();
        if parts.peek().is_none() {
            return f.write_str("everything");
        }
        let mut is_first = true;
        for (word, part) in parts {
            write!(f, "{}{word} {part}", if is_first { "" } else { ", " })?;
            is_first = false;
        }
        Ok(())
    }
}

/// Whether a word means a stream of that kind and name.
#[must_use]
pub fn is_source(word: &str, kind: SourceKind, name: &str) -> bool {
    word == kind.as_str()
        || name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || word.contains(['*', '?', '[']) && glob::Pattern::new(word).is_ok_and(|pattern| pattern.matches(name))
}

impl Thresholds {
    /// The level of lines of a logger, whose name is empty where none is stated.
    #[must_use]
    pub fn of(&self, logger: &[u8]) -> Severity {
        let known = self.loggers.iter().find(|known| is_within(logger, known.logger.as_bytes()));
        known.map_or(self.stream, |known| known.level)
    }
}

/// Whether a logger is that of the name, or lies below it.
fn is_within(logger: &[u8], name: &[u8]) -> bool {
    let Some((head, rest)) = logger.split_at_checked(name.len()) else { return false };
    head.eq_ignore_ascii_case(name) && rest.first().is_none_or(|next| SEPARATORS.contains(next))
}
