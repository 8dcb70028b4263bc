//! Levels at the head of a line of text.

use crate::record::Severity;

use super::{
    Found, HEAD_BYTES, digits_at, found,
    words::{letter_level, word, word_any_case},
};

/// How many tokens may stand before the level.
const HEAD_TOKENS: usize = 10;
const LOGGER_OF_WARNINGS: &[u8] = b"py.warnings";

/// Bytes of tokens and of logger names, looked up since they are asked about for each byte of a head.
const TOKEN: u8 = 1;
const NAME: u8 = 2;
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_word = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'.');
        if is_word || byte >= 0x80 || matches!(byte as u8, b'/' | b'+' | b'@' | b'#' | b'%') {
            classes[byte] |= TOKEN;
        }
        if is_word || byte as u8 == b'-' {
            classes[byte] |= NAME;
        }
        byte += 1;
    }
    classes
};

const fn is_in(class: u8, byte: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// A hyphen belongs to a token if it stands inside: `2026-11-24`, `gpu-node-1`.
fn token_length(text: &[u8]) -> usize {
    let is_inside =
        |i: usize| is_in(TOKEN, text[i]) || text[i] == b'-' && text.get(i + 1).is_some_and(u8::is_ascii_alphanumeric);
    (0..text.len()).find(|i| !is_inside(*i)).unwrap_or(text.len())
}

pub(super) fn at_head(line: &[u8]) -> Option<Found<'_>> {
    let head = &line[..line.len().min(HEAD_BYTES)];
    if head.first() == Some(&b'|') {
        // A row of a table, whose columns may hold anything.
        return None;
    }
    // Most heads begin with a date and a time, and behind them the level; that is seen at half of the cost of a search.
    let at = time_length(head);
    behind_time(line, head, at).or_else(|| by_tokens(line, head, at))
}

/// The level that follows a time at once: what [`by_tokens`] would find with its first token.
fn behind_time<'a>(line: &'a [u8], head: &[u8], time_end: usize) -> Option<Found<'a>> {
    let start = time_end + 1;
    let rest = head.get(start..).filter(|_| time_end > 0 && head[time_end] == b' ')?;
    let length = rest.iter().position(|byte| !byte.is_ascii_uppercase())?;
    if is_in(TOKEN, rest[length]) || matches!(rest[length], b'-' | b'=' | b'\'' | b'"' | b'(') {
        return None;
    }
    let end = start + length;
    let severity = word(&line[start..end])?;
    Some(found(severity, &line[start..end], logger_after(line, end, true).unwrap_or_default()))
}

