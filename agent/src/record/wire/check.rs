//! Whether what others have encoded can be passed on as it is.
//!
//! Records of many clients share a batch, and a destination that cannot decode one record refuses them all. So each
//! is walked to its depths: known fields have their wire type, strings are UTF-8, and nothing is nested deeper than
//! protobuf's libraries follow.

use crate::record::{Severity, UnixNanos};

use super::{
    Malformed,
    read::{Walk, Wire, messages},
    schema::{Field, Kind, METRIC, Message, SPAN},
};

/// Messages below a record, a resource or a scope that may stand inside of each other.
///
/// prost and C++ stop at 100; a record lies three messages deep in its request.
const MAX_DEPTH: u32 = 90;

/// Why a record cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no protobuf message, or not the one it should be.
    #[error("it is not encoded as OTLP says")]
    Malformed,
    /// A string is not UTF-8.
    #[error("it has a string that is not UTF-8")]
    NotText,
    /// Lists and maps stand too deep in each other.
    #[error("its lists and maps stand too deep in each other")]
    TooDeep,
    /// What stands above it is repeated in each batch.
    #[error("the attributes of its resource or scope take more than {MAX_HEAD_BYTES} bytes")]
    HeadTooLarge,
}

impl From<Malformed> for Unfit {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What may stand above a record: a resource without its scopes, a scope without its records.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What a record is filed under.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// `time_unix_nano`, or the observed time where that is unknown; zero if both are.
    pub time: UnixNanos,
    /// `severity_number`.
    pub severity: Severity,
    /// Whether there is an `event_name`.
    pub has_event_name: bool,
    /// Whether that is one of the run's own: what it logged, and not what it printed.
    pub is_of_run: bool,
    /// Its data points, if it is a metric.
    pub points: u32,
}

