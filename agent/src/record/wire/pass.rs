//! Passing on: records that others have encoded keep their bytes, under a head that may differ.
//!
//! The requests of all signals have the same form down to their records, which are metrics or spans in the others. So
//! what is said of logs here holds for all.

use std::ops::Range;

use crate::record::UnixNanos;

use super::{
    Malformed, Unfit,
    check::{Parent, check_head, check_resource, check_size},
    read::{Walk, Wire, messages},
    split::{CHILDREN, close_message, open_message},
    write::{
        LOG_OBSERVED_TIME, REQUEST_RESOURCE_LOGS, RESOURCE_LOGS_RESOURCE, RESOURCE_LOGS_SCOPE_LOGS, RequestWriter,
        SCOPE_LOGS_RECORD, put_bytes, put_varint,
    },
};

/// Field number of `ExportLogsServiceRequest.resource_logs`.
const RESOURCE_LOGS: u32 = 1;
/// Field number of `ResourceLogs.resource`.
const RESOURCE: u32 = 1;

/// Resources and scopes of one request. A Collector that gathers from many sends some hundreds.
const MAX_HEADS: usize = 20_000;

/// Records of one request, which can be two bytes each. A Collector sends some thousands.
const MAX_RECORDS: usize = 200_000;

/// What stands above a record.
#[derive(Debug, Clone, Copy)]
pub struct Above<'a> {
    /// Differs, in one writer, between heads that differ. Not zero.
    pub id: u64,
    /// The fields of its `ResourceLogs` without the `ScopeLogs`.
    pub resource: &'a [u8],
    /// The fields of its `ScopeLogs` without the records.
    pub scope: &'a [u8],
}

/// Where the records of a request stand, and what stands above them.
///
/// Whoever has one knows that the request is one of OTLP down to its records, which are not looked into. It is made where the request's bytes have just come in, since to go through them twice elsewhere is to wait
/// for memory twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The `ResourceLogs` that have records.
    pub resources: Vec<ResourceOutline>,
}

/// One `ResourceLogs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceOutline {
    /// The encoded `Resource`. A field that is given twice counts as one message, as protobuf has it.
    pub resource: Vec<u8>,
    /// All fields but the resource and the `ScopeLogs`.
    rest: Vec<u8>,
    /// The `ScopeLogs` that have records.
    pub scopes: Vec<ScopeOutline>,
}

/// One `ScopeLogs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeOutline {
    /// [`Above::scope`].
    pub head: Vec<u8>,
    /// Where it stands in the request.
    message: Range<usize>,
    /// How many records it has.
    records: usize,
}

/// Why a request has no outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoOutline {
    /// It is no request of OTLP.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its outline would take far more memory than the request.
    #[error("the request has more than {MAX_HEADS} resources and scopes")]
    Crowded,
    /// To look each record through would take long.
    #[error("the request has more than {MAX_RECORDS} records")]
    Countless,
}

impl Outline {
    /// Walks a request down to its records.
    ///
    /// # Errors
    /// See [`NoOutline`].
    pub fn read(request: &[u8]) -> Result<Self, NoOutline> {
        let mut resources = Vec::new();
        let mut heads = 0;
        for message in messages(request, RESOURCE_LOGS) {
            heads += 1;
            for scope in messages(message?, CHILDREN) {
                scope?;
                heads += 1;
            }
            if heads > MAX_HEADS {
                return Err(NoOutline::Crowded);
            }
        }
        for_each_field(request, 0, |number, value, _, at| {
            if let (RESOURCE_LOGS, Wire::Bytes(message)) = (number, value) {
                let resource = ResourceOutline::read(message, at)?;
                resources.extend((!resource.scopes.is_empty()).then_some(resource));
            }
            Ok(())
        })?;
        let scopes = resources.iter().flat_map(|resource| &resource.scopes);
        if scopes.map(|scope| scope.records).sum::<usize>() > MAX_RECORDS {
            return Err(NoOutline::Countless);
        }
        Ok(Self { resources })
    }
}

