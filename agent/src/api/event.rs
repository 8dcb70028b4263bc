//! Calls as OTLP. `docs/run-api.md` lists the events.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message;
use runlog_proto::{v1::Value, value::Kind};

use crate::record::{Severity, UnixNanos};

use super::known::Head;

/// The service's name of a run without an experiment.
const SERVICE_NAME: &str = "runlog";

/// A request is closed at this size, so that it finds room beside those of others.
const REQUEST_BYTES: usize = 512 * 1024;

/// An event before it has its uid.
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) time: UnixNanos,
    pub(super) severity: Severity,
    pub(super) body: String,
    pub(super) attributes: Vec<KeyValue>,
}

impl Event {
    pub(super) fn new(name: &'static str, time: UnixNanos, body: String) -> Self {
        Self { name, time, severity: Severity::INFO, body, attributes: Vec::new() }
    }

    /// The same with one attribute more.
    pub(super) fn with(mut self, key: &str, value: any_value::Value) -> Self {
        self.attributes.push(pair(key, value));
        self
    }

    /// The same with a text more, unless that is empty.
    pub(super) fn with_text(self, key: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.with(key, string(text)) }
    }
}

/// What one call becomes.
pub(super) struct Telemetry {
    resource: Resource,
    observed: UnixNanos,
    records: Vec<LogRecord>,
}

impl Telemetry {
    pub(super) fn of(run_id: &str, head: &Head, observed: UnixNanos) -> Self {
        let service = if head.experiment.is_empty() { SERVICE_NAME } else { &head.experiment };
        let attributes = [
            ("service.name", service),
            ("ml.run.id", run_id),
            ("ml.experiment.name", &head.experiment),
            ("ml.run.name", &head.name),
            ("ml.run.parent.id", &head.parent),
        ];
        let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty());
        let attributes = attributes.map(|(key, value)| pair(key, string(value))).collect();
        let resource = Resource { attributes, ..Resource::default() };
        Self { resource, observed, records: Vec::new() }
    }

    /// Adds an event, which is known by the key of its call and its place in it.
    pub(super) fn put(&mut self, event: Event, key: &uuid::Uuid, place: usize) {
        let mut attributes = event.attributes;
        attributes.push(pair("log.record.uid", string(&format!("{}-{place}", key.simple()))));
        self.records.push(LogRecord {
            time_unix_nano: event.time,
            observed_time_unix_nano: self.observed,
            severity_number: i32::from(event.severity.number()),
            body: Some(AnyValue { value: Some(string(&event.body)) }),
            attributes,
            event_name: event.name.to_owned(),
            ..LogRecord::default()
        });
    }

    /// The events as requests of about [`REQUEST_BYTES`], in their order.
    pub(super) fn logs(&mut self) -> Vec<Vec<u8>> {
        let (mut requests, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
        for record in std::mem::take(&mut self.records) {
            bytes += record.encoded_len();
            part.push(record);
            if bytes >= REQUEST_BYTES {
                requests.push(self.request(std::mem::take(&mut part)));
                bytes = 0;
            }
        }
        if !part.is_empty() {
            requests.push(self.request(part));
        }
        requests
    }

    fn request(&self, log_records: Vec<LogRecord>) -> Vec<u8> {
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let resource = Some(self.resource.clone());
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }
}

pub(super) fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(super) fn string(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.to_owned())
}

pub(super) fn integer(number: impl TryInto<i64>) -> any_value::Value {
    any_value::Value::IntValue(number.try_into().unwrap_or(i64::MAX))
}

/// A value as an attribute's; nothing for null.
pub(super) fn any(value: &Value) -> Option<any_value::Value> {
    Some(match value.kind.as_ref()? {
        Kind::Bool(truth) => any_value::Value::BoolValue(*truth),
        Kind::Integer(number) => any_value::Value::IntValue(*number),
        Kind::Number(number) => any_value::Value::DoubleValue(*number),
        Kind::Text(text) => string(text),
    })
}

pub(super) fn array(values: &[Value]) -> any_value::Value {
    let values = values.iter().map(|value| AnyValue { value: any(value) }).collect();
    any_value::Value::ArrayValue(ArrayValue { values })
}

pub(super) fn map<'a>(columns: impl IntoIterator<Item = (&'a String, &'a Value)>) -> any_value::Value {
    let pair = |(key, value): (&String, &Value)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue { value: any(value) }),
        ..KeyValue::default()
    };
    any_value::Value::KvlistValue(KeyValueList { values: columns.into_iter().map(pair).collect() })
}
