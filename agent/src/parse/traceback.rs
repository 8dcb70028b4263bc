//! Lines of a Python traceback carry no level of their own; they belong to an error.

use super::prefix;

const HEAD: &[u8] = b"Traceback (most recent call last):";

/// Follows one stream and tells which of its lines are part of a traceback.
///
/// The lines stay records of their own; joining them into one comes with the other joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Traceback {
    /// Outside.
    #[default]
    None,
    /// Between the first line and the exception's own.
    Frames,
}

impl Traceback {
    /// Takes the next line of the stream that states no level. True if it belongs to a traceback.
    pub fn covers(&mut self, line: &[u8]) -> bool {
        let text = prefix(line).after(line);
        if text.trim_ascii_start().starts_with(HEAD) {
            *self = Self::Frames;
            return true;
        }
        match self {
            Self::None => false,
            Self::Frames => {
                let is_frame = text.first().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'+' | b'|'));
                if !is_frame {
                    *self = Self::None;
                }
                true
            }
        }
    }

    /// A line with a level of its own ends any traceback.
    pub const fn interrupt(&mut self) {
        *self = Self::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_reaches_from_its_head_to_the_exception() {
        let lines: [(&str, bool); 7] = [
            ("before", false),
            ("[rank0]: Traceback (most recent call last):", true),
            ("[rank0]:   File \"train.py\", line 3, in <module>", true),
            ("[rank0]:     1 / 0", true),
            ("[rank0]:     ~~^~~", true),
            ("[rank0]: ZeroDivisionError: division by zero", true),
            ("after", false),
        ];
        let mut traceback = Traceback::default();
        for (line, expected) in lines {
            assert_eq!(traceback.covers(line.as_bytes()), expected, "{line}");
        }
    }
}
