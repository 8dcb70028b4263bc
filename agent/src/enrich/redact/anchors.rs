//! Finds any of a few dozen short texts, at the cost of a look at every second pair of bytes.
//!
//! Of each anchor three neighbouring bytes are chosen. Wherever they stand, one of their two pairs begins at an even
//! place, so half of the pairs of a text need to be looked up, four at a time. The vector search of the crate
//! `aho-corasick` (Teddy) needs twice the instructions for these anchors, since nearly every line of a training has
//! something that looks like one of them to it.

use std::ops::Range;

const PAIRS: usize = 1 << 16;

/// The anchors, by the pairs that tell them.
#[derive(Debug)]
pub(super) struct Anchors {
    /// For each pair the number of its candidates, counted from one; zero if it tells nothing.
    told_by: Box<[u8; PAIRS]>,
    candidates: Vec<Vec<Candidate>>,
}

/// An anchor that a pair may be a part of.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    text: &'static [u8],
    /// Where the pair stands in it.
    pair_at: usize,
    number: usize,
}

/// An anchor in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) at: Range<usize>,
    /// Which one, as they were given.
    pub(super) number: usize,
}

impl Anchors {
    /// Anchors, each with the place of three bytes in it that are seldom elsewhere.
    pub(super) fn new(anchors: impl IntoIterator<Item = (&'static str, usize)>) -> Self {
        let told_by = vec![0; PAIRS].try_into().expect("it has so many entries");
        let mut new = Self { told_by, candidates: Vec::new() };
        for (number, (text, seldom_at)) in anchors.into_iter().enumerate() {
            let text = text.as_bytes();
            for pair_at in [seldom_at, seldom_at + 1] {
                let pair = u16::from_le_bytes([text[pair_at], text[pair_at + 1]]);
                let told_by = &mut new.told_by[usize::from(pair)];
                if *told_by == 0 {
                    new.candidates.push(Vec::new());
                    *told_by = u8::try_from(new.candidates.len()).expect("there are fewer than 128 anchors");
                }
                new.candidates[usize::from(*told_by) - 1].push(Candidate { text, pair_at, number });
            }
        }
        new
    }

    /// The next anchor that begins there or later, but for one or two bytes in the order.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Hit> {
        let rest = text.get(from..)?;
        let eights = rest.as_chunks::<8>().0;
        for (number, eight) in eights.iter().enumerate() {
            if self.tells(*eight)
                && let Some(hit) = self.look_closer(text, from, from + 8 * number)
            {
                return Some(hit);
            }
        }
        // The pairs behind the last eight bytes are looked up with some before them: that needs no other code.
        let end = rest.len() & !1;
        match rest[..end].last_chunk() {
            Some(last) if end > 8 * eights.len() && self.tells(*last) => self.look_closer(text, from, from + end - 8),
            Some(_) => None,
            None => self.look_closer(text, from, from),
        }
    }

    /// Whether one of the four pairs may be of an anchor.
    #[inline]
    fn tells(&self, eight: [u8; 8]) -> bool {
        let told_by: &[u8; PAIRS] = &self.told_by;
        let word = u64::from_le_bytes(eight);
        let tells = |pair: u32| told_by[usize::from((word >> (16 * pair)) as u16)];
        tells(0) | tells(1) | tells(2) | tells(3) != 0
    }

    #[cold]
    fn look_closer(&self, text: &[u8], from: usize, at: usize) -> Option<Hit> {
        for (pair, two) in text[at..text.len().min(at + 8)].as_chunks::<2>().0.iter().enumerate() {
            let told_by = self.told_by[usize::from(u16::from_le_bytes(*two))];
            if told_by == 0 {
                continue;
            }
            for candidate in &self.candidates[usize::from(told_by) - 1] {
                let Some(start) = (at + 2 * pair).checked_sub(candidate.pair_at) else { continue };
                // Most fail at once.
                let is_first = start >= from && text[start] == candidate.text[0];
                if is_first && text[start..].starts_with(candidate.text) {
                    return Some(Hit { at: start..start + candidate.text.len(), number: candidate.number });
                }
            }
        }
        None
    }
}
