use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::record::wire::{check_metric, check_span};

const ENOUGH: usize = 1 << 20;

fn value() -> impl Strategy<Value = AnyValue> {
    use any_value::Value;
    let leaf = prop_oneof![
        ".{0,8}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        (-1e9..1e9).prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(Value::BytesValue),
    ];
    let some = |value| AnyValue { value: Some(value) };
    leaf.prop_map(some).prop_recursive(4, 16, 4, move |inner| {
        let pair = (".{0,3}", inner.clone()).prop_map(|(key, value)| pair(&key, value));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(move |values| some(Value::ArrayValue(ArrayValue { values }))),
            prop::collection::vec(pair, 0..4).prop_map(move |values| some(Value::KvlistValue(KeyValueList { values }))),
        ]
    })
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn pairs() -> Vec<KeyValue> {
    let text = any_value::Value::StringValue("text \u{1f600}\n\"".to_owned());
    vec![pair("", AnyValue { value: Some(text) }), pair("n", AnyValue { value: Some(any_value::Value::IntValue(-1)) })]
}

prop_compose! {
    fn record()(
        time in any::<u64>(),
        severity in 0..30_i32,
        body in value(),
        attribute in value(),
        flags in any::<u32>(),
        trace_id in prop::collection::vec(any::<u8>(), 0..17),
        name in ".{0,4}",
    ) -> LogRecord {
        LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: time / 2,
            severity_number: severity,
            severity_text: name.clone(),
            body: Some(body),
            attributes: vec![pair("k", attribute.clone()), pair("k", attribute)],
            dropped_attributes_count: flags,
            flags,
            span_id: trace_id.iter().copied().take(8).collect(),
            trace_id,
            event_name: name,
        }
    }
}

proptest! {
    #[test]
    fn r5_logs_say_in_json_what_they_say_in_protobuf(records in prop::collection::vec(record(), 0..3)) {
        let scope = ScopeLogs {
            scope: Some(InstrumentationScope { name: "s".into(), attributes: pairs(), ..Default::default() }),
            log_records: records,
            schema_url: "https://example.invalid".into(),
        };
        let resource = Resource { attributes: pairs(), dropped_attributes_count: 1, ..Resource::default() };
        let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![scope], schema_url: String::new() };
        let request = ExportLogsServiceRequest { resource_logs: vec![logs] };
        let read = from_json(Signal::Logs, &serde_json::to_vec(&request).unwrap(), ENOUGH).unwrap();
        prop_assert_eq!(ExportLogsServiceRequest::decode(&read[..]).unwrap(), request);
    }
}

fn exemplars() -> Vec<Exemplar> {
    vec![Exemplar {
        filtered_attributes: pairs(),
        time_unix_nano: 1,
        span_id: vec![0xab; 8],
        trace_id: vec![0xcd; 16],
        value: Some(exemplar::Value::AsInt(-5)),
    }]
}

fn metrics() -> Vec<Metric> {
    use number_data_point::Value;
    let number = |value| NumberDataPoint {
        attributes: pairs(),
        start_time_unix_nano: 1,
        time_unix_nano: u64::MAX,
        exemplars: exemplars(),
        flags: 1,
        value: Some(value),
    };
    let histogram = HistogramDataPoint {
        attributes: pairs(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(-0.5),
        bucket_counts: vec![0, u64::MAX],
        explicit_bounds: vec![0.1, 1e300],
        exemplars: exemplars(),
        flags: 1,
        min: Some(0.0),
        max: None,
    };
    let buckets = |offset| Some(Buckets { offset, bucket_counts: vec![0, 300, u64::MAX] });
    let exponential = ExponentialHistogramDataPoint {
        attributes: pairs(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(4.0),
        scale: -7,
        zero_count: 5,
        positive: buckets(-3),
        negative: buckets(i32::MAX),
        flags: 1,
        exemplars: exemplars(),
        min: Some(-1.0),
        max: Some(1.0),
        zero_threshold: 0.25,
    };
    let summary = SummaryDataPoint {
        attributes: pairs(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 4.5,
        quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: 7.0 }],
        flags: 1,
    };
    let metric = |data| Metric {
        name: "loss".into(),
        description: "what is left".into(),
        unit: "1".into(),
        metadata: pairs(),
        data: Some(data),
    };
    vec![
        metric(Data::Gauge(Gauge { data_points: vec![number(Value::AsDouble(0.5)), number(Value::AsInt(i64::MIN))] })),
        metric(Data::Sum(Sum {
            data_points: vec![number(Value::AsInt(7))],
            aggregation_temporality: 2,
            is_monotonic: true,
        })),
        metric(Data::Histogram(Histogram { data_points: vec![histogram; 2], aggregation_temporality: 1 })),
        metric(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 2,
        })),
        metric(Data::Summary(Summary { data_points: vec![summary; 3] })),
    ]
}

