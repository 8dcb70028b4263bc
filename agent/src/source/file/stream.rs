//! What the stream of a file is: whose lines they are, what is wrapped around them, where it was left.

use std::{path::Path, sync::Arc};

use crate::{
    record::{
        Format, Origin, SourceKind,
        origin::{self, Left},
    },
    source::docker,
};

use super::{
    FileSource,
    bookmark::{self, FileBookmark, Stream},
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
    /// Follows the logs of a Docker engine's containers as well.
    #[must_use]
    pub fn with_containers(mut self, mut containers: docker::Files) -> Self {
        self.config.paths.extend(containers.patterns());
        self.globs = Arc::new(Globs::new(&self.config.paths, &self.config.exclude, &self.tagging.state_dir));
        self.unclaimed.iter().for_each(|position| containers.was_read(&position.path()));
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
        let Known { id, stream, path, named, left } = known;
        let (kind, format, tags) = self.tagged(path, named);
        let bookmark = Arc::new(FileBookmark::new(*id, Arc::clone(path), *stream, Arc::clone(&handle)));
        let of_stream = stream.id.key();
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
        Awake { origin: Origin::wrapped(stream, format, *left), bookmark, handle }
    }

    /// What the lines of a file are tagged with, and what is wrapped around them.
    pub fn tagged(&mut self, path: &Path, named: &Path) -> (SourceKind, Format, docker::Tags) {
        let containers = self.containers.as_mut().filter(|containers| containers.has(named));
        let container = containers.and_then(|containers| Some((containers.tags(named)?, containers)));
        match container {
            Some((tags, containers)) => {
                containers.opened(named);
                (SourceKind::Docker, Format::Docker, tags)
            }
            None => (SourceKind::File, self.config.format, self.tags(path, named)),
        }
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
