//! The record of what nobody can read any more.

use std::sync::Arc;

use crate::record::{
    Event, Origin, Severity, UnixNanos,
    wire::{Value, record_attribute},
};

/// A `runlog.gap` beside the lines of that stream. `body` is one sentence for people.
pub(super) fn gap(origin: Arc<Origin>, time: UnixNanos, body: String, attributes: &[(&str, u64)]) -> Event {
    let mut encoded = Vec::new();
    for (key, value) in attributes {
        record_attribute(&mut encoded, key, Value::Int(value.cast_signed()));
    }
    Event { origin, name: "runlog.gap", time, severity: Severity::WARN, body, attributes: encoded }
}
