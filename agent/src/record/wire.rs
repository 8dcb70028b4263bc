//! OTLP protobuf bytes, written, walked and passed on without building structs.
//!
//! Field numbers: `opentelemetry/proto/{logs,common,resource}/v1/*.proto`, version 1.11. A property test
//! decodes what is written here with `opentelemetry-proto`.

mod check;
mod gauges;
mod json;
mod pass;
mod read;
mod rewrite;
mod schema;
mod split;
mod write;

pub use check::{Seen, Unfit, check_metric, check_record, check_span, points_in, points_of};
pub use gauges::{Gathered, Gauges, Number, Sample};
pub use json::{NoRequest, from_json};
pub use pass::{Above, NoOutline, Outline, ResourceOutline, ScopeOutline, resource_without};
pub use read::{Malformed, RecordView, ResourceView, ScopeView, Value, attributes, requests_resources};
pub use rewrite::{rewrite, rewrite_resource};
pub use split::{Part, split, split_records};
pub use write::{Fields, RequestWriter, Text, hex16, record_attribute, resource_attribute, scope_bytes, uid_prefix};

#[cfg(test)]
mod tests;
