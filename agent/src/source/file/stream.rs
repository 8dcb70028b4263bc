//! What the stream of a file is: whose lines they are, what is wrapped around them, where it was left.

use std::{path::Path, sync::Arc, time::Instant};

use crate::{
    record::{
        Format, Origin, SourceKind,
        origin::{self, Left},
    },
    source::Tags,
};

use super::{
    Claim, FileSource, Owners,
    bookmark::{self, FileBookmark, Stream},
    container,
    disk::Handle,
    globs::Globs,
    identity::FileId,
    tail::{Awake, Tail},
    tails::Slot,
};

/// What has to be known of a file to open its stream.
#[derive(Debug)]
pub struct Known {
    /// Which file it is.
    pub id: FileId,
    /// Which stream its bytes are.
    pub stream: Stream,
    /// Where it is.
    pub path: Arc<Path>,
    /// The name under which it was written.
    pub named: Arc<Path>,
    /// Where it was left.
    pub left: Left,
}

impl FileSource {
    /// Follows the logs of those as well.
    #[must_use]
    pub fn with(mut self, mut owners: Box<dyn Owners>) -> Self {
        self.unclaimed.iter().for_each(|position| owners.was_read(&position.path()));
        self.owners.push(owners);
        self.make_globs();
        self
    }

    fn make_globs(&mut self) {
        // Those of owners first, so that a log with a name elsewhere is found as theirs.
        let mut paths: Vec<String> = self.owners.iter().flat_map(|owners| owners.patterns()).collect();
        paths.extend_from_slice(&self.config.paths);
        self.globs = Arc::new(Globs::new(&paths, &self.config.exclude, &self.tagging.state_dir));
    }

    /// Walks through the globs of owners that have others now.
    pub fn move_globs(&mut self) {
        // Each is asked, since it tells only once.
        let moved = self.owners.iter_mut().filter_map(|owners| owners.has_moved().then_some(())).count();
        if moved > 0 {
            self.make_globs();
            self.next_walk = Instant::now();
        }
    }

    /// Whether the file at that path is read.
    pub fn claim(&mut self, path: &Path) -> Claim {
        if self.owners.is_empty() {
            return Claim::Wanted;
        }
        if let Some(owners) = self.owners.iter_mut().find(|owners| owners.has(path)) {
            return owners.claim(path);
        }
        // The kubelet makes a second name for each log. Its owners are asked when the first one is found.
        let resolved = self.disk.resolve(path);
        let is_second_name = resolved != path && self.owners.iter().any(|owners| owners.has(&resolved));
        if is_second_name { Claim::Unwanted } else { Claim::Wanted }
    }

    /// Whether it is a path of somebody's log that is read, or may be.
    pub fn is_owned(&mut self, path: &Path) -> bool {
        let owners = self.owners.iter_mut().find(|owners| owners.has(path));
        owners.is_some_and(|owners| {
            matches!(owners.claim(path), Claim::Wanted | Claim::Undecided) && owners.tags(path).is_some()
        })
    }

    /// What a tail needs to read from an open file.
    pub fn awake(&mut self, known: &Known, handle: Arc<dyn Handle>) -> Awake {
        let Known { id, stream, path, named, left } = known;
        let (kind, format, tags) = self.tagged(path, named);
        let bookmark = Arc::new(FileBookmark::new(*id, Arc::clone(path), *stream, Arc::clone(&handle)));
        let (of_stream, is_joined) = (stream.id.key(), tags.is_joined);
        let stream = origin::Stream {
            kind,
            identity: &[&self.tagging.agent_id, b"file", of_stream.as_bytes(), &stream.generation.to_le_bytes()],
            resource: tags.resource,
            attributes: tags.attributes,
            level: tags.level,
            tally: self.context.ledger.open(kind, &tags.name),
            bookmark: Arc::clone(&bookmark) as _,
            key: id.key(),
        };
        let origin = match is_joined {
            true => Origin::wrapped(stream, format, *left),
            false => Origin::unjoined(stream, format, *left),
        };
        Awake { origin, bookmark, handle }
    }

    /// What the lines of a file are tagged with, and what is wrapped around them.
    pub fn tagged(&mut self, path: &Path, named: &Path) -> (SourceKind, Format, Tags) {
        let owners = self.owners.iter_mut().find(|owners| owners.has(named));
        match owners.and_then(|owners| Some((owners.tags(named)?, owners))) {
            Some((tags, owners)) => {
                owners.opened(named);
                (owners.kind(), owners.format(), tags)
            }
            None => (SourceKind::File, self.config.format, self.tags(path, named)),
        }
    }

    /// Whether the owner of a removed file may still write to it.
    pub fn may_be_written(&self, tail: &Tail) -> bool {
        self.owners.iter().any(|owners| owners.has(tail.path()) && owners.may_be_written(tail.path()))
    }

    /// Closes files that would be tagged otherwise now. Nothing of them is on its way, so that the next lines can go
    /// into a batch of another run without overtaking any.
    pub fn tag_anew(&mut self) {
        if self.owners.is_empty() {
            return;
        }
        let has_news = |tail: &Tail| self.owners.iter().any(|owners| owners.has_news(tail.named()));
        let is_due = |(_, tail): &(Slot, &Tail)| tail.is_open() && tail.is_idle() && has_news(tail);
        let due: Vec<Slot> = self.tails.iter().filter(is_due).map(|(slot, _)| slot).collect();
        for slot in due {
            if let Some(awake) = self.tails.sleep(slot) {
                self.context.ledger.close(&awake.origin.tally);
            }
        }
    }

    /// What the lines of an ordinary file are tagged with.
    fn tags(&self, path: &Path, named: &Path) -> Tags {
        let mut attributes = bookmark::attributes(&self.tagging.attributes, named);
        container::attributes(&mut attributes, named, &self.disk.resolve(path));
        // Kept as long as the file.
        attributes.shrink_to_fit();
        let (resource, level) = (Arc::clone(&self.tagging.resource), self.tagging.level);
        Tags { name: named.display().to_string(), resource, attributes, level, is_joined: true }
    }
}
