//! The Prometheus text format.
//!
//! Source: Prometheus documentation, "Exposition formats", text-based format 0.0.4.

use std::fmt::{Display, Write as _};

use crate::record::{Severity, UnixNanos, tally::Counts};

use super::Snapshot;

/// The `Content-Type` of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const STATES: [&str; 3] = ["ok", "retrying", "misconfigured"];

/// All metrics.
pub(super) fn render(snapshot: &Snapshot, now: UnixNanos) -> String {
    let mut out = Exposition::default();
    out.gauge("runlog_build_info", "Which runlog this is; always 1.");
    out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.gauge("runlog_ready", "1 if runlog does all that it was asked to.");
    out.sample(&[], u8::from(snapshot.unready.is_empty()));
    out.gauge("runlog_start_time_seconds", "Unix time at which runlog started.");
    out.sample(&[], snapshot.started as f64 / 1e9);
    out.counter("runlog_restarts_total", "Starts of a part after it panicked, which is a bug.");
    for (part, restarts) in &snapshot.restarts {
        out.sample(&[("part", part)], restarts);
    }
    sources(&mut out, snapshot);
    lags(&mut out, snapshot, now);
    receiver(&mut out, snapshot);
    queue(&mut out, snapshot);
    destinations(&mut out, snapshot);
    out.text
}

fn sources(out: &mut Exposition, snapshot: &Snapshot) {
    type Get = fn(&Counts) -> u64;
    let counters: [(&str, &str, Get); 8] = [
        ("runlog_read_bytes_total", "Bytes that came in.", |counts| counts.bytes_read),
        ("runlog_read_lines_total", "Lines that came in.", |counts| counts.lines_read),
        ("runlog_kept_records_total", "Records that went into a batch.", |counts| counts.records_kept),
        ("runlog_folded_states_total", "States of progress bars that were drawn over by later ones.", |counts| {
            counts.states_folded
        }),
        ("runlog_replayed_lines_total", "Of the lines left out, those that were sent after all.", |counts| {
            counts.lines_replayed
        }),
        ("runlog_limited_lines_total", "Lines left out for what their stream may print in a second.", |counts| {
            counts.lines_limited
        }),
        ("runlog_lost_lines_total", "Lines that are gone although they should have been kept.", |counts| {
            counts.lines_lost
        }),
        ("runlog_lost_bytes_total", "Bytes that are gone, where no lines can be told.", |counts| counts.bytes_lost),
    ];
    for (name, help, get) in counters {
        out.counter(name, help);
        for (kind, counts) in &snapshot.sources {
            out.sample(&[("source", kind.as_str())], get(counts));
        }
    }
    out.counter("runlog_filtered_lines_total", "Lines left out for their level.");
    for (kind, counts) in &snapshot.sources {
        for (level, lines) in Severity::RANGE_NAMES.iter().zip(counts.lines_filtered) {
            out.sample(&[("source", kind.as_str()), ("level", level)], lines);
        }
    }
    if let Some(recording) = &snapshot.recording {
        out.gauge("runlog_recorder_lines", "Lines that the flight recorder holds.");
        out.sample(&[], recording.lines);
        out.gauge("runlog_recorder_bytes", "What they take in memory.");
        out.sample(&[], recording.bytes);
        out.counter(
            "runlog_recorder_forgotten_lines_total",
            "Lines that it has forgotten, for want of room or their age.",
        );
        out.sample(&[], recording.lines_forgotten);
    }
    out.counter("runlog_redacted_secrets_total", "Secrets that were masked.");
    for (rule, count) in &snapshot.redactions {
        out.sample(&[("rule", rule)], count);
    }
}

/// What nobody can tell has no sample.
fn lags(out: &mut Exposition, snapshot: &Snapshot, now: UnixNanos) {
    let kinds = || snapshot.sources.keys().map(|kind| (kind.as_str(), snapshot.lag(*kind)));
    out.gauge("runlog_lag_bytes", "Bytes that are there to be read and not read yet.");
    for (kind, lag) in kinds() {
        lag.bytes().into_iter().for_each(|bytes| out.sample(&[("source", kind)], bytes));
    }
    out.gauge("runlog_lag_seconds", "For how long some of what is there to be read has been there.");
    for (kind, lag) in kinds() {
        lag.seconds(now).into_iter().for_each(|seconds| out.sample(&[("source", kind)], seconds));
    }
    let streams = snapshot.lagging(now);
    out.gauge("runlog_stream_lag_bytes", "The bytes for each of the streams that are furthest behind.");
    for stream in &streams {
        let labels = [("source", &*stream.kind), ("stream", &*stream.name)];
        stream.lag_bytes.into_iter().for_each(|bytes| out.sample(&labels, bytes));
    }
    out.gauge("runlog_stream_lag_seconds", "The seconds for each of the streams that are furthest behind.");
    for stream in &streams {
        let labels = [("source", &*stream.kind), ("stream", &*stream.name)];
        stream.lag_seconds.into_iter().for_each(|seconds| out.sample(&labels, seconds));
    }
}

