//! Secrets that are told by what stands before them: `password=…`, `"api_key": "…"`, `Authorization: …`, `://user:…@`.
//!
//! Training prints `token` in nearly every line, and code in every traceback: `num_tokens=512`, `pad_token='<pad>'`,
//! `token=self.token`. So the name has to end with the word, and the value has to look like a secret.

use std::ops::Range;

use super::keys::{is_uniform, length_of, word};

/// What may stand around an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, and behind `=` or `:` its value.
    Assignment,
    /// The name of the header.
    Authorization,
    /// `Bearer` outside of it.
    Bearer,
    /// `://`
    Url,
}

/// Pieces of text of which one stands in all of them, with the place of three bytes in each that are seldom elsewhere.
pub(super) const ANCHORS: [(&str, usize, Kind); 23] = [
    ("assword", 2, Kind::Assignment),
    ("ASSWORD", 1, Kind::Assignment),
    ("asswd", 2, Kind::Assignment),
    ("ASSWD", 1, Kind::Assignment),
    ("assphrase", 2, Kind::Assignment),
    ("ecret", 0, Kind::Assignment),
    ("ECRET", 0, Kind::Assignment),
    ("oken", 0, Kind::Assignment),
    ("OKEN", 0, Kind::Assignment),
    ("_key", 0, Kind::Assignment),
    ("_KEY", 0, Kind::Assignment),
    ("-key", 0, Kind::Assignment),
    ("-Key", 0, Kind::Assignment),
    ("iKey", 0, Kind::Assignment),
    ("sKey", 0, Kind::Assignment),
    ("tKey", 0, Kind::Assignment),
    ("pikey", 0, Kind::Assignment),
    ("PIKEY", 0, Kind::Assignment),
    ("uthorization", 5, Kind::Authorization),
    ("UTHORIZATION", 5, Kind::Authorization),
    ("Bearer ", 0, Kind::Bearer),
    ("bearer ", 0, Kind::Bearer),
    ("://", 0, Kind::Url),
];

/// What the value has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Nearly anything is a password.
    Any,
    /// Keys and tokens are long and have digits in them.
    Opaque,
}

/// Ends of names of secrets, in small letters and without `_` and `-`, with the name in the mask.
const NAMES: [(&[u8], &str, Value); 15] = [
    (b"password", "password", Value::Any),
    (b"passwd", "password", Value::Any),
    (b"passphrase", "password", Value::Any),
    (b"secret", "secret", Value::Opaque),
    (b"secretkey", "secret", Value::Opaque),
    (b"secretaccesskey", "aws-secret-key", Value::Opaque),
    (b"token", "token", Value::Opaque),
    (b"apikey", "api-key", Value::Opaque),
    (b"authkey", "api-key", Value::Opaque),
    (b"accesskey", "api-key", Value::Opaque),
    (b"accountkey", "azure-key", Value::Opaque),
    (b"subscriptionkey", "azure-key", Value::Opaque),
    (b"privatekey", "secret", Value::Opaque),
    (b"signingkey", "secret", Value::Opaque),
    (b"encryptionkey", "secret", Value::Opaque),
];

const MAX_NAME_BYTES: usize = 64;
/// Behind so many bytes the end of a value is looked for only if it is a secret.
const MAX_VALUE_BYTES: usize = 256;
const MIN_OPAQUE_BYTES: usize = 8;
/// Shorter passwords are not told from prose.
const MIN_ANY_BYTES: usize = 3;

impl Kind {
    /// The name in the mask, where nothing says more.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Assignment => "secret",
            Self::Authorization | Self::Bearer => "authorization",
            Self::Url => "url-password",
        }
    }
}

/// The secret around an anchor, and the name in the mask.
pub(super) fn find(text: &[u8], anchor: Range<usize>, kind: Kind) -> Option<(Range<usize>, &'static str)> {
    match kind {
        Kind::Assignment => assignment(text, anchor),
        Kind::Authorization => authorization(text, anchor).map(|at| (at, kind.rule())),
        Kind::Bearer => bearer(text, anchor.end).map(|at| (at, kind.rule())),
        Kind::Url => url(text, anchor.end).map(|at| (at, kind.rule())),
    }
}

/// The name in the mask, if a value with a name beside it is a secret.
pub(super) fn value_of(name: &[u8], value: &[u8]) -> Option<&'static str> {
    let (rule, kind) = secret_name(name)?;
    (is_secret(value, kind) && !value.iter().any(u8::is_ascii_whitespace)).then_some(rule)
}

/// What a name says of its value.
fn secret_name(name: &[u8]) -> Option<(&'static str, Value)> {
    let mut letters = [0; MAX_NAME_BYTES];
    let mut count = 0;
    for byte in name.iter().filter(|byte| **byte != b'_' && **byte != b'-') {
        *letters.get_mut(count)? = byte.to_ascii_lowercase();
        count += 1;
    }
    let found = NAMES.iter().filter(|(end, ..)| letters[..count].ends_with(end)).max_by_key(|(end, ..)| end.len())?;
    Some((found.1, found.2))
}