// Not inlined, so that the usual way needs no room for what this one remembers.
#[inline(never)]
fn by_tokens<'a>(line: &'a [u8], head: &'a [u8], mut at: usize) -> Option<Found<'a>> {
    let mut logger: &[u8] = b"";
    let mut words = 0;
    let mut has_time = at > 0;
    for nth in 0..HEAD_TOKENS {
        let start = at + head[at..].iter().position(|byte| is_in(TOKEN, *byte))?;
        let length = token_length(&head[start..]);
        let token = &head[start..start + length];
        let end = start + length;
        let next = line.get(end).copied().unwrap_or(b' ');
        let before = if start == 0 { b' ' } else { head[start - 1] };

        let is_no_level =
            || matches!(next, b'=' | b'\'' | b'"' | b'(') || nth == 0 && !has_time && is_english(line, end);
        if let Some(severity) = word(token).filter(|_| !is_no_level()) {
            let logger = logger_after(line, end, has_time).unwrap_or(logger);
            return Some(found(severity, token, logger));
        }
        // "[info]", "warning: ...", "| debug |": not capitals, so the place has to say that it is a level.
        let is_padded = || before == b'[' && next == b' ' && line[end..].trim_ascii_start().first() == Some(&b']');
        let is_closed_in =
            matches!((before, next), (b'[', b']') | (b'<', b'>') | (b'(', b')') | (b'{', b'}') | (b'|', b'|'));
        let is_after_program = || line[end..].starts_with(b" [") && line[..start].ends_with(b"): ");
        if (is_closed_in || (next == b':' && (nth == 0 || has_time)) || is_padded() || is_after_program())
            && let Some(severity) = word_any_case(token)
        {
            return Some(found(severity, token, logger_after(line, end, has_time).unwrap_or(logger)));
        }
        if token == b"Level" && next == b' ' {
            // Python's name for a level that has none: "Level 15".
            let digits = digits_at(line, end + 1);
            if !digits.is_empty() && digits.len() <= 3 {
                let level = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
                let end = end + 1 + digits.len();
                let logger = logger_after(line, end, has_time).unwrap_or(logger);
                return Some(found(Severity::from_python(level), &line[start..end], logger));
            }
        }

        if let [letter] = token
            && let Some(severity) = letter_level(*letter)
        {
            let is_closed_in = (before, next) == (b'[', b']') && (has_time || nth == 0);
            if is_closed_in
                || next == b' ' && (has_time || line[0] == b'[') && is_place(line.get(end + 1..).unwrap_or_default())
            {
                return Some(found(severity, token, logger));
            }
        }

        let has_digit = token.iter().any(u8::is_ascii_digit);
        if has_digit && is_time_like(token, next) {
            has_time = true;
        } else if !has_digit || token.iter().any(|byte| *byte == b'.' || *byte == b'_') {
            if let Some(found) = before_slash(token) {
                return Some(found);
            }
            let rest = &line[end..];
            let is_set_off = matches!(before, b'[' | b'(' | b'<' | b'|' | b'{')
                || matches!(next, b']' | b')' | b'>' | b'|' | b':' | b'}' | b'[' | b'(');
            let is_dashed = rest.starts_with(b" - ") || rest.trim_ascii_start().starts_with(b"| ");
            if !(is_set_off || is_dashed || is_no_word(token, rest)) {
                words += 1;
                if words > usize::from(has_time) {
                    return None;
                }
            }
            if next == b':' && !has_time && before == b' ' && rest.get(1) == Some(&b' ') {
                let after = &rest[2..];
                if start == 0
                    && let Some(found) = after_program(after, token)
                {
                    return Some(found);
                }
                // Prose goes on after a colon: "Note: this is an INFO line".
                if !after.first().is_some_and(u8::is_ascii_digit) {
                    return None;
                }
            }
            logger = token;
        }
        at = end;
    }
    None
}

/// `TRACE of the matrix`, `FINE tuning the model`: words that begin a sentence sooner than a line of a logger.
fn is_english(line: &[u8], end: usize) -> bool {
    let is_meant = |rest: &[u8]| {
        let after = rest.iter().position(|byte| !byte.is_ascii_lowercase());
        rest.first().is_some_and(u8::is_ascii_lowercase) && after.is_none_or(|after| rest[after] == b' ')
    };
    (line[..end].ends_with(b"TRACE") || line[..end].ends_with(b"FINE"))
        && line[end..].strip_prefix(b" ").is_some_and(is_meant)
}

/// Celery's `INFO/MainProcess`: in `token` a slash is a letter like any other.
fn before_slash(token: &[u8]) -> Option<Found<'_>> {
    let (word_before, _) = token.split_at_checked(token.iter().position(|byte| *byte == b'/')?)?;
    Some(found(word(word_before)?, word_before, b""))
}

