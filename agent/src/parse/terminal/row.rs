//! What a row shows, without the sequences that draw it.

use memchr::memchr3;

use super::escape::{ESCAPE, Effect, sequence};

const BACKSPACE: u8 = 0x08;

/// What ends a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The end of the bytes.
    End,
    /// A carriage return.
    Return,
    /// A sequence of so many bytes that moves the cursor elsewhere.
    Move(usize),
}

/// The text of a row.
#[derive(Debug, Default)]
pub struct Text {
    pub bytes: Vec<u8>,
    /// Where runs of text begin in it, and where they stand in what was read.
    runs: Vec<(usize, usize)>,
}

impl Text {
    /// Reads a row, and says where it is cut and how.
    pub fn read(&mut self, raw: &[u8]) -> (usize, Cut) {
        self.bytes.clear();
        self.runs.clear();
        let mut at = 0;
        loop {
            let length = memchr3(b'\r', ESCAPE, BACKSPACE, &raw[at..]).unwrap_or(raw.len() - at);
            self.push(at, &raw[at..at + length]);
            at += length;
            match raw.get(at) {
                None => return (at, Cut::End),
                Some(b'\r') => return (at, Cut::Return),
                Some(&BACKSPACE) => {
                    let steps = raw[at..].iter().take_while(|byte| **byte == BACKSPACE).count();
                    at += steps;
                    // What follows is written there; if nothing does, the cursor has moved and that is all.
                    if raw.get(at).is_some_and(|byte| !matches!(byte, b'\r' | &ESCAPE)) {
                        self.step_back(steps);
                    }
                }
                Some(_) => match sequence(&raw[at..]) {
                    Some((length, Effect::None)) => at += length,
                    Some((length, Effect::Moves)) => return (at, Cut::Move(length)),
                    None => {
                        self.push(at, &raw[at..=at]);
                        at += 1;
                    }
                },
            }
        }
    }

    /// Takes a line in which nothing is drawn, as it is.
    pub fn copy(&mut self, raw: &[u8]) -> (usize, Cut) {
        self.bytes.clear();
        self.runs.clear();
        self.push(0, raw);
        (raw.len(), Cut::End)
    }

    /// Where the byte at `index` stands in what was read.
    pub fn raw_index(&self, index: usize) -> usize {
        let run = self.runs.iter().rev().find(|(start, _)| *start <= index);
        run.map_or(0, |(start, raw)| raw + index - start)
    }

    fn push(&mut self, at: usize, run: &[u8]) {
        if !run.is_empty() {
            self.runs.push((self.bytes.len(), at));
            self.bytes.extend_from_slice(run);
        }
    }

    fn step_back(&mut self, characters: usize) {
        for _ in 0..characters {
            while self.bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_text_and_ends_where_the_cursor_goes_elsewhere() {
        for (raw, expected, cut) in [
            ("plain", "plain", (5, Cut::End)),
            ("\x1b[31mred\x1b[0m text\rnext", "red text", (17, Cut::Return)),
            ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\!", "link!", (27, Cut::End)),
            ("up\x1b[2Anext", "up", (2, Cut::Move(4))),
            ("a|\x08/\x08-", "a-", (6, Cut::End)),
            ("12/25 é\x08\x08\x08\x08\r", "12/25 é", (12, Cut::Return)),
            ("é\x08e", "e", (4, Cut::End)),
            ("not one \x1b[", "not one \x1b[", (10, Cut::End)),
        ] {
            let mut text = Text::default();
            assert_eq!(text.read(raw.as_bytes()), cut, "{raw:?}");
            assert_eq!(text.bytes, expected.as_bytes(), "{raw:?}");
        }
    }

    #[test]
    fn each_byte_of_the_text_is_found_in_what_was_read() {
        let raw = b"\x1b[31mred\x1b[0m text";
        let mut text = Text::default();
        text.read(raw);
        for (index, byte) in text.bytes.iter().enumerate() {
            assert_eq!(raw[text.raw_index(index)], *byte, "{index}");
        }
        assert_eq!(text.raw_index(3), 12);
    }
}
