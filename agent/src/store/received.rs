//! Requests that come from elsewhere, as the store has them.

use prost::encoding::{WireType, encode_key, encode_varint};

use crate::record::{
    BatchMeta, Severity,
    wire::{Malformed, ResourceView, Value, requests_resources},
};

/// A request as one for each run, each with its description, in the order of their first records.
///
/// # Errors
/// If it is no request.
pub fn by_run(request: &[u8]) -> Result<Vec<(BatchMeta, Vec<u8>)>, Malformed> {
    let mut parts: Vec<(BatchMeta, Vec<u8>)> = Vec::new();
    for resource in requests_resources(request) {
        let resource = resource?;
        let run_id = run_of(&resource)?;
        let at = parts.iter().position(|(meta, _)| meta.run_id == run_id).unwrap_or_else(|| {
            let records_by_range = vec![0; Severity::RANGES];
            parts.push((BatchMeta { run_id, records_by_range, ..BatchMeta::default() }, Vec::new()));
            parts.len() - 1
        });
        let (meta, bytes) = &mut parts[at];
        describe(&resource, meta)?;
        // `resource_logs` is field 1; its messages may stand one after the other.
        encode_key(1, WireType::LengthDelimited, bytes);
        encode_varint(resource.bytes.len() as u64, bytes);
        bytes.extend_from_slice(resource.bytes);
        meta.uncompressed_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    }
    parts.retain(|(meta, _)| meta.records > 0);
    Ok(parts)
}

fn run_of(resource: &ResourceView<'_>) -> Result<String, Malformed> {
    let (mut run_id, mut service) = ("", "");
    for attribute in resource.attributes() {
        match attribute? {
            ("ml.run.id", Value::String(id)) => run_id = id,
            ("service.name", Value::String(name)) => service = name,
            _ => {}
        }
    }
    let named = [run_id, service].into_iter().find(|name| !name.is_empty());
    Ok(named.unwrap_or("unknown").to_owned())
}

fn describe(resource: &ResourceView<'_>, meta: &mut BatchMeta) -> Result<(), Malformed> {
    for scope in resource.scopes() {
        for record in scope?.records() {
            let record = record?;
            let time = record.best_time();
            if meta.records == 0 || time < meta.first_time_unix_nano {
                meta.first_time_unix_nano = time;
            }
            meta.last_time_unix_nano = meta.last_time_unix_nano.max(time);
            meta.records += 1;
            meta.records_by_range[record.severity.range()] += 1;
            if !record.event_name.is_empty() {
                meta.has_events = true;
                meta.events_by_range.resize(Severity::RANGES, 0);
                meta.events_by_range[record.severity.range()] += 1;
            }
        }
    }
    Ok(())
}
