//! What a progress bar says: how far it is, of how much, how fast.
//!
//! Known are the bars of tqdm, rich, pip and Keras, and what others have in common with them: a percentage, or a count
//! and its total.

mod tokens;

use memchr::memmem;

use super::shape::shape_with;
use crate::record::wire::{Value, record_attribute};
use tokens::{Number, rate, scaled, unit};

/// The numbers of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// How far it is.
    pub current: f64,
    /// Of how much, where it is known.
    pub total: Option<f64>,
    /// Units a second.
    pub rate: Option<f64>,
    /// What is counted.
    pub unit: Unit,
}

impl Progress {
    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        self.total.is_some_and(|total| self.current >= total)
    }

    /// Appends the attributes of a record.
    pub fn encode(&self, attributes: &mut Vec<u8>) {
        record_attribute(attributes, "progress.current", Value::Double(self.current));
        if let Some(total) = self.total {
            record_attribute(attributes, "progress.total", Value::Double(total));
        }
        if let Some(rate) = self.rate {
            record_attribute(attributes, "progress.rate", Value::Double(rate));
        }
        record_attribute(attributes, "progress.unit", Value::String(self.unit.as_str()));
    }
}

/// A word for what is counted, such as `it` or `B`. Longer ones are cut short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    length: u8,
    bytes: [u8; Self::MAX_BYTES],
}

impl Unit {
    const MAX_BYTES: usize = 15;

    fn new(word: &[u8]) -> Self {
        let word = if word.is_ascii() { &word[..word.len().min(Self::MAX_BYTES)] } else { b"it" };
        let mut bytes = [0; Self::MAX_BYTES];
        bytes[..word.len()].copy_from_slice(word);
        Self { length: word.len() as u8, bytes }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }

    fn or(self, other: &[u8]) -> Self {
        if self.length == 0 { Self::new(other) } else { self }
    }
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A bar in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Its numbers.
    pub progress: Progress,
    /// Which bar it is: what stands before it, numbers left out, and its total.
    pub key: u64,
    /// Where it ends. What follows is glued to it.
    pub end: usize,
    /// Whether nothing but a bar looks so. Else it may be a line that speaks of a percentage.
    pub is_certain: bool,
}

/// What the words of a row say.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Count, total, and what is counted if it is said.
    count: Option<(f64, f64, Unit)>,
    percent: Option<f64>,
    rate: Option<(Option<f64>, Unit)>,
    /// Where the first of count and percentage begins.
    at: usize,
}

impl Default for Counted {
    fn default() -> Self {
        Self { count: None, percent: None, rate: None, at: usize::MAX }
    }
}

impl Counted {
    fn progress(&self) -> Option<Progress> {
        let (rate, rate_unit) = self.rate.unwrap_or((None, Unit::new(b"")));
        if let Some((current, total, unit)) = self.count {
            let unit = unit.or(rate_unit.as_str().as_bytes()).or(b"it");
            return Some(Progress { current, total: Some(total), rate, unit });
        }
        // The rate is of what is not counted here.
        Some(Progress { current: self.percent?, total: Some(100.0), rate: None, unit: Unit::new(b"%") })
    }
}

/// Finds the bar in a row.
pub fn bar(row: &[u8]) -> Option<Bar> {
    tqdm(row).or_else(|| drawn(row)).or_else(|| keras(row)).or_else(|| counted(row))
}

/// `label:  41%|####      | 41/100 [00:04<00:05,  9.9it/s, loss=0.12]`, or `label: 41it [00:01, 31.2it/s]`.
fn tqdm(row: &[u8]) -> Option<Bar> {
    let open = memmem::find_iter(row, b" [").find(|at| is_clock(&row[at + 2..]))?;
    let end = open + 2 + closing(&row[open + 2..])?;
    let speed = row[open + 2..end].split(|byte| matches!(byte, b',' | b']')).nth(1).unwrap_or_default();
    let (rate, rate_unit) = rate(speed.trim_ascii()).unwrap_or((None, Unit::new(b"")));
    let before = row[..open].trim_ascii_end();
    let count_at = before.iter().rposition(|byte| matches!(byte, b' ' | b'|')).map_or(0, |at| at + 1);
    let count = &before[count_at..];
    let (current, total, counts, label) = match scaled(count)? {
        Number { value, rest: [b'/', total @ ..] } => {
            let percent = memmem::find(before, b"%|")?;
            let digits = before[..percent].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            (value, Some(scaled(total)?.value), Unit::new(b""), &row[..percent - digits])
        }
        Number { value, rest } => {
            let (factor, counts) = unit(rest);
            (value * factor, None, counts, &row[..count_at])
        }
    };
    let progress = Progress { current, total, rate, unit: counts.or(rate_unit.as_str().as_bytes()).or(b"it") };
    Some(Bar { progress, key: shape_with(label, total), end, is_certain: true })
}

