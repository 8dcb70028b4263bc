//! Lines become records: those that are one thing one record, with what was raised.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crate::{
    batch::Slot,
    parse::{
        Fate, Found, Line, Offered, Prefix, Rank, error_file,
        join::{Exception, Family, Given, Joined, Single, Taken},
        parts, prefix, readable, scalars as numbers_in, timestamp,
    },
    record::{
        Account, Cause, Entry, Lane, Origin, ReadTo, Severity, Signal, SourceKind, UnixNanos,
        wire::{Fields, Text},
    },
};

use super::{Stage, accounts, errors::Errors, lanes::Lanes, lines::MAX_HELD_BYTES, note, scalars};

/// A line's level, the word for it, who says so, and whether it tells of an exception.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    pub(super) severity: Severity,
    pub(super) text: Text<'a>,
    pub(super) logger: Text<'a>,
    pub(super) family: Option<Family>,
}

impl Level<'_> {
    /// That of a line that does not state one.
    pub(super) const fn unstated(severity: Severity) -> Self {
        Self { severity, text: Text::EMPTY, logger: Text::EMPTY, family: None }
    }
}

impl<'a> Level<'a> {
    /// What a line states.
    pub(super) const fn stated(found: Found<'a>) -> Self {
        let (text, logger) = (Text::from_validated(found.text), Text::from_validated(found.logger));
        Self { severity: found.severity, text, logger, family: None }
    }
}

impl Stage {
    /// Writes a record of so many lines into its batch. `None` if it is left out, else the batch that is full now, if one
    /// is.
    pub(super) fn write(
        &mut self,
        origin: &Arc<Origin>,
        observed: UnixNanos,
        line: &Line<'_>,
        level: Level<'_>,
        slot: Slot,
        lines: u64,
    ) -> Option<Option<Slot>> {
        if !self.filter.keeps(level.severity, level.logger.as_bytes(), origin) {
            self.leave_out(origin, observed, line, level, lines);
            return None;
        }
        Some(self.put(origin, observed, line, level, slot))
    }

    /// Writes a record into its batch, whatever its level. Gives the batch that is full now, if one is.
    pub(super) fn put(
        &mut self,
        origin: &Arc<Origin>,
        observed: UnixNanos,
        line: &Line<'_>,
        level: Level<'_>,
        slot: Slot,
    ) -> Option<Slot> {
        let Level { severity, text: severity_text, logger, family } = level;
        // Only the first part of a long line has a prefix, and of a joined record the first line.
        let is_first = line.part.is_none_or(|part| part.index == 0);
        let launched = if is_first { self.parse.rank_prefix.of(line.bytes) } else { Prefix::default() };
        let line = &Line { bytes: launched.after(line.bytes), ..*line };
        let shown = (!line.is_utf8).then(|| readable(line.bytes));
        let text = shown.as_ref().map_or(line.bytes, |shown| shown.text.as_bytes());
        let masked = self.redactor.mask_line(origin.id, line.lane, text);
        let text = masked.as_ref().map_or(text, |masked| &masked.text);
        let time = match origin.kind {
            _ if line.time != 0 => line.time,
            SourceKind::File | SourceKind::Kubernetes => timestamp(line.bytes, &mut self.zone).unwrap_or(0),
            // A pipe is read as it is written.
            SourceKind::Docker | SourceKind::Process | SourceKind::Otlp | SourceKind::Journal => observed,
        };
        self.tags.of(origin, line, shown.as_ref(), masked.as_ref().map_or(0, |masked| masked.count));
        if !launched.bytes.is_empty() {
            // The journal knows the process.
            let is_known = origin.kind == SourceKind::Journal;
            self.tags.add_prefix(&Prefix { pid: launched.pid.filter(|_| !is_known), ..launched });
        }
        if let Some(exception) = family.and_then(|family| Exception::read(family, prefix(text).after(text))) {
            self.tags.add_exception(&exception);
        } else if severity >= Severity::ERROR
            && let Some(left) = error_file(text)
            && let Some(exception) = Exception::read(Family::Python, left.traceback.as_bytes())
        {
            self.tags.add_exception(&exception);
        }
        let attributes = if launched.names_a_rank() { origin.attributes_without_ranks() } else { &origin.attributes };
        // What we have written ourselves is no malformed protobuf.
        let masked_tags = self.redactor.mask_encoded(Signal::Logs, self.tags.encoded()).ok().flatten();
        let tags = masked_tags.as_ref().map_or(self.tags.encoded(), |masked| &masked.text);
        let fields = Fields {
            time,
            observed,
            severity,
            severity_text,
            body: Text::from_validated(text),
            attributes: [attributes, tags],
            uid: (&origin.uid_prefix, line.at),
            event_name: "",
        };
        let full = self.batcher.push(slot, logger, &fields, Some(line.read_to));
        if self.parse.scalars.is_empty() || !is_first || family.is_some() {
            return full;
        }
        let from = scalars::From { origin, attributes, launched: &launched, at: line.at, time, observed };
        self.scalars_of(slot, text, &from).or(full)
    }
}

