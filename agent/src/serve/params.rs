//! The parameters of `/api/v1/runs/{run}/logs`.
//!
//! | name | meaning |
//! |---|---|
//! | `level` | no lower level: trace, debug, info, warn, error, fatal |
//! | `grep` | a regular expression that is found in the body |
//! | `since`, `until` | a time (RFC 3339) or how long ago (`10m`); from it, and before it |
//! | `after`, `before` | a cursor of an earlier answer |
//! | `limit` | at most so many lines, the oldest; 1 to 10000, otherwise 1000 |
//! | `tail` | at most so many lines, the newest |
//! | `events` | `0` to leave out what is no line of the training |
//! | `follow` | `1` for a stream of server-sent events, each a `v1::QueryLogsResponse` with its `next` as id |
//!
//! An empty value is none.

use regex::RegexBuilder;
use url::form_urlencoded;

use crate::{
    record::{Severity, UnixNanos},
    store::{Events, MAX_LINES, Query, Take, parse_moment},
};

const DEFAULT_LIMIT: usize = 1_000;

/// What a compiled expression may occupy.
const GREP_BYTES: usize = 1 << 20;

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}={value} cannot be used: {reason}")]
pub struct BadParameter {
    /// Its name.
    pub field: String,
    /// What was given.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub accepted: String,
}

/// Whether an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One answer.
    Once,
    /// A stream of answers.
    Follow,
}

/// Reads the parameters of a URL's query part for the run with that id.
///
/// # Errors
/// On the first parameter that is unknown or cannot be used.
pub fn decode(run: &str, text: &str, now: UnixNanos) -> Result<(Query, Mode), BadParameter> {
    let mut query = Query { limit: DEFAULT_LIMIT, ..Query::of(run) };
    let mut mode = Mode::Once;
    for (field, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        let bad = |reason: String, accepted: &str| BadParameter {
            field: field.to_string(),
            value: value.to_string(),
            reason,
            accepted: accepted.to_owned(),
        };
        match &*field {
            "level" => {
                query.min_level = value
                    .parse()
                    .map_err(|_| bad("it is not a level".into(), "trace, debug, info, warn, error, fatal"))?;
            }
            "grep" => query.grep = Some(compile(&value).map_err(|reason| bad(reason, "a regular expression"))?),
            "since" | "until" => {
                let moment = parse_moment(&value, now)
                    .map_err(|_| bad("it is not a moment".into(), "10m, 2h, 2026-11-24T06:00:00Z"))?;
                *(if field == "since" { &mut query.since } else { &mut query.until }) = Some(moment);
            }
            "after" | "before" => {
                let cursor =
                    value.parse().map_err(|_| bad("it is not a cursor".into(), "a cursor of an earlier answer"))?;
                *(if field == "after" { &mut query.after } else { &mut query.before }) = Some(cursor);
            }
            "limit" | "tail" => {
                let lines = value.parse().ok().filter(|lines| (1..=MAX_LINES).contains(lines));
                query.limit = lines.ok_or_else(|| bad("it is not a number of lines".into(), "1 to 10000"))?;
                query.take = if field == "tail" { Take::Last } else { query.take };
            }
            "events" => {
                query.events = if flag(&value).ok_or_else(|| bad("it is neither".into(), "0, 1"))? {
                    Events::Shown
                } else {
                    Events::Hidden
                }
            }
            "follow" => {
                mode = if flag(&value).ok_or_else(|| bad("it is neither".into(), "0, 1"))? {
                    Mode::Follow
                } else {
                    Mode::Once
                }
            }
            _ => {
                let accepted = "level, grep, since, until, after, before, limit, tail, events, follow";
                return Err(bad("there is no such parameter".into(), accepted));
            }
        }
    }
    Ok((query, mode))
}

/// Whether the query part of `/api/v1/status` asks for all streams: `streams=all`.
///
/// # Errors
/// On the first parameter that is unknown or cannot be used.
pub fn are_all_streams_asked(text: &str) -> Result<bool, BadParameter> {
    let mut are_asked = false;
    for (field, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        let bad = |reason: &str, accepted: &str| BadParameter {
            field: field.to_string(),
            value: value.to_string(),
            reason: reason.to_owned(),
            accepted: accepted.to_owned(),
        };
        match (&*field, &*value) {
            ("streams", "all") => are_asked = true,
            ("streams", _) => return Err(bad("it is not known which these are", "all")),
            _ => return Err(bad("there is no such parameter", "streams")),
        }
    }
    Ok(are_asked)
}

/// The query part that [`decode`] reads as that query; the run is not in it.
#[must_use]
pub fn encode(query: &Query) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.append_pair(name, &value);
        }
    };
    let time = |time: UnixNanos| jiff::Timestamp::from_nanosecond(time.into()).ok().map(|time| time.to_string());
    put("level", (query.min_level != Severity::UNSPECIFIED).then(|| query.min_level.to_string()));
    put("grep", query.grep.as_ref().map(ToString::to_string));
    put("since", query.since.and_then(time));
    put("until", query.until.and_then(time));
    put("after", query.after.map(|cursor| cursor.to_string()));
    put("before", query.before.map(|cursor| cursor.to_string()));
    let lines = match query.take {
        Take::First => "limit",
        Take::Last => "tail",
    };
    put(lines, Some(query.limit.to_string()));
    put("events", (query.events == Events::Hidden).then(|| "0".to_owned()));
    text.finish()
}

/// An expression as users of `grep` may give it.
///
/// # Errors
/// The reason, if it is none or too large.
pub fn compile(pattern: &str) -> Result<regex::Regex, String> {
    RegexBuilder::new(pattern).size_limit(GREP_BYTES).build().map_err(|fault| match fault {
        regex::Error::CompiledTooBig(_) => "the expression is too large".to_owned(),
        // The message draws the expression and points into it; its last line says what is wrong.
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_comes_back_as_it_was_sent() {
        let query = Query {
            min_level: Severity::WARN,
            grep: compile("a&b=c d+|é").ok(),
            since: Some(1_500_000_000),
            until: Some(1_700_000_000_123_456_789),
            after: "3.4".parse().ok(),
            before: "5.0".parse().ok(),
            take: Take::Last,
            limit: 77,
            events: Events::Hidden,
            ..Query::of("r")
        };
        let (decoded, mode) = decode("r", &encode(&query), 0).unwrap();
        assert_eq!(format!("{decoded:?}"), format!("{query:?}"));
        assert_eq!(mode, Mode::Once);
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_would_be_right() {
        let cases = [
            ("level=loud", "level", "it is not a level"),
            ("grep=(", "grep", "unclosed group"),
            ("grep=(a{1000}){1000}", "grep", "the expression is too large"),
            ("since=soon", "since", "it is not a moment"),
            ("before=x", "before", "it is not a cursor"),
            ("limit=0", "limit", "it is not a number of lines"),
            ("tail=10001", "tail", "it is not a number of lines"),
            ("follow=maybe", "follow", "it is neither"),
            ("lvel=info", "lvel", "there is no such parameter"),
        ];
        for (text, field, reason) in cases {
            let bad = decode("r", text, 0).unwrap_err();
            assert_eq!(bad.field, field);
            assert!(bad.reason.contains(reason), "{text}: {}", bad.reason);
        }
    }
}
