//! Values as JSON has them, and what JSON has not.
//!
//! | value | JSON |
//! |---|---|
//! | nothing | `null` |
//! | truth, integer, double, text | `true`, `3`, `0.5`, `"text"` |
//! | NaN, the infinities | `{"number": "NaN"}`, `{"number": "Infinity"}`, `{"number": "-Infinity"}` |
//!
//! A double without a fraction is written with one, so that it comes back as a double.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

/// What a metric, a column or a parameter may be.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// None is null.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
    pub kind: Option<Kind>,
}

/// The kinds of a value.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// A truth.
    #[prost(bool, tag = "1")]
    Bool(bool),
    /// A whole number.
    #[prost(sint64, tag = "2")]
    Integer(i64),
    /// Any other number, NaN and the infinities among them.
    #[prost(double, tag = "3")]
    Number(f64),
    /// Text.
    #[prost(string, tag = "4")]
    Text(String),
}

/// A list of values.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values {
    /// In their order.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

impl Value {
    /// Nothing.
    pub const NULL: Self = Self { kind: None };
}

impl From<Kind> for Value {
    fn from(kind: Kind) -> Self {
        Self { kind: Some(kind) }
    }
}

/// As JSON, but for text, which is as it is.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            None => f.write_str("null"),
            Some(Kind::Bool(truth)) => truth.fmt(f),
            Some(Kind::Integer(number)) => number.fmt(f),
            Some(Kind::Number(number)) => number.fmt(f),
            Some(Kind::Text(text)) => f.write_str(text),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            None => serializer.serialize_unit(),
            Some(Kind::Bool(truth)) => serializer.serialize_bool(*truth),
            Some(Kind::Integer(number)) => serializer.serialize_i64(*number),
            Some(Kind::Number(number)) if number.is_finite() => serializer.serialize_f64(*number),
            Some(Kind::Number(number)) => serializer.collect_map([("number", name_of(*number))]),
            Some(Kind::Text(text)) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, true, false, a number, text, or {\"number\": \"NaN\"}")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Kind::Bool(truth).into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Kind::Integer(number).into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Kind::Number(number as f64), Kind::Integer).into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Kind::Number(number).into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Kind::Text(text.to_owned()).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let invalid = || A::Error::custom("an object is no value, except {\"number\": \"NaN\"} and the infinities");
        let Some((key, name)) = object.next_entry::<String, String>().map_err(|_| invalid())? else {
            return Err(invalid());
        };
        let is_known = key == "number" && ["NaN", "Infinity", "-Infinity"].contains(&&name[..]);
        let number = is_known.then(|| name.parse().ok()).flatten();
        match (number, object.next_key::<IgnoredAny>()?) {
            (Some(number), None) => Ok(Kind::Number(number).into()),
            _ => Err(invalid()),
        }
    }
}

const fn name_of(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

/// Reads text that may be given as a number.
pub(crate) fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct TextVisitor;

    impl Visitor<'_> for TextVisitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time: RFC 3339, or nanoseconds since 1970")
        }

        fn visit_unit<E: Error>(self) -> Result<String, E> {
            Ok(String::new())
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_any(TextVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn a_value_comes_back_from_json_as_what_it_was() {
        let values = [
            (Value::NULL, "null"),
            (Kind::Bool(true).into(), "true"),
            (Kind::Integer(i64::MIN).into(), "-9223372036854775808"),
            (Kind::Integer(3).into(), "3"),
            (Kind::Number(3.0).into(), "3.0"),
            (Kind::Number(0.1).into(), "0.1"),
            (Kind::Number(1e300).into(), "1e+300"),
            (Kind::Number(-0.0).into(), "-0.0"),
            (Kind::Text("\u{1f642}\n\0".into()).into(), r#""🙂\n\u0000""#),
            (Kind::Number(f64::INFINITY).into(), r#"{"number":"Infinity"}"#),
            (Kind::Number(f64::NEG_INFINITY).into(), r#"{"number":"-Infinity"}"#),
        ];
        for (value, text) in values {
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value, "{text}");
        }
        let nan: Value = serde_json::from_str(r#"{"number": "NaN"}"#).unwrap();
        assert!(matches!(nan.kind, Some(Kind::Number(number)) if number.is_nan()));
        assert_eq!(serde_json::to_string(&nan).unwrap(), r#"{"number":"NaN"}"#);
    }

    #[test]
    fn what_is_no_value_is_refused_with_what_is_one() {
        for text in ["[1]", "{}", r#"{"number": "nan"}"#, r#"{"number": "NaN", "x": 1}"#, r#"{"number": 3}"#] {
            let refusal = serde_json::from_str::<Value>(text).unwrap_err().to_string();
            assert!(refusal.contains(r#"{"number": "NaN"}"#), "{text}: {refusal}");
        }
    }

    #[test]
    fn columns_are_lists_and_a_time_may_be_a_number() {
        let text = r#"{"time": 5, "entries": [{"table": {"name": "t", "columns": {"a": [1, null]}}, "time": "6"}]}"#;
        let request: v1::LogRequest = serde_json::from_str(text).unwrap();
        assert_eq!((&request.time[..], &request.entries[0].time[..]), ("5", "6"));
        let table = request.entries[0].table.as_ref().unwrap();
        assert_eq!(table.columns["a"].values, [Kind::Integer(1).into(), Value::NULL]);
    }
}