/// Words that belong to a head: of a date or a time, and what some programs put before their levels.
fn is_no_word(token: &[u8], rest: &[u8]) -> bool {
    match token {
        b"NCCL" | b"LAUNCH" | b"npm" | b"T" | b"Z" | b"UTC" | b"AM" | b"PM" => true,
        [b'A'..=b'Z', b'a'..=b'z', b'a'..=b'z'] => {
            const NAMES: &[u8] = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun";
            let is_date = rest.trim_ascii_start().first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b',');
            (is_date || matches!(token, b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun"))
                && NAMES.chunks(4).any(|name| name.starts_with(token))
        }
        _ => false,
    }
}

/// `srun: error: …`, `wandb: WARNING …`, `MIOpen(HIP): Warning […`: what follows a program's name and its colon.
fn after_program<'a>(rest: &'a [u8], program: &'a [u8]) -> Option<Found<'a>> {
    let length = token_length(rest);
    let (token, rest) = rest.split_at(length);
    let severity = match rest {
        [b':', ..] | [b' ', b'[', ..] => word_any_case(token)?,
        [b' ', ..] if program[0].is_ascii_lowercase() => word(token)?,
        _ => return None,
    };
    Some(found(severity, token, program))
}

/// Bytes of `2026-11-24 05:44:23`, its fraction and its `Z` at the start, in a bracket or not.
fn time_length(head: &[u8]) -> usize {
    let start = usize::from(head.first() == Some(&b'['));
    let Some([_, _, _, _, b'-', _, _, b'-', _, _, b' ' | b'T', _, _, b':', _, _, b':', last, _]) =
        head.get(start..).and_then(|head| head.first_chunk::<19>())
    else {
        return 0;
    };
    if !head[start].is_ascii_digit() || !last.is_ascii_digit() {
        return 0;
    }
    let mut end = start + 19;
    if matches!(head.get(end), Some(b',' | b'.')) {
        end += 1 + digits_at(head, end + 1).len();
    }
    end + usize::from(head.get(end) == Some(&b'Z'))
}

/// The name in `LEVEL:name:message` and, where a time stood before, in `LEVEL name: message`.
fn logger_after(line: &[u8], level_end: usize, has_time: bool) -> Option<&[u8]> {
    let rest = &line[level_end..];
    let is_basic = rest.first() == Some(&b':') && rest.get(1).is_some_and(|byte| *byte != b' ');
    if !is_basic && !has_time {
        return None;
    }
    let is_in_columns = || line[level_end..].trim_ascii_start().starts_with(b"|");
    let rest = &rest[rest.iter().position(|byte| !matches!(byte, b' ' | b':' | b']' | b'|' | b'-' | b'['))?..];
    let name_length = |text: &[u8]| text.iter().position(|byte| !is_in(NAME, *byte)).unwrap_or(text.len());
    let mut length = name_length(rest);
    while rest[length..].starts_with(b"::") {
        length += 2 + name_length(&rest[length + 2..]);
    }
    let (name, after) = rest.split_at(length);
    let is_name = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    // `engine.py:88` is a place in a file, `WARNING:train:88` a message; `com.acme.Train - …` is log4j's way.
    let is_place = || after.get(1).is_some_and(u8::is_ascii_digit) && (!is_basic || is_source(name));
    let is_ended = after.first() == Some(&b':') && !is_place()
        || after.starts_with(b" - ") && name.contains(&b'.')
        || after.starts_with(b" | ") && is_in_columns();
    (is_name && is_ended).then_some(name)
}

/// Whether a name is that of a file of a program's source.
fn is_source(name: &[u8]) -> bool {
    let end = name.iter().rposition(|byte| *byte == b'.').map_or(&[][..], |dot| &name[dot + 1..]);
    matches!(end, b"py" | b"c" | b"cc" | b"cpp" | b"cu" | b"h" | b"hpp" | b"go" | b"rs" | b"java" | b"js" | b"ts")
}

fn is_time_like(token: &[u8], next: u8) -> bool {
    token.len() >= 2 && token[0].is_ascii_digit() && matches!(next, b':' | b'-' | b',' | b' ' | b']' | b'|')
        || token.contains(&b'/')
}

/// What stands behind a level of one letter: a process, a date, or a file of the source.
fn is_place(rest: &[u8]) -> bool {
    let word = &rest[..rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len())];
    word.first().is_some_and(u8::is_ascii_digit) || word.iter().any(|byte| matches!(byte, b'/' | b':'))
}

