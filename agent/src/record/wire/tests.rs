use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::record::Severity;

#[derive(Debug, Clone)]
struct Case {
    scope: String,
    time: u64,
    observed: u64,
    severity: u8,
    severity_text: String,
    body: String,
    attributes: Vec<(String, AnyCase)>,
    offset: u64,
    event_name: String,
}

#[derive(Debug, Clone)]
enum AnyCase {
    String(String),
    Bytes(Vec<u8>),
    Int(i64),
    Bool(bool),
    Double(f64),
}

impl AnyCase {
    fn value(&self) -> Value<'_> {
        match self {
            Self::String(text) => Value::String(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Int(number) => Value::Int(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Double(number) => Value::Double(*number),
        }
    }

    fn decoded(&self) -> any_value::Value {
        match self.clone() {
            Self::String(text) => any_value::Value::StringValue(text),
            Self::Bytes(bytes) => any_value::Value::BytesValue(bytes),
            Self::Int(number) => any_value::Value::IntValue(number),
            Self::Bool(truth) => any_value::Value::BoolValue(truth),
            Self::Double(number) => any_value::Value::DoubleValue(number),
        }
    }
}

fn any_case() -> impl Strategy<Value = AnyCase> {
    prop_oneof![
        any::<String>().prop_map(AnyCase::String),
        any::<Vec<u8>>().prop_map(AnyCase::Bytes),
        any::<i64>().prop_map(AnyCase::Int),
        any::<bool>().prop_map(AnyCase::Bool),
        (-1e300..1e300).prop_map(AnyCase::Double),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop_oneof![Just(String::new()), Just("train".to_owned()), any::<String>()],
        (any::<u64>(), any::<u64>(), 0_u8..=24, offset()),
        any::<String>(),
        prop_oneof![3 => any::<String>(), 1 => Just("é".repeat(10_000)), 1 => "[a-z]{100,300}"],
        proptest::collection::vec((any::<String>(), any_case()), 0..4),
        prop_oneof![3 => Just(String::new()), 1 => Just("ml.run.end".to_owned())],
    )
        .prop_map(|(scope, (time, observed, severity, offset), severity_text, body, attributes, event_name)| {
            Case { scope, time, observed, severity, severity_text, body, attributes, offset, event_name }
        })
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![0..1000_u64, any::<u64>()]
}

fn resource_bytes() -> Vec<u8> {
    let mut resource = Vec::new();
    resource_attribute(&mut resource, "ml.run.id", Value::String("run-1"));
    resource_attribute(&mut resource, "ml.node.rank", Value::Int(-3));
    resource
}

fn write(cases: &[Case], writer: &mut RequestWriter) -> Vec<u8> {
    let uid = uid_prefix(&[b"stream"]);
    for case in cases {
        let mut attributes = Vec::new();
        for (key, value) in &case.attributes {
            record_attribute(&mut attributes, key, value.value());
        }
        let fields = Fields {
            time: case.time,
            observed: case.observed,
            severity: Severity::from_number(case.severity.into()),
            severity_text: Text::new(&case.severity_text),
            body: Text::new(&case.body),
            attributes: [&attributes, b""],
            uid: (&uid, case.offset),
            event_name: &case.event_name,
        };
        writer.record(Text::new(&case.scope), &fields);
    }
    assert_eq!(writer.records() as usize, cases.len());
    writer.finish().to_vec()
}

fn string(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn expected(case: &Case) -> LogRecord {
    let mut attributes: Vec<_> = case.attributes.iter().map(|(key, value)| key_value(key, value.decoded())).collect();
    let stream = xxhash_rust::xxh3::xxh3_64(b"\x06\0\0\0\0\0\0\0stream");
    let uid = format!("{stream:016x}{:016x}", case.offset);
    attributes.push(key_value("log.record.uid", any_value::Value::StringValue(uid)));
    LogRecord {
        time_unix_nano: case.time,
        observed_time_unix_nano: case.observed,
        severity_number: case.severity.into(),
        severity_text: case.severity_text.clone(),
        body: Some(string(&case.body)),
        attributes,
        event_name: case.event_name.clone(),
        ..LogRecord::default()
    }
}

/// Each record with everything that stands above it.
pub(super) fn flat(request: &ExportLogsServiceRequest) -> Vec<(ResourceLogs, ScopeLogs, LogRecord)> {
    let mut records = Vec::new();
    for resource in &request.resource_logs {
        for scope in &resource.scope_logs {
            for record in &scope.log_records {
                let above = ResourceLogs { scope_logs: Vec::new(), ..resource.clone() };
                let scope = ScopeLogs { log_records: Vec::new(), ..scope.clone() };
                records.push((above, scope, record.clone()));
            }
        }
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_decodes_with_the_official_types(cases in proptest::collection::vec(case(), 1..20)) {
        let mut writer = RequestWriter::new(&resource_bytes(), "https://example.invalid/schema", 0);
        let bytes = write(&cases, &mut writer);

        let request = ExportLogsServiceRequest::decode(&bytes[..]).expect("valid protobuf");
        prop_assert_eq!(request.resource_logs.len(), 1);
        let logs = &request.resource_logs[0];
        prop_assert_eq!(&logs.schema_url, "https://example.invalid/schema");
        let resource = logs.resource.as_ref().expect("a resource");
        prop_assert_eq!(&resource.attributes, &vec![
            key_value("ml.run.id", any_value::Value::StringValue("run-1".into())),
            key_value("ml.node.rank", any_value::Value::IntValue(-3)),
        ]);
        let records: Vec<_> = logs.scope_logs.iter().flat_map(|scope| {
            let name = scope.scope.as_ref().map_or("", |scope| &scope.name);
            scope.log_records.iter().map(move |record| (name.to_owned(), record.clone()))
        }).collect();
        let wanted: Vec<_> = cases.iter().map(|case| (case.scope.clone(), expected(case))).collect();
        prop_assert_eq!(records, wanted);
    }

    #[test]
    fn what_is_written_is_walked_the_same(cases in proptest::collection::vec(case(), 1..20)) {
        let mut writer = RequestWriter::new(&resource_bytes(), "", 0);
        write(&cases[..1], &mut writer);
        writer.clear();
        let bytes = write(&cases, &mut writer);

        let mut seen = Vec::new();
        for resource in requests_resources(&bytes) {
            let resource = resource.unwrap();
            prop_assert_eq!(resource.attributes().next().unwrap().unwrap(), ("ml.run.id", Value::String("run-1")));
            for scope in resource.scopes() {
                let scope = scope.unwrap();
                for record in scope.records() {
                    seen.push((scope.name, record.unwrap()));
                }
            }
        }
        prop_assert_eq!(seen.len(), cases.len());
        for ((scope, record), case) in seen.iter().zip(&cases) {
            prop_assert_eq!(*scope, &case.scope);
            prop_assert_eq!(record.time, case.time);
            prop_assert_eq!(record.observed, case.observed);
            prop_assert_eq!(record.severity.number(), case.severity);
            prop_assert_eq!(record.severity_text, &case.severity_text);
            prop_assert_eq!(record.body, Value::String(&case.body));
            prop_assert_eq!(record.event_name, &case.event_name);
            let attributes: Vec<_> = record.attributes().map(|found| found.unwrap().0).collect();
            let wanted: Vec<_> = case.attributes.iter().map(|(key, _)| key.as_str()).chain(["log.record.uid"]).collect();
            prop_assert_eq!(attributes, wanted);
        }
    }

    #[test]
    fn sixteen_digits_are_those_of_the_number(number in any::<u64>()) {
        prop_assert_eq!(hex16(number).to_vec(), format!("{number:016x}").into_bytes());
    }

    #[test]
    fn any_bytes_are_walked_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for resource in requests_resources(&bytes).flatten() {
            for scope in resource.scopes().flatten() {
                for record in scope.records().flatten() {
                    record.attributes().for_each(drop);
                }
            }
        }
    }
}
