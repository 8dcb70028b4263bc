//! What the segments of a queue say, read in order: all of the newest, and of the others no more than the headers as
//! long as the newest begins with an intact snapshot. So a start does not read the backlog.
//!
//! A segment begins with all that is not durable yet, and only when it is synced, proof included, anything of it is
//! called durable. So every entry before its first seq is in a segment before it, and was durable there; what is
//! damaged there was damaged since, and is passed over and counted. Entries from its first seq on do not count there.
//!
//! In the last segment, later frames say up to where it was synced (`synced_to`). After that, frames may be missing
//! or torn in any order: the log ends before the first that is. Those before it are kept in memory and written again
//! into the next segment, since a sync of what a killed process has left may report success without having done
//! anything.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::Arc,
};

use super::{
    Recovery, Seq,
    frame::{Frame, Header, Kind},
    image::Image,
    recover::Candidate,
    segment::{FIRST_FRAME, Found, find, payload},
    state::{Destination, Segment},
};

/// Where a segment stands among the others, and how much of it has to be read.
#[derive(Clone, Copy)]
pub(super) enum Among {
    /// The last one, all of which is read.
    Newest {
        /// Up to where it was synced, by what its intact frames say.
        synced_to: u64,
    },
    /// An older one, all of whose positions and cursors the newest repeats. Its headers say how many entries there
    /// are; what else is damaged is found by the readers that come to it.
    Told {
        /// The first seq of the one after it.
        next_first: Seq,
    },
    /// The same, but the newest does not say all: every payload is needed.
    Older {
        /// The first seq of the one after it.
        next_first: Seq,
    },
}

/// The log as far as it has been read.
#[derive(Default)]
pub(super) struct Replay {
    image: Image,
    segments: VecDeque<Segment>,
    unsynced: VecDeque<Frame>,
    damage: BTreeSet<(u64, u64)>,
    /// The next seq; `None` before the first segment.
    expected: Option<Seq>,
    /// Entries that are missing, as first and one past the last.
    gaps: Vec<(Seq, Seq)>,
    entries: u64,
    entry_bytes: u64,
    torn_bytes: u64,
}

/// The log as it is to be continued.
pub(super) struct Replayed {
    pub image: Image,
    pub segments: VecDeque<Segment>,
    /// Entries that have to be written again.
    pub unsynced: VecDeque<Frame>,
    pub next_seq: Seq,
    pub damage: BTreeSet<(u64, u64)>,
}

impl Replay {
    /// Reads a segment. Says whether it is free of damage, as far as it was looked for.
    pub(super) fn segment(&mut self, found: &Candidate, among: Among) -> io::Result<bool> {
        let number = found.header.number;
        let (synced_to, next_first) = match among {
            Among::Newest { synced_to } => (synced_to, None),
            Among::Told { next_first } | Among::Older { next_first } => (u64::MAX, Some(next_first)),
        };
        let is_written_again = |seq: Seq| next_first.is_some_and(|first| seq >= first);
        self.expect(found.header.first_seq);

        let mut is_whole = true;
        let file = Some(Arc::clone(&found.file));
        let mut segment = Segment { number, readable_to: FIRST_FRAME, file_bytes: found.bytes, last_body: None, file };
        let mut place = found.first_place();
        loop {
            let was_synced = place.offset < synced_to;
            let (next, is_taken) = match find(&*found.file, place, found.bytes)? {
                Found::End => break,
                Found::Damage { next } => (next, false),
                Found::Frame(header) if header.kind.is_numbered() && is_written_again(header.seq) => break,
                Found::Frame(header) if matches!(among, Among::Told { .. }) => {
                    self.count(&header, was_synced, &mut segment);
                    (place.offset + header.frame_bytes(), true)
                }
                Found::Frame(header) => {
                    let payload = payload(&*found.file, place, &header)?;
                    let is_taken = payload.is_some_and(|payload| self.take(&header, payload, was_synced, &mut segment));
                    (place.offset + header.frame_bytes(), is_taken)
                }
            };
            if !is_taken && self.expected.is_some_and(is_written_again) {
                break;
            }
            if !is_taken && !was_synced {
                self.torn_bytes += found.bytes - place.offset;
                break;
            }
            if !is_taken {
                is_whole = false;
                self.damage.insert((number, place.offset));
            }
            place = place.at(next);
            if was_synced {
                segment.readable_to = next;
            }
        }
        self.segments.push_back(segment);
        Ok(is_whole)
    }

