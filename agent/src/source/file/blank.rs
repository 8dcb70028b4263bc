//! Runs of NULs: a hole that a writer left which kept its offset after a truncation, room that was made ahead of
//! writing, blocks that a power cut emptied. They are no text, and a run may be as long as a disk.

use std::io;

use memchr::memchr;

use super::{disk::Handle, tail::CHUNK_BYTES};

/// Shorter runs inside a file are taken for what was printed. No block of a disk is smaller.
const BLANK_BYTES: usize = 512;

/// How much is looked through at once for the end of a run.
const SEARCHED_BYTES: u64 = 64 << 20;

/// Where a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Text goes on there.
    Text(u64),
    /// Nowhere yet: NULs are all that is there.
    Nowhere,
    /// Not before this offset.
    Beyond(u64),
}

/// Where in bytes that were read a run of NULs begins. A short one is one as well where a file begins or ends with it:
/// what stands there may still be written.
pub fn begin(data: &[u8], starts_file: bool, ends_file: bool) -> Option<usize> {
    let mut from = 0;
    while let Some(nul) = memchr(0, &data[from..]) {
        let start = from + nul;
        let run = data[start..].iter().take(BLANK_BYTES).take_while(|byte| **byte == 0).count();
        let is_last = start + run == data.len();
        if run == BLANK_BYTES || is_last && ends_file || start == 0 && starts_file {
            return Some(start);
        }
        from = start + run;
    }
    None
}

/// Whether a NUL stands at that offset. Also if that cannot be told.
pub fn is_at(handle: &dyn Handle, offset: u64) -> bool {
    let mut byte = Vec::new();
    handle.read_at(offset, 1, &mut byte).is_err() || byte.first().is_none_or(|byte| *byte == 0)
}

/// Looks for the end of a run in a file of that size that has NULs up to `from` at least.
///
/// # Errors
/// What the file system says.
pub fn end(handle: &dyn Handle, mut from: u64, size: u64) -> io::Result<End> {
    let mut searched = 0;
    let mut data = Vec::new();
    while searched < SEARCHED_BYTES {
        from = match handle.next_written(from)? {
            Some(at) if at < size => at,
            Some(_) | None => return Ok(End::Nowhere),
        };
        data.clear();
        handle.read_at(from, CHUNK_BYTES, &mut data)?;
        if let Some(text) = data.iter().position(|byte| *byte != 0) {
            return Ok(End::Text(from + text as u64));
        }
        if data.is_empty() {
            return Ok(End::Nowhere);
        }
        from += data.len() as u64;
        searched += data.len() as u64;
    }
    Ok(End::Beyond(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_and_those_at_the_ends_of_a_file_are_blank_and_others_are_text() {
        let long = [b"a".as_slice(), &[0; BLANK_BYTES], b"b"].concat();
        let short = [b"a".as_slice(), &[0; BLANK_BYTES - 1], b"b"].concat();
        let cases: [(&[u8], bool, bool, Option<usize>); 8] = [
            (b"text\n", true, true, None),
            (&long, false, false, Some(1)),
            (&short, true, true, None),
            (b"\0text", true, false, Some(0)),
            (b"\0text", false, true, None),
            (b"text\0", true, true, Some(4)),
            (b"text\0", true, false, None),
            (b"\0", false, true, Some(0)),
        ];
        for (data, starts_file, ends_file, expected) in cases {
            assert_eq!(begin(data, starts_file, ends_file), expected, "{data:?} {starts_file} {ends_file}");
        }
    }
}
