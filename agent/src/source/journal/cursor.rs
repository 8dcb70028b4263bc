//! Places in the journal.

use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Entry, UnixNanos};

/// What journald names an entry by.
///
/// journalctl finds the entry again by the text. What is read out of it here is journald's own count of entries: its
/// id (`s=`), the boot (`b=`), the entry's number (`i=`) and its time (`t=`). After a power cut journald may use numbers
/// again that were not on the disk yet, so each boot counts anew here. Systemd calls the text opaque; where it has no
/// such count, entries are told apart by the whole text and nothing is known of their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    text: String,
    /// Which count, and which number in it.
    counted: Option<(String, u64)>,
    time: UnixNanos,
}

/// How an entry stands to one that was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is that one, or was written before it.
    NotLater,
    /// It is the next one.
    Next,
    /// So many others were written between them, if that can be told.
    Later(Option<u64>),
}

impl Cursor {
    pub(super) fn new(text: String) -> Self {
        let value = |name: &str| text.split(';').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let number = |name| value(name).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let count = value("s").zip(value("b")).map(|(id, boot)| format!("{id}/{boot}"));
        let counted = count.zip(number("i"));
        let time = number("t").unwrap_or(0).saturating_mul(1_000);
        Self { counted, time, text }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// When its entry was written; zero if it does not say.
    pub(super) const fn time(&self) -> UnixNanos {
        self.time
    }

    /// How this one stands to `before`.
    pub(super) fn standing(&self, before: &Self) -> Standing {
        if self.text == before.text {
            return Standing::NotLater;
        }
        match (&self.counted, &before.counted) {
            (Some((count, number)), Some((count_before, number_before))) if count == count_before => {
                match number.checked_sub(*number_before) {
                    None | Some(0) => Standing::NotLater,
                    Some(1) => Standing::Next,
                    Some(distance) => Standing::Later(Some(distance - 1)),
                }
            }
            _ => Standing::Later(None),
        }
    }

    /// The count that its entry is in: entries of one count have different places.
    pub(super) fn count(&self) -> &str {
        self.counted.as_ref().map_or("", |(count, _)| count)
    }

    /// Its entry's place in the count.
    pub(super) fn place(&self) -> u64 {
        let number = self.counted.as_ref().map_or_else(|| xxh3_64(self.text.as_bytes()), |(_, number)| *number);
        number << Entry::PART_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(count: &str, number: u64) -> Cursor {
        Cursor::new(format!("s={count};i={number:x};b=b0;m=1;t=2;x=3"))
    }

    #[test]
    fn entries_of_one_count_are_in_its_order_and_others_in_none() {
        let before = cursor("c0", 0x1f);
        for (later, standing) in [
            (before.clone(), Standing::NotLater),
            (cursor("c0", 0x1e), Standing::NotLater),
            (cursor("c0", 0x20), Standing::Next),
            (cursor("c0", 0x23), Standing::Later(Some(3))),
            (cursor("c1", 0x20), Standing::Later(None)),
            (Cursor::new("s=c0;i=1f;b=b1;m=1;t=2;x=3".into()), Standing::Later(None)),
            (Cursor::new("another form".into()), Standing::Later(None)),
        ] {
            assert_eq!(later.standing(&before), standing, "{}", later.as_str());
        }
        assert_eq!(Cursor::new("x".into()).standing(&Cursor::new("x".into())), Standing::NotLater);
        assert_eq!(before.time(), 2_000);
    }

    #[test]
    fn places_leave_room_for_parts() {
        assert_eq!(cursor("c0", 3).place(), 3 << 20);
        assert_ne!(Cursor::new("a".into()).place(), Cursor::new("b".into()).place());
    }
}