/// Whether it is a time such as `00:04` or `1:02:03`.
fn is_clock(bytes: &[u8]) -> bool {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && matches!(&bytes[digits..], [b':', digit, ..] if digit.is_ascii_digit())
}

/// Where the bracket closes, behind it; `bytes` begin inside.
fn closing(bytes: &[u8]) -> Option<usize> {
    let mut depth = 1;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// What rich, pip and Keras 3 draw bars with.
const PIECES: [&[u8]; 3] = ["━".as_bytes(), "╸".as_bytes(), "╺".as_bytes()];

/// `label ━━━━━━━╸━━━━━━  41% 0:00:05`, `━━━━ 1.2/3.4 MB 5.6 MB/s eta 0:00:01`, or `12/100 ━━━━ 3s 10ms/step - loss: 0.3`.
fn drawn(row: &[u8]) -> Option<Bar> {
    let start = PIECES.iter().filter_map(|piece| memmem::find(row, piece)).min()?;
    let behind = PIECES.iter().filter_map(|piece| memmem::rfind(row, piece)).max()? + PIECES[0].len();
    let end = end(row, behind);
    let mut said = tokens::counted(&row[behind..end]);
    let mut label = &row[..start];
    if let Some(before) = tokens::counted(label).filter(|before| before.count.is_some()) {
        label = &label[..before.at];
        let rate = said.and_then(|said| said.rate).or_else(|| step_rate(&row[behind..end]));
        said = Some(Counted { rate, ..before });
    }
    let progress = said?.progress()?;
    Some(Bar { progress, key: shape_with(label, progress.total), end, is_certain: true })
}

/// `12/100 [==>...........] - ETA: 3s - loss: 0.3`
fn keras(row: &[u8]) -> Option<Bar> {
    let open = memmem::find(row, b" [")?;
    let length = row[open + 2..].iter().take_while(|byte| matches!(byte, b'=' | b'>' | b'.')).count();
    if length == 0 || row.get(open + 2 + length) != Some(&b']') {
        return None;
    }
    let count = tokens::counted(&row[..open]).filter(|count| count.count.is_some())?;
    let behind = open + 3 + length;
    let end = end(row, behind);
    let progress = Counted { rate: step_rate(&row[behind..end]), ..count }.progress()?;
    Some(Bar { progress, key: shape_with(&row[..count.at], progress.total), end, is_certain: true })
}

/// `10ms/step`, among other words.
fn step_rate(text: &[u8]) -> Option<(Option<f64>, Unit)> {
    text.split(|byte| *byte == b' ').find(|word| word.ends_with(b"s/step")).and_then(rate)
}

/// Whatever else says a percentage, or a count and its total.
fn counted(row: &[u8]) -> Option<Bar> {
    let end = end(row, 0);
    let said = tokens::counted(&row[..end])?;
    let progress = said.progress()?;
    Some(Bar { progress, key: shape_with(&row[..said.at], progress.total), end, is_certain: false })
}

/// How lines begin that are printed behind a bar whose end cannot be told.
const HEADS: [&[u8]; 8] =
    [b"[rank", b"Traceback (most recent", b"DEBUG", b"INFO", b"WARNING", b"ERROR", b"CRITICAL", b"FATAL"];

/// Where a bar ends that goes on behind `from`: before the head of a line, or with the row.
fn end(row: &[u8], from: usize) -> usize {
    let behind = &row[from..];
    let head = HEADS.iter().filter_map(|head| memmem::find(behind, head)).min();
    head.map_or(row.len(), |at| from + at)
}

#[cfg(test)]
mod tests;