    /// Takes in a frame, or says that its payload is malformed.
    fn take(&mut self, header: &Header, payload: Vec<u8>, was_synced: bool, segment: &mut Segment) -> bool {
        if header.kind.is_numbered() && !was_synced {
            let Some(frame) = Frame::from_payload(header, payload) else { return false };
            self.unsynced.push_back(frame);
        } else if self.image.apply(header.kind, &payload).is_none() {
            return false;
        }
        self.count(header, was_synced, segment);
        true
    }

    /// Counts a frame, and notes what is missing before it.
    fn count(&mut self, header: &Header, was_synced: bool, segment: &mut Segment) {
        if header.kind.is_numbered() {
            self.expect(header.seq);
            self.expected = Some(header.seq.next());
        } else {
            // It bears the seq of the entry before it, which may be missing.
            self.expect(header.seq.next());
        }
        if header.kind == Kind::Entry {
            self.entries += 1;
            self.entry_bytes += header.frame_bytes();
            if was_synced {
                segment.last_body = Some(header.seq);
            }
        }
    }

    /// Notes what is missing before `seq`.
    fn expect(&mut self, seq: Seq) {
        if let Some(expected) = self.expected.filter(|expected| *expected < seq) {
            self.gaps.push((expected, seq));
        }
        self.expected = Some(self.expected.unwrap_or(seq).max(seq));
    }

    /// The end, with the cursors of exactly these destinations.
    pub(super) fn finish(mut self, destinations: &[&str], report: &mut Recovery) -> Replayed {
        let found = std::mem::take(&mut self.image.cursors);
        let next_seq = self.expected.unwrap_or(Seq(1));
        // What is appended from here on must not look acknowledged because of a cursor whose entries are lost.
        let cursor = |name: &&str| {
            let acknowledged = found.get(*name).copied().unwrap_or_default();
            ((*name).to_owned(), acknowledged.min(next_seq.before()))
        };
        self.image.cursors = destinations.iter().map(cursor).collect();
        report.removed_destinations = found.into_keys().filter(|name| !self.image.cursors.contains_key(name)).collect();

        // What every destination has is not missed by anybody.
        let wanted = self.image.cursors.values().min().map_or(Seq(u64::MAX), |everyone_has| everyone_has.next());
        report.lost_entries = self.gaps.iter().map(|(from, to)| to.0.saturating_sub(wanted.max(*from).0)).sum();
        report.corrupt_frames = self.damage.len() as u64;
        report.torn_bytes = self.torn_bytes;
        report.entries = self.entries;
        report.bytes = self.entry_bytes;
        Replayed { image: self.image, segments: self.segments, unsynced: self.unsynced, next_seq, damage: self.damage }
    }
}

impl Replayed {
    /// Counts what the destinations wait for. `candidates` are the segments that were read.
    pub(super) fn count_pending(
        &self,
        candidates: &[Candidate],
        destinations: &mut BTreeMap<String, Destination>,
    ) -> io::Result<()> {
        let Some(everyone_has) = destinations.values().map(|known| known.acknowledged).min() else { return Ok(()) };
        let mut count = |header: &Header| destinations.values_mut().for_each(|known| known.add_if_pending(header));
        for (found, segment) in candidates.iter().zip(&self.segments) {
            if segment.last_body <= Some(everyone_has) {
                continue;
            }
            let mut place = found.first_place();
            loop {
                match find(&*found.file, place, segment.readable_to)? {
                    Found::End => break,
                    Found::Damage { next } => place = place.at(next),
                    Found::Frame(header) => {
                        if !self.damage.contains(&(segment.number, place.offset)) {
                            count(&header);
                        }
                        place = place.at(place.offset + header.frame_bytes());
                    }
                }
            }
        }
        self.unsynced.iter().for_each(|frame| count(&frame.header(0)));
        Ok(())
    }
}
