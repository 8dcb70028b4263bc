//! Records that a source tells apart itself, and may state the level of.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Weak},
    time::Instant,
};

use crate::{
    parse::{Line, Prefixes, join::Follower, parts},
    record::{Account, Cause, Entries, Entry, Lane, Origin, ReadTo, Severity, wire::Text},
};

use super::{Stage, errors::Errors, note, writing::Level};

/// Which streams of such records are inside a traceback.
#[derive(Debug, Default)]
pub(super) struct Followers(HashMap<u64, (Weak<Origin>, Follower)>);

impl Followers {
    /// Forgets those of streams that are gone.
    pub(super) fn forget_ended(&mut self) {
        self.0.retain(|_, (origin, _)| origin.strong_count() > 0);
    }

    fn take(&mut self, origin: &Origin) -> Follower {
        self.0.remove(&origin.id).map(|(_, follower)| follower).unwrap_or_default()
    }

    fn keep(&mut self, origin: &Arc<Origin>, follower: Follower) {
        if !follower.is_idle() {
            self.0.insert(origin.id, (Arc::downgrade(origin), follower));
        }
    }
}

impl Stage {
    /// Writes records into their batch, and notes how far their stream is read with them.
    pub(super) fn entries(&mut self, entries: &Entries) -> io::Result<()> {
        let (origin, now) = (&entries.origin, Instant::now());
        if !entries.entries.is_empty() {
            origin.tally.heard(entries.observed);
        }
        let mut follower = self.followers.take(origin);
        let mut slot = self.batcher.slot(origin, now);
        self.filter.turn_to(origin, &origin.resource.run_id, now);
        let mut account = Account::default();
        let mut errors = Errors::default();
        for entry in &entries.entries {
            account.lines_read += 1;
            account.bytes_read += entry.bytes.len() as u64;
            let level = level(entry, &mut follower, &self.parse.rank_prefix);
            let time = if entry.time == 0 { entries.observed } else { entry.time };
            if self.filter.lets_through(level.severity, level.logger.as_bytes())
                && !self.limit.admits(origin, level.severity, 1, time)
            {
                self.redactor.pass_by(origin.id, Lane::Bare, &entry.bytes);
                account.lines_limited += 1;
                self.tell_limit(origin);
                continue;
            }
            let (mut is_left_out, mut full) = (false, self.hear(slot, origin, &entry.bytes, now));
            for line in parts(&entry.bytes, self.parse.max_line_bytes, entry.at) {
                let read_to = ReadTo::whole(entry.number + 1);
                let line = Line { read_to, time: entry.time, attributes: &entry.attributes, ..line };
                if is_left_out {
                    self.leave_out(origin, entries.observed, &line, level, 0);
                    continue;
                }
                let Some(closing) = self.write(origin, entries.observed, &line, level, slot, 1) else {
                    is_left_out = true;
                    continue;
                };
                full = closing.or(full);
                account.records_kept += 1;
            }
            self.scalars.give_to(&mut account);
            account.lines_kept += u64::from(!is_left_out);
            account.lines_filtered += u64::from(is_left_out);
            if !is_left_out && level.severity >= Severity::ERROR {
                self.heed(&origin.resource.run_id, level.severity);
                let prefix = self.parse.rank_prefix.of(&entry.bytes);
                let text = prefix.after(&entry.bytes);
                let noted = errors.note(&mut account, entry.time, &prefix, text, &mut self.redactor);
                if noted == Some(Cause::OutOfMemory) {
                    full = self.alert_memory(slot, origin, &prefix, text, (time, entries.observed)).or(full);
                }
            }
            // Not between the parts of a text, which a position does not tell apart.
            if let Some(full) = full {
                self.batcher.account(slot, &note(origin, std::mem::take(&mut account)));
                self.close(full)?;
                slot = self.batcher.slot(origin, now);
            }
        }
        self.batcher.advance(slot, ReadTo::whole(entries.read_to));
        self.batcher.account(slot, &note(origin, account));
        self.followers.keep(origin, follower);
        Ok(())
    }
}

/// What stands beside the text counts, else what the text says.
fn level<'a>(entry: &'a Entry, follower: &mut Follower, prefixes: &Prefixes) -> Level<'a> {
    let beside = Text::new(&entry.logger);
    if let Some((severity, word)) = entry.level {
        return Level { text: Text::new(word), logger: beside, ..Level::unstated(severity) };
    }
    let level = match prefixes.detect(&entry.bytes) {
        Some(found) => {
            follower.interrupt();
            Level::stated(found)
        }
        None => Level::unstated(follower.level(&entry.bytes, prefixes).unwrap_or(Severity::INFO)),
    };
    if entry.logger.is_empty() { level } else { Level { logger: beside, ..level } }
}
