//! Cuts a request into smaller ones that say the same.

use super::{
    Malformed,
    read::{Walk, Wire, messages},
    write::{
        PADDED, REQUEST_RESOURCE_LOGS, RESOURCE_LOGS_SCOPE_LOGS, SCOPE_LOGS_RECORD, patch_length, put_bytes, varint_len,
    },
};

/// Field number of `ResourceLogs.scope_logs` and of `ScopeLogs.log_records`.
pub(super) const CHILDREN: u32 = 2;

/// A piece of a request: an `ExportLogsServiceRequest` of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The encoded request.
    pub bytes: Vec<u8>,
    /// How many records it holds, at least one.
    pub records: u32,
}

/// Cuts an `ExportLogsServiceRequest` into parts of at most `max_bytes` each.
///
/// Records keep their order and their bytes; each part repeats the resource, scope and schema URLs above its
/// records. A record that does not fit goes alone, so a part of one record may be larger. Resources and scopes
/// without records are left out.
///
/// # Errors
/// If the bytes are not a protobuf message.
pub fn split(request: &[u8], max_bytes: usize) -> Result<Vec<Part>, Malformed> {
    cut(request, Cutter { max_bytes, max_records: u32::MAX, parts: Vec::new(), open: None })
}

/// Cuts like [`split`], but into parts of at most `max_records` records of any size.
///
/// # Errors
/// If the bytes are not a protobuf message.
pub fn split_records(request: &[u8], max_records: u32) -> Result<Vec<Part>, Malformed> {
    cut(request, Cutter { max_bytes: usize::MAX, max_records, parts: Vec::new(), open: None })
}

fn cut(request: &[u8], mut cutter: Cutter) -> Result<Vec<Part>, Malformed> {
    for resource in messages(request, 1) {
        let resource = resource?;
        let resource_head = all_but_children(resource)?;
        cutter.leave_resource();
        for scope in messages(resource, CHILDREN) {
            let scope = scope?;
            let scope_head = all_but_children(scope)?;
            cutter.leave_scope();
            for record in messages(scope, CHILDREN) {
                cutter.add(&resource_head, &scope_head, record?);
            }
        }
    }
    cutter.close_part();
    Ok(cutter.parts)
}

/// A message's fields without its children, as they stand.
fn all_but_children(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut head = Vec::new();
    let mut walk = Walk::new(message);
    let mut from = walk.at();
    while let Some(field) = walk.next() {
        if !matches!(field?, (CHILDREN, Wire::Bytes(_))) {
            head.extend_from_slice(&message[from..walk.at()]);
        }
        from = walk.at();
    }
    Ok(head)
}

struct Cutter {
    max_bytes: usize,
    max_records: u32,
    parts: Vec<Part>,
    open: Option<Open>,
}

/// The part that is being written. Lengths are padded, and filled in when their message ends.
struct Open {
    part: Part,
    resource_len_at: Option<usize>,
    scope_len_at: Option<usize>,
}

impl Cutter {
    fn add(&mut self, resource_head: &[u8], scope_head: &[u8], record: &[u8]) {
        let record_bytes = 1 + varint_len(record.len()) + record.len();
        if self.open.as_ref().is_some_and(|open| {
            open.part.records >= self.max_records
                || open.part.bytes.len() + open.heads(resource_head, scope_head) + record_bytes > self.max_bytes
        }) {
            self.close_part();
        }
        let open = self.open.get_or_insert_with(|| Open {
            part: Part { bytes: Vec::new(), records: 0 },
            resource_len_at: None,
            scope_len_at: None,
        });
        let bytes = &mut open.part.bytes;
        if open.resource_len_at.is_none() {
            open.resource_len_at = Some(open_message(bytes, REQUEST_RESOURCE_LOGS, resource_head));
        }
        if open.scope_len_at.is_none() {
            open.scope_len_at = Some(open_message(bytes, RESOURCE_LOGS_SCOPE_LOGS, scope_head));
        }
        put_bytes(bytes, SCOPE_LOGS_RECORD, record);
        open.part.records += 1;
    }

    fn leave_scope(&mut self) {
        if let Some(open) = &mut self.open {
            close_message(&mut open.part.bytes, open.scope_len_at.take());
        }
    }

    fn leave_resource(&mut self) {
        self.leave_scope();
        if let Some(open) = &mut self.open {
            close_message(&mut open.part.bytes, open.resource_len_at.take());
        }
    }

    fn close_part(&mut self) {
        self.leave_resource();
        if let Some(open) = self.open.take() {
            self.parts.push(open.part);
        }
    }
}

