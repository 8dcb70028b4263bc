//! The logs of one container: which entries are new, and the chunks that they become.
//!
//! Each reading of the logs starts before the place where the last one ended. One stream is the anchor: its ring
//! says where in the engine's order of entries the place is, and how far the other stream had come there. From
//! there on offsets alone decide what was handed over already.

#[cfg(test)]
mod tests;

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use super::{
    engine::Make,
    frame::{Entry, Framing, PIECE, Seam, Stdio},
    place::{Place, Position, Step, Tail},
    repeats::Repeats,
    ring::{Aligner, DISORDER, Print, Reach, Sight},
    tagging::Tags,
};
use crate::record::{
    Chunk, Ending, Format, Input, Ledger, Mark, Origin, SourceKind, Tally, UnixNanos,
    origin::{Left, Stream as Opening},
    wire::{Value, record_attribute},
};
use crate::source::gap::gap;
use prost::Message;

/// Bytes of a chunk at most.
const CHUNK: usize = 64 * 1024;

/// How the place is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approach {
    /// Shortly before it, by time.
    Near,
    /// In everything that the engine has, once.
    Whole,
    /// In everything, while following: the engine's times do not lead to it.
    Patient,
}

/// What to ask the engine for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Leave out older entries; `None` for all.
    pub since: Option<UnixNanos>,
    /// Whether the answer may go on for ever.
    pub follow: bool,
    /// See [`super::frame::Decoder::new`].
    pub seams: Vec<Seam>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Taken {
    /// It was taken, or passed because it was known.
    Fine,
    /// The place will not be found in this reading: ask for another one.
    Lost,
}

/// The logs of one container, over all connections and restarts.
#[derive(Debug)]
pub(super) struct Log {
    id: String,
    make: Make,
    tags: Tags,
    ledger: Arc<Ledger>,
    framing: Framing,
    epoch: UnixNanos,
    approach: Approach,
    /// The anchor, while the place is being looked for.
    seeking: Option<(Aligner, Stdio)>,
    streams: [Stream; 2],
    outgoing: Vec<Input>,
    /// When the present reading received its last bytes.
    observed: UnixNanos,
    /// The time of the last entry before a gap that was not reported yet.
    gap: Option<UnixNanos>,
    repeats: Repeats,
}

#[derive(Debug, Default)]
struct Stream {
    place: Option<Arc<Place>>,
    /// Payload bytes up to the next entry of this reading.
    read_to: u64,
    /// Payload bytes that were handed over.
    sent_to: u64,
    origin: Option<Arc<Origin>>,
    /// Bytes before `sent_to` that wait for company.
    data: Vec<u8>,
    marks: Vec<Mark>,
}

/// The key under which the queue keeps a stream's position.
pub(super) fn key(id: &str, stdio: Stdio) -> String {
    format!("docker/{id}/{}", stdio.as_str())
}

impl Log {
    /// The logs of a container, to be read on where the queue says. An unreadable position is no position.
    pub(super) fn new(
        id: &str,
        make: Make,
        framing: Framing,
        tags: Tags,
        ledger: Arc<Ledger>,
        stored: [Option<&[u8]>; 2],
    ) -> Self {
        let positions = stored.map(|bytes| bytes.filter(|b| !b.is_empty()).and_then(|b| Position::decode(b).ok()));
        let epoch = positions.iter().flatten().map(|position| position.epoch).max().unwrap_or(0);
        let streams = positions.map(|position| match position {
            Some(position) if position.epoch == epoch => Stream {
                sent_to: position.consumed,
                place: Some(Arc::new(Place::resumed(&position))),
                ..Stream::default()
            },
            _ => Stream::default(),
        });
        Self {
            id: id.to_owned(),
            make,
            tags,
            ledger,
            framing,
            epoch,
            approach: Approach::Near,
            seeking: None,
            streams,
            outgoing: Vec::new(),
            observed: 0,
            gap: None,
            repeats: Repeats::default(),
        }
    }