/// Looks through a `LogRecord`.
///
/// # Errors
/// If it cannot be passed on.
pub fn check_record(record: &[u8]) -> Result<Seen, Unfit> {
    let mut seen = Seen::default();
    let mut observed = 0;
    for field in Walk::new(record) {
        match field? {
            (1, Wire::Fixed64(time)) => seen.time = time,
            (11, Wire::Fixed64(time)) => observed = time,
            (2, Wire::Varint(number)) => seen.severity = Severity::from_number(i32::try_from(number).unwrap_or(0)),
            (3, Wire::Bytes(bytes)) => text(bytes)?,
            (12, Wire::Bytes(bytes)) => {
                text(bytes)?;
                seen.has_event_name = !bytes.is_empty();
                seen.is_of_run = bytes.starts_with(b"ml.");
            }
            (5, Wire::Bytes(bytes)) => any_value(bytes, MAX_DEPTH)?,
            (6, Wire::Bytes(bytes)) => key_value(bytes, MAX_DEPTH)?,
            (7, Wire::Varint(_)) | (8, Wire::Fixed32) | (9 | 10, Wire::Bytes(_)) => {}
            (1..=3 | 5..=12, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    if seen.time == 0 {
        seen.time = observed;
    }
    Ok(seen)
}

/// Looks through a `Metric`. It is filed under no time of its own.
///
/// # Errors
/// If it cannot be passed on.
pub fn check_metric(metric: &[u8]) -> Result<Seen, Unfit> {
    check_message(metric, &METRIC, MAX_DEPTH)?;
    Ok(Seen { points: points_of(metric)?, ..Seen::default() })
}

/// Looks through a `Span`. It is filed under no time of its own.
///
/// # Errors
/// If it cannot be passed on.
pub fn check_span(span: &[u8]) -> Result<Seen, Unfit> {
    check_message(span, &SPAN, MAX_DEPTH)?;
    Ok(Seen::default())
}

/// The number of data points of a `Metric`.
///
/// # Errors
/// If it is not encoded as OTLP says.
pub fn points_of(metric: &[u8]) -> Result<u32, Malformed> {
    let mut points = 0;
    for field in Walk::new(metric) {
        // The points of each kind of metric are field 1 of its message.
        if let (5 | 7 | 9 | 10 | 11, Wire::Bytes(kind)) = field? {
            for point in messages(kind, 1) {
                point?;
                points += 1;
            }
        }
    }
    Ok(points)
}

/// The number of data points in an `ExportMetricsServiceRequest`.
///
/// # Errors
/// If it is not encoded as OTLP says.
pub fn points_in(request: &[u8]) -> Result<u32, Malformed> {
    let mut points = 0;
    for resource in messages(request, 1) {
        for scope in messages(resource?, 2) {
            for metric in messages(scope?, 2) {
                points += points_of(metric?)?;
            }
        }
    }
    Ok(points)
}

/// Looks through a message and what stands in it.
fn check_message(bytes: &[u8], message: &Message, depth: u32) -> Result<(), Unfit> {
    for field in Walk::new(bytes) {
        let (number, value) = field?;
        let Some(Field { kind, is_repeated, .. }) = message.field(number) else { continue };
        match (kind, value) {
            (Kind::Text, Wire::Bytes(bytes)) => text(bytes)?,
            (Kind::Nested(inner), Wire::Bytes(bytes)) => {
                check_message(bytes, inner, depth.checked_sub(1).ok_or(Unfit::TooDeep)?)?;
            }
            (Kind::Bytes | Kind::Id, Wire::Bytes(_))
            | (Kind::Bool | Kind::Int | Kind::Zigzag, Wire::Varint(_))
            | (Kind::Fixed32, Wire::Fixed32)
            | (Kind::Fixed64 | Kind::SignedFixed64 | Kind::Double, Wire::Fixed64(_)) => {}
            // Numbers of a repeated field may stand in one.
            (Kind::Int, Wire::Bytes(bytes)) if *is_repeated => check_varints(bytes)?,
            (Kind::Fixed64 | Kind::Double, Wire::Bytes(bytes)) if *is_repeated && bytes.len() % 8 == 0 => {}
            _ => return Err(Unfit::Malformed),
        }
    }
    Ok(())
}

/// Whether these are varints, one after the other.
fn check_varints(bytes: &[u8]) -> Result<(), Malformed> {
    let mut walk = Walk::new(bytes);
    while walk.at() < bytes.len() {
        walk.varint()?;
    }
    Ok(())
}

/// Whether what stands above a record is small enough.
///
/// # Errors
/// If it is not.
pub(super) const fn check_size(head_bytes: usize) -> Result<(), Unfit> {
    if head_bytes > MAX_HEAD_BYTES { Err(Unfit::HeadTooLarge) } else { Ok(()) }
}

/// Looks through a `Resource`.
///
/// # Errors
/// If it cannot be passed on.
pub(super) fn check_resource(resource: &[u8]) -> Result<(), Unfit> {
    for field in Walk::new(resource) {
        match field? {
            (1, Wire::Bytes(bytes)) => key_value(bytes, MAX_DEPTH)?,
            (2, Wire::Varint(_)) => {}
            (3, Wire::Bytes(bytes)) => entity_ref(bytes)?,
            (1..=3, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    Ok(())
}

/// Looks through the fields of a `ResourceLogs` or `ScopeLogs` without its children; the resource itself is left out.
///
/// # Errors
/// If they cannot be passed on.
pub(super) fn check_head(head: &[u8], parent: Parent) -> Result<(), Unfit> {
    for field in Walk::new(head) {
        match field? {
            (1, Wire::Bytes(bytes)) if parent == Parent::ScopeLogs => scope(bytes)?,
            (3, Wire::Bytes(bytes)) => text(bytes)?,
            (1..=3, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    Ok(())
}

/// Whose fields a head holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    ResourceLogs,
    ScopeLogs,
}

fn entity_ref(entity: &[u8]) -> Result<(), Unfit> {
    for field in Walk::new(entity) {
        match field? {
            (1..=4, Wire::Bytes(bytes)) => text(bytes)?,
            (1..=4, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    Ok(())
}

fn scope(scope: &[u8]) -> Result<(), Unfit> {
    for field in Walk::new(scope) {
        match field? {
            (1 | 2, Wire::Bytes(bytes)) => text(bytes)?,
            (3, Wire::Bytes(bytes)) => key_value(bytes, MAX_DEPTH)?,
            (4, Wire::Varint(_)) => {}
            (1..=4, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    Ok(())
}

fn key_value(pair: &[u8], depth: u32) -> Result<(), Unfit> {
    let depth = depth.checked_sub(1).ok_or(Unfit::TooDeep)?;
    for field in Walk::new(pair) {
        match field? {
            (1, Wire::Bytes(bytes)) => text(bytes)?,
            (2, Wire::Bytes(bytes)) => any_value(bytes, depth)?,
            (3, Wire::Varint(_)) => {}
            (1..=3, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    Ok(())
}

fn any_value(value: &[u8], depth: u32) -> Result<(), Unfit> {
    let depth = depth.checked_sub(1).ok_or(Unfit::TooDeep)?;
    for field in Walk::new(value) {
        match field? {
            (1, Wire::Bytes(bytes)) => text(bytes)?,
            (5, Wire::Bytes(bytes)) => each_child(bytes, depth, any_value)?,
            (6, Wire::Bytes(bytes)) => each_child(bytes, depth, key_value)?,
            (2 | 3 | 8, Wire::Varint(_)) | (4, Wire::Fixed64(_)) | (7, Wire::Bytes(_)) => {}
            (1..=8, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    Ok(())
}

fn each_child(list: &[u8], depth: u32, check: fn(&[u8], u32) -> Result<(), Unfit>) -> Result<(), Unfit> {
    let depth = depth.checked_sub(1).ok_or(Unfit::TooDeep)?;
    for field in Walk::new(list) {
        match field? {
            (1, Wire::Bytes(bytes)) => check(bytes, depth)?,
            (1, _) => return Err(Unfit::Malformed),
            _ => {}
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<(), Unfit> {
    // Nearly all are short and ASCII.
    if bytes.is_ascii() { Ok(()) } else { simdutf8::basic::from_utf8(bytes).map(drop).map_err(|_| Unfit::NotText) }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest,
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        resource::v1::Resource,
    };
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::record::wire::{read::messages, write::put_bytes};

    fn request_of(record: LogRecord) -> Vec<u8> {
        let scope = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
        let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
        ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
    }

    /// A record whose body is so many messages of these fields inside of each other, the outermost field last.
    fn nested(times: usize, fields: &[u8]) -> Vec<u8> {
        let mut inner = vec![0x10, 1];
        for field in std::iter::repeat_n(fields, times).flatten().chain(&[5]) {
            let mut outer = Vec::new();
            put_bytes(&mut outer, field << 3 | 2, &inner);
            inner = outer;
        }
        inner
    }

    #[test]
    fn what_is_passed_on_is_decoded_by_others_however_deep_it_is() {
        // A list holds values, a map holds pairs that hold a value.
        let (list, map) = ([1, 5], [2, 1, 6]);
        for (fields, fits) in [(&list[..], 44), (&map, 29)] {
            let record = nested(fits, fields);
            assert!(check_record(&record).is_ok(), "{fields:?}");
            let request = request_of(LogRecord::decode(&record[..]).unwrap());
            assert!(ExportLogsServiceRequest::decode(&request[..]).is_ok(), "{fields:?}");
            assert_eq!(check_record(&nested(fits + 1, fields)), Err(Unfit::TooDeep), "{fields:?}");
            assert_eq!(check_record(&nested(5_000, fields)), Err(Unfit::TooDeep), "{fields:?}");
        }
    }

    #[test]
    fn a_record_is_filed_under_its_time_its_level_and_whether_it_is_an_event() {
        let record = LogRecord { time_unix_nano: 7, severity_number: 13, ..LogRecord::default() };
        let seen = Seen { time: 7, severity: Severity::WARN, ..Seen::default() };
        assert_eq!(check_record(&record.encode_to_vec()), Ok(seen));
        let record = LogRecord { observed_time_unix_nano: 9, event_name: "e".into(), ..LogRecord::default() };
        let seen = Seen { time: 9, has_event_name: true, ..Seen::default() };
        assert_eq!(check_record(&record.encode_to_vec()), Ok(seen));
    }

    #[test]
    fn unfit_records_are_told_apart_from_odd_ones() {
        let cases: [(&[u8], Result<(), Unfit>); 8] = [
            (b"", Ok(())),
            // An unknown field, and a severity that no level has.
            (b"\xf8\x01\x05\x10\x63", Ok(())),
            (b"\x1a\x02\xff\xfe", Err(Unfit::NotText)),
            (b"\x2a\x04\x0a\x02\xc3\x28", Err(Unfit::NotText)),
            // Bytes may be any.
            (b"\x2a\x04\x3a\x02\xc3\x28", Ok(())),
            // A time that is a varint.
            (b"\x08\x05", Err(Unfit::Malformed)),
            // An attribute that is longer than its record.
            (b"\x32\x09\x0a", Err(Unfit::Malformed)),
            (b"\x32\x02\x0a\x07", Err(Unfit::Malformed)),
        ];
        for (record, expected) in cases {
            assert_eq!(check_record(record).map(drop), expected, "{}", record.escape_ascii());
        }
    }

    /// A field of any number and wire type, or bytes that may be none.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let tag = |wire_type| (1..13_u8).prop_map(move |number| number << 3 | wire_type);
        let raw = || prop::collection::vec(prop_oneof![0..0x6a_u8, any::<u8>()], 0..6);
        prop_oneof![
            8 => (tag(2), raw()).prop_map(|(tag, bytes)| {
                let mut field = Vec::new();
                put_bytes(&mut field, tag, &bytes);
                field
            }),
            2 => (tag(0), 0..0x80_u8).prop_map(|(tag, number)| vec![tag, number]),
            2 => (tag(1), any::<[u8; 8]>()).prop_map(|(tag, bytes)| [&[tag], &bytes[..]].concat()),
            1 => raw(),
        ]
    }

    fn fields() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(field(), 0..4).prop_map(|fields| fields.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn bytes_that_are_found_fit_are_decoded_by_others(bytes in fields()) {
            let mut in_body = Vec::new();
            put_bytes(&mut in_body, 5 << 3 | 2, &bytes);
            for record in [&bytes, &in_body] {
                if check_record(record).is_ok() {
                    let decoded = LogRecord::decode(&record[..]);
                    prop_assert!(decoded.is_ok(), "record {}: {decoded:?}", record.escape_ascii());
                }
            }
            if check_resource(&bytes).is_ok() {
                let decoded = Resource::decode(&bytes[..]);
                prop_assert!(decoded.is_ok(), "resource {}: {decoded:?}", bytes.escape_ascii());
            }
            // The children and, in a `ResourceLogs`, the resource have been taken out.
            if !matches!(messages(&bytes, 2).next(), Some(Ok(_))) && check_head(&bytes, Parent::ScopeLogs).is_ok() {
                let decoded = ScopeLogs::decode(&bytes[..]);
                prop_assert!(decoded.is_ok(), "scope {}: {decoded:?}", bytes.escape_ascii());
            }
            if check_head(&bytes, Parent::ResourceLogs).is_ok() {
                let decoded = ResourceLogs::decode(&bytes[..]);
                prop_assert!(decoded.is_ok(), "resource logs {}: {decoded:?}", bytes.escape_ascii());
            }
        }
    }
}
