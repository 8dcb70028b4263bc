//! Private keys as PEM has them: between two lines of dashes, in one text or over many lines of a stream.

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use memchr::memmem::{self, Finder};

use crate::record::Lane;

pub(super) const ANCHOR: &str = "-----BEGIN ";
/// Where its most seldom bytes begin; dashes are in every table.
pub(super) const SELDOM_AT: usize = 4;
pub(super) const RULE: &str = "private-key";

/// Made once: each line that is left out is looked through.
static BEGINNING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ANCHOR));
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// The words between the dashes, at most.
const MAX_LABEL_BYTES: usize = 40;
/// A key of 16,384 bits has some 200 lines.
const MAX_LINES: u32 = 300;
/// Streams in which a key may be open at a time; it is masked no further in others.
const MAX_OPEN: usize = 1_000;
/// A word of base64 that stands behind something else is a piece of the key from this length on.
const MIN_PIECE_BYTES: usize = 16;

/// A private key in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// All of it.
    Whole(Range<usize>),
    /// It goes on in the lines after the text.
    Begun(Range<usize>),
}

/// Whether a key may begin in a text.
pub(super) fn may_begin(text: &[u8]) -> bool {
    BEGINNING.find(text).is_some()
}

/// The key whose first dashes stand there.
pub(super) fn find(text: &[u8], anchor: Range<usize>) -> Option<Block> {
    let label = &text[anchor.end..text.len().min(anchor.end + MAX_LABEL_BYTES)];
    let dashes = memmem::find(label, DASHES)?;
    if !label[..dashes].ends_with(b"PRIVATE KEY") && !label[..dashes].ends_with(b"PRIVATE KEY BLOCK") {
        return None;
    }
    let behind = anchor.end + dashes + DASHES.len();
    Some(match end(text, behind) {
        Some(end) => Block::Whole(anchor.start..end),
        None => Block::Begun(anchor.start..text.len()),
    })
}

/// Behind the last dashes.
fn end(text: &[u8], from: usize) -> Option<usize> {
    let end = from + memmem::find(&text[from..], END)? + END.len();
    let dashes = memmem::find(&text[end..text.len().min(end + MAX_LABEL_BYTES)], DASHES);
    Some(dashes.map_or(text.len(), |dashes| end + dashes + DASHES.len()))
}

/// The keys that have begun and not ended, by the lines that they go on in.
///
/// Of a key whose lines are read from its middle on, after a restart, nothing is known.
#[derive(Debug, Default)]
pub(super) struct Blocks(HashMap<(u64, u8), u32>);

impl Blocks {
    /// Whether there are any.
    pub(super) fn are_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// A key goes on in the next line.
    pub(super) fn begin(&mut self, stream: u64, lane: Lane) {
        if self.0.len() >= MAX_OPEN {
            self.0.clear();
        }
        self.0.insert((stream, lane as u8), MAX_LINES);
    }

    /// What of the next line belongs to a key that has begun.
    pub(super) fn go_on(&mut self, stream: u64, lane: Lane, text: &[u8]) -> Option<Range<usize>> {
        let lines_left = self.0.get_mut(&(stream, lane as u8))?;
        *lines_left -= 1;
        let is_last = *lines_left == 0;
        let ending = end(text, 0);
        if is_last || ending.is_some() {
            self.0.remove(&(stream, lane as u8));
        }
        if let Some(end) = ending {
            let start = memmem::find(text, END).unwrap_or(0);
            return Some(piece(&text[..start]).map_or(start, |piece| piece.start)..end);
        }
        piece(text)
    }
}

/// The word of base64 that a line ends with, if it can be one of a key: a line of its own, or behind a head.
fn piece(text: &[u8]) -> Option<Range<usize>> {
    let text = text.trim_ascii_end();
    let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let length = text.iter().rev().take_while(is_base64).count();
    let at = text.len() - length..text.len();
    let is_alone = text[..at.start].trim_ascii().is_empty();
    (length >= MIN_PIECE_BYTES || is_alone && length > 0).then_some(at)
}
