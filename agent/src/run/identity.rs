//! Finds a run's identity in an environment.
use std::fmt;

/// Names a run: 1 to 256 characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

/// A text that cannot name a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a run id; use 1 to 256 characters without control characters")]
pub struct UnusableRunId(pub String);

impl RunId {
    /// Takes a name as it was given, without surrounding white space and paired quotes.
    ///
    /// # Errors
    /// If nothing is left, or too much, or it holds control characters.
    pub fn new(text: &str) -> Result<Self, UnusableRunId> {
        let _ = text;
        unimplemented!()
    }
    /// A new id that sorts by time (UUID version 7, RFC 9562).
    #[must_use]
    pub fn generate() -> Self {
        unimplemented!()
    }
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an environment says about a run. Empty where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Identity {
    pub run_id: Option<RunId>,
    pub platform: Option<&'static str>,
    /// Other platforms' ids of the same run: (platform, id).
    pub aliases: Vec<(&'static str, String)>,
    pub parent_id: Option<String>,
    pub root_id: Option<String>,
    pub name: Option<String>,
    pub experiment: Option<String>,
    pub experiment_id: Option<String>,
    pub project: Option<String>,
    pub attempt: Option<String>,
    pub rank: Option<u32>,
    pub local_rank: Option<u32>,
    pub world_size: Option<u32>,
    pub node_rank: Option<u32>,
    pub restart: Option<u32>,
}

/// Reads the identity from the variables of a trainer's environment.
pub fn identify(variable: &dyn Fn(&str) -> Option<String>) -> Identity {
    let _ = variable;
    unimplemented!()
}
