//! Escape sequences, as terminals read them.

/// The byte that each begins with.
pub const ESCAPE: u8 = 0x1b;

const BELL: u8 = 0x07;

/// What a sequence does to the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes how text looks, names a link or a window, or asks for something.
    None,
    /// What follows is written to another place, or where text was before.
    Moves,
}

/// The length and the effect of the sequence that `bytes` begin with. `None` if they begin with no whole one: then they
/// are text, since what a terminal would make of them is not known.
pub fn sequence(bytes: &[u8]) -> Option<(usize, Effect)> {
    match *bytes.get(1)? {
        b'[' => control(bytes),
        b']' => string(bytes, End::BellToo),
        b'P' | b'X' | b'^' | b'_' => string(bytes, End::TerminatorOnly),
        // Reverse index, next line, index.
        b'M' | b'E' | b'D' => Some((2, Effect::Moves)),
        // Which character set, and the like: intermediate bytes and a final one.
        b' '..=b'/' => {
            let intermediate = bytes[1..].iter().take_while(|byte| matches!(byte, b' '..=b'/')).count();
            matches!(bytes.get(1 + intermediate)?, b'0'..=b'~').then_some((2 + intermediate, Effect::None))
        }
        b'0'..=b'~' => Some((2, Effect::None)),
        _ => None,
    }
}

/// `ESC [`, parameters, intermediate bytes, and a final one that says what it is.
fn control(bytes: &[u8]) -> Option<(usize, Effect)> {
    let parameters = bytes[2..].iter().take_while(|byte| matches!(byte, b'0'..=b'?')).count();
    let intermediate = bytes[2 + parameters..].iter().take_while(|byte| matches!(byte, b' '..=b'/')).count();
    let last = 2 + parameters + intermediate;
    let effect = match bytes.get(last)? {
        // Up, down, to a line or a column, to a place, erase the screen.
        b'A' | b'B' | b'E' | b'F' | b'G' | b'H' | b'J' | b'd' | b'f' => Effect::Moves,
        // Erasing to the right of the cursor changes nothing that was not drawn over.
        b'K' if bytes[2..last] != *b"" && bytes[2..last] != *b"0" => Effect::Moves,
        b'@'..=b'~' => Effect::None,
        _ => return None,
    };
    Some((last + 1, effect))
}

#[derive(PartialEq, Eq)]
enum End {
    BellToo,
    TerminatorOnly,
}

/// A string that goes on to its terminator, `ESC \`, or to a bell. A row ends inside of none, or what it is would depend on
/// whether the row or its line was read first.
fn string(bytes: &[u8], end: End) -> Option<(usize, Effect)> {
    for (at, byte) in bytes.iter().enumerate().skip(2) {
        match *byte {
            BELL if end == End::BellToo => return Some((at + 1, Effect::None)),
            b'\r' => return None,
            ESCAPE => return (bytes.get(at + 1) == Some(&b'\\')).then_some((at + 2, Effect::None)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_ends_where_a_terminal_ends_it() {
        for (text, expected) in [
            ("\x1b[31mred", Some((5, Effect::None))),
            ("\x1b[m", Some((3, Effect::None))),
            ("\x1b[38;2;1;2;3mx", Some((13, Effect::None))),
            ("\x1b[?25l", Some((6, Effect::None))),
            ("\x1b[Ax", Some((3, Effect::Moves))),
            ("\x1b[12Ax", Some((5, Effect::Moves))),
            ("\x1b[2K", Some((4, Effect::Moves))),
            ("\x1b[K", Some((3, Effect::None))),
            ("\x1b[0K", Some((4, Effect::None))),
            ("\x1b]0;title\x07x", Some((10, Effect::None))),
            ("\x1b]8;;http://a\x1b\\link", Some((15, Effect::None))),
            ("\x1bPq\x07\x1b\\", Some((6, Effect::None))),
            ("\x1b(B", Some((3, Effect::None))),
            ("\x1b7", Some((2, Effect::None))),
            ("\x1bMx", Some((2, Effect::Moves))),
        ] {
            assert_eq!(sequence(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_whole_sequence_is_none() {
        for text in [
            "\x1b",
            "\x1b[",
            "\x1b[31",
            "\x1b[3\u{1}m",
            "\x1b[\u{e9}",
            "\x1b]0;no end",
            "\x1b]0;\x1b[31m",
            "\x1b]0;\r\x07",
            "\x1b\x7f",
        ] {
            assert_eq!(sequence(text.as_bytes()), None, "{text:?}");
        }
    }
}
