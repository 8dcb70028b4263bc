//! The writing half: records go straight into the bytes of an `ExportLogsServiceRequest`.

use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Severity, UnixNanos};

use super::Value;

// Tags are `field number << 3 | wire type`.
const LOG_TIME: u8 = 1 << 3 | 1;
const LOG_SEVERITY_NUMBER: u8 = 2 << 3;
const LOG_SEVERITY_TEXT: u8 = 3 << 3 | 2;
const LOG_BODY: u8 = 5 << 3 | 2;
const LOG_ATTRIBUTE: u8 = 6 << 3 | 2;
pub(super) const LOG_OBSERVED_TIME: u8 = 11 << 3 | 1;
const LOG_EVENT_NAME: u8 = 12 << 3 | 2;
const RESOURCE_ATTRIBUTE: u8 = 1 << 3 | 2;
const ANY_STRING: u8 = 1 << 3 | 2;
const ANY_BOOL: u8 = 2 << 3;
const ANY_INT: u8 = 3 << 3;
const ANY_DOUBLE: u8 = 4 << 3 | 1;
const ANY_BYTES: u8 = 7 << 3 | 2;
const KEY_VALUE_KEY: u8 = 1 << 3 | 2;
const KEY_VALUE_VALUE: u8 = 2 << 3 | 2;
pub(super) const REQUEST_RESOURCE_LOGS: u8 = 1 << 3 | 2;
pub(super) const RESOURCE_LOGS_RESOURCE: u8 = 1 << 3 | 2;
pub(super) const RESOURCE_LOGS_SCOPE_LOGS: u8 = 2 << 3 | 2;
const RESOURCE_LOGS_SCHEMA_URL: u8 = 3 << 3 | 2;
const SCOPE_LOGS_SCOPE: u8 = 1 << 3 | 2;
pub(super) const SCOPE_LOGS_RECORD: u8 = 2 << 3 | 2;
const SCOPE_NAME: u8 = 1 << 3 | 2;

/// Bytes of a length that is written before it is known: a varint padded to five bytes, which every protobuf
/// decoder reads.
pub(super) const PADDED: usize = 5;

const UID_KEY: &[u8] = b"log.record.uid";
const UID_HEX: usize = 32;

/// Where the body's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// No text.
    pub const EMPTY: Self = Self(b"");

    /// Takes text as it is.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self(text.as_bytes())
    }

    /// Takes bytes that the caller has found to be valid UTF-8 as part of a larger piece, cut at a line's end.
    #[must_use]
    pub const fn from_validated(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The text's bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// One log record, borrowed from where its parts happen to stand.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// `time_unix_nano`; zero if unknown.
    pub time: UnixNanos,
    /// `observed_time_unix_nano`.
    pub observed: UnixNanos,
    /// `severity_number`.
    pub severity: Severity,
    /// `severity_text`, the source's own word; empty if there is none.
    pub severity_text: Text<'a>,
    /// `body`, always a string.
    pub body: Text<'a>,
    /// Attributes that were encoded before, by [`record_attribute`].
    pub attributes: [&'a [u8]; 2],
    /// [`crate::record::Origin::uid_prefix`] and the offset that completes it.
    pub uid: (&'a [u8], u64),
    /// `event_name`; empty for a plain line.
    pub event_name: &'a str,
}

/// Builds a request, records grouped by their scope: of one resource, or of all that [`RequestWriter::pass`] is given.
#[derive(Debug)]
pub struct RequestWriter {
    pub(super) bytes: Vec<u8>,
    /// Where the records of the one resource begin; zero where they are passed on.
    pub(super) head: usize,
    /// The fields of the resource that is passed on, as long as its message is open.
    pub(super) resource: Vec<u8>,
    pub(super) resource_len_at: Option<usize>,
    /// The scope's name, or its fields where it is passed on.
    pub(super) scope: Vec<u8>,
    pub(super) scope_len_at: Option<usize>,
    /// [`super::Above::id`] of the last record that was passed on.
    pub(super) above: u64,
    pub(super) records: u32,
}

impl RequestWriter {
    /// Starts a request. `resource` is an encoded `Resource` message.
    #[must_use]
    pub fn new(resource: &[u8], schema_url: &str, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(REQUEST_RESOURCE_LOGS);
        bytes.extend_from_slice(&[0; PADDED]);
        put_bytes(&mut bytes, RESOURCE_LOGS_RESOURCE, resource);
        if !schema_url.is_empty() {
            put_bytes(&mut bytes, RESOURCE_LOGS_SCHEMA_URL, schema_url.as_bytes());
        }
        Self {
            head: bytes.len(),
            bytes,
            resource: Vec::new(),
            resource_len_at: Some(1),
            scope: Vec::new(),
            scope_len_at: None,
            above: 0,
            records: 0,
        }
    }

    /// Appends one record under the scope of that name.
    pub fn record(&mut self, scope: Text<'_>, fields: &Fields<'_>) {
        if self.scope_len_at.is_none() || self.scope != scope.0 {
            self.open_scope(scope.0);
        }
        put_record(&mut self.bytes, fields);
        self.records += 1;
    }

    /// How many records there are.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Bytes so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The whole request.
    pub fn finish(&mut self) -> &[u8] {
        self.close_scope();
        if let Some(at) = self.resource_len_at {
            let length = self.bytes.len() - at - PADDED;
            patch_length(&mut self.bytes, at, length);
        }
        &self.bytes
    }

    /// Starts again, with the same resource if it is for one, and no records.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.head);
        self.resource_len_at = self.resource_len_at.filter(|_| self.head > 0);
        self.scope_len_at = None;
        self.above = 0;
        self.records = 0;
    }

    /// Gives memory back that no record occupies.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    fn open_scope(&mut self, scope: &[u8]) {
        self.close_scope();
        self.scope.clear();
        self.scope.extend_from_slice(scope);
        self.bytes.push(RESOURCE_LOGS_SCOPE_LOGS);
        self.scope_len_at = Some(self.bytes.len());
        self.bytes.extend_from_slice(&[0; PADDED]);
        if !scope.is_empty() {
            put_bytes(&mut self.bytes, SCOPE_LOGS_SCOPE, &scope_bytes(scope));
        }
    }

    pub(super) fn close_scope(&mut self) {
        if let Some(at) = self.scope_len_at.take() {
            let length = self.bytes.len() - at - PADDED;
            patch_length(&mut self.bytes, at, length);
        }
    }
}

