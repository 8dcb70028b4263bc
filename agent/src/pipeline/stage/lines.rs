//! Chunks of bytes become lines, and lines records.

use std::{
    io,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crate::{
    batch::Slot,
    enrich::{Redactor, is_kept},
    parse::{Line, Lines, Traceback, detect, readable, timestamp},
    record::{
        Account, Chunk, Ending, FirstError, Lane, Origin, Severity, Signal, SourceKind, UnixNanos,
        wire::{Fields, Text},
    },
};

use super::{IDLE, Stage, note};

/// How long pieces of a line wait for its end, which may never come: a container that dies leaves none.
pub(super) const PIECE_PATIENCE: Duration = Duration::from_secs(5);

/// What has to be remembered of a stream from one chunk to the next.
pub(super) struct Stream {
    /// The stream has ended without a word once this is all that is left of it.
    pub(super) origin: Weak<Origin>,
    /// The same, while pieces of a line wait that are given out after a silence. Whoever reads the stream sees by it
    /// that not all of it is on its way yet.
    pub(super) waiting: Option<Arc<Origin>>,
    lines: Lines,
    tracebacks: [Traceback; Lane::COUNT],
    /// Of the line whose parts are coming.
    severities: [Severity; Lane::COUNT],
    /// Behind its last bytes.
    end: u64,
    /// When they came, by the clock and on the wall.
    since: Instant,
    observed: UnixNanos,
}

/// A line's level, the word for it, and who says so.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    pub(super) severity: Severity,
    pub(super) text: Text<'a>,
    pub(super) logger: Text<'a>,
}

