//! What texts of a call may be.

use uuid::Uuid;

use crate::{record::UnixNanos, run::RunId, store::parse_moment};

use super::problem::{Problem, Reason};

/// Bytes of a name, a path or a key.
const MAX_NAME_BYTES: usize = 1024;

/// Bytes of a text.
const MAX_TEXT_BYTES: usize = 64 * 1024;

pub(super) fn check_name(field: &str, name: &str) -> Result<(), Problem> {
    let accepted = "1 to 1024 bytes without control characters";
    match name {
        "" => Err(Problem::invalid(field, format!("{field} is empty"), accepted)),
        _ if name.len() > MAX_NAME_BYTES => {
            let message = format!("{field} has {} bytes", name.len());
            Err(Problem::new(Reason::TooLarge, message).at(field).instead(accepted))
        }
        _ if name.chars().any(char::is_control) => {
            Err(Problem::invalid(field, format!("{name:?} has a control character"), accepted))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_text(field: &str, text: &str) -> Result<(), Problem> {
    check_length(field, text, MAX_TEXT_BYTES)
}

pub(super) fn check_length(field: &str, text: &str, limit: usize) -> Result<(), Problem> {
    if text.len() <= limit {
        return Ok(());
    }
    let message = format!("{field} has {} bytes", text.len());
    let accepted = format!("up to {} KiB; upload what is larger as a file", limit / 1024);
    Err(Problem::new(Reason::TooLarge, message).at(field).instead(&accepted))
}

/// Checks a path below a run's files.
pub(super) fn check_path(field: &str, path: &str) -> Result<(), Problem> {
    check_name(field, path)?;
    let is_below = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..") && !path.contains('\\');
    if is_below {
        return Ok(());
    }
    let accepted = "a path below the run's files, such as outputs/model.pkl";
    Err(Problem::invalid(field, format!("{path:?} is no path below the run's files"), accepted))
}

pub(super) fn parse_key(text: &str) -> Result<Uuid, Problem> {
    let invalid = |_| Problem::invalid("key", format!("{text:?} is no UUID"), "32 hexadecimal digits");
    Uuid::parse_str(text).map_err(invalid)
}

/// Reads a time; `None` if there is none.
pub(super) fn moment(text: &str, now: UnixNanos) -> Result<Option<UnixNanos>, Problem> {
    let invalid = || {
        let accepted = "RFC 3339, such as 2026-11-24T06:00:00Z, or nanoseconds since 1970";
        Problem::invalid("time", format!("{text:?} is not a time"), accepted)
    };
    match text {
        "" => Ok(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let nanos = digits.parse().ok().filter(|nanos| i64::try_from(*nanos).is_ok());
            nanos.map(Some).ok_or_else(invalid)
        }
        _ => parse_moment(text, now).map(Some).map_err(|_| invalid()),
    }
}

pub(super) fn run_id(field: &str, text: &str) -> Result<RunId, Problem> {
    let invalid = |fault: crate::run::UnusableRunId| {
        Problem::invalid(field, fault.to_string(), "1 to 256 characters without control characters")
    };
    RunId::new(text).map_err(invalid)
}