impl Open {
    /// Bytes that stand above the next record if it goes into this part.
    fn heads(&self, resource_head: &[u8], scope_head: &[u8]) -> usize {
        let head = |len_at: Option<usize>, head: &[u8]| if len_at.is_none() { 1 + PADDED + head.len() } else { 0 };
        head(self.resource_len_at, resource_head) + head(self.scope_len_at, scope_head)
    }
}

pub(super) fn open_message(bytes: &mut Vec<u8>, tag: u8, head: &[u8]) -> usize {
    bytes.push(tag);
    let len_at = bytes.len();
    bytes.extend_from_slice(&[0; PADDED]);
    bytes.extend_from_slice(head);
    len_at
}

pub(super) fn close_message(bytes: &mut [u8], len_at: Option<usize>) {
    if let Some(at) = len_at {
        let length = bytes.len() - at - PADDED;
        patch_length(bytes, at, length);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest,
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        resource::v1::Resource,
    };
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::record::wire::tests::flat;

    fn text(text: &str) -> Option<AnyValue> {
        Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) })
    }

    /// One inner list per scope, one outer list per resource; the numbers are lengths of record bodies.
    fn request(shape: &[Vec<Vec<usize>>]) -> ExportLogsServiceRequest {
        let mut time = 0;
        let mut record = |length: &usize| {
            time += 1;
            LogRecord { time_unix_nano: time, body: text(&"x".repeat(*length)), ..Default::default() }
        };
        let mut scope = |(number, lengths): (usize, &Vec<usize>)| ScopeLogs {
            scope: Some(InstrumentationScope { name: format!("scope {number}"), ..Default::default() }),
            log_records: lengths.iter().map(&mut record).collect(),
            schema_url: "https://example.invalid/scope".into(),
        };
        let resource = |(number, scopes): (usize, &Vec<Vec<usize>>)| ResourceLogs {
            resource: Some(Resource {
                attributes: vec![KeyValue {
                    key: "ml.run.id".into(),
                    value: text(&format!("run {number}")),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            scope_logs: scopes.iter().enumerate().map(&mut scope).collect(),
            schema_url: "https://example.invalid/resource".into(),
        };
        ExportLogsServiceRequest { resource_logs: shape.iter().enumerate().map(resource).collect() }
    }

    proptest! {
        #[test]
        fn parts_say_together_what_the_request_said(
            shape in prop::collection::vec(prop::collection::vec(prop::collection::vec(0..400_usize, 0..6), 0..4), 0..4),
            max_bytes in 0..3000_usize,
        ) {
            let whole = request(&shape);
            let parts = split(&whole.encode_to_vec(), max_bytes).unwrap();

            let mut records = Vec::new();
            for part in &parts {
                let decoded = ExportLogsServiceRequest::decode(&part.bytes[..]).unwrap();
                let held = flat(&decoded);
                prop_assert_eq!(held.len(), part.records as usize);
                prop_assert!(part.bytes.len() <= max_bytes || part.records == 1, "{} bytes", part.bytes.len());
                records.extend(held);
            }
            prop_assert_eq!(records, flat(&whole));
        }
    }

    #[test]
    fn parts_by_records_hold_so_many_whatever_their_sizes() {
        let whole = request(&[vec![vec![10, 2000], vec![30]], vec![vec![5, 1]]]);
        let parts = split_records(&whole.encode_to_vec(), 3).unwrap();
        assert_eq!(parts.iter().map(|part| part.records).collect::<Vec<_>>(), [3, 2]);
        let decoded = parts.iter().map(|part| ExportLogsServiceRequest::decode(&part.bytes[..]).unwrap());
        assert_eq!(decoded.flat_map(|part| flat(&part)).collect::<Vec<_>>(), flat(&whole));
    }

    #[test]
    fn a_request_below_the_limit_stays_whole() {
        let whole = request(&[vec![vec![10, 20], vec![30]], vec![vec![5]]]).encode_to_vec();
        let parts = split(&whole, whole.len() * 2).unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].records, 4);
    }

    #[test]
    fn half_the_size_always_makes_at_least_two_parts_of_two_records() {
        for (first, second) in [(0, 0), (1, 1000), (1000, 1), (500, 500)] {
            let whole = request(&[vec![vec![first, second]]]).encode_to_vec();
            assert_eq!(split(&whole, whole.len() / 2).unwrap().len(), 2, "bodies of {first} and {second}");
        }
    }

    #[test]
    fn bytes_that_are_no_request_are_refused() {
        let whole = request(&[vec![vec![100]]]).encode_to_vec();
        assert!(split(&whole[..whole.len() - 1], 10).is_err());
    }
}
