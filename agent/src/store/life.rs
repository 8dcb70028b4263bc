//! What a block says about its run: the experiment, the host, whether it has ended, what came of its lines.

use runlog_proto::v1;

use crate::record::{
    Severity,
    wire::{Malformed, RecordView, Value, requests_resources},
};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Running,
    Completed,
    Failed,
    Canceled,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    pub(super) fn from_column(word: &str) -> Self {
        [Self::Completed, Self::Failed, Self::Canceled]
            .into_iter()
            .find(|status| status.as_str() == word)
            .unwrap_or(Self::Running)
    }
}

/// What is known about a run beside its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) experiment: String,
    pub(super) host: String,
    pub(super) status: Status,
    pub(super) exit_code: Option<i32>,
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
        Self { experiment: String::new(), host: String::new(), status: Status::Running, exit_code: None }
    }
}

impl Life {
    /// Adds what a request says, and the receipts in it. What was read before a fault counts.
    pub(super) fn learn(&mut self, request: &[u8], receipts: &mut Vec<Receipt>) -> Result<(), Malformed> {
        for resource in requests_resources(request) {
            let resource = resource?;
            for attribute in resource.attributes() {
                match attribute? {
                    ("ml.experiment.name", Value::String(name)) if self.experiment.is_empty() => {
                        self.experiment = name.to_owned();
                    }
                    ("host.name", Value::String(name)) if self.host.is_empty() => self.host = name.to_owned(),
                    _ => {}
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
        match record.event_name {
            "ml.run.start" => (self.status, self.exit_code) = (Status::Running, None),
            "ml.run.end" => {
                let (status, exit_code) = ending(record)?;
                // A run of several processes has failed when one of them has, whatever the others say after it.
                if matches!(self.status, Status::Running | Status::Completed) {
                    (self.status, self.exit_code) = (status, exit_code);
                }
            }
            _ => {}
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
