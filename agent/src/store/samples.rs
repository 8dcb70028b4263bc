//! Batches for tests.

use crate::record::{
    BatchMeta, Severity, UnixNanos,
    wire::{Fields, RequestWriter, Text, Value, record_attribute, resource_attribute},
};

use super::{Store, Writer};

/// A writer for tests that have one.
pub(crate) const WRITER: Writer = [7; 16];

/// One record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) time: UnixNanos,
    pub(crate) severity: Severity,
    pub(crate) body: String,
    pub(crate) event_name: &'static str,
    pub(crate) attributes: Vec<(&'static str, Word)>,
}

/// An attribute's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word {
    Text(&'static str),
    Number(i64),
}

pub(crate) fn line(time: UnixNanos, severity: Severity, body: &str) -> Sample {
    Sample { time, severity, body: body.to_owned(), ..Sample::default() }
}

pub(crate) fn start(time: UnixNanos) -> Sample {
    Sample { event_name: "ml.run.start", ..line(time, Severity::INFO, "run started") }
}

pub(crate) fn end(time: UnixNanos, result: &'static str, exit_code: i64) -> Sample {
    Sample {
        event_name: "ml.run.end",
        attributes: vec![("ml.run.result", Word::Text(result)), ("process.exit.code", Word::Number(exit_code))],
        ..line(time, Severity::INFO, "run ended")
    }
}

/// A batch as the pipeline makes it.
pub(crate) fn batch(run_id: &str, samples: &[Sample]) -> (BatchMeta, Vec<u8>) {
    let mut resource = Vec::new();
    for (key, value) in
        [("ml.run.id", run_id), ("ml.experiment.name", "mnist"), ("host.name", "node-1"), ("container.name", "trainer")]
    {
        resource_attribute(&mut resource, key, Value::String(value));
    }
    let mut request = RequestWriter::new(&resource, "", 1024);
    let mut records_by_range = vec![0; Severity::RANGES];
    let mut events_by_range = vec![0; Severity::RANGES];
    for sample in samples {
        let mut attributes = Vec::new();
        for (key, value) in &sample.attributes {
            let value = match value {
                Word::Text(text) => Value::String(text),
                Word::Number(number) => Value::Int(*number),
            };
            record_attribute(&mut attributes, key, value);
        }
        request.record(
            Text::new("root"),
            &Fields {
                time: sample.time,
                observed: sample.time + 1,
                severity: sample.severity,
                severity_text: Text::EMPTY,
                body: Text::new(&sample.body),
                attributes: [&attributes, &[]],
                uid: (&[], 0),
                event_name: sample.event_name,
            },
        );
        records_by_range[sample.severity.range()] += 1;
        events_by_range[sample.severity.range()] += u32::from(!sample.event_name.is_empty());
    }
    let times = || samples.iter().map(|sample| sample.time);
    let bytes = request.finish();
    let meta = BatchMeta {
        run_id: run_id.to_owned(),
        records: u32::try_from(samples.len()).unwrap(),
        uncompressed_bytes: u32::try_from(bytes.len()).unwrap(),
        first_time_unix_nano: times().min().unwrap_or(0),
        last_time_unix_nano: times().max().unwrap_or(0),
        records_by_range,
        has_events: events_by_range.iter().any(|count| *count > 0),
        events_by_range,
        ..BatchMeta::default()
    };
    (meta, zstd::bulk::compress(bytes, 1).unwrap())
}

/// Stores one batch under [`WRITER`].
pub(crate) fn append(store: &Store, seq: u64, run_id: &str, samples: &[Sample]) {
    let (meta, payload) = batch(run_id, samples);
    store.append(WRITER, &[(seq, &meta, &payload)]).unwrap();
}
