//! Settings of the Kubernetes source.

use std::path::PathBuf;

use glob::{Pattern, PatternError};
use url::Url;

use super::PodLog;

/// Which pods are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The kubelet's folder of logs; `None` to read none.
    pub logs: Option<PathBuf>,
    /// How far to look.
    pub scope: Scope,
    /// Containers that are read; empty for all.
    pub include: Vec<Choice>,
    /// Containers that are left out.
    pub exclude: Vec<Choice>,
    /// Whether a pod has to ask to be read.
    pub only_enabled: bool,
    /// Where a list of the node's pods is to be had, if it may be asked for.
    pub metadata: Option<Url>,
    /// The folder with the token to show there and the authority to trust.
    pub credentials: PathBuf,
}

/// Whose pods are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of the node's.
    Node,
    /// The one that runlog runs in.
    Pod,
}

/// Some containers, by globs of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    namespace: Pattern,
    pod: Pattern,
    container: Pattern,
}

impl Choice {
    /// Reads `namespace/pod/container`. What is left out at the end is any.
    ///
    /// # Errors
    /// If a part is not a glob, or there are more than three.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let mut parts = text.splitn(3, '/');
        // No name has a slash, so a fourth part matches nothing; it is a mistake.
        let mut next = || match parts.next() {
            Some(part) if part.contains('/') => Err(PatternError { pos: 0, msg: "more than three parts" }),
            part => Pattern::new(part.unwrap_or("*")),
        };
        Ok(Self { namespace: next()?, pod: next()?, container: next()? })
    }

    /// Whether it is one of these.
    #[must_use]
    pub fn has(&self, log: &PodLog<'_>) -> bool {
        self.namespace.matches(log.namespace) && self.pod.matches(log.name) && self.container.matches(log.container)
    }
}
