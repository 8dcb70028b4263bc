//! What somebody should look at while the run goes on: `ml.alert`.

use std::{
    collections::HashSet,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{
    batch::Slot,
    parse::{Prefix, Rank, headline},
    record::{
        Clock, Origin, Severity, SystemClock, UnixNanos,
        wire::{Fields, Text, Value, record_attribute},
    },
};

use super::{Stage, accounts, silence::Told};

/// How much of an error's line is in the sentence.
const MAX_SHOWN: usize = 400;
/// Of so many ranks of streams it is known that they were told of.
const MAX_ALERTED: usize = 4_096;
/// How often it is said that lines are left out.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Who was told of to be out of memory: a rank, or all of a stream.
#[derive(Debug, Default)]
pub(super) struct Alerted(HashSet<(u64, Option<Rank>)>);

impl Alerted {
    fn is_new(&mut self, stream: u64, rank: Option<Rank>) -> bool {
        if self.0.len() >= MAX_ALERTED {
            self.0.clear();
        }
        self.0.insert((stream, rank))
    }
}

impl Stage {
    /// Tells, once for each rank of a stream, that memory is used up. Says which batch is full, if one is.
    pub(super) fn alert_memory(
        &mut self,
        slot: Slot,
        origin: &Arc<Origin>,
        prefix: &Prefix<'_>,
        text: &[u8],
        (time, observed): (UnixNanos, UnixNanos),
    ) -> Option<Slot> {
        let rank = Rank::of(prefix);
        if !self.alerted.is_new(origin.id, rank) {
            return None;
        }
        let line = headline(text);
        let masked = self.redactor.mask_again(line);
        let line = masked.as_ref().map_or(line, |masked| &masked.text);
        let line = String::from_utf8_lossy(&line[..line.len().min(MAX_SHOWN)]).into_owned();
        let who = rank.map_or(String::new(), |rank| format!("{}: ", name(rank)));
        let attributes = if prefix.names_a_rank() { origin.attributes_without_ranks() } else { &origin.attributes };
        let alert =
            Alert { kind: "out_of_memory", severity: Severity::ERROR, body: &format!("{who}out of memory: {line}") };
        self.alert(slot, &alert, (attributes, rank), (time, observed))
    }

    /// Tells of ranks that are silent while others are not.
    pub(super) fn tell_silent_ranks(&mut self, now: Instant) -> io::Result<()> {
        let Some(after) = self.parse.silent_rank_after else { return Ok(()) };
        for Told { run_id, rank, silent_for } in self.silence.tell(now, after) {
            let Some(origin) = self.accounts.origin(&run_id) else { continue };
            let body = format!(
                "{} has printed nothing for {} s while others do: it may hang",
                name(rank),
                silent_for.as_secs()
            );
            let slot = self.batcher.slot(&origin, now);
            let time = SystemClock.now();
            let alert = Alert { kind: "silent_rank", severity: Severity::WARN, body: &body };
            if let Some(full) = self.alert(slot, &alert, (&[], Some(rank)), (time, time)) {
                self.close(full)?;
            }
        }
        Ok(())
    }

    /// Notes which rank has printed a line, and tells if that one was silent. Says which batch is full, if one is.
    pub(super) fn hear(&mut self, slot: Slot, origin: &Origin, line: &[u8], now: Instant) -> Option<Slot> {
        let after = self.parse.silent_rank_after?;
        let own = || accounts::rank(origin).and_then(|rank| u32::try_from(rank).ok()).map(Rank::Global);
        let prefix = accounts::of_stream(self.parse.rank_prefix.of(line), origin);
        let rank = Rank::of(&prefix).or_else(own)?;
        let silent_for = self.silence.hear(&origin.resource.run_id, rank, origin.id, now, after)?;
        let body = format!("{} prints again, after {} s", name(rank), silent_for.as_secs());
        let alert = Alert { kind: "rank_speaks", severity: Severity::INFO, body: &body };
        let time = SystemClock.now();
        self.alert(slot, &alert, (&[], Some(rank)), (time, time))
    }

    fn alert(
        &mut self,
        slot: Slot,
        alert: &Alert<'_>,
        (attributes, rank): (&[u8], Option<Rank>),
        (time, observed): (UnixNanos, UnixNanos),
    ) -> Option<Slot> {
        let mut own = Vec::new();
        record_attribute(&mut own, "ml.alert.kind", Value::String(alert.kind));
        if let Some((key, rank)) = rank.map(Rank::named) {
            record_attribute(&mut own, key, Value::Int(rank.into()));
        }
        let fields = Fields {
            time,
            observed,
            severity: alert.severity,
            severity_text: Text::EMPTY,
            body: Text::new(alert.body),
            attributes: [attributes, &own],
            uid: (b"", 0),
            event_name: "ml.alert",
        };
        self.batcher.push(slot, Text::new("runlog"), &fields, None)
    }

    /// Says once in a while that lines are left out for the limit.
    pub(super) fn tell_limit(&mut self, origin: &Origin) {
        if self.limit_told.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.limit_told = Some(Instant::now());
            let limit = self.parse.lines_per_second.map_or(0, std::num::NonZeroU32::get);
            warn!(source = origin.tally.name, limit, "lines are left out, since their stream prints more in a second");
        }
    }
}

/// What an alert says.
struct Alert<'a> {
    kind: &'static str,
    severity: Severity,
    body: &'a str,
}

fn name(rank: Rank) -> String {
    match rank {
        Rank::Global(rank) => format!("rank {rank}"),
        Rank::Local(rank) => format!("local rank {rank}"),
    }
}
