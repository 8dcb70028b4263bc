//! Texts of an encoded message, replaced in their places.

use crate::record::Signal;

use super::{
    Malformed,
    pass::for_each_field,
    read::{Wire, messages},
    schema::{KEY_VALUE, Kind, LOG_RECORD, METRIC, Message, RESOURCE, SPAN},
    write::put_bytes,
};

/// An encoded log record, metric or span, or fields of one, in which texts are replaced. `None` if none is.
///
/// `replace` is given the name of the attribute that a text is the value of, empty if it is of none, and the text. Names
/// stay, and so do bytes that are no text.
///
/// # Errors
/// If the bytes are not a protobuf message. Nesting is followed as deep as it goes, so this is for what was checked.
pub fn rewrite(
    signal: Signal,
    item: &[u8],
    replace: &mut dyn FnMut(&str, &str) -> Option<String>,
) -> Result<Option<Vec<u8>>, Malformed> {
    let message = match signal {
        Signal::Logs => &LOG_RECORD,
        Signal::Metrics => &METRIC,
        Signal::Traces => &SPAN,
    };
    within(message, item, "", replace)
}

/// The same for an encoded resource, whose values are replaced like those of a record.
///
/// # Errors
/// If the bytes are not a protobuf message.
pub fn rewrite_resource(
    resource: &[u8],
    replace: &mut dyn FnMut(&str, &str) -> Option<String>,
) -> Result<Option<Vec<u8>>, Malformed> {
    within(&RESOURCE, resource, "", replace)
}

fn within(
    message: &'static Message,
    bytes: &[u8],
    name: &str,
    replace: &mut dyn FnMut(&str, &str) -> Option<String>,
) -> Result<Option<Vec<u8>>, Malformed> {
    let is_pair = std::ptr::eq(message, &raw const KEY_VALUE);
    let key = if is_pair { messages(bytes, 1).next().transpose()? } else { None };
    // What stands in a list or a map of a named value has its name, unless it has one of its own.
    let name = key.and_then(|key| simdutf8::basic::from_utf8(key).ok()).unwrap_or(name);
    // Made with the first text that is replaced: in most records none is.
    let (mut rewritten, mut passed) = (None, 0);
    for_each_field(bytes, 0, |number, value, field, _| {
        let kind = message.field(number).map(|field| field.kind);
        let new = match (kind, value) {
            (Some(Kind::Nested(inner)), Wire::Bytes(bytes)) => within(inner, bytes, name, replace)?,
            (Some(Kind::Text), Wire::Bytes(_)) if is_pair => None,
            (Some(Kind::Text | Kind::Bytes), Wire::Bytes(bytes)) => {
                let text = simdutf8::basic::from_utf8(bytes).ok();
                text.and_then(|text| replace(name, text)).map(String::into_bytes)
            }
            _ => None,
        };
        match (new, &mut rewritten) {
            (Some(new), rewritten) => {
                let rewritten = rewritten.get_or_insert_with(|| bytes[..passed].to_vec());
                // None of the fields that hold texts has a number above 15, so the tag has one byte.
                put_bytes(rewritten, (number << 3) as u8 | 2, &new);
            }
            (None, Some(rewritten)) => rewritten.extend_from_slice(field),
            (None, None) => {}
        }
        passed += field.len();
        Ok(())
    })?;
    Ok(rewritten)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value},
        logs::v1::LogRecord,
        trace::v1::{Span, span::Event},
    };
    use prost::Message as _;

    use super::*;

    fn text(text: &str) -> AnyValue {
        AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
    }

    fn pair(key: &str, value: AnyValue) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
    }

    fn record(word: &str) -> LogRecord {
        let list = any_value::Value::ArrayValue(ArrayValue { values: vec![text("a"), text(word)] });
        let map = any_value::Value::KvlistValue(KeyValueList { values: vec![pair("inner", text(word))] });
        let long = format!("{word}{}", "x".repeat(300));
        LogRecord {
            time_unix_nano: 7,
            severity_text: "INFO".into(),
            body: Some(text(&long)),
            attributes: vec![
                pair("secret", text("kept")),
                pair("list", AnyValue { value: Some(list) }),
                pair("map", AnyValue { value: Some(map) }),
            ],
            trace_id: b"secret-secret-16".to_vec(),
            flags: 1,
            ..LogRecord::default()
        }
    }

    #[test]
    fn texts_are_replaced_at_any_depth_and_everything_else_stays() {
        let mut names = Vec::new();
        let mut replace = |name: &str, text: &str| {
            text.starts_with("secret").then(|| {
                names.push(name.to_owned());
                text.replacen("secret", "[a longer text]", 1)
            })
        };
        let bytes = record("secret").encode_to_vec();
        let rewritten = rewrite(Signal::Logs, &bytes, &mut replace).unwrap().unwrap();
        assert_eq!(LogRecord::decode(&rewritten[..]).unwrap(), record("[a longer text]"));
        assert_eq!(rewrite(Signal::Logs, &rewritten, &mut replace).unwrap(), None);
        assert_eq!(names, ["", "list", "inner"]);
    }

    #[test]
    fn spans_and_their_events_are_rewritten_as_well() {
        let span = |word: &str| Span {
            name: "step".into(),
            events: vec![Event { attributes: vec![pair("url", text(word))], ..Event::default() }],
            ..Span::default()
        };
        let mut replace = |_: &str, text: &str| (text == "secret").then(|| "masked".to_owned());
        let rewritten = rewrite(Signal::Traces, &span("secret").encode_to_vec(), &mut replace).unwrap().unwrap();
        assert_eq!(Span::decode(&rewritten[..]).unwrap(), span("masked"));
    }
}
