//! Attributes that only some lines have.

use crate::{
    parse::{Line, Prefix, Readable, join::Exception},
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
    /// The attributes of that line beside those of its origin. `readable` is given if its bytes were not UTF-8, and
    /// `masked` is how many secrets its text has lost.
    pub fn of(&mut self, origin: &Origin, line: &Line<'_>, readable: Option<&Readable>, masked: usize) -> &[u8] {
        self.encoded.clear();
        self.encoded.extend_from_slice(line.attributes);
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
            // The text is not what was printed, so what was printed goes along, unless there are secrets in it.
            if masked == 0 {
                self.add("log.record.original", Value::Bytes(line.bytes));
            }
        }
        if masked > 0 {
            self.add("runlog.redacted", Value::Int(i64::try_from(masked).unwrap_or(i64::MAX)));
        }
        &self.encoded
    }

    /// Adds what a launcher put before the line, also as it was, so that nothing of what was printed is missing.
    pub fn add_prefix(&mut self, prefix: &Prefix<'_>) {
        for (key, number) in
            [("ml.rank", prefix.rank), ("ml.local_rank", prefix.local_rank), ("process.pid", prefix.pid)]
        {
            if let Some(number) = number {
                self.add(key, Value::Int(number.into()));
            }
        }
        if !prefix.role.is_empty() {
            self.add("ml.role", Value::String(&String::from_utf8_lossy(prefix.role)));
        }
        self.add("runlog.prefix", Value::String(&String::from_utf8_lossy(prefix.bytes)));
    }

    /// Adds what was raised.
    pub fn add_exception(&mut self, exception: &Exception<'_>) {
        let told = [("type", exception.class), ("message", exception.message), ("stacktrace", exception.stacktrace)];
        for (key, text) in told.into_iter().filter(|(_, text)| !text.is_empty()) {
            // Cut between characters of a text that is UTF-8.
            self.add(&format!("exception.{key}"), Value::String(&String::from_utf8_lossy(text)));
        }
    }

    /// All that was collected for the line.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    fn add(&mut self, key: &str, value: Value<'_>) {
        record_attribute(&mut self.encoded, key, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        parse::{Part, prefix, readable},
        record::{
            NoBookmark, Resource, Severity, SourceKind, Tally,
            origin::Stream,
            wire::{attributes, uid_prefix},
        },
    };

    /// The field number of a record's attributes.
    const ATTRIBUTES: u32 = 6;

    fn tags(line: &Line<'_>, readable: Option<&Readable>, masked: usize) -> Vec<(String, String)> {
        let origin = Origin::new(Stream {
            key: String::new(),
            kind: SourceKind::File,
            identity: &[b"stream"],
            resource: Arc::new(Resource { run_id: String::new(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::TRACE,
            tally: Tally::detached(SourceKind::File, ""),
            bookmark: Arc::new(NoBookmark),
        });
        told(Tags::default().of(&origin, line, readable, masked))
    }

    fn told(encoded: &[u8]) -> Vec<(String, String)> {
        let show = |found: Result<(&str, Value<'_>), _>| {
            let (key, value) = found.unwrap();
            (key.to_owned(), format!("{value:?}"))
        };
        attributes(encoded, ATTRIBUTES).map(show).collect()
    }

    fn line(bytes: &[u8], part: Option<Part>) -> Line<'_> {
        Line { part, ..Line::bare(7, 9, bytes) }
    }

    #[test]
    fn an_ordinary_line_has_no_tags_of_its_own() {
        assert_eq!(tags(&line(b"x", None), None, 0), []);
    }

    #[test]
    fn what_a_launcher_put_before_a_line_becomes_attributes_and_goes_along_as_it_was() {
        let prefix = prefix(b"[default1]:(f pid=12) [rank9]: x");
        let mut tags = Tags::default();
        tags.add_prefix(&prefix);
        let expected = [
            ("ml.rank", "Int(9)"),
            ("ml.local_rank", "Int(1)"),
            ("process.pid", "Int(12)"),
            ("ml.role", "String(\"f\")"),
            ("runlog.prefix", "String(\"[default1]:(f pid=12) [rank9]: \")"),
        ];
        assert_eq!(told(tags.encoded()), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn the_parts_of_a_line_share_an_id_that_is_the_uid_of_the_first() {
        let part = Part { line_at: 0xab, index: 2, is_last: true };
        let tags = tags(&line(b"x", Some(part)), None, 0);
        let stream = String::from_utf8(uid_prefix(&[b"stream"])).unwrap();
        let id = format!("{}{:016x}", &stream[stream.len() - 16..], 0xab);
        let expected = [
            ("runlog.part.id", format!("String({id:?})")),
            ("runlog.part.index", "Int(2)".to_owned()),
            ("runlog.part.count", "Int(3)".to_owned()),
        ];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn a_line_that_is_not_utf8_takes_its_bytes_along() {
        let bytes = b"a\xffb";
        let tags = tags(&line(bytes, None), Some(&readable(bytes)), 0);
        let expected = [
            ("runlog.invalid_utf8", "Int(1)".to_owned()),
            ("log.record.original", format!("Bytes({:?})", bytes.as_slice())),
        ];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn a_line_with_secrets_leaves_its_bytes_behind() {
        let bytes = b"a\xffb";
        let tags = tags(&line(bytes, None), Some(&readable(bytes)), 2);
        let expected = [("runlog.invalid_utf8", "Int(1)"), ("runlog.redacted", "Int(2)")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
