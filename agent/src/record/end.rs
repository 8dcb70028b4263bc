//! How the processes and containers of a run ended, for its receipt.

use super::{
    Event, SourceKind, UnixNanos,
    wire::{RecordView, Value},
};

/// The end of one process or container, or of one of its lives.
///
/// A protobuf message of our own; fields are only ever added. In the receipt it is JSON with the same names.
#[derive(Clone, PartialEq, Eq, prost::Message, serde::Serialize)]
pub struct End {
    /// The program, or the container's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// When it was.
    #[prost(fixed64, tag = "2")]
    pub time_unix_nano: UnixNanos,
    /// 128 and the signal's number after a signal. `None` if nobody could look.
    #[prost(int64, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The signal that ended it, where that is known beside the code.
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signal: String,
    /// Whether the kernel ended it for want of memory.
    #[prost(bool, tag = "5")]
    pub oom_killed: bool,
}

impl End {
    /// What an event tells, if it is the end of a process or container: `ml.run.end`, or `ml.run.status` where the run goes on.
    /// Standard input has none.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let is_over = event.name == "ml.run.end";
        if !is_over && event.name != "ml.run.status" {
            return None;
        }
        let name = event.origin.tally.name.clone();
        let mut end = Self { name, time_unix_nano: event.time, ..Self::default() };
        // What we have written ourselves is no malformed protobuf.
        for attribute in RecordView::read(&event.attributes).ok()?.attributes().flatten() {
            match attribute {
                ("process.exit.code", Value::Int(code)) => end.exit_code = Some(code),
                ("runlog.exit.signal", Value::String(signal)) => signal.clone_into(&mut end.signal),
                ("runlog.oom_killed", Value::Bool(is_oom_killed)) => end.oom_killed = is_oom_killed,
                _ => {}
            }
        }
        let is_told = end.exit_code.is_some() || is_over && event.origin.kind != SourceKind::Process;
        is_told.then_some(end)
    }

    /// Whether it ended as it should.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.exit_code == Some(0) && !self.oom_killed
    }

    /// How it ended, to be read behind its name.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = match self.exit_code {
            Some(code) => format!("exit code {code}"),
            None => "not known how".to_owned(),
        };
        for more in [self.signal.as_str(), if self.oom_killed { "killed for want of memory" } else { "" }] {
            if !more.is_empty() {
                text += ", ";
                text += more;
            }
        }
        text
    }
}
