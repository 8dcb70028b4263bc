//! What the operator is told about a destination: at once, in one line, and not again and again.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// The same thing is said once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Different things to remember; the rest share one place, so that a chatty backend cannot flood the log.
const REASONS: usize = 16;

/// Remembers what was said, and since when deliveries fail.
#[derive(Debug, Default)]
pub(super) struct Report {
    said: BTreeMap<String, Instant>,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    /// An end is told only of what was told before, or a flapping backend would flood the log.
    told: bool,
}

impl Report {
    /// Whether something is to be said now: at once the first time, then once in [`QUIET`].
    pub(super) fn is_due(&mut self, what: &str, now: Instant) -> bool {
        self.said.retain(|_, at| now.duration_since(*at) < QUIET);
        let what = if self.said.len() < REASONS { what } else { "" };
        if self.said.contains_key(what) {
            return false;
        }
        self.said.insert(what.to_owned(), now);
        true
    }

    /// A try failed. The line to log, if it is due.
    pub(super) fn failed(&mut self, address: &str, reason: &str, pause: Duration, now: Instant) -> Option<String> {
        let due = self.is_due(reason, now);
        let outage = self.outage.get_or_insert(Outage { since: now, told: false });
        outage.told |= due;
        due.then(|| format!("{address}: {reason}; kept in the queue, next try in {}", rounded(pause)))
    }

    /// A try succeeded. The line to log, if a failure was told before.
    pub(super) fn succeeded(&mut self, address: &str, waiting_bytes: u64, now: Instant) -> Option<String> {
        let outage = self.outage.take()?;
        let length = rounded(now.duration_since(outage.since));
        outage
            .told
            .then(|| format!("{address} takes logs again after {length}; {} wait in the queue", size(waiting_bytes)))
    }
}

fn rounded(duration: Duration) -> humantime::FormattedDuration {
    let parts = if duration < Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(duration.as_secs_f64().round() as u64)
    };
    humantime::format_duration(parts)
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / (1024 * 1024)),
    }
}

/// An error with its causes, in one line.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// One line of what a stranger said: without control characters, and no longer than people read.
pub(super) fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_outage_is_told_at_once_then_once_a_minute_and_its_end_with_its_length() {
        let mut report = Report::default();
        let start = Instant::now();
        let mut failed = |seconds: u32| {
            report.failed("http://b:4318/v1/logs", "connection refused", 4 * SECOND, start + seconds * SECOND)
        };
        let line = "http://b:4318/v1/logs: connection refused; kept in the queue, next try in 4s";
        assert_eq!(failed(0).as_deref(), Some(line));
        assert_eq!(failed(1), None);
        assert_eq!(failed(59), None);
        assert_eq!(failed(60).as_deref(), Some(line));

        let line = report.succeeded("http://b:4318/v1/logs", 12 << 20, start + 200 * SECOND);
        assert_eq!(
            line.as_deref(),
            Some("http://b:4318/v1/logs takes logs again after 3m 20s; 12 MiB wait in the queue")
        );
        assert_eq!(report.succeeded("http://b:4318/v1/logs", 0, start + 201 * SECOND), None);
    }

    #[test]
    fn a_backend_that_fails_every_other_time_is_told_of_once_a_minute() {
        let mut report = Report::default();
        let start = Instant::now();
        let mut lines = 0;
        for second in 0..180 {
            lines += usize::from(report.failed("b", "answered 503", SECOND, start + second * SECOND).is_some());
            lines += usize::from(report.succeeded("b", 0, start + second * SECOND).is_some());
        }
        assert_eq!(lines, 6);
    }

    #[test]
    fn a_backend_that_words_each_answer_anew_cannot_flood_the_log() {
        let mut report = Report::default();
        let now = Instant::now();
        let said = (0..1000).filter(|id| report.is_due(&format!("answered 500: request {id}"), now)).count();
        assert_eq!(said, REASONS + 1);
    }

    #[test]
    fn what_a_stranger_said_stays_one_printable_line() {
        assert_eq!(one_line("<html>\r\n\x1b[31m  no\tway"), "<html> [31m no way");
        assert_eq!(one_line(&"x".repeat(9999)).chars().count(), 301);
        assert_eq!(one_line(""), "");
    }
}
