//! The start and the end of a container, told as those of its run.

use std::sync::Arc;

use super::{
    stamp,
    tagging::{Container, Tags},
};
use crate::record::{
    Event, NoBookmark, Origin, Severity, SourceKind, Tally, UnixNanos,
    origin::Stream,
    wire::{Value, record_attribute},
};

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exit {
    /// 128 and the signal's number after a signal.
    pub code: i64,
    /// Whether the kernel ended it for want of memory.
    pub is_oom_killed: bool,
    /// When, as the engine writes times.
    pub finished_at: String,
}

/// A container began to run.
pub(super) fn started(container: &Container, tags: &Tags, observed: UnixNanos) -> Event {
    Event {
        name: "ml.run.start",
        time: stamp::parse(container.started_at.as_bytes()).unwrap_or(observed),
        severity: Severity::INFO,
        body: format!("container {} of run {} started", tags.name, tags.resource.run_id),
        attributes: Vec::new(),
        origin: origin(tags),
    }
}

/// A container has ended.
pub(super) fn ended(container: &Container, exit: &Exit, tags: &Tags, observed: UnixNanos) -> Event {
    let is_well = exit.code == 0 && !exit.is_oom_killed;
    let time = stamp::parse(exit.finished_at.as_bytes()).unwrap_or(observed);
    let mut attributes = Vec::new();
    let result = if is_well { "success" } else { "failure" };
    record_attribute(&mut attributes, "ml.run.result", Value::String(result));
    record_attribute(&mut attributes, "process.exit.code", Value::Int(exit.code));
    if let Some(start) = stamp::parse(container.started_at.as_bytes()) {
        let seconds = time.saturating_sub(start) as f64 / 1e9;
        record_attribute(&mut attributes, "ml.run.duration", Value::Double(seconds));
    }
    if exit.is_oom_killed {
        record_attribute(&mut attributes, "runlog.oom_killed", Value::Bool(true));
    }
    let why = if exit.is_oom_killed { ", killed for want of memory" } else { "" };
    let (name, run_id, code) = (&tags.name, &tags.resource.run_id, exit.code);
    Event {
        name: "ml.run.end",
        time,
        severity: if is_well { Severity::INFO } else { Severity::FATAL },
        body: format!("container {name} of run {run_id} ended with exit code {code}{why}"),
        attributes,
        origin: origin(tags),
    }
}

fn origin(tags: &Tags) -> Arc<Origin> {
    Origin::new(Stream {
        key: String::new(),
        kind: SourceKind::Docker,
        identity: &[],
        resource: Arc::clone(&tags.resource),
        attributes: tags.attributes.clone(),
        level: tags.level,
        tally: Tally::detached(SourceKind::Docker, &tags.name),
        bookmark: Arc::new(NoBookmark),
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use super::*;
    use crate::{
        record::{Resource, wire::RecordView},
        source::docker::frame::Framing,
    };

    #[test]
    fn an_end_says_how_long_it_took_and_whether_memory_was_short() {
        let container = Container {
            id: "0".into(),
            name: "trainer".into(),
            image: String::new(),
            labels: HashMap::new(),
            environment: Vec::new(),
            framing: Framing::Raw,
            running: false,
            started_at: "2026-01-01T00:00:00Z".into(),
            exit: None,
        };
        let tags = Tags {
            name: "trainer".into(),
            resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::INFO,
        };
        let cases = [
            (0, false, "container trainer of run r ended with exit code 0", Severity::INFO, "success"),
            (3, false, "container trainer of run r ended with exit code 3", Severity::FATAL, "failure"),
            (
                137,
                true,
                "container trainer of run r ended with exit code 137, killed for want of memory",
                Severity::FATAL,
                "failure",
            ),
        ];
        for (code, is_oom_killed, body, severity, result) in cases {
            let exit = Exit { code, is_oom_killed, finished_at: "2026-01-01T00:01:30.5Z".into() };
            let event = ended(&container, &exit, &tags, 7);
            assert_eq!((event.body.as_str(), event.severity, event.time), (body, severity, 1_767_225_690_500_000_000));
            let record = RecordView::read(&event.attributes).unwrap();
            let found: HashMap<_, _> = record.attributes().map(Result::unwrap).collect();
            assert!(matches!(found["ml.run.result"], Value::String(found) if found == result));
            assert!(matches!(found["process.exit.code"], Value::Int(found) if found == code));
            assert!(matches!(found["ml.run.duration"], Value::Double(90.5)));
            assert_eq!(found.contains_key("runlog.oom_killed"), is_oom_killed);
        }
    }
}