fn receiver(out: &mut Exposition, snapshot: &Snapshot) {
    let families: [(&str, &str, GetCount); 2] = [
        ("runlog_received_items_total", "Data points and spans that were received over OTLP and kept.", |of| of.taken),
        ("runlog_lost_items_total", "Data points and spans that no destination could have decoded.", |of| of.rejected),
    ];
    for (name, help, get) in families {
        out.counter(name, help);
        for of in &snapshot.signals {
            out.sample(&[("signal", &of.signal)], get(of));
        }
    }
    out.counter("runlog_refused_requests_total", "Requests and connections that the OTLP receiver has not taken.");
    for (reason, count) in &snapshot.refusals {
        out.sample(&[("reason", reason)], count);
    }
}

type GetCount = fn(&runlog_proto::v1::SignalCounts) -> u64;

fn queue(out: &mut Exposition, snapshot: &Snapshot) {
    let Some(queue) = &snapshot.queue else { return };
    let counters = [
        (
            "runlog_queue_refused_records_total",
            "Kept records that the queue could never take.",
            snapshot.records_refused,
        ),
        ("runlog_queue_damages_total", "Damaged places in the queue that were passed by.", snapshot.queue_damages),
        (
            "runlog_queue_sync_failures_total",
            "Times the queue could not be made durable.",
            snapshot.queue_sync_failures,
        ),
        (
            "runlog_queue_removals_total",
            "Times the queue's files were removed while it was in use, and were written again.",
            snapshot.queue_removals,
        ),
    ];
    for (name, help, value) in counters {
        out.counter(name, help);
        out.sample(&[], value);
    }
    out.gauge("runlog_queue_bytes", "Bytes of the queue on disk.");
    out.sample(&[], queue.bytes);
    out.gauge("runlog_queue_max_bytes", "What the queue may grow to.");
    out.sample(&[], queue.max_bytes);
}

fn destinations(out: &mut Exposition, snapshot: &Snapshot) {
    type Get = fn(&runlog_proto::v1::DestinationStatus) -> f64;
    // Prometheus numbers are doubles.
    let counters: [(&str, &str, Get); 4] = [
        ("runlog_exported_records_total", "Records that the destination has taken.", |to| to.records_exported as f64),
        ("runlog_rejected_records_total", "Records that the destination has refused.", |to| to.records_rejected as f64),
        ("runlog_dead_lettered_batches_total", "Batches set aside because they were refused.", |to| {
            to.batches_dead_lettered as f64
        }),
        ("runlog_export_retries_total", "Deliveries that had to be tried again.", |to| to.retries as f64),
    ];
    let gauges: [(&str, &str, Get); 3] = [
        ("runlog_pending_entries", "Queue entries that wait for the destination.", |to| to.pending_entries as f64),
        ("runlog_pending_bytes", "Bytes of the queue that wait for the destination.", |to| to.pending_bytes as f64),
        ("runlog_oldest_pending_seconds", "Age of the oldest entry that waits.", |to| to.oldest_pending_seconds),
    ];
    for (declare, family) in
        [(Exposition::counter as fn(&mut _, _, _), &counters[..]), (Exposition::gauge, &gauges[..])]
    {
        for (name, help, get) in family {
            declare(out, name, help);
            for to in &snapshot.destinations {
                out.sample(&[("destination", &to.name)], get(to));
            }
        }
    }
    let families: [(&str, &str, GetCount); 2] = [
        ("runlog_exported_items_total", "Data points and spans that the destination has taken.", |of| of.taken),
        (
            "runlog_rejected_items_total",
            "Data points and spans that the destination has refused, or has no place for.",
            |of| of.rejected,
        ),
    ];
    for (name, help, get) in families {
        out.counter(name, help);
        for to in &snapshot.destinations {
            for of in &to.signals {
                out.sample(&[("destination", &to.name), ("signal", &of.signal)], get(of));
            }
        }
    }
    out.gauge("runlog_export_state", "1 for the state that the destination is in.");
    for to in &snapshot.destinations {
        for state in STATES {
            out.sample(&[("destination", &to.name), ("state", state)], u8::from(to.state == state));
        }
    }
}