fn is_of_name(byte: u8) -> bool {
    word(byte) || byte == b'.'
}

fn assignment(text: &[u8], anchor: Range<usize>) -> Option<(Range<usize>, &'static str)> {
    // `tokens_per_second=` stands in every line of some trainings.
    if text.get(anchor.end).is_some_and(|next| is_of_name(*next)) {
        return None;
    }
    let before = text[..anchor.start].iter().rev().take(MAX_NAME_BYTES).take_while(|byte| is_of_name(**byte)).count();
    let name = anchor.start - before..anchor.end;
    let gap = gap(text, name.clone())?;
    let (rule, kind) = secret_name(&text[name.clone()])?;
    // `password: ` is also how a sentence goes on, and code in a traceback has names, calls and types there.
    let is_bare = gap.closing.is_none();
    let at = secret_value(text, gap.end, gap.closing, ends_value, |at| {
        let value = &text[at.clone()];
        let is_name = !gap.is_tight && value.iter().all(|byte| byte.is_ascii_alphabetic() || b"_.".contains(byte));
        let is_code =
            matches!(value.first(), Some(b'&' | b'*' | b':')) || matches!(text.get(at.end), Some(b'(' | b'[' | b'<'));
        !(is_bare && (is_name || is_code)) && is_secret(value, kind)
    })?;
    Some((at, rule))
}

/// What stands between a name and its value.
struct Gap {
    end: usize,
    /// Whether it is a lone `=`.
    is_tight: bool,
    /// The quote that the value ends with, and whether it is quoted itself.
    closing: Option<(u8, bool)>,
}

fn gap(text: &[u8], name: Range<usize>) -> Option<Gap> {
    let mut at = name.end;
    let quote = |at: usize| {
        // Quoted text in quoted text.
        let escapes = length_of(text, at, |byte| byte == b'\\').min(3);
        let quote = *text.get(at + escapes).filter(|byte| b"\"'".contains(byte))?;
        Some(((quote, escapes > 0), at + escapes + 1))
    };
    if let Some((_, behind)) = quote(at) {
        // `os.environ["NAME"] = `
        at = behind + usize::from(text.get(behind) == Some(&b']'));
    }
    let spaces = length_of(text, at, |byte| byte == b' ');
    let sign = at + spaces;
    let is_equal = text.get(sign) == Some(&b'=');
    at = match (text.get(sign)?, text.get(sign + 1)) {
        (b'=', Some(b'=')) | (b':', Some(b':')) => return None,
        (b'=', Some(b'>')) => sign + 2,
        (b'=' | b':', _) => sign + 1,
        // An option of a command, or a line of .netrc.
        _ if spaces == 1 && at == name.end && is_option(text, name) => sign,
        _ => return None,
    };
    let spaces = spaces + length_of(text, at, |byte| byte == b' ');
    at += length_of(text, at, |byte| byte == b' ');
    let opening = quote(at);
    Some(Gap {
        end: opening.map_or(at, |(_, behind)| behind),
        is_tight: is_equal && spaces == 0,
        closing: opening.map(|(closing, _)| closing),
    })
}

fn is_option(text: &[u8], name: Range<usize>) -> bool {
    text[name.clone()].starts_with(b"--")
        || &text[name.clone()] == b"password"
            && text[name.start.saturating_sub(100)..name.start].windows(7).any(|word| word == b" login ")
}

/// A value that ends with a quote, else before a byte that values do not have; all of it if `is_secret` says so of its
/// beginning.
fn secret_value(
    text: &[u8],
    from: usize,
    closing: Option<(u8, bool)>,
    ends: impl Fn(u8) -> bool,
    is_secret: impl Fn(&Range<usize>) -> bool,
) -> Option<Range<usize>> {
    let near = &text[..text.len().min(from.saturating_add(MAX_VALUE_BYTES))];
    let beginning = value(near, from, closing, &ends);
    if !is_secret(&beginning) {
        return None;
    }
    Some(if beginning.end < near.len() { beginning } else { value(text, from, closing, ends) })
}

fn value(text: &[u8], from: usize, closing: Option<(u8, bool)>, ends: impl Fn(u8) -> bool) -> Range<usize> {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match (closing, byte) {
            (Some((_, true)), b'\\') => break,
            (Some((_, false)), b'\\') => at += 1,
            (Some((quote, _)), _) if *byte == quote => break,
            (Some(_), _) => {}
            // A line's end in quoted text.
            (None, b'\\') if text.get(at + 1).is_some_and(|next| b"nrt\"'".contains(next)) => break,
            (None, _) if ends(*byte) => break,
            (None, _) => {}
        }
        at += 1;
    }
    #[cfg(test)]
    super::tests::count(at - from);
    from..at.min(text.len())
}

fn ends_value(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\"'`,;&)]}<>([".contains(&byte)
}

