//! OTLP's messages as tables: their fields' numbers, kinds and names in JSON.
//!
//! What is checked before it is passed on, and what is read from JSON, stands here once. Log records, which are many, are
//! checked by code of their own.

use Kind::{Bool, Bytes, Double, Fixed32, Fixed64, Id, Int, Nested, SignedFixed64, Text, Zigzag};

use crate::record::Signal;

/// The fields of a message.
#[derive(Debug)]
pub(super) struct Message(pub(super) &'static [Field]);

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// As it stands in JSON.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_repeated: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// base64 in JSON.
    Bytes,
    /// The id of a trace or a span: bytes that are hex in JSON.
    Id,
    Bool,
    /// Any whole number or enumeration that is a plain varint.
    Int,
    /// `sint32`
    Zigzag,
    /// `fixed32`
    Fixed32,
    /// `fixed64`
    Fixed64,
    /// `sfixed64`
    SignedFixed64,
    Double,
    Nested(&'static Message),
}

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&'static Field> {
        self.0.iter().find(|field| field.number == number)
    }

    pub(super) fn named(&self, name: &str) -> Option<&'static Field> {
        self.0.iter().find(|field| field.name == name)
    }
}

/// The request of a signal.
pub(super) const fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Logs => &LOGS_REQUEST,
        Signal::Metrics => &METRICS_REQUEST,
        Signal::Traces => &TRACES_REQUEST,
    }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, is_repeated: false }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, is_repeated: true }
}