impl ResourceOutline {
    fn read(message: &[u8], at: usize) -> Result<Self, Malformed> {
        let mut outline = Self::default();
        for_each_field(message, at, |number, value, field, at| {
            match (number, value) {
                (RESOURCE, Wire::Bytes(resource)) => outline.resource.extend_from_slice(resource),
                (CHILDREN, Wire::Bytes(scope)) => outline.scopes.extend(ScopeOutline::read(scope, at)?),
                _ => outline.rest.extend_from_slice(field),
            }
            Ok(())
        })?;
        Ok(outline)
    }

    /// Whether everything above the scopes can be passed on.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn check(&self) -> Result<(), Unfit> {
        check_size(self.resource.len() + self.rest.len())?;
        check_resource(&self.resource)?;
        check_head(&self.rest, Parent::ResourceLogs)
    }

    /// [`Above::resource`], with another resource.
    #[must_use]
    pub fn head(&self, resource: &[u8]) -> Vec<u8> {
        let mut head = Vec::with_capacity(resource.len() + self.rest.len() + 8);
        put_bytes(&mut head, RESOURCE_LOGS_RESOURCE, resource);
        head.extend_from_slice(&self.rest);
        head
    }
}

impl ScopeOutline {
    /// `None` if there are no records.
    fn read(message: &[u8], at: usize) -> Result<Option<Self>, Malformed> {
        let (mut head, mut records) = (Vec::new(), 0);
        for_each_field(message, at, |number, value, field, _| {
            match (number, value) {
                (CHILDREN, Wire::Bytes(_)) => records += 1,
                _ => head.extend_from_slice(field),
            }
            Ok(())
        })?;
        Ok((records > 0).then_some(Self { head, message: at..at + message.len(), records }))
    }

    /// Whether the head can be passed on.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn check(&self) -> Result<(), Unfit> {
        check_size(self.head.len())?;
        check_head(&self.head, Parent::ScopeLogs)
    }

    /// The scope's name, which is a logger's. Empty if it has none.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        let scope = messages(&self.head, 1).next().and_then(Result::ok);
        scope.and_then(|scope| messages(scope, 1).next()).and_then(Result::ok).unwrap_or_default()
    }

    /// The encoded records, of the request that the outline was made of.
    pub fn records<'a>(&self, request: &'a [u8]) -> impl Iterator<Item = Result<&'a [u8], Malformed>> + use<'a> {
        messages(request.get(self.message.clone()).unwrap_or_default(), CHILDREN)
    }
}

/// Gives number, value and bytes of each field of a message that stands `at` there, and where its value stands if it
/// has a length.
pub(super) fn for_each_field<'a>(
    message: &'a [u8],
    at: usize,
    mut each: impl FnMut(u32, Wire<'a>, &'a [u8], usize) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut walk = Walk::new(message);
    let mut from = walk.at();
    while let Some(field) = walk.next() {
        let (number, value) = field?;
        let length = if let Wire::Bytes(bytes) = value { bytes.len() } else { 0 };
        each(number, value, &message[from..walk.at()], at + walk.at() - length)?;
        from = walk.at();
    }
    Ok(())
}

/// An encoded `Resource` without its attributes of that key.
///
/// # Errors
/// If it is no protobuf message.
pub fn resource_without(resource: &[u8], key: &str) -> Result<Vec<u8>, Malformed> {
    let mut rest = Vec::with_capacity(resource.len());
    for_each_field(resource, 0, |number, value, field, _| {
        let is_named = match (number, value) {
            (1, Wire::Bytes(pair)) => messages(pair, 1).any(|name| name == Ok(key.as_bytes())),
            _ => false,
        };
        if !is_named {
            rest.extend_from_slice(field);
        }
        Ok(())
    })?;
    Ok(rest)
}

