//! The journal export format: entries as journalctl writes them for programs.
//!
//! An entry is lines of `NAME=text`, or `NAME`, a length of eight bytes (little endian), so many bytes and a newline;
//! an empty line ends it. Source: systemd, docs/JOURNAL_EXPORT_FORMATS.md.
//!
//! journald takes the blocks out of the files that it removes, also while they are read: what journalctl writes then has
//! NULs in the midst of a value, or anything else.

use memchr::memchr;

/// Longer values are cut: the bytes behind are counted and gone.
const MAX_VALUE_BYTES: usize = 4 << 20;

/// Longer names are no names. Source: systemd, src/basic/journal-importer.h; journald itself takes 64.
const MAX_NAME_BYTES: usize = 256;

/// What is not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry was torn: its file was damaged, or removed while it was read")]
pub(super) struct Malformed;

/// The fields of an entry, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes that were cut off its values.
    pub cut_bytes: u64,
}

impl Fields {
    /// The first value of that name.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The first value of that name, if it is text and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|value| !value.is_empty())
    }

    /// Takes the first value of that name out.
    pub(super) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        self.fields.iter_mut().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| std::mem::take(value))
    }
}

/// Finds entries in what comes in, whatever pieces it comes in.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: Vec<u8>,
    /// Where in `bytes` the next one stands.
    at: usize,
    entry: Fields,
    next: Next,
}

/// What comes next.
#[derive(Debug, Default)]
enum Next {
    /// A line: a field, a name, or the end of an entry.
    #[default]
    Line,
    /// The rest of a value without a length, which ends with its line.
    Text,
    /// The length of a value.
    Length,
    /// So much of a value, and its newline.
    Value(u64),
    /// Nothing: what came is no entry, so nobody knows where the next one begins.
    Lost,
}

impl Decoder {
    /// Adds what came next.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next entry, if it is whole. After one that is not an entry there is no next one.
    pub(super) fn next(&mut self) -> Result<Option<Fields>, Malformed> {
        let next = self.read();
        if next.is_err() {
            self.next = Next::Lost;
        }
        next
    }

    fn read(&mut self) -> Result<Option<Fields>, Malformed> {
        loop {
            let rest = &self.bytes[self.at..];
            match self.next {
                Next::Line => {
                    let line = &rest[..memchr(b'\n', rest).unwrap_or(rest.len())];
                    let is_whole = line.len() < rest.len();
                    if is_whole && line.is_empty() {
                        self.at += 1;
                        if !self.entry.fields.is_empty() {
                            return Ok(Some(std::mem::take(&mut self.entry)));
                        }
                        continue;
                    }
                    match memchr(b'=', line) {
                        Some(equals) if is_name(&line[..equals]) => {
                            self.entry.fields.push((line[..equals].to_vec(), Vec::new()));
                            self.at += equals + 1;
                            self.next = Next::Text;
                        }
                        None if is_whole && is_name(line) => {
                            self.entry.fields.push((line.to_vec(), Vec::new()));
                            self.at += line.len() + 1;
                            self.next = Next::Length;
                        }
                        None if !is_whole && (line.is_empty() || is_name(line)) => return Ok(None),
                        _ => return Err(Malformed),
                    }
                }
                Next::Text => {
                    let length = memchr(b'\n', rest).unwrap_or(rest.len());
                    let is_whole = length < rest.len();
                    // A value that was written with a NUL has a length.
                    if memchr(0, &rest[..length]).is_some() {
                        return Err(Malformed);
                    }
                    self.take_value(length);
                    if !is_whole {
                        return Ok(None);
                    }
                    self.at += 1;
                    self.next = Next::Line;
                }
                Next::Length => {
                    let Some(length) = rest.first_chunk::<8>() else { return Ok(None) };
                    self.next = Next::Value(u64::from_le_bytes(*length));
                    self.at += 8;
                }
                Next::Value(0) => match rest.first() {
                    Some(b'\n') => {
                        self.at += 1;
                        self.next = Next::Line;
                    }
                    Some(_) => return Err(Malformed),
                    None => return Ok(None),
                },
                Next::Lost => return Err(Malformed),
                Next::Value(left) => {
                    let length = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if length == 0 {
                        return Ok(None);
                    }
                    self.take_value(length);
                    self.next = Next::Value(left - length as u64);
                }
            }
        }
    }

