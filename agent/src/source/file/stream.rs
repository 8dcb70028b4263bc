//! What the stream of a file is: whose lines they are, what is wrapped around them, where it was left.

use std::{path::Path, sync::Arc};

use crate::{
    record::{Format, Origin, ReadTo, SourceKind, origin::Stream},
    source::docker,
};

use super::{
    FileSource,
    bookmark::{self, FileBookmark},
    container,
    disk::Handle,
    globs::Globs,
    identity::FileId,
    tail::Awake,
};

/// What has to be known of a file to open its stream.
#[derive(Debug)]
pub struct Known {
    /// Which file it is.
    pub id: FileId,
    /// Tells the contents apart that one file had.
    pub generation: u64,
    /// Where it is.
    pub path: Arc<Path>,
    /// The name under which it was written.
    pub named: Arc<Path>,
    /// How far it was given out.
    pub read_to: ReadTo,
}

impl FileSource {
    /// Follows the logs of a Docker engine's containers as well.
    #[must_use]
    pub fn with_containers(mut self, mut containers: docker::Files) -> Self {
        self.config.paths.extend(containers.patterns());
        self.globs = Arc::new(Globs::new(&self.config.paths, &self.config.exclude, &self.tagging.state_dir));
        self.unclaimed.values().for_each(|unclaimed| containers.was_read(&unclaimed.path()));
        self.containers = Some(containers);
        self
    }

    /// Whether it is the log of a container that is not to be read, or not known yet.
    pub fn is_left_out(&mut self, path: &Path) -> bool {
        let containers = self.containers.as_mut().filter(|containers| containers.has(path));
        containers.is_some_and(|containers| containers.tags(path).is_none())
    }

    /// What a tail needs to read from an open file.
    pub fn awake(&mut self, known: &Known, handle: Arc<dyn Handle>) -> Awake {
        let Known { id, generation, path, named, read_to } = known;
        let containers = self.containers.as_mut().filter(|containers| containers.has(named));
        let (kind, format, tags) = match containers.and_then(|containers| containers.tags(named)) {
            Some(tags) => (SourceKind::Docker, Format::Docker, tags),
            None => (SourceKind::File, self.config.format, self.tags(path, named)),
        };
        let key = id.key();
        let bookmark = Arc::new(FileBookmark::new(*id, Arc::clone(path), *generation, Arc::clone(&handle)));
        let stream = Stream {
            kind,
            identity: &[&self.tagging.agent_id, b"file", key.as_bytes(), &generation.to_le_bytes()],
            resource: tags.resource,
            attributes: tags.attributes,
            level: tags.level,
            tally: self.context.ledger.open(kind, &tags.name),
            bookmark: Arc::clone(&bookmark) as _,
            key: key.clone(),
        };
        Awake { origin: Origin::wrapped(stream, format, *read_to), bookmark, handle }
    }

    /// What the lines of an ordinary file are tagged with.
    fn tags(&self, path: &Path, named: &Path) -> docker::Tags {
        let mut attributes = bookmark::attributes(&self.tagging.attributes, named);
        container::attributes(&mut attributes, named, &self.disk.resolve(path));
        // Kept as long as the file.
        attributes.shrink_to_fit();
        let (resource, level) = (Arc::clone(&self.tagging.resource), self.tagging.level);
        docker::Tags { name: named.display().to_string(), resource, attributes, level }
    }
}
