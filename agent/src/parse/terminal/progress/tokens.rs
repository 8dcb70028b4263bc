//! The words of a bar that are numbers.

use super::{Counted, Unit};

/// A number at the beginning of a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number<'a> {
    /// Its value, without the letter behind it.
    pub value: f64,
    /// What follows it.
    pub rest: &'a [u8],
}

/// The number that `bytes` begin with: digits, and decimals.
pub fn number(bytes: &[u8]) -> Option<Number<'_>> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let (digits, rest) = bytes.split_at(length);
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Number { value, rest })
}

/// `1.2M` of `1.2M/3.4M` is 1,200,000: the letter counts if nothing of a word follows it.
pub fn scaled(bytes: &[u8]) -> Option<Number<'_>> {
    let Number { value, rest } = number(bytes)?;
    match rest {
        [letter, after @ ..] if after.first().is_none_or(|byte| !byte.is_ascii_alphabetic()) => {
            let factor = factor(*letter, 1000.0).unwrap_or(1.0);
            Some(Number { value: value * factor, rest: if factor > 1.0 { after } else { rest } })
        }
        _ => Some(Number { value, rest }),
    }
}

/// Units a second of `9.9it/s`, `5.6MB/s`, `?it/s`, and of `1.2s/it` and `10ms/step`; and the unit.
pub fn rate(word: &[u8]) -> Option<(Option<f64>, Unit)> {
    if let Some(unit) = word.strip_prefix(b"?") {
        return unit.strip_suffix(b"/s").map(|unit| (None, Unit::new(unit)));
    }
    let Number { value, rest } = number(word)?;
    for (prefix, seconds) in [(&b"s/"[..], 1.0), (b"ms/", 1e-3), (b"us/", 1e-6)] {
        if let Some(unit) = rest.strip_prefix(prefix) {
            return Some(((value > 0.0).then(|| 1.0 / (value * seconds)), Unit::new(unit)));
        }
    }
    let (factor, unit) = unit(rest.strip_suffix(b"/s")?);
    Some((Some(value * factor), unit))
}

/// What a word such as `MB` counts, and how many of it are one. Longer words that begin with such a letter are words.
pub fn unit(word: &[u8]) -> (f64, Unit) {
    let (base, counted) = match word.get(1..).unwrap_or_default() {
        b"iB" => (1024.0, &b"B"[..]),
        counted @ (b"B" | b"b" | b"it") => (1000.0, counted),
        _ => return (1.0, Unit::new(word)),
    };
    match factor(word[0], base) {
        Some(factor) => (factor, Unit::new(counted)),
        None => (1.0, Unit::new(word)),
    }
}

fn factor(letter: u8, base: f64) -> Option<f64> {
    let power = b"kMGTPEZY".iter().position(|known| *known == letter).or_else(|| (letter == b'K').then_some(0))?;
    Some(base.powi(i32::try_from(power).unwrap_or_default() + 1))
}

/// Looks for a count and its total, a percentage and a rate among the words of a text.
pub fn counted(text: &[u8]) -> Option<Counted> {
    let mut found = Counted::default();
    let mut words = words(text).peekable();
    while let Some((at, word)) = words.next() {
        let Some(first) = scaled(word) else { continue };
        match first.rest {
            b"%" if found.percent.is_none() && first.value <= 100.0 => {
                found.percent = Some(first.value);
                found.at = found.at.min(at);
            }
            [b'/', total @ ..] if found.count.is_none() => {
                let Some(total) = scaled(total).filter(|total| total.value > 0.0) else { continue };
                // `1.2/3.4 MB`, or a word for it right behind.
                let mut apart = || words.peek().map_or(&b""[..], |(_, word)| *word);
                let (factor, unit) = unit(if total.rest.is_empty() { apart() } else { total.rest });
                let is_unit = unit.as_str() == "B" || !total.rest.is_empty();
                let unit = if is_unit { unit } else { Unit::new(b"") };
                let factor = if is_unit { factor } else { 1.0 };
                if first.value <= total.value {
                    found.count = Some((first.value * factor, total.value * factor, unit));
                    found.at = found.at.min(at);
                }
            }
            b"" if found.rate.is_none() => {
                let rate = words.peek().and_then(|(_, word)| word.strip_suffix(b"/s")).map(unit);
                found.rate = rate.map(|(factor, unit)| (Some(first.value * factor), unit));
            }
            _ if found.rate.is_none() => found.rate = rate(word),
            _ => {}
        }
    }
    (found.count.is_some() || found.percent.is_some()).then_some(found)
}

/// The words, and where they begin.
fn words(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let is_between = |byte: &u8| matches!(byte, b' ' | b'|' | b'(' | b')' | b'[' | b']' | b',' | b'\t' | 0x80..);
    let mut at = 0;
    let with_place = move |word: &'_ [u8]| {
        let start = at;
        at += word.len() + 1;
        (start, word.len())
    };
    text.split(is_between)
        .map(with_place)
        .filter(|(_, length)| *length > 0)
        .map(|(at, length)| (at, &text[at..at + length]))
}
