//! What the payloads of frames hold.
//!
//! ```text
//! entry, positions   8 bytes of meta · 8 bytes of positions · meta · positions (pairs) · body
//! cursors            pairs of (destination, 8 bytes seq)
//! snapshot           8 bytes of positions · positions (pairs) · cursors (pairs)
//! pair               8 bytes of key · key · 8 bytes of value · value
//! ```
//!
//! Reading checks every length against what is there and answers `None` when it does not fit.

use std::ops::Range;

/// The payload of an entry up to its body.
pub(super) fn entry(meta: &[u8], positions: &[(&str, &[u8])]) -> Vec<u8> {
    let positions_bytes: usize = positions.iter().map(|(key, value)| pair_bytes(key, value)).sum();
    let mut lead = Vec::with_capacity(16 + meta.len() + positions_bytes);
    lead.extend((meta.len() as u64).to_le_bytes());
    lead.extend((positions_bytes as u64).to_le_bytes());
    lead.extend(meta);
    for (key, value) in positions {
        put_pair(&mut lead, key, value);
    }
    lead
}

/// Where the parts of an entry's payload are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryParts {
    pub meta: Range<usize>,
    pub positions: Range<usize>,
    pub body: Range<usize>,
}

/// Finds the parts of an entry's payload, with or without its body.
pub(super) fn split_entry(payload: &[u8]) -> Option<EntryParts> {
    let mut rest = payload;
    let meta_bytes = take_u64(&mut rest)?;
    let positions_bytes = take_u64(&mut rest)?;
    let meta = 16..16_usize.checked_add(meta_bytes)?;
    let positions = meta.end..meta.end.checked_add(positions_bytes)?;
    (positions.end <= payload.len()).then_some(EntryParts { body: positions.end..payload.len(), meta, positions })
}

/// What a pair adds to a payload.
pub(super) const fn pair_bytes(key: &str, value: &[u8]) -> usize {
    16 + key.len() + value.len()
}

/// Adds a pair.
pub(super) fn put_pair(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend((key.len() as u64).to_le_bytes());
    out.extend(key.as_bytes());
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(value);
}

/// Reads pairs to the end of `bytes`. `None` if they do not end there or a key is not UTF-8.
pub(super) fn pairs(mut bytes: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        let key = take_sized(&mut bytes)?;
        let value = take_sized(&mut bytes)?;
        pairs.push((std::str::from_utf8(key).ok()?, value));
    }
    Some(pairs)
}

/// Takes as many bytes as the number before them says.
pub(super) fn take_sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u64(bytes)?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_u64(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_split_where_it_was_joined() {
        let positions: &[(&str, &[u8])] = &[("a.log", b"17"), ("gone", b"")];
        let mut payload = entry(b"meta", positions);
        payload.extend(b"body");

        let parts = split_entry(&payload).unwrap();

        assert_eq!(&payload[parts.meta], b"meta");
        assert_eq!(pairs(&payload[parts.positions]).unwrap(), positions);
        assert_eq!(&payload[parts.body], b"body");
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let payload = entry(b"meta", &[("key", b"value")]);
        for cut in 0..payload.len() {
            assert_eq!(split_entry(&payload[..cut]), None, "cut at {cut}");
        }
        let mut huge = payload;
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(split_entry(&huge), None);

        let mut pair = Vec::new();
        put_pair(&mut pair, "key", b"value");
        for cut in 1..pair.len() {
            assert_eq!(pairs(&pair[..cut]), None, "cut at {cut}");
        }
    }
}