/// An `InstrumentationScope` message with that name.
#[must_use]
pub fn scope_bytes(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    put_bytes(&mut bytes, SCOPE_NAME, name);
    bytes
}

/// Appends an attribute of a `LogRecord`.
pub fn record_attribute(bytes: &mut Vec<u8>, key: &str, value: Value<'_>) {
    put_key_value(bytes, LOG_ATTRIBUTE, key, value);
}

/// Appends an attribute of a `Resource`.
pub fn resource_attribute(bytes: &mut Vec<u8>, key: &str, value: Value<'_>) {
    put_key_value(bytes, RESOURCE_ATTRIBUTE, key, value);
}

/// The `log.record.uid` attribute of a stream, up to the 16 digits of the offset that complete it.
///
/// The uid is 32 hexadecimal digits: a hash of the stream's identity, then the offset of the record in it. So
/// uids of one stream sort in reading order, and reading again gives the same ones.
#[must_use]
pub fn uid_prefix(identity: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in identity {
        joined.extend_from_slice(&(part.len() as u64).to_le_bytes());
        joined.extend_from_slice(part);
    }
    let value = 2 + UID_HEX;
    let mut bytes = Vec::with_capacity(64);
    bytes.push(LOG_ATTRIBUTE);
    put_varint(&mut bytes, (2 + UID_KEY.len() + 2 + value) as u64);
    put_bytes(&mut bytes, KEY_VALUE_KEY, UID_KEY);
    bytes.push(KEY_VALUE_VALUE);
    put_varint(&mut bytes, value as u64);
    bytes.push(ANY_STRING);
    put_varint(&mut bytes, UID_HEX as u64);
    bytes.extend_from_slice(&hex16(xxh3_64(&joined)));
    bytes
}

/// Sixteen lower-case hexadecimal digits, most significant first.
#[must_use]
pub const fn hex16(number: u64) -> [u8; 16] {
    let (high, low) = (hex8((number >> 32) as u32), hex8(number as u32));
    ((high as u128) << 64 | low as u128).to_be_bytes()
}

/// Eight digits as the bytes of a number, made at once: each half byte in a byte of its own, `0` added, and the way
/// from `9` to `a` where it is above nine.
const fn hex8(number: u32) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut halves = number as u64;
    halves = (halves << 16 | halves) & 0x0000_ffff_0000_ffff;
    halves = (halves << 8 | halves) & 0x00ff_00ff_00ff_00ff;
    halves = (halves << 4 | halves) & (0x0f * EACH);
    let is_letter = (halves + 6 * EACH) >> 4 & EACH;
    halves + b'0' as u64 * EACH + is_letter * (b'a' - b'9' - 1) as u64
}

