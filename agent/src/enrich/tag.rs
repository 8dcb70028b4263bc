//! Attributes that only some lines have.

use crate::{
    parse::{Line, Readable},
    record::{
        Origin,
        wire::{Value, hex16, record_attribute},
    },
};

/// Collects the attributes of one line; used again for the next one.
#[derive(Debug, Default)]
pub struct Tags {
    encoded: Vec<u8>,
}

impl Tags {
    /// The attributes of that line beside those of its origin. `readable` is given if its bytes were not UTF-8.
    pub fn of(&mut self, origin: &Origin, line: &Line<'_>, readable: Option<&Readable>) -> &[u8] {
        self.encoded.clear();
        if let Some(part) = line.part {
            let stream = &origin.uid_prefix[origin.uid_prefix.len().saturating_sub(16)..];
            let mut id = String::from_utf8_lossy(stream).into_owned();
            id.push_str(&String::from_utf8_lossy(&hex16(part.line_at)));
            self.add("runlog.part.id", Value::String(&id));
            self.add("runlog.part.index", Value::Int(part.index.into()));
            if part.is_last {
                self.add("runlog.part.count", Value::Int(i64::from(part.index) + 1));
            }
        }
        if let Some(readable) = readable {
            self.add("runlog.invalid_utf8", Value::Int(i64::try_from(readable.replaced).unwrap_or(i64::MAX)));
            // The text is not what was printed, so what was printed goes along.
            self.add("log.record.original", Value::Bytes(line.bytes));
        }
        &self.encoded
    }

    fn add(&mut self, key: &str, value: Value<'_>) {
        record_attribute(&mut self.encoded, key, value);
    }
}
