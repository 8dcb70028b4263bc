//! OTLP's JSON. Few clients send it, so it is decoded into structs and encoded again.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

/// What structs take more than the text that they come from.
pub const BLOAT: usize = 4;

/// The request as protobuf.
///
/// # Errors
/// If it is not JSON, or not the message it should be.
pub fn to_protobuf(text: &[u8]) -> serde_json::Result<Vec<u8>> {
    Ok(serde_json::from_slice::<ExportLogsServiceRequest>(text)?.encode_to_vec())
}