/// Text in the making. A family is declared, then its samples follow.
#[derive(Default)]
struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    fn counter(&mut self, name: &'static str, help: &str) {
        self.declare(name, "counter", help);
    }

    fn gauge(&mut self, name: &'static str, help: &str) {
        self.declare(name, "gauge", help);
    }

    fn declare(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.family);
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            self.put(format_args!("{before}{name}=\"{}\"", escape(value)));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("writing to a string cannot fail");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use runlog_proto::v1;

    use super::*;
    use crate::record::{Lag, SourceKind, Tally};

    fn snapshot() -> Snapshot {
        let hostile = "a\"b\\c\nrunlog_fake 1";
        let streams = vec![Tally::detached(SourceKind::File, hostile), Tally::detached(SourceKind::File, hostile)];
        for stream in &streams {
            stream.reached(1, 21, 1_000_000_000);
        }
        let mut counts = Counts { lines_read: 9, lines_limited: 2, ..Counts::default() };
        let behind = Lag::Behind { bytes: None, since: 1_000_000_000 };
        counts.lines_filtered[Severity::DEBUG.range()] = 4;
        Snapshot {
            levels: None,
            recording: Some(runlog_proto::v1::Recording { max_bytes: 9, bytes: 6, lines: 3, lines_forgotten: 2 }),
            started: 1_500_000_000,
            degraded: Vec::new(),
            records_refused: 3,
            restarts: BTreeMap::from([("source.file".to_owned(), 2)]),
            queue_damages: 2,
            queue_sync_failures: 1,
            queue_removals: 0,
            unready: Vec::new(),
            sources: BTreeMap::from([(SourceKind::File, counts), (SourceKind::Otlp, Counts::default())]),
            lags: BTreeMap::from([(SourceKind::File, behind), (SourceKind::Otlp, Lag::Unknown)]),
            streams,
            queue: Some(v1::QueueStatus { bytes: 5, max_bytes: 6 }),
            destinations: vec![v1::DestinationStatus {
                name: "default".into(),
                state: "retrying".into(),
                records_exported: 1 << 52,
                oldest_pending_seconds: 1.5,
                signals: vec![v1::SignalCounts { signal: "metrics".into(), taken: 7, rejected: 2 }],
                ..Default::default()
            }],
            signals: vec![v1::SignalCounts { signal: "traces".into(), taken: 8, rejected: 1 }],
            redactions: BTreeMap::from([("jwt".to_owned(), 3)]),
            refusals: BTreeMap::from([("too_large", 5)]),
        }
    }

    #[test]
    fn each_sample_belongs_to_the_family_declared_before_it_and_appears_once() {
        let text = render(&snapshot(), 3_500_000_000);
        let (mut family, mut seen) = ("", BTreeSet::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap();
                let kind = if family.ends_with("_total") { "counter" } else { "gauge" };
                assert_eq!(lines.next(), Some(&*format!("# TYPE {family} {kind}")));
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next(), Some(family), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(name.to_owned()), "{line} appears twice");
        }
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn counts_lags_and_states_are_told() {
        let text = render(&snapshot(), 3_500_000_000);
        for line in [
            "runlog_read_lines_total{source=\"file\"} 9\n",
            "runlog_filtered_lines_total{source=\"file\",level=\"debug\"} 4\n",
            "runlog_limited_lines_total{source=\"file\"} 2\n",
            "runlog_stream_lag_bytes{source=\"file\",stream=\"a\\\"b\\\\c\\nrunlog_fake 1\"} 42\n",
            "runlog_stream_lag_seconds{source=\"file\",stream=\"a\\\"b\\\\c\\nrunlog_fake 1\"} 2.5\n",
            "runlog_lag_seconds{source=\"file\"} 2.5\n",
            "runlog_start_time_seconds 1.5\n",
            "runlog_restarts_total{part=\"source.file\"} 2\n",
            "runlog_queue_bytes 5\n",
            "runlog_exported_records_total{destination=\"default\"} 4503599627370496\n",
            "runlog_oldest_pending_seconds{destination=\"default\"} 1.5\n",
            "runlog_exported_items_total{destination=\"default\",signal=\"metrics\"} 7\n",
            "runlog_rejected_items_total{destination=\"default\",signal=\"metrics\"} 2\n",
            "runlog_received_items_total{signal=\"traces\"} 8\n",
            "runlog_lost_items_total{signal=\"traces\"} 1\n",
            "runlog_recorder_forgotten_lines_total 2\n",
            "runlog_redacted_secrets_total{rule=\"jwt\"} 3\n",
            "runlog_refused_requests_total{reason=\"too_large\"} 5\n",
            "runlog_export_state{destination=\"default\",state=\"ok\"} 0\n",
            "runlog_export_state{destination=\"default\",state=\"retrying\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        for unknown in ["runlog_lag_bytes{", "runlog_lag_seconds{source=\"otlp\"}"] {
            assert!(!text.contains(unknown), "{unknown} is told in\n{text}");
        }
    }
}
