//! Training output that is the same on every machine: lines of Python's `logging`, each with a mark at its end.
//!
//! `%(asctime)s %(levelname)s %(name)s: %(message)s`, 10,000 lines a second by their own clock. A mark is the
//! stream's number and the line's number in it, so that whoever receives lines knows which are missing. Nothing but
//! `std` is used: the benchmarks of the agent include this file.

use std::io::Write;

/// Bytes of each line, its newline included.
pub const LINE_BYTES: usize = 154;

/// Bytes of a mark: ` #sss/nnnnnnnnn`.
const MARK_BYTES: usize = 15;
/// How far the lines' own clock moves from line to line.
const TICK_MICROS: u64 = 100;
const DAY_MICROS: u64 = 86_400_000_000;
/// The lines of one stream, in order and without end.
#[derive(Debug, Clone)]
pub struct Lines {
    stream: u16,
    next: u64,
    random: u64,
}

/// Which line of which stream a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The stream, below 1,000.
    pub stream: u16,
    /// The line's place in its stream, from 0.
    pub sequence: u64,
}

impl Lines {
    /// The stream of that number, from its first line.
    #[must_use]
    pub const fn new(stream: u16) -> Self {
        Self { stream: stream % 1000, next: 0, random: stream as u64 }
    }

    /// Appends the next line.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        let sequence = self.next;
        self.next += 1;
        head(sequence, out);
        self.message(sequence, out);
        let text_end = start + LINE_BYTES - MARK_BYTES - 1;
        self.context(out);
        out.truncate(text_end);
        put(out, format_args!(" #{:03}/{sequence:09}\n", self.stream));
    }

    fn message(&mut self, sequence: u64, out: &mut Vec<u8>) {
        let step = sequence / 8;
        let (kind, a, b) = (self.draw() % 100, self.draw() % 100_000, self.draw() % 1000);
        match kind {
            0..45 => put(out, format_args!("DEBUG train.loop: step {step} loss 0.{a:05} grad_norm {}.{b:03}", a % 9)),
            45..70 => {
                put(out, format_args!("DEBUG train.data: batch {step} read in {}.{b:03} ms, {} waiting", a % 20, b % 9))
            }
            70..97 => {
                put(out, format_args!("INFO train.loop: epoch {} step {step} lr 3.{b:03}e-04", sequence / 400_000))
            }
            97..99 => put(out, format_args!("WARNING train.data: sample {a} has {} tokens, cut at 2048", 2048 + b)),
            _ => put(out, format_args!("ERROR train.checkpoint: attempt {} to write step {step} took {b} ms", a % 5)),
        }
    }

    /// What messages are filled up with to their length: names that repeat and numbers that do not, so that a line
    /// compresses as real output does.
    fn context(&mut self, out: &mut Vec<u8>) {
        let (rank, layer, memory) = (self.draw() % 8, self.draw() % 96, self.draw() % 80_000);
        let (tokens, waited) = (self.draw() % 1_000_000, self.draw() % 10_000);
        put(out, format_args!(" rank={rank} memory={memory}MiB tokens/s={tokens} waited={waited}us"));
        put(out, format_args!(" path=model.layers.{layer}.attention.query.weight device=cuda:{rank} dtype=bfloat16"));
    }

    /// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    const fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn head(sequence: u64, out: &mut Vec<u8>) {
    let millis = sequence * TICK_MICROS % DAY_MICROS / 1000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    put(out, format_args!("2026-11-24 {hour:02}:{minute:02}:{second:02},{millis:03} "));
}

/// The mark of a line without its newline. `None` if it is not a whole line of ours.
#[must_use]
pub fn mark(line: &[u8]) -> Option<Mark> {
    let tail = line.last_chunk::<MARK_BYTES>()?;
    if line.len() != LINE_BYTES - 1 || tail[..2] != *b" #" || tail[5] != b'/' {
        return None;
    }
    let sequence = number(&tail[6..])?;
    Some(Mark { stream: u16::try_from(number(&tail[2..5])?).ok()?, sequence })
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(count: usize) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::new(7), Vec::new());
        (0..count).for_each(|_| lines.write(&mut out));
        out
    }

    #[test]
    fn each_line_has_its_length_and_ends_with_its_mark() {
        let out = text(5000);
        let lines: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 5000);
        for (sequence, line) in (0..).zip(lines) {
            assert_eq!(line.len(), LINE_BYTES, "{}", String::from_utf8_lossy(line));
            assert_eq!(mark(&line[..LINE_BYTES - 1]), Some(Mark { stream: 7, sequence }));
        }
    }

    #[test]
    fn two_generators_of_a_stream_say_the_same() {
        assert_eq!(text(100), text(100));
    }

    #[test]
    fn line_that_was_cut_or_joined_has_no_mark() {
        let line = &text(1)[..LINE_BYTES - 1];
        assert_eq!(mark(&line[1..]), None);
        assert_eq!(mark(&line[..LINE_BYTES - 2]), None);
        assert_eq!(mark(&[line, b"\n", line].concat()), None);
    }

    #[test]
    fn runlog_finds_level_and_logger_in_every_line() {
        for line in text(5000).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let found = runlog::parse::detect(line).unwrap();
            assert!(found.logger.starts_with(b"train."), "{}", String::from_utf8_lossy(line));
        }
    }
}
