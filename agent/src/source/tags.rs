//! What all lines of a stream carry.

use std::sync::Arc;

use crate::{
    record::{Resource, Severity},
    run::{Facts, Identity, RunId},
};

/// What lines are tagged with whose container, pod or unit does not say otherwise.
#[derive(Debug, Clone)]
pub struct Tagging {
    /// The agent's own run.
    pub run_id: RunId,
    /// What the agent's own environment says about it.
    pub identity: Identity,
    /// What is known about the agent's host.
    pub facts: Facts,
    /// The configured level.
    pub level: Severity,
}

/// What the lines of one container are tagged with.
#[derive(Debug, Clone)]
pub struct Tags {
    /// Its name for people.
    pub name: String,
    /// Its run.
    pub resource: Arc<Resource>,
    /// Record attributes, encoded.
    pub attributes: Vec<u8>,
    /// The level asked for.
    pub level: Severity,
    /// Whether lines that are one thing, such as a traceback, become one record.
    pub is_joined: bool,
}