/// glog, absl, klog and PyTorch's C++: `I1124 05:44:23.123456 …`, there in brackets.
pub(super) fn glog(line: &[u8]) -> Option<Found<'_>> {
    let rest = line.strip_prefix(b"[").unwrap_or(line);
    let severity = letter_level(*rest.first()?)?;
    let digits = digits_at(rest, 1).len();
    let after = rest.get(1 + digits..)?;
    let is_head = (3..=8).contains(&digits) && after.first() == Some(&b' ') && digits_at(after, 1).len() == 2;
    is_head.then(|| found(severity, &rest[..1], b""))
}

/// Python's `warnings`: `path/file.py:12: UserWarning: message`, from Lightning `/path/file.py:12: message`.
pub(super) fn python_warning(line: &[u8]) -> Option<Found<'_>> {
    let head = &line[..line.len().min(2 * HEAD_BYTES)];
    memchr::memchr_iter(b':', head).find_map(|colon| {
        let digits = digits_at(head, colon + 1).len();
        let message = head[colon + 1 + digits..].strip_prefix(b": ").filter(|_| digits > 0)?;
        let name = &message[..message.iter().position(|byte| !is_in(NAME, *byte)).unwrap_or(message.len())];
        if name.ends_with(b"Warning") && message[name.len()..].starts_with(b": ") {
            return Some(found(Severity::WARN, name, LOGGER_OF_WARNINGS));
        }
        let is_whole_path =
            head.first() == Some(&b'/') && head[..colon].ends_with(b".py") && !head[..colon].contains(&b' ');
        is_whole_path.then(|| found(Severity::WARN, b"", LOGGER_OF_WARNINGS))
    })
}

/// What a handler of signals prints while its process dies, in glog, Abseil and Open MPI, there behind a bracket:
/// `*** SIGSEGV received at time=… ***`, `[node-3:42] *** Process received signal ***`.
pub(super) fn signal_report(line: &[u8]) -> Option<Found<'_>> {
    let text = match line.first()? {
        b'*' => line,
        b'[' => {
            let head = &line[..line.len().min(HEAD_BYTES)];
            line[memchr::memchr(b']', head)? + 1..].strip_prefix(b" ")?
        }
        _ => return None,
    };
    let said = text.strip_prefix(b"*** ")?.trim_ascii_end().strip_suffix(b"***")?;
    let is_of_signal =
        [&b"SIG"[..], b"signal", b"Aborted at "].iter().any(|word| memchr::memmem::find(said, word).is_some());
    is_of_signal.then(|| found(Severity::ERROR, b"", b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_behind_a_time_is_the_one_that_a_search_finds() {
        let times = ["2026-11-24 05:44:23", "2026-11-24T05:44:23.5Z", "[2026-11-24 05:44:23,123", "05:44:23", ""];
        let words = ["INFO", "DEBUG", "WARNING", "FATAL", "TRACE", "FINE", "DEBUG1", "Level", "Info", "I", "EPOCH", ""];
        let nexts = [" ", ": ", "=", "'", "\"", "(", "-x ", "-", "]", "_x ", " | ", "/MainProcess", "\u{e9}", ""];
        let rests =
            ["train.loop: step 1", "a::b: x", "tuning the model", "com.acme.Train - x", "x | y", "engine.py:88] z"];
        let mut found_at_once = 0;
        for time in times {
            for gap in [" ", "  ", " [", "] ", ""] {
                for (word, next) in words.iter().flat_map(|word| nexts.iter().map(move |next| (word, next))) {
                    for rest in rests {
                        let line = format!("{time}{gap}{word}{next}{rest}").into_bytes();
                        let at = time_length(&line);
                        let Some(found) = behind_time(&line, &line, at) else { continue };
                        found_at_once += 1;
                        let line_shown = String::from_utf8_lossy(&line);
                        assert_eq!(Some(found), by_tokens(&line, &line, at), "{line_shown}");
                    }
                }
            }
        }
        assert!(found_at_once > 400, "{found_at_once}");
    }
}
