//! Text that OTLP can carry: strings there are UTF-8.

/// A line as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    /// The text, each invalid sequence replaced by U+FFFD.
    pub text: String,
    /// How many sequences were replaced.
    pub replaced: usize,
}

/// Makes bytes readable. The bytes themselves are kept beside the text by whoever needs them exactly.
#[must_use]
pub fn readable(bytes: &[u8]) -> Readable {
    let mut replaced = 0;
    let mut text = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        text.push_str(piece.valid());
        if !piece.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            replaced += 1;
        }
    }
    Readable { text, replaced }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_invalid_sequence_is_replaced_and_counted() {
        let shown = readable(b"a\xff\xe2\x82b\0c");
        assert_eq!(shown.text, "a\u{fffd}\u{fffd}b\0c");
        assert_eq!(shown.replaced, 2);
    }
}
