//! What a directory holds when a queue is opened in it.
//!
//! A segment is followed by another only after all of its frames were synced, or after those that were not were
//! written again into the next one. So in every segment but the last, what is damaged was damaged since: it is
//! passed over and counted.
//!
//! In the last one, later frames say up to where it was synced (`synced_to`). Frames after that may be missing or
//! torn in any order: the log ends before the first that is. Those before it are written again into the next
//! segment, since a sync of what a killed process has left may report success without having done anything.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    OpenError, Recovery, Seq,
    frame::{Frame, Header, Kind, Place},
    image::Image,
    segment::{FIRST_FRAME, Found, Opened, SegmentHeader, file_name, find, number_of, payload},
    state::{Destination, Segment},
    storage::{Storage, StoredFile, read_exact, write_all},
};

/// Copies of damaged segments that are kept.
const MAX_COPIES: usize = 4;

const COPY_SUFFIX: &str = ".corrupt";

pub(super) struct Recovered {
    pub id: [u8; 16],
    pub image: Image,
    pub segments: VecDeque<Segment>,
    /// Entries that have to be written again.
    pub unsynced: VecDeque<Frame>,
    pub destinations: BTreeMap<String, Destination>,
    pub next_number: u64,
    pub next_seq: Seq,
    pub damage: BTreeSet<(u64, u64)>,
    pub report: Recovery,
}

/// A segment of this queue that was found.
struct Candidate {
    header: SegmentHeader,
    file: Arc<dyn StoredFile>,
    path: PathBuf,
}

/// Reads everything in `dir`, and cuts or sets aside what is no use.
pub(super) fn recover(storage: &dyn Storage, dir: &Path, destinations: &[&str]) -> Result<Recovered, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| OpenError::Io { path, source }
    };
    let names = storage.list(dir).map_err(at(dir))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();

    // Nothing is touched before it is known that no later version has written here.
    let mut candidates = Vec::new();
    let mut useless = Vec::new();
    for &number in &numbers {
        let path = dir.join(file_name(number));
        let file = storage.open(&path).map_err(at(&path))?;
        match SegmentHeader::read(&*file).map_err(at(&path))? {
            Opened::Segment(header) if header.number == number => candidates.push(Candidate { header, file, path }),
            Opened::Newer(version) => return Err(OpenError::Newer { path, version }),
            Opened::Unfinished if numbers.last() == Some(&number) => useless.push((path, true)),
            Opened::Segment(_) | Opened::Unfinished | Opened::Unreadable => useless.push((path, false)),
        }
    }
    let id = queue_id(&candidates).unwrap_or_else(|| storage.unique());
    let (candidates, foreign): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|found| found.header.queue == id);
    useless.extend(foreign.into_iter().map(|found| (found.path, false)));

    let mut reading = Reading::new(id);
    for (path, unfinished) in useless {
        if unfinished {
            storage.remove(&path).map_err(at(&path))?;
        } else {
            let aside = with_suffix(&path);
            storage.rename(&path, &aside).map_err(at(&path))?;
            reading.report.set_aside.push(aside);
        }
    }
    for (index, found) in candidates.iter().enumerate() {
        let next_first = candidates.get(index + 1).map(|next| next.header.first_seq);
        reading.segment(storage, found, next_first).map_err(at(&found.path))?;
    }
    if !names.is_empty() {
        storage.sync_dir(dir).map_err(at(dir))?;
    }
    let mut recovered = reading.finish(destinations);
    recovered.next_number = numbers.last().map_or(1, |last| last.saturating_add(1));
    for (found, segment) in candidates.iter().zip(&recovered.segments) {
        count_pending(found, segment, &mut recovered.destinations).map_err(at(&found.path))?;
    }
    for frame in &recovered.unsynced {
        for known in recovered.destinations.values_mut() {
            known.add_if_pending(&frame.header(0));
        }
    }
    Ok(recovered)
}

/// The queue that most segments belong to; of several, the one with the oldest segment.
fn queue_id(candidates: &[Candidate]) -> Option<[u8; 16]> {
    let votes = |id: [u8; 16]| candidates.iter().filter(|found| found.header.queue == id).count();
    candidates.iter().rev().map(|found| found.header.queue).max_by_key(|id| votes(*id))
}

