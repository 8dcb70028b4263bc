//! A record as it is shown.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value},
    logs::v1::LogRecord,
};
use prost::Message;
use runlog_proto::v1;
use serde_json::{Value as Json, json};

use crate::record::{
    UnixNanos,
    wire::{RecordView, ResourceView, Value},
};

use super::Cursor;

/// The body as text: a string as it is, bytes with what is not UTF-8 replaced, anything else as JSON.
pub(super) fn body<'a>(record: &RecordView<'a>) -> Cow<'a, str> {
    simple(&record.body).unwrap_or_else(|| {
        // Lists and maps are rare enough to be decoded in full.
        let body = LogRecord::decode(record.bytes).ok().and_then(|record| record.body);
        Cow::Owned(body.as_ref().map(any_text).unwrap_or_default())
    })
}

/// The line of a record.
pub(super) fn line(cursor: Cursor, resource: &ResourceView<'_>, scope: &str, record: &RecordView<'_>) -> v1::LogLine {
    let mut line = v1::LogLine {
        cursor: cursor.to_string(),
        time_unix_nano: record.time,
        observed_time_unix_nano: record.observed,
        time: rfc3339(record.best_time()),
        severity_number: record.severity.number().into(),
        severity_text: record.severity_text.to_owned(),
        body: body(record).into_owned(),
        scope: scope.to_owned(),
        event_name: record.event_name.to_owned(),
        attributes: attributes(record),
        ..v1::LogLine::default()
    };
    // A fault in the resource costs its attributes, not the line.
    for (key, value) in resource.attributes().filter_map(Result::ok) {
        if let ("container.name" | "k8s.container.name", Value::String(name)) = (key, value) {
            line.container = name.to_owned();
        }
    }
    let get = |key: &str| line.attributes.get(key).cloned().unwrap_or_default();
    line.stream = get("log.iostream");
    line.uid = get("log.record.uid");
    line.rank = get("ml.rank").parse().ok();
    line
}

/// A time in UTC; empty if it is unknown.
fn rfc3339(time: UnixNanos) -> String {
    if time == 0 {
        return String::new();
    }
    Timestamp::from_nanosecond(time.into()).map(|time| time.to_string()).unwrap_or_default()
}

fn attributes(record: &RecordView<'_>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let mut is_complete = true;
    for (key, value) in record.attributes().filter_map(Result::ok) {
        match simple(&value) {
            Some(text) => _ = texts.insert(key.to_owned(), text.into_owned()),
            None => is_complete = false,
        }
    }
    if !is_complete && let Ok(record) = LogRecord::decode(record.bytes) {
        texts.extend(
            record.attributes.into_iter().map(|pair| (pair.key, pair.value.as_ref().map(any_text).unwrap_or_default())),
        );
    }
    texts
}

fn simple<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    Some(match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
        Value::Double(number) => Cow::Owned(number.to_string()),
        Value::Other => return None,
    })
}

fn any_text(value: &AnyValue) -> String {
    match any_json(value) {
        Json::Null => String::new(),
        Json::String(text) => text,
        other => other.to_string(),
    }
}

// Its depth is bounded by prost's limit on nesting.
fn any_json(value: &AnyValue) -> Json {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BytesValue(bytes)) => json!(String::from_utf8_lossy(bytes)),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::BoolValue(truth)) => json!(truth),
        // JSON has no NaN and no infinity; OTLP's JSON writes them as words.
        Some(any_value::Value::DoubleValue(number)) if !number.is_finite() => json!(number.to_string()),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::ArrayValue(list)) => list.values.iter().map(any_json).collect(),
        Some(any_value::Value::KvlistValue(map)) => Json::Object(
            map.values
                .iter()
                .map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Json::Null, any_json)))
                .collect(),
        ),
        _ => Json::Null,
    }
}
