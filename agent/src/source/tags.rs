//! What all lines of a stream carry.

use std::sync::Arc;

use crate::record::{Resource, Severity};

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
}