    /// Starts a reading. `follow` if the container may still write.
    pub(super) fn begin(&mut self, follow: bool, now: UnixNanos) -> Request {
        self.observed = now;
        self.repeats.begin();
        let tails = [0, 1].map(|i| self.streams[i].place.as_ref().map(|place| place.tail()));
        let seams = tails.iter().flatten().flat_map(|tail| tail.ring.seams().iter().copied()).collect();
        let follow = follow && self.approach != Approach::Whole;
        // Podman's times are whole seconds, which leaves too little to know entries by. It removes none before all, so
        // they are counted from the first.
        let anchor = if self.make == Make::Podman { None } else { self.anchor(&tails) };
        let Some((anchor, tail)) = anchor else {
            self.seeking = None;
            self.streams.iter_mut().for_each(|stream| stream.read_to = 0);
            return Request { since: (self.epoch > 0).then(|| self.epoch + 1), follow, seams };
        };
        let reach = if self.approach == Approach::Near { Reach::Near } else { Reach::Whole };
        let aligner = Aligner::new(&tail.ring, reach);
        // After the clock was set back the engine would leave out what is new.
        let near = reach == Reach::Near && tail.ring.newest() <= Some(now.saturating_add(DISORDER));
        let since = near.then(|| aligner.since());
        self.streams[anchor as usize].read_to = tail.end;
        self.streams[1 - anchor as usize].read_to = tail.beside;
        self.seeking = Some((aligner, anchor));
        Request { since, follow, seams }
    }