// opentelemetry/proto/logs/v1/logs.proto
static LOGS_REQUEST: Message = Message(&[many(1, "resourceLogs", Nested(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Message = Message(&[
    one(1, "resource", Nested(&RESOURCE)),
    many(2, "scopeLogs", Nested(&SCOPE_LOGS)),
    one(3, "schemaUrl", Text),
]);
static SCOPE_LOGS: Message =
    Message(&[one(1, "scope", Nested(&SCOPE)), many(2, "logRecords", Nested(&LOG_RECORD)), one(3, "schemaUrl", Text)]);
pub(super) static LOG_RECORD: Message = Message(&[
    one(1, "timeUnixNano", Fixed64),
    one(11, "observedTimeUnixNano", Fixed64),
    one(2, "severityNumber", Int),
    one(3, "severityText", Text),
    one(5, "body", Nested(&ANY_VALUE)),
    many(6, "attributes", Nested(&KEY_VALUE)),
    one(7, "droppedAttributesCount", Int),
    one(8, "flags", Fixed32),
    one(9, "traceId", Id),
    one(10, "spanId", Id),
    one(12, "eventName", Text),
]);

// opentelemetry/proto/metrics/v1/metrics.proto
static METRICS_REQUEST: Message = Message(&[many(1, "resourceMetrics", Nested(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Message = Message(&[
    one(1, "resource", Nested(&RESOURCE)),
    many(2, "scopeMetrics", Nested(&SCOPE_METRICS)),
    one(3, "schemaUrl", Text),
]);
static SCOPE_METRICS: Message =
    Message(&[one(1, "scope", Nested(&SCOPE)), many(2, "metrics", Nested(&METRIC)), one(3, "schemaUrl", Text)]);
pub(super) static METRIC: Message = Message(&[
    one(1, "name", Text),
    one(2, "description", Text),
    one(3, "unit", Text),
    one(5, "gauge", Nested(&GAUGE)),
    one(7, "sum", Nested(&SUM)),
    one(9, "histogram", Nested(&HISTOGRAM)),
    one(10, "exponentialHistogram", Nested(&EXPONENTIAL_HISTOGRAM)),
    one(11, "summary", Nested(&SUMMARY)),
    many(12, "metadata", Nested(&KEY_VALUE)),
]);
static GAUGE: Message = Message(&[many(1, "dataPoints", Nested(&NUMBER_POINT))]);
static SUM: Message = Message(&[
    many(1, "dataPoints", Nested(&NUMBER_POINT)),
    one(2, "aggregationTemporality", Int),
    one(3, "isMonotonic", Bool),
]);
static HISTOGRAM: Message =
    Message(&[many(1, "dataPoints", Nested(&HISTOGRAM_POINT)), one(2, "aggregationTemporality", Int)]);
static EXPONENTIAL_HISTOGRAM: Message =
    Message(&[many(1, "dataPoints", Nested(&EXPONENTIAL_POINT)), one(2, "aggregationTemporality", Int)]);
static SUMMARY: Message = Message(&[many(1, "dataPoints", Nested(&SUMMARY_POINT))]);
static NUMBER_POINT: Message = Message(&[
    many(7, "attributes", Nested(&KEY_VALUE)),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "asDouble", Double),
    one(6, "asInt", SignedFixed64),
    many(5, "exemplars", Nested(&EXEMPLAR)),
    one(8, "flags", Int),
]);
static HISTOGRAM_POINT: Message = Message(&[
    many(9, "attributes", Nested(&KEY_VALUE)),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "bucketCounts", Fixed64),
    many(7, "explicitBounds", Double),
    many(8, "exemplars", Nested(&EXEMPLAR)),
    one(10, "flags", Int),
    one(11, "min", Double),
    one(12, "max", Double),
]);
static EXPONENTIAL_POINT: Message = Message(&[
    many(1, "attributes", Nested(&KEY_VALUE)),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    one(6, "scale", Zigzag),
    one(7, "zeroCount", Fixed64),
    one(8, "positive", Nested(&BUCKETS)),
    one(9, "negative", Nested(&BUCKETS)),
    one(10, "flags", Int),
    many(11, "exemplars", Nested(&EXEMPLAR)),
    one(12, "min", Double),
    one(13, "max", Double),
    one(14, "zeroThreshold", Double),
]);
static BUCKETS: Message = Message(&[one(1, "offset", Zigzag), many(2, "bucketCounts", Int)]);
static SUMMARY_POINT: Message = Message(&[
    many(7, "attributes", Nested(&KEY_VALUE)),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "quantileValues", Nested(&QUANTILE)),
    one(8, "flags", Int),
]);
static QUANTILE: Message = Message(&[one(1, "quantile", Double), one(2, "value", Double)]);
static EXEMPLAR: Message = Message(&[
    many(7, "filteredAttributes", Nested(&KEY_VALUE)),
    one(2, "timeUnixNano", Fixed64),
    one(3, "asDouble", Double),
    one(6, "asInt", SignedFixed64),
    one(4, "spanId", Id),
    one(5, "traceId", Id),
]);

// opentelemetry/proto/trace/v1/trace.proto
static TRACES_REQUEST: Message = Message(&[many(1, "resourceSpans", Nested(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Message = Message(&[
    one(1, "resource", Nested(&RESOURCE)),
    many(2, "scopeSpans", Nested(&SCOPE_SPANS)),
    one(3, "schemaUrl", Text),
]);
static SCOPE_SPANS: Message =
    Message(&[one(1, "scope", Nested(&SCOPE)), many(2, "spans", Nested(&SPAN)), one(3, "schemaUrl", Text)]);
pub(super) static SPAN: Message = Message(&[
    one(1, "traceId", Id),
    one(2, "spanId", Id),
    one(3, "traceState", Text),
    one(4, "parentSpanId", Id),
    one(16, "flags", Fixed32),
    one(5, "name", Text),
    one(6, "kind", Int),
    one(7, "startTimeUnixNano", Fixed64),
    one(8, "endTimeUnixNano", Fixed64),
    many(9, "attributes", Nested(&KEY_VALUE)),
    one(10, "droppedAttributesCount", Int),
    many(11, "events", Nested(&SPAN_EVENT)),
    one(12, "droppedEventsCount", Int),
    many(13, "links", Nested(&SPAN_LINK)),
    one(14, "droppedLinksCount", Int),
    one(15, "status", Nested(&SPAN_STATUS)),
]);
static SPAN_EVENT: Message = Message(&[
    one(1, "timeUnixNano", Fixed64),
    one(2, "name", Text),
    many(3, "attributes", Nested(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Int),
]);
static SPAN_LINK: Message = Message(&[
    one(1, "traceId", Id),
    one(2, "spanId", Id),
    one(3, "traceState", Text),
    many(4, "attributes", Nested(&KEY_VALUE)),
    one(5, "droppedAttributesCount", Int),
    one(6, "flags", Fixed32),
]);
static SPAN_STATUS: Message = Message(&[one(2, "message", Text), one(3, "code", Int)]);

// opentelemetry/proto/{common,resource}/v1/*.proto
pub(super) static RESOURCE: Message = Message(&[
    many(1, "attributes", Nested(&KEY_VALUE)),
    one(2, "droppedAttributesCount", Int),
    many(3, "entityRefs", Nested(&ENTITY_REF)),
]);
static ENTITY_REF: Message = Message(&[
    one(1, "schemaUrl", Text),
    one(2, "type", Text),
    many(3, "idKeys", Text),
    many(4, "descriptionKeys", Text),
]);
static SCOPE: Message = Message(&[
    one(1, "name", Text),
    one(2, "version", Text),
    many(3, "attributes", Nested(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Int),
]);
pub(super) static KEY_VALUE: Message =
    Message(&[one(1, "key", Text), one(2, "value", Nested(&ANY_VALUE)), one(3, "keyStrindex", Int)]);
static ANY_VALUE: Message = Message(&[
    one(1, "stringValue", Text),
    one(2, "boolValue", Bool),
    one(3, "intValue", Int),
    one(4, "doubleValue", Double),
    one(5, "arrayValue", Nested(&ARRAY)),
    one(6, "kvlistValue", Nested(&LIST)),
    one(7, "bytesValue", Bytes),
    one(8, "stringValueStrindex", Int),
]);
static ARRAY: Message = Message(&[many(1, "values", Nested(&ANY_VALUE))]);
static LIST: Message = Message(&[many(1, "values", Nested(&KEY_VALUE))]);