/// The writing of lines of one stream into the batch of its run.
pub(super) struct Writing<'a> {
    pub(super) stage: &'a mut Stage,
    origin: &'a Arc<Origin>,
    observed: UnixNanos,
    now: Instant,
    slot: Slot,
    /// Of what was written since the batch was closed.
    account: Account,
    errors: Errors,
    /// The batch that is full. It is not closed while lines are given out that one position covers.
    full: Option<Slot>,
    outcome: io::Result<()>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(stage: &'a mut Stage, origin: &'a Arc<Origin>, observed: UnixNanos, now: Instant) -> Self {
        let slot = stage.batcher.slot(origin, now);
        stage.filter.turn_to(origin, &origin.resource.run_id, now);
        Self {
            stage,
            origin,
            observed,
            now,
            slot,
            account: Account::default(),
            errors: Errors::default(),
            full: None,
            outcome: Ok(()),
        }
    }

    /// Takes the next line of the stream.
    pub(super) fn line(&mut self, lanes: &mut Lanes, line: &Line<'_>) {
        if self.outcome.is_err() {
            return;
        }
        if let Some(part) = line.part {
            // A line that is too long is no part of anything, and is passed on as it comes.
            lanes.joiner(line.lane).close();
            self.give_out(lanes, line.lane);
            let severity = lanes.severity(line.lane);
            let level = match part.index {
                0 => self.level(line.bytes, Severity::INFO),
                _ => Level::unstated(*severity),
            };
            *severity = level.severity;
            self.give_out_alike(lanes, line.lane);
            if part.index == 0 {
                self.hear(line);
                *lanes.is_over_limit(line.lane) = self.is_over_limit(line, self.observed, level, 1);
            }
            lanes.advance(line.read_to);
            let (lines, bytes) = (u64::from(part.index == 0), line.bytes.len() as u64);
            if *lanes.is_over_limit(line.lane) {
                return self.leave_over_limit(line, (lines, bytes));
            }
            let read_to = lanes.given_out(self.origin);
            self.write(&Line { read_to, ..*line }, self.observed, level, (lines, bytes));
            return self.close_full(lanes);
        }
        let is_joined = self.stage.parse.join.is_on && self.origin.is_joined;
        let taken = if is_joined { self.take(lanes, line) } else { Taken::Passes };
        let level = match taken {
            Taken::Alone(family) => {
                let text = &line.bytes[self.stage.parse.rank_prefix.length(line.bytes)..];
                let severity = family.severity(text);
                Level { family: Some(family), ..Level::unstated(severity) }
            }
            Taken::Passes => {
                let found = self.stage.parse.rank_prefix.detect(line.bytes);
                if let Some(found) = found.filter(|_| is_joined)
                    && self.take_head(lanes, line, &found) == Taken::Held
                {
                    return lanes.advance(line.read_to);
                }
                match found {
                    Some(found) => {
                        lanes.follower(line.lane).interrupt();
                        Level::stated(found)
                    }
                    None if is_joined => Level::unstated(Severity::INFO),
                    None => {
                        let follower = lanes.follower(line.lane);
                        let level = follower.level(line.bytes, &self.stage.parse.rank_prefix);
                        Level::unstated(level.unwrap_or(Severity::INFO))
                    }
                }
            }
            Taken::Held | Taken::GiveOut => {
                lanes.advance(line.read_to);
                if lanes.joiner(line.lane).is_settled() {
                    self.give_out(lanes, line.lane);
                    self.close_full(lanes);
                }
                return;
            }
        };
        let from = self.stage.parse.alike.is_on().then(|| lanes.given_out(self.origin));
        lanes.advance(line.read_to);
        let read_to = lanes.given_out(self.origin);
        self.gather(lanes, &Line { read_to, ..*line }, from, self.observed, level, (1, line.bytes.len() as u64));
        self.close_full(lanes);
    }

    /// Takes the next record of a stream whose source tells them apart, which is no part of anything.
    pub(super) fn entry(&mut self, lanes: &mut Lanes, entry: &Entry, level: Level<'_>) {
        if self.outcome.is_err() {
            return;
        }
        self.give_out_all(lanes);
        let read_to = ReadTo::whole(entry.number + 1);
        lanes.advance(read_to);
        let (mut is_over_limit, mut is_left_out) = (false, false);
        for line in parts(&entry.bytes, self.stage.parse.max_line_bytes, entry.at) {
            let line = Line { read_to, time: entry.time, attributes: &entry.attributes, ..line };
            let is_first = line.part.is_none_or(|part| part.index == 0);
            let counted = (u64::from(is_first), line.bytes.len() as u64);
            if is_first {
                self.hear(&line);
                is_over_limit = self.is_over_limit(&line, self.observed, level, 1);
            }
            if is_over_limit {
                self.leave_over_limit(&line, counted);
            } else if is_left_out {
                self.account.bytes_read += counted.1;
                self.stage.leave_out(self.origin, self.observed, &line, level, 0);
            } else {
                let filtered = self.account.lines_filtered;
                self.write(&line, self.observed, level, counted);
                is_left_out = self.account.lines_filtered > filtered;
            }
        }
        // Not between the parts of a text, which a position does not tell apart.
        self.close_full(lanes);
    }

    /// Whether more is held of all streams than there is room for.
    pub(super) fn is_crowded(&self, held_before: usize, lanes: &Lanes) -> bool {
        self.stage.held.bytes - held_before + lanes.bytes() > MAX_HELD_BYTES
    }

    /// Counts states of progress bars that were drawn over.
    pub(super) const fn folded(&mut self, states: u64) {
        self.account.states_folded += states;
    }

    /// Lets the lane's joiner take a line, after what it gives out before.
    fn take(&mut self, lanes: &mut Lanes, line: &Line<'_>) -> Taken {
        let seen = lanes.seen(self.observed, self.now);
        loop {
            let taken = lanes.joiner(line.lane).take(line, seen, &self.stage.parse.rank_prefix, &self.stage.parse.join);
            if taken != Taken::GiveOut {
                return taken;
            }
            self.give_out(lanes, line.lane);
            self.close_full(lanes);
        }
    }

    fn take_head(&self, lanes: &mut Lanes, line: &Line<'_>, found: &Found<'_>) -> Taken {
        let seen = lanes.seen(self.observed, self.now);
        lanes.joiner(line.lane).take_head(line, found, seen, &self.stage.parse.rank_prefix)
    }

    /// Gives out what has waited until then, lane by lane.
    pub(super) fn give_out_waited(&mut self, lanes: &mut Lanes, now: Instant) {
        for lane in lanes.in_order() {
            let joiner = lanes.joiner(lane);
            joiner.expire(now, &self.stage.parse.join);
            if joiner.is_settled() {
                self.give_out(lanes, lane);
                self.close_full(lanes);
            }
            if lanes.alike(lane).deadline(&self.stage.parse.alike).is_some_and(|due| due <= now) {
                self.give_out_alike(lanes, lane);
                self.close_full(lanes);
            }
        }
    }

    /// Gives out all that is held.
    pub(super) fn give_out_all(&mut self, lanes: &mut Lanes) {
        for lane in lanes.in_order() {
            lanes.joiner(lane).close();
            self.give_out(lanes, lane);
            self.give_out_alike(lanes, lane);
            lanes.alike(lane).forget();
            self.close_full(lanes);
        }
    }

    /// Gives out what is held in a lane, all in one batch: one position covers it.
    fn give_out(&mut self, lanes: &mut Lanes, lane: Lane) {
        let read_to = lanes.given_out_with(self.origin, lane);
        let mut joiner = lanes.take(lane);
        joiner.give_out(|given| match given {
            Given::Line(line, Single { observed, from }) => {
                let level = self.level(line.bytes, Severity::INFO);
                let counted = (1, line.bytes.len() as u64);
                self.gather(lanes, &Line { read_to, ..line }, from, observed, level, counted);
            }
            Given::Joined(line, Joined { observed, lines, family, severity, bytes }) => {
                let level = match severity {
                    Some(severity) => Level::unstated(severity),
                    None => self.level(line.bytes, Severity::ERROR),
                };
                let level = Level { family: Some(family), ..level };
                self.gather(lanes, &Line { read_to, ..line }, None, observed, level, (lines, bytes));
            }
        });
        *lanes.joiner(lane) = joiner;
    }

    /// What a text states, or else that level.
    fn level<'t>(&self, text: &'t [u8], otherwise: Severity) -> Level<'t> {
        self.stage.parse.rank_prefix.detect(text).map_or(Level::unstated(otherwise), Level::stated)
    }

    /// Lets a record pass, or holds it with those that are alike. `from` is how far the stream is given out without it;
    /// if nobody knows, it is not held.
    #[inline]
    fn gather(
        &mut self,
        lanes: &mut Lanes,
        line: &Line<'_>,
        from: Option<ReadTo>,
        observed: UnixNanos,
        level: Level<'_>,
        counted: (u64, u64),
    ) {
        self.hear(line);
        if !self.stage.parse.alike.is_on() {
            return self.record(line, observed, level, counted);
        }
        self.gather_alike(lanes, line, from, observed, level, counted);
    }

    /// The same where some are held.
    #[inline(never)]
    fn gather_alike(
        &mut self,
        lanes: &mut Lanes,
        line: &Line<'_>,
        from: Option<ReadTo>,
        observed: UnixNanos,
        level: Level<'_>,
        counted: (u64, u64),
    ) {
        let parse = &self.stage.parse;
        let prefix = parse.rank_prefix.of(line.bytes);
        let is_whole = level.family.is_none() && line.part.is_none() && counted.0 == 1;
        // Each number that is a metric counts, and so does each rank's error.
        let has_numbers = || !parse.scalars.is_empty() && !numbers_in(line.bytes, &parse.scalars).found.is_empty();
        let may_repeat = is_whole && from.is_some() && !has_numbers();
        let rank = Rank::of(&prefix).filter(|_| may_repeat && level.severity < Severity::ERROR);
        let from = from.unwrap_or(line.read_to);
        let prefix = prefix.bytes.len();
        let (severity, now) = (level.severity, self.now);
        let offered = Offered { line, prefix, rank, severity, may_repeat, from, observed, now };
        loop {
            match lanes.alike(line.lane).take(&offered, &self.stage.parse.alike) {
                Fate::Passes => return self.record(line, observed, level, counted),
                Fate::Held => break,
                Fate::GiveOut => self.give_out_alike(lanes, line.lane),
            }
        }
        if lanes.alike(line.lane).is_settled() {
            self.give_out_alike(lanes, line.lane);
        }
    }

    /// Notes which rank has printed a line.
    #[inline]
    fn hear(&mut self, line: &Line<'_>) {
        if self.stage.parse.silent_rank_after.is_none() {
            return;
        }
        let heard = self.stage.hear(self.slot, self.origin, line.bytes, self.now);
        self.full = heard.or(self.full);
    }

    /// Gives out what is held of a lane for being alike, all in one batch.
    fn give_out_alike(&mut self, lanes: &mut Lanes, lane: Lane) {
        let Some(from) = lanes.alike(lane).held_from() else { return };
        let mut alike = std::mem::take(lanes.alike(lane));
        alike.give_out(|given| {
            let level = self.level(given.line.bytes, given.severity);
            // Before the batch is closed, it is told how far the stream is given out with all of them.
            let line = Line { read_to: from, ..given.line };
            self.record(&line, given.observed, level, (given.lines, given.bytes));
        });
        *lanes.alike(lane) = alike;
    }

    /// Writes a record that so many lines of so many bytes became, if they are within the limit, and counts them.
    #[inline]
    fn record(&mut self, line: &Line<'_>, observed: UnixNanos, level: Level<'_>, counted: (u64, u64)) {
        if line.part.is_none_or(|part| part.index == 0) && self.is_over_limit(line, observed, level, counted.0) {
            return self.leave_over_limit(line, counted);
        }
        self.write(line, observed, level, counted);
    }

    /// Whether so many lines, which their level lets through, are more than their stream may print.
    #[inline]
    fn is_over_limit(&mut self, line: &Line<'_>, observed: UnixNanos, level: Level<'_>, lines: u64) -> bool {
        if !self.stage.limit.is_on() {
            return false;
        }
        let time = if line.time == 0 { observed } else { line.time };
        self.stage.filter.lets_through(level.severity, level.logger.as_bytes())
            && !self.stage.limit.admits(self.origin, level.severity, lines, time)
    }

    fn leave_over_limit(&mut self, line: &Line<'_>, (lines, bytes): (u64, u64)) {
        self.account.lines_read += lines;
        self.account.bytes_read += bytes;
        self.stage.redactor.pass_by(self.origin.id, line.lane, line.bytes);
        self.account.lines_limited += lines;
        self.stage.tell_limit(self.origin);
    }

    /// Writes a record that so many lines of so many bytes became, and counts them.
    fn write(&mut self, line: &Line<'_>, observed: UnixNanos, level: Level<'_>, (lines, bytes): (u64, u64)) {
        self.account.lines_read += lines;
        self.account.bytes_read += bytes;
        let time = if line.time == 0 { observed } else { line.time };
        let Some(full) = self.stage.write(self.origin, observed, line, level, self.slot, lines) else {
            self.account.lines_filtered += lines;
            // The filter has counted the record.
            self.origin.tally.lines_filtered[level.severity.range()]
                .fetch_add(lines.saturating_sub(1), Ordering::Relaxed);
            return;
        };
        self.account.lines_kept += lines;
        self.account.records_kept += 1;
        self.stage.scalars.give_to(&mut self.account);
        self.full = full.or(self.full);
        self.stage.heed(&self.origin.resource.run_id, level.severity);
        if level.severity >= Severity::ERROR && line.part.is_none_or(|part| part.index == 0) {
            let prefix = accounts::of_stream(self.stage.parse.rank_prefix.of(line.bytes), self.origin);
            let (text, redactor) = (prefix.after(line.bytes), &mut self.stage.redactor);
            let noted = self.errors.note(&mut self.account, time, &prefix, text, redactor);
            if noted == Some(Cause::OutOfMemory) {
                let alert = self.stage.alert_memory(self.slot, self.origin, &prefix, text, (time, observed));
                self.full = alert.or(self.full);
            }
        }
    }

    /// Closes the batch that is full, in one entry with the lines that it counts.
    fn close_full(&mut self, lanes: &Lanes) {
        if let Some(full) = self.full.take() {
            if self.stage.parse.alike.is_on() {
                self.stage.batcher.advance(self.slot, lanes.given_out(self.origin));
            }
            let account = note(self.origin, std::mem::take(&mut self.account));
            self.stage.batcher.account(self.slot, &account);
            let closed = self.stage.close(full);
            if self.outcome.is_ok() {
                self.outcome = closed;
            }
            self.slot = self.stage.batcher.slot(self.origin, self.now);
        }
    }

    /// Notes how far the stream is given out.
    pub(super) fn end(self, lanes: &Lanes) -> io::Result<Slot> {
        self.outcome?;
        self.stage.batcher.advance(self.slot, lanes.given_out(self.origin));
        self.stage.batcher.account(self.slot, &note(self.origin, self.account));
        Ok(self.slot)
    }
}
