//! What a block says about its run: the experiment, the host, whether it has ended, what came of its lines.

use runlog_proto::v1;

use crate::record::{
    Severity, UnixNanos,
    wire::{Malformed, RecordView, Value, requests_resources},
};

/// How much the clocks of those who write to one run may differ: an end this long before a start is an end of what
/// was started then.
const SKEW: UnixNanos = 60_000_000_000;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Queued,
    Preparing,
    Starting,
    Running,
    Finalizing,
    Completed,
    Failed,
    Canceled,
}

impl Status {
    const ALL: [Self; 8] = [
        Self::Queued,
        Self::Preparing,
        Self::Starting,
        Self::Running,
        Self::Finalizing,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    pub(super) fn from_column(word: &str) -> Self {
        Self::named(word).unwrap_or(Self::Running)
    }

    /// The status of that name of a run that has not ended.
    fn under_way(word: &str) -> Option<Self> {
        Self::named(word).filter(|status| status.is_under_way())
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the run goes on.
    pub(super) const fn is_under_way(self) -> bool {
        !matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// The names of all places where a run may stand.
#[must_use]
pub fn statuses() -> [&'static str; 8] {
    Status::ALL.map(Status::as_str)
}

/// What is known about a run beside its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) experiment: String,
    pub(super) host: String,
    pub(super) status: Status,
    pub(super) exit_code: Option<i32>,
    pub(super) name: String,
    pub(super) parent: String,
    pub(super) start_time: UnixNanos,
    pub(super) end_time: UnixNanos,
    /// When what is known of the status happened. What happened before it changes nothing any more: blocks of several
    /// writers come in any order.
    pub(super) status_time: UnixNanos,
    pub(super) error_code: String,
    pub(super) error_message: String,
}

/// What came of a run's lines, as one agent says.
pub(super) struct Receipt {
    pub(super) complete: bool,
    pub(super) records_kept: u64,
    /// The whole of it, a [`v1::Receipt`].
    pub(super) json: String,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            experiment: String::new(),
            host: String::new(),
            status: Status::Running,
            exit_code: None,
            name: String::new(),
            parent: String::new(),
            start_time: 0,
            end_time: 0,
            status_time: 0,
            error_code: String::new(),
            error_message: String::new(),
        }
    }
}

impl Life {
    /// Adds what a request says, and the receipts in it. What was read before a fault counts.
    pub(super) fn learn(&mut self, request: &[u8], receipts: &mut Vec<Receipt>) -> Result<(), Malformed> {
        for resource in requests_resources(request) {
            let resource = resource?;
            for attribute in resource.attributes() {
                let (field, value) = match attribute? {
                    ("ml.experiment.name", Value::String(value)) => (&mut self.experiment, value),
                    ("host.name", Value::String(value)) => (&mut self.host, value),
                    ("ml.run.name", Value::String(value)) => (&mut self.name, value),
                    ("ml.run.parent.id", Value::String(value)) => (&mut self.parent, value),
                    _ => continue,
                };
                if field.is_empty() {
                    value.clone_into(field);
                }
            }
            for scope in resource.scopes() {
                for record in scope?.records() {
                    let record = record?;
                    if record.event_name == "runlog.receipt" {
                        receipts.push(receipt(&record)?);
                    }
                    self.see(&record)?;
                }
            }
        }
        Ok(())
    }

    fn see(&mut self, record: &RecordView<'_>) -> Result<(), Malformed> {
        let time = record.best_time();
        match record.event_name {
            // Who has begun it did not know. A status is what takes it up again.
            "ml.run.start" if self.status == Status::Canceled && self.start_time == 0 => {}
            "ml.run.start" => {
                self.start_time = if self.start_time == 0 { time } else { self.start_time.min(time) };
                self.goes_on(Status::Running, time);
            }
            "ml.run.status" => {
                for attribute in record.attributes() {
                    if let ("ml.run.status", Value::String(word)) = attribute?
                        && let Some(status) = Status::under_way(word)
                    {
                        self.goes_on(status, time);
                    }
                }
            }
            "ml.run.end" => self.end(record)?,
            _ => {}
        }
        Ok(())
    }

    fn goes_on(&mut self, status: Status, time: UnixNanos) {
        if time >= self.status_time {
            (self.status, self.exit_code, self.status_time, self.end_time) = (status, None, time, 0);
            (self.error_code, self.error_message) = (String::new(), String::new());
        }
    }

    fn end(&mut self, record: &RecordView<'_>) -> Result<(), Malformed> {
        let (status, exit_code) = ending(record)?;
        let time = record.best_time();
        // A run of several processes has failed when one of them has, whatever the others say after it.
        let is_of_now = time.saturating_add(SKEW) >= self.status_time;
        if self.status.is_under_way() && is_of_now || self.status == Status::Completed {
            (self.status, self.exit_code) = (status, exit_code.or(self.exit_code));
            (self.status_time, self.end_time) = (self.status_time.max(time), self.end_time.max(time));
            for attribute in record.attributes() {
                match attribute? {
                    ("error.type", Value::String(code)) => code.clone_into(&mut self.error_code),
                    ("exception.message", Value::String(message)) => message.clone_into(&mut self.error_message),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn receipt(record: &RecordView<'_>) -> Result<Receipt, Malformed> {
    let mut receipt = v1::Receipt { time_unix_nano: record.best_time(), ..v1::Receipt::default() };
    for attribute in record.attributes() {
        match attribute? {
            ("runlog.receipt.complete", Value::Bool(complete)) => receipt.complete = complete,
            // Others may write such events too; what cannot be read has no sources, and so is seen to be odd.
            ("runlog.receipt.sources", Value::String(text)) => {
                receipt.sources = serde_json::from_str(text).unwrap_or_default();
            }
            ("runlog.receipt.ends", Value::String(text)) => {
                receipt.ends = serde_json::from_str(text).unwrap_or_default();
            }
            _ => {}
        }
    }
    Ok(Receipt {
        complete: receipt.complete,
        records_kept: receipt.sources.iter().fold(0, |sum, source| sum.saturating_add(source.records_kept)),
        // What it is made of can be written as JSON.
        json: serde_json::to_string(&receipt).unwrap_or_default(),
    })
}

fn ending(record: &RecordView<'_>) -> Result<(Status, Option<i32>), Malformed> {
    let (mut stated, mut exit_code) = (None, None);
    for attribute in record.attributes() {
        match attribute? {
            ("ml.run.result", Value::String("success")) => stated = Some(Status::Completed),
            ("ml.run.result", Value::String("failure")) => stated = Some(Status::Failed),
            ("ml.run.result", Value::String("cancellation")) => stated = Some(Status::Canceled),
            ("process.exit.code", Value::Int(code)) => exit_code = i32::try_from(code).ok(),
            _ => {}
        }
    }
    let failed = exit_code.map_or(record.severity >= Severity::ERROR, |code| code != 0);
    Ok((stated.unwrap_or(if failed { Status::Failed } else { Status::Completed }), exit_code))
}