/// The log as far as it has been read.
struct Reading {
    id: [u8; 16],
    image: Image,
    segments: VecDeque<Segment>,
    damage: BTreeSet<(u64, u64)>,
    unsynced: VecDeque<Frame>,
    /// The next seq; `None` before the first segment.
    expected: Option<Seq>,
    /// Entries that are missing, as first and one past the last.
    gaps: Vec<(Seq, Seq)>,
    report: Recovery,
}

impl Reading {
    fn new(id: [u8; 16]) -> Self {
        Self {
            id,
            image: Image::default(),
            segments: VecDeque::new(),
            damage: BTreeSet::new(),
            unsynced: VecDeque::new(),
            expected: None,
            gaps: Vec::new(),
            report: Recovery::default(),
        }
    }

    /// Reads a segment; `next_first` is the first seq of the one after it.
    fn segment(&mut self, storage: &dyn Storage, found: &Candidate, next_first: Option<Seq>) -> io::Result<()> {
        let file = &*found.file;
        let number = found.header.number;
        let length = file.length()?;
        let proven = if next_first.is_some() { u64::MAX } else { proven_to(found, length)? };
        let is_written_again = |seq: Seq| next_first.is_some_and(|first| seq >= first);
        self.expect(found.header.first_seq);

        let mut segment = Segment { number, readable_to: FIRST_FRAME, file_bytes: length, last_body: None };
        let mut place = Place { queue: self.id, segment: number, offset: FIRST_FRAME };
        let mut is_damaged = false;
        loop {
            let is_proven = place.offset < proven;
            let (next, is_whole) = match find(file, place, length)? {
                Found::End => break,
                Found::Damage { next } => (next, false),
                Found::Frame(header) if header.kind.is_numbered() && is_written_again(header.seq) => break,
                Found::Frame(header) => {
                    let payload = payload(file, place, &header)?;
                    let is_whole = payload.is_some_and(|payload| self.take(&header, payload, is_proven, &mut segment));
                    (place.offset + header.frame_bytes(), is_whole)
                }
            };
            if !is_whole && self.expected.is_some_and(is_written_again) {
                break;
            }
            if !is_whole && is_proven {
                is_damaged = true;
                self.damage.insert((number, place.offset));
            }
            if !is_whole && !is_proven {
                // A damaged frame that is followed by another is no common torn tail.
                if next < length {
                    self.report.set_aside.extend(copy_aside(storage, found));
                }
                self.report.torn_bytes += length - place.offset;
                file.set_length(place.offset)?;
                segment.file_bytes = place.offset;
                break;
            }
            place = place.at(next);
            if is_proven {
                segment.readable_to = next;
            }
        }
        if is_damaged {
            self.report.set_aside.extend(copy_aside(storage, found));
        }
        self.segments.push_back(segment);
        Ok(())
    }

    /// Takes in a frame, or says that its payload is malformed.
    fn take(&mut self, header: &Header, payload: Vec<u8>, is_proven: bool, segment: &mut Segment) -> bool {
        let is_unsynced = header.kind.is_numbered() && !is_proven;
        if is_unsynced {
            let Some(frame) = Frame::from_payload(header, payload) else { return false };
            self.unsynced.push_back(frame);
        } else if self.image.apply(header.kind, &payload).is_none() {
            return false;
        }
        if header.kind.is_numbered() {
            self.expect(header.seq);
            self.expected = Some(header.seq.next());
        } else {
            // It bears the seq of the entry before it, which may be missing.
            self.expect(header.seq.next());
        }
        if header.kind == Kind::Entry {
            self.report.entries += 1;
            self.report.bytes += header.frame_bytes();
            if is_proven {
                segment.last_body = Some(header.seq);
            }
        }
        true
    }

    /// Notes what is missing before `seq`.
    fn expect(&mut self, seq: Seq) {
        if let Some(expected) = self.expected.filter(|expected| *expected < seq) {
            self.gaps.push((expected, seq));
        }
        self.expected = Some(self.expected.unwrap_or(seq).max(seq));
    }

