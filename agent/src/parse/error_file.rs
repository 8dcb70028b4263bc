//! What torchelastic's `@record` leaves of an exception that nobody has caught, where `TORCHELASTIC_ERROR_FILE` says.
//!
//! It is one object in one line: `{"message": {"message": "KeyError: 'x'", "extraInfo": {"py_callstack": "Traceback (most
//! …", "timestamp": "1764000000"}}}`. It names no rank: where it lies does, or whose environment names it.

use serde::Deserialize;

use crate::record::UnixNanos;

const SECOND: UnixNanos = 1_000_000_000;
/// How each of them begins, as Python writes JSON.
const START: &[u8] = br#"{"message": {"message": ""#;

/// What is said of an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorFile {
    /// Its class and what it says.
    pub message: String,
    /// Its traceback.
    pub traceback: String,
    /// The end of the second in which it was raised: what is told with more decimals is not behind it.
    pub time: Option<UnixNanos>,
}

#[derive(Deserialize)]
struct Outer {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    message: String,
    #[serde(rename = "extraInfo")]
    extra: Extra,
}

#[derive(Deserialize)]
struct Extra {
    py_callstack: String,
    timestamp: Option<String>,
}

/// Whether a line is likely to be such a file.
#[must_use]
pub fn is_error_file(line: &[u8]) -> bool {
    line.starts_with(START) && memchr::memmem::find(line, b"\"py_callstack\"").is_some()
}

/// Reads a line that is such a file.
#[must_use]
pub fn error_file(line: &[u8]) -> Option<ErrorFile> {
    let line = Some(line).filter(|line| is_error_file(line))?;
    let Outer { message: Message { message, extra } } = serde_json::from_slice(line).ok()?;
    let seconds = extra.timestamp.and_then(|text| text.parse::<UnixNanos>().ok());
    let time = seconds.and_then(|seconds| seconds.checked_mul(SECOND)?.checked_add(SECOND - 1));
    Some(ErrorFile { message, traceback: extra.py_callstack, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_was_raised_and_when() {
        let line = br#"{"message": {"message": "KeyError: 'x'", "extraInfo": {"py_callstack": "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'x'\n", "timestamp": "1764000000"}, "errorCode": 1}}"#;
        let told = error_file(line).unwrap();
        assert_eq!((told.message.as_str(), told.time), ("KeyError: 'x'", Some(1_764_000_000_999_999_999)));
        assert_eq!(told.traceback.lines().last(), Some("KeyError: 'x'"));
    }

    #[test]
    fn what_is_cut_or_has_another_form_is_none() {
        for line in [
            r#"{"message": {"message": "a", "extraInfo": {"py_callstack": "b", "timestamp": "1"#,
            r#"{"message": {"message": "a", "extraInfo": {"stack": "b"}}}"#,
            r#"{"message": "<NONE>"}"#,
            "",
        ] {
            assert_eq!(error_file(line.as_bytes()), None, "{line}");
        }
        let far = r#"{"message": {"message": "a", "extraInfo": {"py_callstack": "b", "timestamp": "99999999999999"}}}"#;
        assert_eq!(error_file(far.as_bytes()).unwrap().time, None);
    }
}
