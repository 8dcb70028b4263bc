//! From an identity to OTLP attributes.
use std::sync::Arc;

use crate::record::Resource;

use super::{Identity, RunId};

/// What is known beside the run's identity: pairs of attribute key and value, such as ("host.name", …).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub Vec<(String, String)>);

/// The resource of a run on this agent.
pub fn resource(run_id: &RunId, identity: &Identity, facts: &Facts) -> Arc<Resource> {
    let _ = (run_id, identity, facts);
    unimplemented!()
}

/// Record attributes that the identity gives each line (rank and the like), encoded.
pub fn record_attributes(identity: &Identity) -> Vec<u8> {
    let _ = identity;
    unimplemented!()
}