    fn finish(mut self, destinations: &[&str]) -> Recovered {
        let unknown = |name: &String| !destinations.contains(&name.as_str());
        self.report.removed_destinations = self.image.cursors.keys().filter(|name| unknown(name)).cloned().collect();
        let next_seq = self.expected.unwrap_or(Seq(1));
        self.image.cursors = destinations
            .iter()
            .map(|name| ((*name).to_owned(), self.image.cursors.get(*name).copied().unwrap_or_default()))
            .collect();
        let everyone_has = self.image.cursors.values().min().copied().unwrap_or(Seq(u64::MAX));
        let wanted = everyone_has.next();
        self.report.corrupt_frames = self.damage.len() as u64;
        self.report.lost_entries = self.gaps.iter().map(|(from, to)| to.0.saturating_sub(wanted.max(*from).0)).sum();
        Recovered {
            id: self.id,
            destinations: self
                .image
                .cursors
                .iter()
                .map(|(name, seq)| (name.clone(), Destination { acknowledged: *seq, ..Destination::default() }))
                .collect(),
            image: self.image,
            segments: self.segments,
            unsynced: self.unsynced,
            next_number: 1,
            next_seq,
            damage: self.damage,
            report: self.report,
        }
    }
}

/// Up to where a segment was synced, by what its intact headers say.
fn proven_to(found: &Candidate, length: u64) -> io::Result<u64> {
    let mut place = Place { queue: found.header.queue, segment: found.header.number, offset: FIRST_FRAME };
    let mut proven = 0;
    loop {
        match find(&*found.file, place, length)? {
            Found::End => return Ok(proven),
            Found::Damage { next } => place = place.at(next),
            Found::Frame(header) => {
                proven = proven.max(header.synced_to);
                place = place.at(place.offset + header.frame_bytes());
            }
        }
    }
}

/// Adds the entries of a segment to what is pending, once the cursors are known.
fn count_pending(
    found: &Candidate,
    segment: &Segment,
    destinations: &mut BTreeMap<String, Destination>,
) -> io::Result<()> {
    let lowest = destinations.values().map(|known| known.acknowledged).min();
    if segment.last_body.is_none_or(|last| lowest.is_none_or(|lowest| last <= lowest)) {
        return Ok(());
    }
    let mut place = Place { queue: found.header.queue, segment: segment.number, offset: FIRST_FRAME };
    loop {
        match find(&*found.file, place, segment.readable_to)? {
            Found::End => return Ok(()),
            Found::Damage { next } => place = place.at(next),
            Found::Frame(header) => {
                for known in destinations.values_mut() {
                    known.add_if_pending(&header);
                }
                place = place.at(place.offset + header.frame_bytes());
            }
        }
    }
}

/// Keeps a copy of a damaged segment for a person to look at, if there is none yet and it can be done.
fn copy_aside(storage: &dyn Storage, found: &Candidate) -> Option<PathBuf> {
    let copies = storage.list(found.path.parent()?).ok()?.iter().filter(|name| name.ends_with(COPY_SUFFIX)).count();
    if copies >= MAX_COPIES {
        return None;
    }
    let aside = with_suffix(&found.path);
    let copy = storage.create(&aside).ok()?;
    let copied = copy_bytes(&*found.file, &*copy);
    if copied.is_err() {
        // Half a copy helps nobody, and a disk that is full does not stop the start.
        let _ = storage.remove(&aside);
    }
    copied.is_ok().then_some(aside)
}

fn copy_bytes(from: &dyn StoredFile, to: &dyn StoredFile) -> io::Result<()> {
    let mut bytes = vec![0; 256 * 1024];
    let length = from.length()?;
    let mut offset = 0;
    while offset < length {
        let part_bytes = (length - offset).min(bytes.len() as u64);
        let part = &mut bytes[..part_bytes as usize];
        read_exact(from, part, offset)?;
        write_all(to, &mut [IoSlice::new(part)], offset)?;
        offset += part_bytes;
    }
    Ok(())
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(COPY_SUFFIX);
    PathBuf::from(name)
}
