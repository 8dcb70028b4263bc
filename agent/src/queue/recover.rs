//! Which files of a directory are segments of the queue, when it is opened there.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    OpenError, Recovery,
    frame::{Kind, Place},
    gone::copy_bytes,
    image::Image,
    replay::{Among, Replay, Replayed},
    segment::{FIRST_FRAME, Found, Opened, SegmentHeader, file_name, find, number_of, payload},
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
                let bytes = file.length().map_err(at(&path))?;
                let found = Candidate { header, file, path, bytes };
                if found.synced_to(1).map_err(at(&found.path))? == 0 {
                    unfinished.push(found.path);
                } else {
                    candidates.push(found);
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
    let newest_says_all = candidates.last().map_or(Ok(false), says_all).map_err(at(dir))?;
    for (index, found) in candidates.iter().enumerate() {
        let place = match candidates.get(index + 1).map(|next| next.header.first_seq) {
            None => Among::Newest { synced_to: found.synced_to(u64::MAX).map_err(at(&found.path))? },
            Some(next_first) if newest_says_all => Among::Told { next_first },
            Some(next_first) => Among::Older { next_first },
        };
        let is_whole = replay.segment(found, place).map_err(at(&found.path))?;
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

impl Candidate {
    pub(super) fn first_place(&self) -> Place {
        Place { queue: self.header.queue, segment: self.header.number, offset: FIRST_FRAME }
    }

    /// Up to where it was synced, by what its intact headers say; once they say at least `enough`, that is told.
    fn synced_to(&self, enough: u64) -> io::Result<u64> {
        let mut place = self.first_place();
        let mut synced_to = 0;
        while synced_to < enough {
            match find(&*self.file, place, self.bytes)? {
                Found::End => break,
                Found::Damage { next } => place = place.at(next),
                Found::Frame(header) => {
                    synced_to = synced_to.max(header.synced_to);
                    place = place.at(place.offset + header.frame_bytes());
                }
            }
        }
        Ok(synced_to)
    }
}

/// Whether a segment begins with an intact snapshot, so that no older one is needed for positions and cursors.
fn says_all(found: &Candidate) -> io::Result<bool> {
    let place = found.first_place();
    match find(&*found.file, place, found.bytes)? {
        Found::Frame(header) if header.kind == Kind::Snapshot => {
            let snapshot = payload(&*found.file, place, &header)?;
            Ok(snapshot.is_some_and(|snapshot| Image::default().apply(Kind::Snapshot, &snapshot).is_some()))
        }
        _ => Ok(false),
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
