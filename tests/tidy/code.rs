//! Rust text without what is not code: comments, the insides of literals, and what stands under `#[cfg(test)]`.
//!
//! What is taken out is blanked, so that the rest keeps its lines. No parser: the rules look for words and paths.

const FOR_TESTS: &str = "#[cfg(test)]";

/// The code of one file.
pub struct Code {
    /// Outside tests.
    pub text: String,
    /// Names of the modules that are declared for tests and stand in files of their own.
    pub test_modules: Vec<String>,
}

/// Takes out comments, literals and tests.
pub fn of(text: &str) -> Code {
    let bare = bare(text);
    let mut bytes = bare.clone().into_bytes();
    let mut test_modules = Vec::new();
    let mut from = 0;
    while let Some(at) = bare[from..].find(FOR_TESTS).map(|at| from + at) {
        let end = item_end(&bytes, at + FOR_TESTS.len());
        test_modules.extend(declared_module(&bare[at..end]));
        blank(&mut bytes, at, end);
        from = end;
    }
    Code { text: whole(bytes), test_modules }
}

/// Takes out comments and literals alone.
pub fn bare(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(&bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => comment_end(&bytes, at),
            b'"' => string_end(&bytes, at + 1),
            b'\'' => character_end(text, at),
            b'r' if !follows_word(&bytes, at) || follows_prefix(&bytes, at) => raw_string_end(&bytes, at),
            _ => at,
        };
        blank(&mut bytes, at, end);
        at = end.max(at + 1);
    }
    whole(bytes)
}

/// The line of a place, from 1.
pub fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Whether a byte can be part of a word.
pub fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The words of a text, each with its place.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split(|c: char| !(c == '_' || c.is_ascii_alphanumeric())).filter_map(move |word| {
        let place = at + text[at..].find(word)?;
        at = place + word.len();
        (!word.is_empty()).then_some((place, word))
    })
}

fn blank(bytes: &mut [u8], from: usize, to: usize) {
    for byte in &mut bytes[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn whole(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("only whole characters are blanked")
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    bytes[from..].windows(what.len()).position(|found| found == what).map_or(bytes.len(), |at| from + at)
}

fn comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    bytes.len()
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A character's end, or the same place for a lifetime.
fn character_end(text: &str, at: usize) -> usize {
    let rest = &text[at + 1..];
    let mut characters = rest.char_indices();
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((_, escaped))) => {
            let after = 1 + escaped.len_utf8();
            rest[after..].find('\'').map_or(text.len(), |end| at + 1 + after + end + 1)
        }
        (Some(_), Some((quote, '\''))) => at + 1 + quote + 1,
        _ => at,
    }
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

/// Whether an `r` belongs to `br"` or `cr"`.
fn follows_prefix(bytes: &[u8], at: usize) -> bool {
    at > 0 && matches!(bytes[at - 1], b'b' | b'c') && !follows_word(bytes, at - 1)
}

/// A raw string's end, or the same place if there is none.
fn raw_string_end(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return at;
    }
    let close = [b"\"".as_slice(), "#".repeat(hashes).as_bytes()].concat();
    (find(bytes, at + 2 + hashes, &close) + close.len()).min(bytes.len())
}

/// The end of the item behind an attribute: its `;`, or the brace that closes its first one.
fn item_end(code: &[u8], from: usize) -> usize {
    let (mut depth, mut brace_at) = (0_usize, None);
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => {
                if *byte == b'{' && depth == 0 {
                    brace_at = Some(at);
                }
                depth += 1;
            }
            // The end of what the item stands in.
            b'}' | b')' | b']' if depth == 0 => return at,
            b'}' | b')' | b']' => {
                depth -= 1;
                if depth == 0 && brace_at.is_some() {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn declared_module(item: &str) -> Option<String> {
    let (_, name) = item.strip_suffix(';')?.rsplit_once(char::is_whitespace)?;
    let mut words = words(item).map(|(_, word)| word).skip_while(|word| *word != "mod");
    (words.next().is_some() && words.next() == Some(name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_the_rest_keeps_its_place() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c\n */ d */ e", "a          \n         e"),
            (r#"a("b \" c") d"#, "a(        ) d"),
            (r##"a(r#"b " c"#) d"##, "a(          ) d"),
            (r#"a(br"\") d"#, "a(b    ) d"),
            ("for<'a> 'b' '\\'' '\\u{1}' 'ü' &'c d", "for<'a>                       &'c d"),
            ("r#type = \"é\"", "r#type =     "),
        ] {
            assert_eq!(bare(text).trim_end(), code.trim_end(), "{text}");
            assert_eq!(bare(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn what_stands_for_tests_alone_is_taken_out() {
        let code = of("use a;\n#[cfg(test)]\n#[path = \"x\"]\nuse b::{c, d};\nfn e() {}\n\
             #[cfg(test)]\nmod tests {\n fn f(g: [u8; 2]) {}\n}\nfn h() {}\n#[cfg(test)]\npub(crate) mod sim;\n");
        let left: Vec<&str> = words(&code.text).map(|(_, word)| word).collect();
        assert_eq!(left, ["use", "a", "fn", "e", "fn", "h"]);
        assert_eq!(code.test_modules, ["sim"]);
        assert_eq!(line(&code.text, code.text.find('h').unwrap()), 10);
    }

    #[test]
    fn words_are_told_with_their_places() {
        assert_eq!(words("a::bc(a)").collect::<Vec<_>>(), [(0, "a"), (3, "bc"), (6, "a")]);
    }
}