/// Writes a record, its fields in an order of their own, which protobuf leaves to the writer.
///
/// What is the same in neighbouring records stands together, and so do the end of the uid and the time, which differ
/// in each: so zstd has fewer places to find (7 % of its time).
fn put_record(out: &mut Vec<u8>, fields: &Fields<'_>) {
    let body = fields.body.0;
    let body_value = 1 + varint_len(body.len()) + body.len();
    let mut length = 9 + 1 + varint_len(body_value) + body_value;
    if fields.time != 0 {
        length += 9;
    }
    if fields.severity != Severity::UNSPECIFIED {
        length += 2;
    }
    let word = fields.severity_text.0;
    if !word.is_empty() {
        length += 1 + varint_len(word.len()) + word.len();
    }
    length += fields.attributes.iter().map(|encoded| encoded.len()).sum::<usize>();
    if !fields.uid.0.is_empty() {
        length += fields.uid.0.len() + 16;
    }
    if !fields.event_name.is_empty() {
        length += 1 + varint_len(fields.event_name.len()) + fields.event_name.len();
    }

    out.reserve(1 + 10 + length);
    out.push(SCOPE_LOGS_RECORD);
    put_varint(out, length as u64);
    if fields.severity != Severity::UNSPECIFIED {
        out.extend_from_slice(&[LOG_SEVERITY_NUMBER, fields.severity.number()]);
    }
    if !word.is_empty() {
        put_bytes(out, LOG_SEVERITY_TEXT, word);
    }
    out.push(LOG_BODY);
    put_varint(out, body_value as u64);
    put_bytes(out, ANY_STRING, body);
    put_fixed(out, LOG_OBSERVED_TIME, fields.observed);
    if !fields.event_name.is_empty() {
        put_bytes(out, LOG_EVENT_NAME, fields.event_name.as_bytes());
    }
    for encoded in fields.attributes {
        out.extend_from_slice(encoded);
    }
    if !fields.uid.0.is_empty() {
        out.extend_from_slice(fields.uid.0);
        out.extend_from_slice(&hex16(fields.uid.1));
    }
    if fields.time != 0 {
        put_fixed(out, LOG_TIME, fields.time);
    }
}

pub(super) fn put_fixed(out: &mut Vec<u8>, tag: u8, number: u64) {
    let mut field = [tag; 9];
    field[1..].copy_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&field);
}

pub(super) fn put_key_value(out: &mut Vec<u8>, tag: u8, key: &str, value: Value<'_>) {
    let of_bytes = |bytes: &[u8]| 1 + varint_len(bytes.len()) + bytes.len();
    let any = match value {
        Value::String(text) => of_bytes(text.as_bytes()),
        Value::Bytes(bytes) => of_bytes(bytes),
        Value::Int(number) => 1 + number_len(number.cast_unsigned()),
        Value::Bool(_) => 2,
        Value::Double(_) => 9,
        Value::Other => 0,
    };
    let length = of_bytes(key.as_bytes()) + 1 + varint_len(any) + any;
    out.reserve(1 + varint_len(length) + length);
    out.push(tag);
    put_varint(out, length as u64);
    put_bytes(out, KEY_VALUE_KEY, key.as_bytes());
    out.push(KEY_VALUE_VALUE);
    put_varint(out, any as u64);
    match value {
        Value::String(text) => put_bytes(out, ANY_STRING, text.as_bytes()),
        Value::Bytes(bytes) => put_bytes(out, ANY_BYTES, bytes),
        Value::Int(number) => {
            out.push(ANY_INT);
            put_varint(out, number.cast_unsigned());
        }
        Value::Bool(truth) => out.extend_from_slice(&[ANY_BOOL, u8::from(truth)]),
        Value::Double(number) => {
            out.push(ANY_DOUBLE);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::Other => {}
    }
}

pub(super) fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) const fn varint_len(number: usize) -> usize {
    number_len(number as u64)
}

const fn number_len(number: u64) -> usize {
    ((64 - (number | 1).leading_zeros()) as usize).div_ceil(7)
}

pub(super) fn patch_length(bytes: &mut [u8], at: usize, length: usize) {
    let slot = &mut bytes[at..at + PADDED];
    for (i, byte) in slot.iter_mut().enumerate() {
        let continued = if i + 1 < PADDED { 0x80 } else { 0 };
        *byte = (length >> (7 * i)) as u8 & 0x7f | continued;
    }
}
