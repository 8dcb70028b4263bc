//! Requests of every kind with a few bytes changed, from seeds: what is taken can be decoded by everybody.

use fastrand::Rng;
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    metrics::v1::{
        Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
        metric::Data, number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status as SpanStatus, span},
};

use super::*;
use crate::record::wire::{Above, Outline, RequestWriter, Unfit, check_metric, check_record, check_span};

/// Of each kind of request, in each protocol and compression.
const CASES: usize = 1_500;

/// Bytes that are put in somewhere: lengths that lie, groups, ends of varints, text that is none, deep JSON.
const SPICE: [&[u8]; 10] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x80",
    b"\x0b\x0c",
    b"\x00",
    b"\xed\xa0\x80",
    b"[[[[[[[[[[[[[[[[",
    b"{\"arrayValue\":{\"values\":[",
    b"1e999",
    b"\\ud800",
];

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn pairs() -> Vec<KeyValue> {
    let text = Value::StringValue("\u{fc}ber".to_owned());
    let list = ArrayValue { values: vec![AnyValue { value: Some(text.clone()) }; 2] };
    let map =
        KeyValueList { values: vec![pair("in", Value::ArrayValue(list)), pair("", Value::BytesValue(vec![0xff]))] };
    vec![
        pair("text", text),
        pair("int", Value::IntValue(-1)),
        pair("double", Value::DoubleValue(f64::NAN)),
        pair("bool", Value::BoolValue(true)),
        pair("map", Value::KvlistValue(map)),
    ]
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: pairs(), dropped_attributes_count: 1, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "train".into(), attributes: pairs(), ..InstrumentationScope::default() })
}

fn logs() -> Vec<u8> {
    let body = Some(AnyValue { value: Some(Value::KvlistValue(KeyValueList { values: pairs() })) });
    let record =
        LogRecord { body, attributes: pairs(), trace_id: vec![1; 16], span_id: vec![2; 8], ..LogRecord::default() };
    let scope = ScopeLogs { scope: scope(), log_records: vec![record; 3], schema_url: "https://s".into() };
    let resource = ResourceLogs { resource: resource(), scope_logs: vec![scope; 2], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource; 2] }.encode_to_vec()
}

fn metrics() -> Vec<u8> {
    let exemplar = Exemplar { filtered_attributes: pairs(), span_id: vec![2; 8], ..Exemplar::default() };
    let value = Some(number_data_point::Value::AsDouble(0.25));
    let point = NumberDataPoint { attributes: pairs(), exemplars: vec![exemplar], value, ..NumberDataPoint::default() };
    let buckets = (vec![1, 2, 3], vec![0.5, 1.0]);
    let histogram =
        HistogramDataPoint { bucket_counts: buckets.0, explicit_bounds: buckets.1, ..HistogramDataPoint::default() };
    let of = |data| Metric { name: "loss".into(), data: Some(data), ..Metric::default() };
    let histogram = Histogram { data_points: vec![histogram], ..Histogram::default() };
    let metrics = vec![of(Data::Gauge(Gauge { data_points: vec![point; 2] })), of(Data::Histogram(histogram))];
    let scope = ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() };
    let resource =
        ResourceMetrics { resource: resource(), scope_metrics: vec![scope; 2], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
}

fn traces() -> Vec<u8> {
    let event = span::Event { name: "e".into(), attributes: pairs(), ..span::Event::default() };
    let link = span::Link { trace_id: vec![3; 16], attributes: pairs(), ..span::Link::default() };
    let status = Some(SpanStatus { message: "bad".into(), code: 2 });
    let span = Span {
        name: "step".into(),
        attributes: pairs(),
        events: vec![event],
        links: vec![link],
        status,
        ..Span::default()
    };
    let scope = ScopeSpans { scope: scope(), spans: vec![span; 2], ..ScopeSpans::default() };
    let resource = ResourceSpans { resource: resource(), scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource; 2] }.encode_to_vec()
}

/// A request of that signal in JSON, with most of the forms that a value can have.
fn json_of(signal: Signal) -> Vec<u8> {
    let attributes = json!([
        {"key": "text", "value": {"stringValue": "\u{fc}ber \n \""}},
        {"key": "int", "value": {"intValue": "-9007199254740993"}},
        {"key": "double", "value": {"doubleValue": "NaN"}},
        {"key": "bytes", "value": {"bytesValue": "/w=="}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "in", "value": {"arrayValue": {"values": [{"boolValue": true}]}}}]}}},
    ]);
    let ids = json!({"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708"});
    let mut item = match signal {
        Signal::Logs => {
            json!({"timeUnixNano": "1544712660300000000", "severityNumber": 9, "body": {"stringValue": "line"}})
        }
        Signal::Metrics => {
            json!({"name": "loss", "gauge": {"dataPoints": [{"asDouble": 0.25, "attributes": attributes, "flags": 1}]}})
        }
        Signal::Traces => {
            json!({"name": "step", "kind": 1, "events": [{"name": "e", "attributes": attributes}], "status": {"code": 2}})
        }
    };
    if signal != Signal::Metrics {
        item["attributes"] = attributes.clone();
        item["traceId"] = ids["traceId"].clone();
        item["spanId"] = ids["spanId"].clone();
    }
    let (all, scopes, items) = match signal {
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
    };
    let scope = json!({"scope": {"name": "train", "attributes": attributes}, items: [item.clone(), item], "unknown": [{"deep": null}]});
    json!({all: [{"resource": {"attributes": attributes}, scopes: [scope]}]}).to_string().into_bytes()
}

type Encode = fn(&[u8]) -> Vec<u8>;