impl Stage {
    pub(super) fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let (origin, now) = (&chunk.origin, Instant::now());
        if chunk.ending == Ending::Closed && chunk.data.is_empty() && self.moved.remove(&origin.id) {
            // What it held back of a line is given out under another name, so it ends before that line.
            return Ok(());
        }
        let held = origin.left.formerly.and_then(|former| Some((former, self.streams.remove(&former)?)));
        let known = match held {
            Some((former, stream)) => {
                self.moved.insert(former);
                Some(stream)
            }
            None => self.streams.remove(&origin.id),
        };
        let mut stream = known.unwrap_or_else(|| Stream {
            origin: Weak::new(),
            waiting: None,
            lines: Lines::new(self.parse.max_line_bytes, origin, chunk.at),
            tracebacks: Default::default(),
            // Of a line that is read on after a restart: what is kept of it is kept whole.
            severities: [origin.level.max(Severity::INFO); Lane::COUNT],
            end: chunk.at,
            since: now,
            observed: chunk.observed,
        });
        stream.origin = Arc::downgrade(origin);
        if !chunk.data.is_empty() {
            origin.tally.heard(chunk.observed);
        }
        let mut slot = self.batcher.slot(origin, now);
        let mut outcome = Ok(());
        let mut account = Account::default();
        stream.lines.feed(chunk, |line| {
            if outcome.is_err() {
                return;
            }
            // A line that was split counts once.
            let is_first = u64::from(line.part.is_none_or(|part| part.index == 0));
            account.lines_read += is_first;
            account.bytes_read += line.bytes.len() as u64;
            let lane = line.lane as usize;
            let severity = &mut stream.severities[lane];
            let kept = self.line(chunk, &line, &mut stream.tracebacks[lane], severity, slot);
            let Some(full) = kept else {
                account.lines_filtered += is_first;
                return;
            };
            account.lines_kept += is_first;
            account.records_kept += 1;
            if *severity >= Severity::ERROR && account.first_error.is_none() {
                let time = if line.time == 0 { chunk.observed } else { line.time };
                account.first_error = Some(masked_error(&mut self.redactor, time, line.bytes));
            }
            if let Some(full) = full {
                // In one entry with the lines that it counts.
                self.batcher.account(slot, &note(origin, std::mem::take(&mut account)));
                outcome = self.close(full);
                slot = self.batcher.slot(origin, now);
            }
        });
        outcome?;
        self.batcher.advance(slot, stream.lines.read_to());
        self.batcher.account(slot, &note(origin, account));
        let is_waiting = stream.lines.is_waiting();
        stream.waiting = is_waiting.then(|| Arc::clone(origin));
        // Thousands of idle files have nothing to be remembered; the next chunk begins where this one has ended.
        let in_traceback = stream.tracebacks.iter().any(|traceback| *traceback != Traceback::None);
        if chunk.ending.goes_on() && (is_waiting || in_traceback || !stream.lines.is_between_lines()) {
            (stream.end, stream.since, stream.observed) = (chunk.at + chunk.data.len() as u64, now, chunk.observed);
            self.streams.insert(origin.id, stream);
        }
        if chunk.ending == Ending::Closed && origin.kind == SourceKind::Docker {
            // What it gave is counted before it is known whether its run has ended.
            self.close(slot)?;
            if self.accounts.closed(origin) {
                self.receipt(&origin.resource.run_id)?;
            }
        }
        Ok(())
    }

    /// Gives out pieces of lines that have waited for more of them for too long.
    pub(super) fn flush_silent(&mut self, now: Instant) -> io::Result<()> {
        self.next_flush = now + IDLE;
        let silence = |stream: &Stream| {
            let origin = stream.waiting.as_ref().filter(|_| stream.since + PIECE_PATIENCE <= now)?;
            Some(Chunk::silent(Arc::clone(origin), stream.end, stream.observed))
        };
        let silent: Vec<Chunk> = self.streams.values().filter_map(silence).collect();
        silent.iter().try_for_each(|chunk| self.chunk(chunk))
    }

    /// Writes a line into its batch. `None` if it is left out, else the batch that is full now, if one is.
    ///
    /// `severity` becomes that of the line: a part of a long line has that of the part before.
    fn line(
        &mut self,
        chunk: &Chunk,
        line: &Line<'_>,
        traceback: &mut Traceback,
        severity: &mut Severity,
        slot: Slot,
    ) -> Option<Option<Slot>> {
        let is_continued = line.part.is_some_and(|part| part.index > 0);
        let (found, severity_text, logger) = match detect(line.bytes) {
            _ if is_continued => (*severity, Text::EMPTY, Text::EMPTY),
            Some(found) => {
                traceback.interrupt();
                (found.severity, Text::from_validated(found.text), Text::from_validated(found.logger))
            }
            None if traceback.covers(line.bytes) => (Severity::ERROR, Text::EMPTY, Text::EMPTY),
            None => (Severity::INFO, Text::EMPTY, Text::EMPTY),
        };
        *severity = found;
        self.write(&chunk.origin, chunk.observed, line, Level { severity: found, text: severity_text, logger }, slot)
    }

    /// The same for a line of which the level is known.
    pub(super) fn write(
        &mut self,
        origin: &Arc<Origin>,
        observed: UnixNanos,
        line: &Line<'_>,
        level: Level<'_>,
        slot: Slot,
    ) -> Option<Option<Slot>> {
        let Level { severity, text: severity_text, logger } = level;
        if !is_kept(severity, origin) {
            self.redactor.pass_by(origin.id, line.lane, line.bytes);
            return None;
        }
        let shown = (!line.is_utf8).then(|| readable(line.bytes));
        let text = shown.as_ref().map_or(line.bytes, |shown| shown.text.as_bytes());
        let masked = self.redactor.mask_line(origin.id, line.lane, text);
        let body = Text::from_validated(masked.as_ref().map_or(text, |masked| &masked.text));
        let tags = self.tags.of(origin, line, shown.as_ref(), masked.as_ref().map_or(0, |masked| masked.count));
        // What we have written ourselves is no malformed protobuf.
        let masked_tags = self.redactor.mask_encoded(Signal::Logs, tags).ok().flatten();
        let tags = masked_tags.as_ref().map_or(tags, |masked| &masked.text);
        let time = match origin.kind {
            _ if line.time != 0 => line.time,
            SourceKind::File | SourceKind::Kubernetes => timestamp(line.bytes, &mut self.zone).unwrap_or(0),
            // A pipe is read as it is written.
            SourceKind::Docker | SourceKind::Process | SourceKind::Otlp | SourceKind::Journal => observed,
        };
        let fields = Fields {
            time,
            observed,
            severity,
            severity_text,
            body,
            attributes: [&origin.attributes, tags],
            uid: (&origin.uid_prefix, line.at),
            event_name: "",
        };
        Some(self.batcher.push(slot, logger, &fields, Some(line.read_to)))
    }
}

/// The first error of an account, which is kept like a record.
pub(super) fn masked_error(redactor: &mut Redactor, time: UnixNanos, line: &[u8]) -> FirstError {
    let masked = redactor.mask(line);
    FirstError::new(time, masked.as_ref().map_or(line, |masked| &masked.text))
}
