//! Values in the index's columns.
//!
//! SQLite has a type for most; what it has none for (truths, NaN and the infinities, the zero with a sign, whole rows
//! of a table) is JSON in a blob.

use std::collections::BTreeMap;

use runlog_proto::{v1::Value, value::Kind};
use rusqlite::types::{ToSqlOutput, ValueRef};

/// A row of a table.
pub(super) type Columns = BTreeMap<String, Value>;

/// A value as a column holds it.
pub(super) fn to_cell(value: &Value) -> ToSqlOutput<'_> {
    match &value.kind {
        None => ToSqlOutput::Borrowed(ValueRef::Null),
        Some(Kind::Integer(number)) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
        Some(Kind::Number(number)) if number.is_finite() && number.to_bits() != (-0.0_f64).to_bits() => {
            ToSqlOutput::Borrowed(ValueRef::Real(*number))
        }
        Some(Kind::Text(text)) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        // A value can be written as JSON.
        Some(Kind::Bool(_) | Kind::Number(_)) => serde_json::to_vec(value).unwrap_or_default().into(),
    }
}

/// Back from [`to_cell`]. What nobody wrote is null.
pub(super) fn from_cell(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::NULL,
        ValueRef::Integer(number) => Kind::Integer(number).into(),
        ValueRef::Real(number) => Kind::Number(number).into(),
        ValueRef::Text(text) => Kind::Text(String::from_utf8_lossy(text).into_owned()).into(),
        ValueRef::Blob(json) => serde_json::from_slice(json).unwrap_or_default(),
    }
}

/// A row of a table as a column holds it.
pub(super) fn to_row_cell(columns: &Columns) -> Vec<u8> {
    // Columns can be written as JSON.
    serde_json::to_vec(columns).unwrap_or_default()
}

/// Back from [`to_row_cell`].
pub(super) fn from_row_cell(cell: ValueRef<'_>) -> Columns {
    cell.as_blob().ok().and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}