fn is_secret(value: &[u8], kind: Value) -> bool {
    let Some(first) = value.first() else { return false };
    if b"$<{[%".contains(first) || is_uniform(value) || value.iter().all(|byte| b"*.x-".contains(byte)) {
        return false;
    }
    let (digits, letters) = value.iter().fold((0, 0), |(digits, letters), byte| {
        (digits + usize::from(byte.is_ascii_digit()), letters + usize::from(byte.is_ascii_alphabetic()))
    });
    match kind {
        Value::Any => {
            const WORDS: [&[u8]; 11] = [
                b"none",
                b"null",
                b"nil",
                b"true",
                b"false",
                b"str",
                b"string",
                b"password",
                b"undefined",
                b"required",
                b"optional",
            ];
            // `password=config.db.password` is code in a traceback.
            let is_path = digits == 0
                && value.contains(&b'.')
                && value.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'.' || *byte == b'_');
            value.len() >= MIN_ANY_BYTES && !is_path && !WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
        }
        Value::Opaque => {
            let is_known = value.iter().all(|byte| byte.is_ascii_graphic());
            // base64 may begin with a slash, but has no dots.
            let is_path =
                [&b"/"[..], b"./", b"~/"].iter().any(|start| value.starts_with(start)) && value.contains(&b'.');
            // Numbers, also with an exponent, have next to no letters.
            let is_mixed = digits > 0 && letters >= 2 || letters >= 24 && has_both_cases(value);
            value.len() >= MIN_OPAQUE_BYTES && is_known && !is_path && is_mixed && !is_word_and_number(value)
        }
    }
}

fn has_both_cases(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase)
}

/// `extra_id_0`, `checkpoint-1200`, `v1.2.3-rc1`: words of one case, and then a short number.
fn is_word_and_number(value: &[u8]) -> bool {
    let mut pieces = value.split(|byte| b"_-.:/ ".contains(byte)).filter(|piece| !piece.is_empty());
    let is_plain = |piece: &[u8]| {
        let letters = length_of(piece, 0, |byte| byte.is_ascii_alphabetic());
        let digits = piece.len() - letters;
        piece[letters..].iter().all(u8::is_ascii_digit)
            && digits <= 6
            && !(letters > 0 && has_mixed_middle(&piece[..letters]))
    };
    pieces.all(is_plain)
}

/// Capitals behind small letters, more than names have.
fn has_mixed_middle(letters: &[u8]) -> bool {
    letters.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count() > 3
}

fn authorization(text: &[u8], anchor: Range<usize>) -> Option<Range<usize>> {
    const SCHEMES: [&[u8]; 9] =
        [b"bearer", b"basic", b"token", b"digest", b"apikey", b"negotiate", b"sharedkey", b"aws4-hmac-sha256", b"key"];
    let gap = gap(text, anchor.start..anchor.end)?;
    // `-H "Authorization: …"`
    let around = anchor.start.checked_sub(2).map(|before| text[before]).filter(|byte| b"\"'".contains(byte));
    let around = around.filter(|quote| text.get(anchor.end) != Some(quote)).map(|quote| (quote, false));
    let closing = gap.closing.or(around);
    let length = length_of(text, gap.end, word);
    let scheme = &text[gap.end..gap.end + length];
    let start = gap.end + length + 1;
    if text.get(start - 1) != Some(&b' ') || !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return secret_value(text, gap.end, closing, ends_value, |at| is_secret(&text[at.clone()], Value::Opaque));
    }
    let is_list = scheme.eq_ignore_ascii_case(b"digest") || scheme.eq_ignore_ascii_case(b"aws4-hmac-sha256");
    secret_value(
        text,
        start,
        closing,
        |byte| !is_list && ends_value(byte),
        |at| {
            let value = &text[at.clone()];
            value.len() >= 6 && !b"$<{[%*".contains(&value[0]) && !is_uniform(value)
        },
    )
}

fn bearer(text: &[u8], from: usize) -> Option<Range<usize>> {
    let length = length_of(text, from, |byte| word(byte) || b"._~+/=".contains(&byte));
    let value = &text[from..from + length];
    (length >= 16 && is_secret(value, Value::Opaque)).then_some(from..from + length)
}

fn url(text: &[u8], from: usize) -> Option<Range<usize>> {
    let length = length_of(text, from, |byte| !byte.is_ascii_whitespace() && !b"/?#\"'`<>\\,;()|".contains(&byte));
    let authority = &text[from..from + length];
    // What is masked already.
    let at = memchr::memrchr(b'@', authority).filter(|_| authority[0] != b'[')?;
    let colon = memchr::memchr(b':', &authority[..at])?;
    let password = &authority[colon + 1..at];
    let is_shown = !password.is_empty() && !b"$<{[%*".contains(&password[0]) && !is_uniform(password);
    let is_starred = password.iter().all(|byte| b"*.x-".contains(byte));
    (is_shown && !is_starred && password != b"password").then_some(from + colon + 1..from + at)
}