/// Changes some bytes: the more, the less likely.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    while !bytes.is_empty() {
        let at = rng.usize(..bytes.len());
        match rng.u8(..8) {
            0 => bytes[at] ^= 1 << rng.u8(..8),
            1 => bytes[at] = rng.u8(..),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + rng.usize(1..20)).min(bytes.len()))),
            4 => {
                let spice = SPICE[rng.usize(..SPICE.len())].repeat(rng.usize(1..12));
                drop(bytes.splice(at..at, spice));
            }
            5 => {
                let length = rng.usize(1..64).min(bytes.len() - at);
                let copied = bytes[at..at + length].to_vec();
                let to = rng.usize(..=bytes.len());
                drop(bytes.splice(to..to, copied));
            }
            // Wraps all of it in the field of a message, or takes the head off.
            6 => drop(bytes.splice(..0, [0x0a, rng.u8(..)])),
            _ => drop(bytes.drain(..at.min(3))),
        }
        if rng.u8(..3) > 0 {
            return;
        }
    }
}

/// Does with a request what the pipeline does, and has another implementation decode what comes of it.
fn pass_on(signal: Signal, request: &[u8]) -> (usize, usize) {
    let outline = Outline::read(request).expect("checked before");
    let (mut writer, mut kept, mut rejected, mut id) = (RequestWriter::passing(), 0, 0, 0);
    for resource in &outline.resources {
        let head = resource.head(&resource.resource);
        for scope in &resource.scopes {
            id += 1;
            let above = Above { id, resource: &head, scope: &scope.head };
            let is_fit = resource.check().and_then(|()| scope.check()).is_ok();
            for record in scope.records(request) {
                let seen = record.map_err(Unfit::from).and_then(|record| match signal {
                    Signal::Logs => check_record(record).map(|_| record),
                    Signal::Metrics => check_metric(record).map(|_| record),
                    Signal::Traces => check_span(record).map(|_| record),
                });
                match seen.ok().filter(|_| is_fit) {
                    Some(record) => {
                        writer.pass(&above, record, None);
                        kept += 1;
                    }
                    None => rejected += 1,
                }
            }
        }
    }
    let passed = writer.finish().to_vec();
    let decoded = match signal {
        Signal::Logs => ExportLogsServiceRequest::decode(&*passed).map(drop),
        Signal::Metrics => ExportMetricsServiceRequest::decode(&*passed).map(drop),
        Signal::Traces => ExportTraceServiceRequest::decode(&*passed).map(drop),
    };
    assert!(decoded.is_ok(), "{decoded:?} of {signal:?} {request:02x?}");
    (kept, rejected)
}

// H3, H4, R5: whatever comes, the answer is one of OTLP's, and what was taken can be decoded.
#[tokio::test(start_paused = true)]
async fn h3_r5_requests_with_changed_bytes_are_answered_and_what_is_taken_can_be_decoded() {
    let mut rng = Rng::with_seed(0x6d75_7461_7465);
    let encodings: [(&str, Encode); 3] = [("identity", <[u8]>::to_vec), ("gzip", gzip), ("zstd", zstd)];
    let (mut taken, mut refused, mut kept, mut rejected) = (0, 0, 0, 0);
    for (signal, path, method, protobuf) in [
        (Signal::Logs, "/v1/logs", "logs.v1.LogsService", logs()),
        (Signal::Metrics, "/v1/metrics", "metrics.v1.MetricsService", metrics()),
        (Signal::Traces, "/v1/traces", "trace.v1.TraceService", traces()),
    ] {
        let method = format!("/opentelemetry.proto.collector.{method}/Export");
        let json = json_of(signal);
        assert!(pass_on(signal, &protobuf).0 > 1, "the request is a good one");
        for case in 0..CASES * 3 {
            let (encoding, encode) = encodings[case % 3];
            let desk = Desk::new();
            // The bytes themselves, what they are packed in, or both.
            let (inside, outside) =
                [(true, false), (true, false), (true, false), (false, true), (true, true)][rng.usize(..5)];
            let is_json = rng.bool();
            let mut body = if is_json { json.clone() } else { protobuf.clone() };
            if inside {
                mutate(&mut rng, &mut body);
            }
            let mut body = encode(&body);
            let is_grpc = !is_json && rng.bool();
            if is_grpc {
                body = framed(u8::from(encoding != "identity"), &body);
            }
            if outside {
                mutate(&mut rng, &mut body);
            }
            let answered = if is_grpc {
                send(&desk, "POST", &method, &[GRPC, ("te", "trailers"), ("grpc-encoding", encoding)], &body).await
            } else {
                let form = if is_json { JSON } else { PROTOBUF };
                send(&desk, "POST", path, &[form, ("content-encoding", encoding)], &body).await
            };
            let status = answered.status.as_u16();
            let is_answer = if is_grpc {
                status == 200 && !answered.code().is_empty()
            } else {
                [200, 400, 413, 415].contains(&status)
            };
            assert!(is_answer, "{status} {} to case {case} of {signal:?}", answered.code());
            let requests = desk.taken();
            assert_eq!(requests.len() + desk.refusals.lock().unwrap().len(), 1, "case {case}");
            assert!(desk.most.load(Ordering::Relaxed) <= 10 * LIMIT, "case {case} takes more than there is");
            for request in requests {
                taken += 1;
                // The end looks whether it is one.
                if Outline::read(&request).is_ok() {
                    let counted = pass_on(signal, &request);
                    (kept, rejected) = (kept + counted.0, rejected + counted.1);
                }
            }
            refused += desk.refusals.lock().unwrap().len();
        }
    }
    // Not all of them are nonsense, nor all of them good.
    assert!(taken > CASES && refused > CASES && kept > CASES && rejected > 0, "{taken} {refused} {kept} {rejected}");
}