fn spans() -> Vec<Span> {
    let event = span::Event { time_unix_nano: 1, name: "e".into(), attributes: pairs(), dropped_attributes_count: 2 };
    let link = span::Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: "a=b".into(),
        attributes: pairs(),
        dropped_attributes_count: 3,
        flags: u32::MAX,
    };
    vec![Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        trace_state: "a=b".into(),
        parent_span_id: vec![0xef; 8],
        flags: 0x1_00,
        name: "step".into(),
        kind: 3,
        start_time_unix_nano: 1,
        end_time_unix_nano: u64::MAX,
        attributes: pairs(),
        dropped_attributes_count: 1,
        events: vec![event],
        dropped_events_count: 2,
        links: vec![link],
        dropped_links_count: 3,
        status: Some(Status { message: "bad".into(), code: 2 }),
    }]
}

#[test]
fn metrics_and_traces_say_in_json_what_they_say_in_protobuf_and_are_found_fit() {
    let scope = ScopeMetrics { metrics: metrics(), schema_url: "s".into(), ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
    let read = from_json(Signal::Metrics, &serde_json::to_vec(&request).unwrap(), ENOUGH).unwrap();
    assert_eq!(ExportMetricsServiceRequest::decode(&read[..]).unwrap(), request);
    let points =
        metrics().iter().map(|metric| check_metric(&metric.encode_to_vec()).unwrap().points).collect::<Vec<_>>();
    assert_eq!(points, [2, 1, 2, 1, 3]);

    let scope = ScopeSpans { spans: spans(), schema_url: "s".into(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
    let read = from_json(Signal::Traces, &serde_json::to_vec(&request).unwrap(), ENOUGH).unwrap();
    assert_eq!(ExportTraceServiceRequest::decode(&read[..]).unwrap(), request);
    assert!(spans().iter().all(|span| check_span(&span.encode_to_vec()).is_ok()));
}

/// The first record that the text holds.
fn first(record: &str) -> Result<LogRecord, NoRequest> {
    let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#);
    let request = ExportLogsServiceRequest::decode(&from_json(Signal::Logs, text.as_bytes(), ENOUGH)?[..]).unwrap();
    Ok(request.resource_logs[0].scope_logs[0].log_records[0].clone())
}

#[test]
fn what_the_specification_lets_clients_write_is_read() {
    let record = first(
        r#"{"timeUnixNano": 5, "observedTimeUnixNano": "6", "severityNumber": 9, "traceId": "ABcd", "body": null,
            "attributes": [{"key": "\u0061", "value": {}}, {"key": "x", "value": {"intValue": 7}}], "flags": 1,
            "new": {"a": [1, {"b": null}]}}"#,
    )
    .unwrap();
    assert_eq!((record.time_unix_nano, record.observed_time_unix_nano, record.severity_number), (5, 6, 9));
    assert_eq!((&record.trace_id[..], record.body, record.flags), (&[0xab, 0xcd][..], None, 1));
    assert_eq!(
        record.attributes[0],
        KeyValue { key: "a".into(), value: Some(AnyValue::default()), ..Default::default() }
    );
    assert_eq!(record.attributes[1].value, Some(AnyValue { value: Some(any_value::Value::IntValue(7)) }));
    for (text, expected) in [("\"NaN\"", f64::NAN), ("\"-Infinity\"", f64::NEG_INFINITY), ("3", 3.0), ("\"2.5\"", 2.5)]
    {
        let body = first(&format!(r#"{{"body": {{"doubleValue": {text}}}}}"#)).unwrap().body.unwrap().value;
        let Some(any_value::Value::DoubleValue(found)) = body else { panic!("{text}: {body:?}") };
        assert_eq!(found.to_bits(), expected.to_bits(), "{text}");
    }
}

#[test]
fn h3_what_is_no_request_is_refused_and_takes_no_memory() {
    let deep = format!("{{\"body\": {}1", "{\"arrayValue\": {\"values\": [".repeat(5_000));
    let cases = [
        "5",
        "{\"timeUnixNano\": -1}",
        "{\"timeUnixNano\": \"x\"}",
        "{\"timeUnixNano\": [1]}",
        "{\"severityText\": 5}",
        "{\"traceId\": \"abc\"}",
        "{\"traceId\": \"xy\"}",
        "{\"attributes\": {\"key\": \"a\"}}",
        "{\"attributes\": [[]]}",
        "{\"body\": {\"bytesValue\": \"!\"}}",
        "{\"flags\": 4294967296}",
        "{\"body\": 1.5}",
        &deep,
    ];
    for record in cases {
        assert!(matches!(first(record), Err(NoRequest::Json(_))), "{}", &record[..record.len().min(80)]);
    }
    for text in ["", "[]", "{} x", "{\"resourceLogs\": {}}"] {
        assert!(matches!(from_json(Signal::Logs, text.as_bytes(), ENOUGH), Err(NoRequest::Json(_))), "{text}");
    }
    let many = format!("{{\"resourceLogs\": [{}{{}}]}}", "{},".repeat(1_000));
    assert!(from_json(Signal::Logs, many.as_bytes(), 6 * 1_001).is_ok());
    assert!(matches!(from_json(Signal::Logs, many.as_bytes(), 6 * 1_000), Err(NoRequest::TooLarge(6_000))));
}