    /// Moves so many bytes into the value of the last field.
    fn take_value(&mut self, length: usize) {
        let bytes = &self.bytes[self.at..self.at + length];
        if let Some((_, value)) = self.entry.fields.last_mut() {
            let kept = length.min(MAX_VALUE_BYTES - value.len());
            value.extend_from_slice(&bytes[..kept]);
            self.entry.cut_bytes += (length - kept) as u64;
        }
        self.at += length;
    }
}

fn is_name(name: &[u8]) -> bool {
    let is_of_it = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.iter().all(is_of_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value, b"\n"].concat()
    }

    fn all(decoder: &mut Decoder) -> Vec<Fields> {
        std::iter::from_fn(|| decoder.next().unwrap()).collect()
    }

    #[test]
    fn entries_are_found_whatever_pieces_they_come_in() {
        let text = [
            b"__CURSOR=s=1;i=2\nMESSAGE=a = b\nEMPTY=\n\n".to_vec(),
            b"__CURSOR=c\n".to_vec(),
            binary("MESSAGE", b"two\n\nlines=\xff\n"),
            b"PRIORITY=3\n\n".to_vec(),
        ]
        .concat();
        for size in [1, 2, 7, text.len()] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                decoder.feed(piece);
                found.extend(all(&mut decoder));
            }
            let [first, second] = found.as_slice() else { panic!("{} entries, {size} bytes each time", found.len()) };
            assert_eq!((first.text("__CURSOR"), first.text("MESSAGE")), (Some("s=1;i=2"), Some("a = b")));
            assert_eq!((first.text("EMPTY"), first.bytes("EMPTY"), first.bytes("NONE")), (None, Some(&b""[..]), None));
            assert_eq!(second.bytes("MESSAGE"), Some(&b"two\n\nlines=\xff\n"[..]));
            assert_eq!(second.text("PRIORITY"), Some("3"));
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_cut_and_counted_and_what_follows_is_read() {
        let long = vec![b'x'; MAX_VALUE_BYTES + 5];
        for field in [binary("MESSAGE", &long), [b"MESSAGE=", long.as_slice(), b"\n"].concat()] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in [field.as_slice(), b"PRIORITY=3\n\n"].concat().chunks(64 * 1024) {
                decoder.feed(piece);
                found.extend(all(&mut decoder));
                assert!(decoder.bytes.len() <= 2 * 64 * 1024, "it keeps what it has read");
            }
            let [entry] = found.as_slice() else { panic!("{} entries", found.len()) };
            assert_eq!((entry.bytes("MESSAGE").unwrap().len(), entry.cut_bytes), (MAX_VALUE_BYTES, 5));
            assert_eq!(entry.text("PRIORITY"), Some("3"));
        }
    }

    #[test]
    fn j1_what_was_torn_is_refused_behind_the_entries_before_it() {
        let whole = b"__CURSOR=c\nMESSAGE=whole\n\n".as_slice();
        let length_is_wrong = b"MESSAGE\n\x01\0\0\0\0\0\0\0xy".as_slice();
        for torn in [&b"MESSAGE=tor\0\0\0\n"[..], b"\0\0\0\n", b"MES\0", b"=x\n", &[b'N'; 300], length_is_wrong] {
            let mut decoder = Decoder::default();
            decoder.feed(&[whole, torn].concat());
            assert!(decoder.next().is_ok_and(|entry| entry.is_some()), "{torn:?}");
            assert_eq!(decoder.next(), Err(Malformed), "{torn:?}");
            decoder.feed(whole);
            assert_eq!(decoder.next(), Err(Malformed), "{torn:?}");
        }
    }
}
