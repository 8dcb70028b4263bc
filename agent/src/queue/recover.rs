//! Which files of a directory are segments of the queue, when it is opened there.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    OpenError, Recovery,
    frame::Place,
    gone::copy_bytes,
    replay::{Replay, Replayed},
    segment::{FIRST_FRAME, Found, Opened, SegmentHeader, file_name, find, number_of},
    state::Destination,
    storage::{Storage, StoredFile},
};

/// Copies of damaged segments that are kept.
const MAX_COPIES: usize = 4;

const COPY_SUFFIX: &str = ".corrupt";

/// What was found.
pub(super) struct Recovered {
    pub log: Replayed,
    pub id: [u8; 16],
    pub next_number: u64,
    pub destinations: BTreeMap<String, Destination>,
    pub report: Recovery,
}

/// A segment of this queue that was found.
pub(super) struct Candidate {
    pub header: SegmentHeader,
    pub file: Arc<dyn StoredFile>,
    pub path: PathBuf,
    pub bytes: u64,
    /// Up to where it was synced, by what its intact frames say.
    pub synced_to: u64,
}

/// Reads everything in `dir`, and sets aside what is no use.
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
    let mut unfinished = Vec::new();
    // Files that others have put here do not use up our numbers.
    let mut newest = 0;
    let mut useless = Vec::new();
    for &number in &numbers {
        let path = dir.join(file_name(number));
        let file = storage.open(&path).map_err(at(&path))?;
        match SegmentHeader::read(&*file).map_err(at(&path))? {
            Opened::Newer(version) => return Err(OpenError::Newer { path, version }),
            Opened::Segment(header) if header.number == number => {
                newest = newest.max(number);
                match synced_to(&*file, header).map_err(at(&path))? {
                    (_, 0) => unfinished.push(path),
                    (bytes, synced_to) => candidates.push(Candidate { header, file, path, bytes, synced_to }),
                }
            }
            Opened::Unfinished if numbers.last() == Some(&number) => unfinished.push(path),
            Opened::Segment(_) | Opened::Unfinished | Opened::Unreadable => useless.push(path),
        }
    }
    let id = queue_id(&candidates).unwrap_or_else(|| storage.unique());
    let (candidates, foreign): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|found| found.header.queue == id);
    useless.extend(foreign.into_iter().map(|found| found.path));

    let mut report = Recovery::default();
    // What was to be in a segment that was never finished is in those before it, or was never durable.
    for path in unfinished {
        storage.remove(&path).map_err(at(&path))?;
    }
    for path in useless {
        let aside = with_suffix(&path);
        storage.rename(&path, &aside).map_err(at(&path))?;
        report.set_aside.push(aside);
    }
    if !names.is_empty() {
        storage.sync_dir(dir).map_err(at(dir))?;
    }

    let mut replay = Replay::default();
    for (index, found) in candidates.iter().enumerate() {
        let next_first = candidates.get(index + 1).map(|next| next.header.first_seq);
        let is_whole = replay.segment(found, next_first).map_err(at(&found.path))?;
        if !is_whole {
            report.set_aside.extend(copy_aside(storage, found));
        }
    }
    let log = replay.finish(destinations, &mut report);
    let mut waiting: BTreeMap<_, _> =
        log.image.cursors.iter().map(|(name, seq)| (name.clone(), Destination::after(*seq))).collect();
    log.count_pending(&candidates, &mut waiting).map_err(at(dir))?;
    Ok(Recovered { log, id, next_number: newest.saturating_add(1), destinations: waiting, report })
}

/// The queue that most segments belong to; of several, the one with the oldest segment.
fn queue_id(candidates: &[Candidate]) -> Option<[u8; 16]> {
    let votes = |id: [u8; 16]| candidates.iter().filter(|found| found.header.queue == id).count();
    candidates.iter().rev().map(|found| found.header.queue).max_by_key(|id| votes(*id))
}

/// The bytes of a segment, and up to where its intact headers say that it was synced.
fn synced_to(file: &dyn StoredFile, header: SegmentHeader) -> io::Result<(u64, u64)> {
    let bytes = file.length()?;
    let mut place = Place { queue: header.queue, segment: header.number, offset: FIRST_FRAME };
    let mut synced_to = 0;
    loop {
        match find(file, place, bytes)? {
            Found::End => return Ok((bytes, synced_to)),
            Found::Damage { next } => place = place.at(next),
            Found::Frame(header) => {
                synced_to = synced_to.max(header.synced_to);
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
    let copied = copy_bytes(&*found.file, found.bytes, &*copy);
    if copied.is_err() {
        // Half a copy helps nobody, and a disk that is full does not stop the start.
        let _ = storage.remove(&aside);
    }
    copied.is_ok().then_some(aside)
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(COPY_SUFFIX);
    PathBuf::from(name)
}
