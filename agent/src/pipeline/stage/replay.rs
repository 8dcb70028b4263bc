//! Lines that the level left out are sent after all: when their run is in trouble, or when somebody asks.
//!
//! It is done between two inputs, when all that was read is given out, so that every position is past what is recorded.

use std::{io, time::Instant};

use tracing::info;

use crate::{
    batch::Slot,
    enrich::{Heads, Recorded},
    parse::Line,
    record::{
        Account, Origin, Pushed, Receipt, Severity, Signal, UnixNanos, receipt,
        wire::{Above, Text, Value, check_record, record_attribute},
    },
};

use super::{Stage, note, writing::Level};

impl Stage {
    /// Notes what was printed of a run: an error is a reason to send what is recorded.
    pub(super) fn heed(&mut self, run_id: &str, severity: Severity) {
        if severity >= Severity::ERROR && self.recorder.is_on() && !self.troubled.iter().any(|known| known == run_id) {
            self.troubled.push(run_id.to_owned());
        }
    }

    /// Records a line that is left out, which stands for so many.
    pub(super) fn leave_out(
        &mut self,
        origin: &std::sync::Arc<Origin>,
        observed: UnixNanos,
        line: &Line<'_>,
        level: Level<'_>,
        lines: u64,
    ) {
        let masked = self.redactor.pass_by(origin.id, line.lane, line.bytes);
        if !self.recorder.is_on() {
            return;
        }
        // What a private key goes on in is not kept, not even in memory: its beginning may be forgotten before.
        let without_secrets = masked.as_ref().map(|masked| Line { bytes: &masked.text, ..*line });
        let line = without_secrets.as_ref().unwrap_or(line);
        let Level { severity, text, logger, family } = level;
        let (severity_text, logger) = (text.as_bytes(), logger.as_bytes());
        let recorded = Recorded { observed, severity, severity_text, logger, family, lines, heads: None };
        self.recorder.record(origin, line, &recorded);
    }

    /// Records an encoded record of a run that is left out.
    pub(super) fn leave_out_passed(
        &mut self,
        pushed: &Pushed,
        run_id: &str,
        severity: Severity,
        above: &Above<'_>,
        record: &[u8],
    ) {
        if !self.recorder.is_on() {
            return;
        }
        let recorded = Recorded {
            observed: pushed.observed,
            severity,
            severity_text: b"",
            logger: b"",
            family: None,
            lines: 1,
            heads: Some(Heads { resource: above.resource, scope: above.scope }),
        };
        self.recorder.record_of_run(run_id, &pushed.origin, &Line::bare(0, 0, record), &recorded);
    }

    /// Sends what is recorded of runs in trouble, and what was asked for.
    pub(super) fn replay_due(&mut self) -> io::Result<()> {
        for run_id in std::mem::take(&mut self.troubled) {
            self.replay(&run_id)?;
        }
        for (run_id, told) in self.recorder.asked() {
            let mut lines = 0;
            for run_id in run_id.map_or_else(|| self.recorder.runs(), |run_id| vec![run_id]) {
                lines += self.replay(&run_id)?;
            }
            told(lines);
        }
        Ok(())
    }

    fn replay(&mut self, run_id: &str) -> io::Result<u64> {
        let Some(replay) = self.recorder.take(run_id) else { return Ok(0) };
        let (mut sent, now) = (0, Instant::now());
        // The client of what came over OTLP has its answer: nobody waits for this one.
        let (receipt, _) = receipt();
        replay.each(|voice, line, recorded| {
            let lines = recorded.lines;
            let mut account =
                Account { lines_kept: lines, records_kept: 1, lines_replayed: lines, ..Account::default() };
            let full = if let Some(heads) = recorded.heads {
                let (slot, full) = self.pass_again(run_id, heads, line.bytes, recorded.observed, &receipt, now);
                self.batcher.account_passed(slot, voice, &note(voice, account));
                full
            } else {
                let Recorded { observed, severity, severity_text, logger, family, .. } = *recorded;
                let (text, logger) = (Text::from_validated(severity_text), Text::from_validated(logger));
                let slot = self.batcher.slot(voice, now);
                let full = self.put(voice, observed, line, Level { severity, text, logger, family }, slot);
                self.scalars.give_to(&mut account);
                self.batcher.account(slot, &note(voice, account));
                full
            };
            sent += lines;
            full.map_or(Ok(()), |full| self.close(full))
        })?;
        info!(run_id, lines = sent, "lines below the level are sent after all");
        Ok(sent)
    }

    /// Writes a record that came encoded into its run's batch. Gives that batch, and again if it is full now.
    fn pass_again(
        &mut self,
        run_id: &str,
        heads: Heads<'_>,
        record: &[u8],
        observed: UnixNanos,
        receipt: &Receipt,
        now: Instant,
    ) -> (Slot, Option<Slot>) {
        let seen = check_record(record).expect("it was looked through before it was recorded");
        let mut record = self.masked(Signal::Logs, record).unwrap_or_else(|| record.to_vec());
        record_attribute(&mut record, "runlog.replayed", Value::Bool(true));
        let above = Above { id: self.passing.next_head(), resource: heads.resource, scope: heads.scope };
        let slot = self.batcher.slot_of_run(run_id, Signal::Logs, receipt, now);
        (slot, self.batcher.pass(slot, &above, &record, &seen, observed))
    }
}