    /// A stream whose place in the engine's order has nothing before it that the other stream still needs.
    fn anchor<'a>(&self, tails: &'a [Option<Tail>; 2]) -> Option<(Stdio, &'a Tail)> {
        let candidates = Stdio::BOTH.into_iter().filter_map(|stdio| {
            let tail = tails[stdio as usize].as_ref().filter(|tail| !tail.ring.is_empty())?;
            (self.streams[1 - stdio as usize].sent_to >= tail.beside).then_some((stdio, tail))
        });
        candidates.max_by_key(|(_, tail)| tail.ring.newest())
    }

    /// Whether nothing is taken because the place has not come yet.
    pub(super) const fn is_seeking(&self) -> bool {
        self.seeking.is_some()
    }

    /// Whether that is the entry which was taken last of its stream.
    pub(super) fn is_newest(&self, entry: &Entry<'_>) -> bool {
        let place = self.streams[entry.stdio as usize].place.as_ref();
        let last = place.and_then(|place| place.tail().ring.runs().back().map(|run| run.print));
        last == Some(Print::of(entry.time, entry.payload))
    }

    /// Says when the entries that follow were received.
    pub(super) const fn received(&mut self, now: UnixNanos) {
        self.observed = now;
    }

    /// Looks at the next entry of this reading.
    pub(super) fn entry(&mut self, entry: Entry<'_>) -> Taken {
        let print = Print::of(entry.time, entry.payload);
        let Some((aligner, anchor)) = &mut self.seeking else { return self.take(entry, print) };
        if entry.stdio == *anchor {
            match aligner.see(print) {
                Sight::Found => self.found(),
                Sight::Passed if self.approach == Approach::Near => return Taken::Lost,
                Sight::Passed | Sight::NotYet => {}
            }
        }
        Taken::Fine
    }

    fn found(&mut self) {
        self.seeking = None;
        if self.approach == Approach::Patient {
            // Later entries may well be found by time again.
            self.approach = Approach::Near;
        }
    }

    fn take(&mut self, entry: Entry<'_>, print: Print) -> Taken {
        // Podman repeats none, and its times cannot tell.
        if self.make == Make::Docker && self.repeats.is_one(&entry, print) {
            return Taken::Fine;
        }
        let beside = self.streams[1 - entry.stdio as usize].read_to;
        let stream = &mut self.streams[entry.stdio as usize];
        let start = stream.read_to;
        let end = start + entry.payload.len() as u64;
        let place = stream.place.get_or_insert_with(|| Arc::new(Place::new(self.epoch, print.digest)));
        if start == 0 && place.generation() != print.digest {
            return Taken::Lost;
        }
        place.read(Step { print, start, end, beside });
        stream.read_to = end;
        let known = stream.sent_to.saturating_sub(start).min(entry.payload.len() as u64);
        self.hand_over(entry.stdio, entry.time, &entry.payload[usize::try_from(known).unwrap_or(usize::MAX)..]);
        // Podman cuts where its monitor stopped reading, so there the length of a piece says nothing.
        let is_short = entry.payload.len() < PIECE && self.make == Make::Docker;
        if is_short && !entry.payload.ends_with(b"\n") {
            self.finish_line(entry);
        }
        Taken::Fine
    }

    fn hand_over(&mut self, stdio: Stdio, time: UnixNanos, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let stream = &mut self.streams[stdio as usize];
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - stream.data.len()));
            stream.data.extend_from_slice(now);
            stream.sent_to += now.len() as u64;
            let mark = Mark { end: stream.data.len(), time };
            match stream.marks.last_mut() {
                Some(last) if last.time == time => *last = mark,
                _ => stream.marks.push(mark),
            }
            if stream.data.len() == CHUNK {
                self.flush_stream(stdio, Ending::Open);
            }
            bytes = later;
        }
    }

    /// A short piece without a line feed is the last of a writer that ended: what follows is another's.
    fn finish_line(&mut self, entry: Entry<'_>) {
        let stream = &self.streams[entry.stdio as usize];
        if let (Framing::Raw, Some(place)) = (self.framing, &stream.place) {
            place.seam(Seam { time: entry.time, length: entry.payload.len() });
        }
        if stream.sent_to == stream.read_to {
            self.close_stream(entry.stdio);
        }
    }

    /// Makes chunks of what was taken; they wait in [`Log::outgoing`].
    pub(super) fn flush(&mut self) {
        for stdio in Stdio::BOTH {
            if !self.streams[stdio as usize].data.is_empty() {
                self.flush_stream(stdio, Ending::Open);
            }
        }
    }

    /// Says that the container has ended and all its entries were read. It may be started again.
    pub(super) fn close(&mut self) {
        Stdio::BOTH.into_iter().for_each(|stdio| self.close_stream(stdio));
    }

    /// Lets the queue drop the positions: the container does not exist any more.
    pub(super) fn forget(&mut self) {
        for stdio in Stdio::BOTH {
            if let Some(place) = &self.streams[stdio as usize].place {
                place.forget();
                self.flush_stream(stdio, Ending::Closed);
            }
        }
    }

    fn close_stream(&mut self, stdio: Stdio) {
        let stream = &self.streams[stdio as usize];
        if stream.origin.is_some() || !stream.data.is_empty() {
            self.flush_stream(stdio, Ending::Closed);
        }
    }

    fn flush_stream(&mut self, stdio: Stdio, ending: Ending) {
        let Some(origin) = self.origin(stdio) else { return };
        let stream = &mut self.streams[stdio as usize];
        let data = mem::take(&mut stream.data);
        origin.tally.bytes_read.fetch_add(data.len() as u64, Ordering::Relaxed);
        let at = stream.sent_to - data.len() as u64;
        let marks = mem::take(&mut stream.marks);
        if let Some(last) = marks.last().filter(|last| last.time > 0) {
            origin.tally.read_to(stream.sent_to, last.time);
        }
        if ending == Ending::Closed {
            stream.origin = None;
            self.ledger.close(&origin.tally);
        }
        if let (Some(from), Some(first)) = (self.gap, marks.first()) {
            self.gap = None;
            let body =
                format!("lines of {} are missing: the engine removed them before they were read", origin.tally.name);
            let between = [("runlog.gap.from_unix_nano", from), ("runlog.gap.to_unix_nano", first.time)];
            self.outgoing.push(Input::Event(gap(Arc::clone(&origin), first.time, body, &between)));
        }
        let observed = self.observed;
        self.outgoing.push(Input::Chunk(Chunk { origin, at, data, observed, marks, ending, permit: None }));
    }

    /// The stream as the pipeline knows it; opened when its first bytes are handed over.
    fn origin(&mut self, stdio: Stdio) -> Option<Arc<Origin>> {
        let stream = &mut self.streams[stdio as usize];
        if stream.origin.is_none() {
            let place = Arc::clone(stream.place.as_ref()?);
            let mut attributes = self.tags.attributes.clone();
            record_attribute(&mut attributes, "log.iostream", Value::String(stdio.as_str()));
            let opening = Opening {
                key: key(&self.id, stdio),
                kind: SourceKind::Docker,
                identity: &[self.id.as_bytes(), stdio.as_str().as_bytes(), &place.generation().to_be_bytes()],
                resource: Arc::clone(&self.tags.resource),
                attributes,
                level: self.tags.level,
                tally: self.ledger.open(SourceKind::Docker, &format!("{}/{}", self.tags.name, stdio.as_str())),
                bookmark: place,
            };
            stream.origin = Some(match self.tags.is_joined {
                true => Origin::new(opening),
                false => Origin::unjoined(opening, Format::Plain, Left::default()),
            });
        }
        stream.origin.clone()
    }

    /// The engine has nothing more to send for now, for all that it shows.
    pub(super) fn caught_up(&self) {
        self.tallies().for_each(|tally| tally.caught_up());
    }

    /// How much there is to read cannot be seen any more, for that reason.
    pub(super) fn lost_sight(&self, trouble: &impl std::fmt::Display) {
        for tally in self.tallies() {
            tally.failed(trouble);
            tally.lost_sight();
        }
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.streams.iter().filter_map(|stream| stream.origin.as_ref()).map(|origin| &*origin.tally)
    }

    /// Payload bytes that were handed over, to see whether a connection was worth it.
    pub(super) fn sent(&self) -> u64 {
        self.streams.iter().map(|stream| stream.sent_to).sum()
    }

    /// What its lines are tagged with.
    pub(super) const fn tags(&self) -> &Tags {
        &self.tags
    }

    /// What is ready for the pipeline, in order. The caller takes it all.
    pub(super) const fn outgoing(&mut self) -> &mut Vec<Input> {
        &mut self.outgoing
    }

    /// The place was not found in this reading. The next one looks further, or gives the place up.
    pub(super) fn lost(&mut self) {
        if self.seeking.take().is_some() && self.approach != Approach::Whole {
            self.approach = Approach::Whole;
        } else {
            self.give_up();
        }
    }

    /// The engine held everything of this reading back: it may leave out what is new for its time, which is earlier than
    /// that of older entries.
    pub(super) fn mistrust_times(&mut self) {
        self.approach = Approach::Patient;
    }

    /// The reading came to its end with the place found.
    pub(super) fn read_through(&mut self) {
        if self.approach == Approach::Whole {
            self.approach = Approach::Patient;
        }
    }

    /// Entries are missing between what was read and what the engine has: goes on with what is newer.
    fn give_up(&mut self) {
        let newest = |stream: &Stream| stream.place.as_ref().and_then(|place| place.tail().ring.newest());
        // If the clock was set back, what it says now is later than what was read last.
        let last = self.streams.iter().filter_map(newest).max().unwrap_or(self.epoch).min(self.observed);
        self.close();
        tracing::warn!(
            container = %self.tags.name,
            last_read_unix_nano = last,
            "what was read last is not in the container's logs any more, lines after it are missing"
        );
        self.gap = Some(last);
        self.epoch = last;
        self.approach = Approach::Near;
        self.streams = [Stream::default(), Stream::default()];
    }
}