impl RequestWriter {
    /// Starts a request for records that are passed on.
    #[must_use]
    pub fn passing() -> Self {
        Self { bytes: Vec::new(), head: 0, resource_len_at: None, ..Self::new(&[], "", 0) }
    }

    /// Whether this is for records that are passed on.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        self.head == 0
    }

    /// Appends an encoded record under that head. A record without any time gets `observed`.
    pub fn pass(&mut self, above: &Above<'_>, record: &[u8], observed: Option<UnixNanos>) {
        if above.id != self.above {
            self.enter(above);
        }
        match observed {
            None => put_bytes(&mut self.bytes, SCOPE_LOGS_RECORD, record),
            Some(observed) => {
                self.bytes.push(SCOPE_LOGS_RECORD);
                put_varint(&mut self.bytes, (record.len() + 1 + size_of::<UnixNanos>()) as u64);
                self.bytes.extend_from_slice(record);
                self.bytes.push(LOG_OBSERVED_TIME);
                self.bytes.extend_from_slice(&observed.to_le_bytes());
            }
        }
        self.records += 1;
    }

    // Requests of one client have the same heads, and share them.
    fn enter(&mut self, above: &Above<'_>) {
        self.above = above.id;
        if self.resource_len_at.is_none() || self.resource != above.resource {
            self.close_scope();
            close_message(&mut self.bytes, self.resource_len_at.take());
            self.resource_len_at = Some(open_message(&mut self.bytes, REQUEST_RESOURCE_LOGS, above.resource));
            self.resource.clear();
            self.resource.extend_from_slice(above.resource);
        }
        if self.scope_len_at.is_none() || self.scope != above.scope {
            self.close_scope();
            self.scope_len_at = Some(open_message(&mut self.bytes, RESOURCE_LOGS_SCOPE_LOGS, above.scope));
            self.scope.clear();
            self.scope.extend_from_slice(above.scope);
        }
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
    use crate::record::wire::{Value, resource_attribute};

    fn pair(key: &str, value: &str) -> KeyValue {
        let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
        KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
    }

    prop_compose! {
        fn record()(
            time in 0..3_u64,
            observed in 0..3_u64,
            severity in 0..30_i32,
            body in ".{0,8}",
            trace_id in prop::collection::vec(any::<u8>(), 0..17),
            event_name in "[a-z]{0,2}",
        ) -> LogRecord {
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: observed,
                severity_number: severity,
                body: pair("", &body).value,
                attributes: vec![pair("k", &body), pair("k", "twice")],
                flags: 1,
                trace_id,
                event_name,
                ..LogRecord::default()
            }
        }
    }

    prop_compose! {
        fn scope()(name in "[ab]?", records in prop::collection::vec(record(), 0..4)) -> ScopeLogs {
            ScopeLogs {
                scope: (!name.is_empty()).then(|| InstrumentationScope { name, ..InstrumentationScope::default() }),
                log_records: records,
                schema_url: "https://example.invalid/scope".into(),
            }
        }
    }

    prop_compose! {
        fn resource()(name in "[ab]?", scopes in prop::collection::vec(scope(), 0..4)) -> ResourceLogs {
            let attributes = vec![pair("service.name", &name)];
            ResourceLogs {
                resource: (!name.is_empty()).then(|| Resource { attributes, ..Resource::default() }),
                scope_logs: scopes,
                schema_url: "https://example.invalid/resource".into(),
            }
        }
    }

    /// Passes every record of the request on, with an attribute more.
    fn pass(writer: &mut RequestWriter, request: &[u8], id: &mut u64) {
        for outline in Outline::read(request).unwrap().resources {
            outline.check().unwrap();
            let mut resource = outline.resource.clone();
            resource_attribute(&mut resource, "ml.run.id", Value::String("r"));
            let head = outline.head(&resource);
            for scope in &outline.scopes {
                scope.check().unwrap();
                *id += 1;
                let above = Above { id: *id, resource: &head, scope: &scope.head };
                for record in scope.records(request) {
                    let record = record.unwrap();
                    let seen = super::super::check_record(record).unwrap();
                    writer.pass(&above, record, (seen.time == 0).then_some(5));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_passed_on_says_what_came_and_what_was_added(
            requests in prop::collection::vec(prop::collection::vec(resource(), 0..3), 1..4),
        ) {
            let mut writer = RequestWriter::passing();
            let (mut expected, mut id) = (Vec::new(), 0);
            for resource_logs in requests {
                let request = ExportLogsServiceRequest { resource_logs };
                pass(&mut writer, &request.encode_to_vec(), &mut id);
                for (mut above, scope, mut record) in flat(&request) {
                    above.resource.get_or_insert_default().attributes.push(pair("ml.run.id", "r"));
                    if record.time_unix_nano == 0 && record.observed_time_unix_nano == 0 {
                        record.observed_time_unix_nano = 5;
                    }
                    expected.push((above, scope, record));
                }
            }
            prop_assert_eq!(writer.records() as usize, expected.len());
            let passed = ExportLogsServiceRequest::decode(writer.finish()).unwrap();
            prop_assert_eq!(flat(&passed), expected);
        }
    }

    #[test]
    fn requests_with_the_same_head_share_it_and_a_cleared_writer_writes_it_again() {
        let record = LogRecord { time_unix_nano: 1, ..LogRecord::default() };
        let scope = ScopeLogs { log_records: vec![record; 2], ..ScopeLogs::default() };
        let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
        let mut writer = RequestWriter::passing();
        for _ in 0..2 {
            let mut id = 0;
            for _ in 0..3 {
                pass(&mut writer, &request, &mut id);
            }
            let passed = ExportLogsServiceRequest::decode(writer.finish()).unwrap();
            let [resource] = &passed.resource_logs[..] else { panic!("{passed:?}") };
            let [scope] = &resource.scope_logs[..] else { panic!("{passed:?}") };
            assert_eq!((scope.log_records.len(), writer.records()), (6, 6));
            writer.clear();
        }
    }

    #[test]
    fn what_is_torn_above_its_records_has_no_outline() {
        let scope = ScopeLogs { log_records: vec![LogRecord::default()], ..ScopeLogs::default() };
        let resource = ResourceLogs { scope_logs: vec![scope; 2], ..ResourceLogs::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
        assert_eq!(Outline::read(&request).unwrap().resources[0].scopes.len(), 2);
        for length in 1..request.len() {
            assert!(Outline::read(&request[..length]).is_err(), "{length} bytes");
        }
        let crowd = b"\x0a\x02\x12\x00".repeat(MAX_HEADS / 2);
        assert_eq!(Outline::read(&crowd).unwrap(), Outline::default());
        assert_eq!(Outline::read(&[&crowd[..], b"\x0a\x00"].concat()), Err(NoOutline::Crowded));
        // A scope without records, and a resource without scopes, are left out.
        assert_eq!(Outline::read(b"\x0a\x02\x12\x00\x0a\x00").unwrap(), Outline::default());
    }

    #[test]
    fn a_resource_that_is_given_in_two_pieces_counts_as_one() {
        let piece = |key| Resource { attributes: vec![pair(key, "x")], ..Resource::default() }.encode_to_vec();
        let mut message = Vec::new();
        put_bytes(&mut message, RESOURCE_LOGS_RESOURCE, &piece("a"));
        put_bytes(&mut message, RESOURCE_LOGS_RESOURCE, &piece("b"));
        let outline = ResourceOutline::read(&message, 0).unwrap();
        let whole = ResourceLogs::decode(&message[..]).unwrap().resource.unwrap();
        assert_eq!(Resource::decode(&outline.resource[..]).unwrap(), whole);
    }
}
