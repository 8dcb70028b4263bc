//! Texts that come whole, and may be too long for one record.

use super::{Line, Part, frame::floor_char_boundary};

/// The parts of a text: one that is the whole, or several of at most `max_bytes`, between characters. The first is at
/// `at`, each further one is one further.
pub fn parts(bytes: &[u8], max_bytes: usize, at: u64) -> impl Iterator<Item = Line<'_>> {
    let mut rest = Some(bytes);
    let mut index = 0;
    std::iter::from_fn(move || {
        let bytes = rest.take()?;
        let max_bytes = max_bytes.max(1);
        let length = if bytes.len() <= max_bytes { bytes.len() } else { floor_char_boundary(&bytes[..max_bytes]) };
        let (now, later) = bytes.split_at(length);
        let is_last = later.is_empty();
        let part = (!is_last || index > 0).then_some(Part { line_at: at, index, is_last });
        let at = at + u64::from(index);
        rest = (!is_last).then_some(later);
        index += 1;
        let is_utf8 = simdutf8::basic::from_utf8(now).is_ok();
        Some(Line { is_utf8, part, ..Line::bare(at, at + 1, now) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_its_parts_are_told_apart() {
        let told = |text: &'static str| {
            let told = |line: Line<'static>| {
                let part = line.part.map(|part| (part.line_at, part.index, part.is_last));
                (std::str::from_utf8(line.bytes).unwrap(), line.at, part)
            };
            parts(text.as_bytes(), 4, 16).map(told).collect::<Vec<_>>()
        };
        assert_eq!(told(""), [("", 16, None)]);
        assert_eq!(told("a\nb\n"), [("a\nb\n", 16, None)]);
        let long =
            [("abc", 16, Some((16, 0, false))), ("éd", 17, Some((16, 1, false))), ("é", 18, Some((16, 2, true)))];
        assert_eq!(told("abcédé"), long);
    }
}
