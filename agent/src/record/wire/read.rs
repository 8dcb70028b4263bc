//! The reading half: a walk over the bytes of an `ExportLogsServiceRequest` that copies nothing.
//!
//! Unknown fields are passed over, as protobuf asks.

use crate::record::{Severity, UnixNanos};

/// Bytes that are not the protobuf message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf at byte {at}")]
pub struct Malformed {
    /// Offset in the message that was read.
    pub at: usize,
}

/// An attribute's or body's value. Lists, maps and whatever comes later are `Other`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `string_value`
    String(&'a str),
    /// `bytes_value`
    Bytes(&'a [u8]),
    /// `int_value`
    Int(i64),
    /// `bool_value`
    Bool(bool),
    /// `double_value`
    Double(f64),
    /// A value of another kind, or none.
    Other,
}

/// One `ResourceLogs`.
#[derive(Debug, Clone, Copy)]
pub struct ResourceView<'a> {
    /// The encoded `Resource`; [`attributes`] reads it.
    pub resource: &'a [u8],
    /// The encoded `ResourceLogs`.
    pub bytes: &'a [u8],
}

/// One `ScopeLogs`.
#[derive(Debug, Clone, Copy)]
pub struct ScopeView<'a> {
    /// The scope's name.
    pub name: &'a str,
    /// The encoded `ScopeLogs`.
    pub bytes: &'a [u8],
}

/// One `LogRecord`, its attributes still encoded.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// `time_unix_nano`
    pub time: UnixNanos,
    /// `observed_time_unix_nano`
    pub observed: UnixNanos,
    /// `severity_number`
    pub severity: Severity,
    /// `severity_text`
    pub severity_text: &'a str,
    /// `body`
    pub body: Value<'a>,
    /// `event_name`
    pub event_name: &'a str,
    /// The encoded `LogRecord`.
    pub bytes: &'a [u8],
}

/// The `ResourceLogs` of a request.
pub fn requests_resources(request: &[u8]) -> impl Iterator<Item = Result<ResourceView<'_>, Malformed>> {
    messages(request, 1).map(|found| {
        let bytes = found?;
        let resource = messages(bytes, 1).next().transpose()?.unwrap_or_default();
        Ok(ResourceView { resource, bytes })
    })
}

impl<'a> ResourceView<'a> {
    /// The `ScopeLogs` of this resource.
    pub fn scopes(&self) -> impl Iterator<Item = Result<ScopeView<'a>, Malformed>> + use<'a> {
        messages(self.bytes, 2).map(|found| {
            let bytes = found?;
            let scope = messages(bytes, 1).next().transpose()?.unwrap_or_default();
            let name = messages(scope, 1).next().transpose()?.map_or("", text);
            Ok(ScopeView { name, bytes })
        })
    }

    /// The resource's attributes.
    pub fn attributes(&self) -> impl Iterator<Item = Result<(&'a str, Value<'a>), Malformed>> + use<'a> {
        attributes(self.resource, 1)
    }
}

impl<'a> ScopeView<'a> {
    /// The records of this scope.
    pub fn records(&self) -> impl Iterator<Item = Result<RecordView<'a>, Malformed>> + use<'a> {
        messages(self.bytes, 2).map(|found| RecordView::read(found?))
    }
}

impl<'a> RecordView<'a> {
    /// Reads one encoded `LogRecord`.
    ///
    /// # Errors
    /// If the bytes are not a protobuf message.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut record = Self {
            time: 0,
            observed: 0,
            severity: Severity::UNSPECIFIED,
            severity_text: "",
            body: Value::Other,
            event_name: "",
            bytes,
        };
        for field in Walk::new(bytes) {
            match field? {
                (1, Wire::Fixed64(time)) => record.time = time,
                (11, Wire::Fixed64(time)) => record.observed = time,
                (2, Wire::Varint(number)) => {
                    record.severity = Severity::from_number(i32::try_from(number).unwrap_or(0))
                }
                (3, Wire::Bytes(word)) => record.severity_text = text(word),
                (5, Wire::Bytes(any)) => record.body = any_value(any)?,
                (12, Wire::Bytes(name)) => record.event_name = text(name),
                _ => {}
            }
        }
        Ok(record)
    }

    /// The record's attributes.
    pub fn attributes(&self) -> impl Iterator<Item = Result<(&'a str, Value<'a>), Malformed>> + use<'a> {
        attributes(self.bytes, 6)
    }

    /// `time_unix_nano`, or the observed time where that is unknown.
    #[must_use]
    pub const fn best_time(&self) -> UnixNanos {
        if self.time == 0 { self.observed } else { self.time }
    }
}

/// The `KeyValue`s that stand in a message under that field number.
pub fn attributes(message: &[u8], field: u32) -> impl Iterator<Item = Result<(&str, Value<'_>), Malformed>> {
    messages(message, field).map(|found| {
        let (mut key, mut value) = ("", Value::Other);
        for field in Walk::new(found?) {
            match field? {
                (1, Wire::Bytes(bytes)) => key = text(bytes),
                (2, Wire::Bytes(bytes)) => value = any_value(bytes)?,
                _ => {}
            }
        }
        Ok((key, value))
    })
}

fn any_value(bytes: &[u8]) -> Result<Value<'_>, Malformed> {
    let mut value = Value::Other;
    for field in Walk::new(bytes) {
        value = match field? {
            (1, Wire::Bytes(bytes)) => Value::String(text(bytes)),
            (2, Wire::Varint(number)) => Value::Bool(number != 0),
            (3, Wire::Varint(number)) => Value::Int(number.cast_signed()),
            (4, Wire::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            (7, Wire::Bytes(bytes)) => Value::Bytes(bytes),
            _ => Value::Other,
        };
    }
    Ok(value)
}

// A string that is not UTF-8 breaks the protobuf contract; it is shown as empty rather than refused with its batch.
fn text(bytes: &[u8]) -> &str {
    simdutf8::basic::from_utf8(bytes).unwrap_or_default()
}

/// The length-delimited fields of that number.
pub(super) fn messages(message: &[u8], wanted: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Walk::new(message).filter_map(move |field| match field {
        Ok((number, Wire::Bytes(bytes))) if number == wanted => Some(Ok(bytes)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Yields (field number, value) until the end or the first fault.
pub(super) struct Walk<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// Where the next field begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    // Nearly all tags and lengths have one byte.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.message.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.message.get(self.at).ok_or(Malformed { at: self.at })?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if shift == 63 && byte > 1 {
                break;
            }
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed { at: self.at })
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end =
            self.at.checked_add(length).filter(|end| *end <= self.message.len()).ok_or(Malformed { at: self.at })?;
        let bytes = &self.message[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    // Into each loop: a record that is looked through costs a quarter less.
    #[inline(always)]
    fn field(&mut self) -> Result<(u32, Wire<'a>), Malformed> {
        // Field numbers have 29 bits, and there is no field 0.
        let tag = self.varint()?;
        let number = u32::try_from(tag).map_err(|_| Malformed { at: self.at })? >> 3;
        if number == 0 {
            return Err(Malformed { at: self.at });
        }
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Wire::Fixed64(u64::from_le_bytes(bytes.try_into().map_err(|_| Malformed { at: self.at })?))
            }
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed { at: self.at })?)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => return Err(Malformed { at: self.at }),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<(u32, Wire<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.message.len();
        }
        Some(field)
    }
}
