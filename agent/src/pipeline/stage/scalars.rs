//! Numbers in lines become metrics of the run, as those that it logs by the Run API.
//!
//! The event is in the batch of its line, and so in the same entry of the queue. The gauges, which are another signal, go
//! into the queue just before it.

use std::sync::Arc;

use crate::{
    batch::Slot,
    parse::{self, Prefix, Scalar},
    record::{
        Account, Origin, Severity, UnixNanos,
        wire::{Fields, Number, Sample, Text, Value, hex16, record_attribute, uid_prefix},
    },
};

use super::{Stage, accounts};

/// The scope of what the run logs.
const SCOPE: Text<'_> = Text::new("runlog");

/// What was found and is not in an account yet.
#[derive(Debug, Default)]
pub(super) struct Counted {
    all: u64,
    nonfinite: u64,
    /// Used again for the attributes of the next one.
    encoded: Vec<u8>,
    /// The stream that the last one stood in, and how the uids of its numbers begin.
    uid: (u64, Vec<u8>),
}

impl Counted {
    /// Counts in that account what was found since it was last asked.
    pub(super) const fn give_to(&mut self, account: &mut Account) {
        account.scalars += self.all;
        account.scalars_nonfinite += self.nonfinite;
        (self.all, self.nonfinite) = (0, 0);
    }
}

/// The line that the numbers stand in.
pub(super) struct From<'a> {
    pub(super) origin: &'a Arc<Origin>,
    /// Of the line's stream.
    pub(super) attributes: &'a [u8],
    pub(super) launched: &'a Prefix<'a>,
    /// Where the line begins.
    pub(super) at: u64,
    pub(super) time: UnixNanos,
    pub(super) observed: UnixNanos,
}

impl Stage {
    /// Writes what a line says of metrics into the batch of its record, of which the text has no secrets any more. Says
    /// which batch is full, if one is.
    pub(super) fn scalars_of(&mut self, slot: Slot, text: &[u8], line: &From<'_>) -> Option<Slot> {
        let parse::Scalars { found, step } = parse::scalars(text, &self.parse.scalars);
        if found.is_empty() {
            return None;
        }
        let rank = line.launched.rank.map(i64::from);
        let of_stream = if line.launched.names_a_rank() { None } else { accounts::rank(line.origin) };
        if self.scalars.uid.0 != line.origin.id || self.scalars.uid.1.is_empty() {
            // Told apart from the lines of the stream, whose offsets they share.
            let stream = &line.origin.uid_prefix[line.origin.uid_prefix.len().saturating_sub(hex16(0).len())..];
            self.scalars.uid = (line.origin.id, uid_prefix(&[b"scalar", stream]));
        }
        let mut full = None;
        for Scalar { name, value, at } in found {
            let is_finite = value.is_finite();
            let mut encoded = std::mem::take(&mut self.scalars.encoded);
            encoded.clear();
            record_attribute(&mut encoded, "ml.metric.name", Value::String(name));
            record_attribute(&mut encoded, "ml.metric.value", Value::Double(value));
            if let Some(step) = step {
                record_attribute(&mut encoded, "ml.step", Value::Int(step));
            }
            if !is_finite {
                record_attribute(&mut encoded, "ml.metric.nonfinite", Value::Bool(true));
            }
            for (key, rank) in [("ml.rank", rank), ("ml.local_rank", line.launched.local_rank.map(i64::from))] {
                if let Some(rank) = rank {
                    record_attribute(&mut encoded, key, Value::Int(rank));
                }
            }
            let body = match step {
                Some(step) => format!("{name}={value} step={step}"),
                None => format!("{name}={value}"),
            };
            let fields = Fields {
                time: line.time,
                observed: line.observed,
                severity: if is_finite { Severity::INFO } else { Severity::WARN },
                severity_text: Text::EMPTY,
                body: Text::new(&body),
                attributes: [line.attributes, &encoded],
                uid: (&self.scalars.uid.1, line.at + at as u64),
                event_name: "ml.metric",
            };
            full = self.batcher.push(slot, SCOPE, &fields, None).or(full);
            self.scalars.encoded = encoded;
            self.scalars.all += 1;
            self.scalars.nonfinite += u64::from(!is_finite);
            if is_finite && self.parse.are_gauges_sent {
                let time = if line.time == 0 { line.observed } else { line.time };
                self.batcher
                    .gauge(slot, &Sample { name, value: Number::Double(value), step, rank: rank.or(of_stream), time });
            }
        }
        full
    }
}
