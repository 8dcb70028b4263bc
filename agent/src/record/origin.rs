//! Where bytes come from, with everything about them that does not change from line to line.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Format, ReadTo, Severity, Tally, wire};

/// The kinds of source, as `runlog.source.kind` and in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// A log file.
    File,
    /// A container of a Docker engine.
    Docker,
    /// A container of a Kubernetes pod.
    Kubernetes,
    /// A process that runlog started, or standard input.
    Process,
    /// A program that sends OTLP.
    Otlp,
    /// The journal of systemd.
    Journal,
}

impl SourceKind {
    /// Whether such a stream ends with a container, and a run with the last of them.
    #[must_use]
    pub const fn is_of_container(self) -> bool {
        matches!(self, Self::Docker | Self::Kubernetes)
    }

    /// The word used in attributes and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
            Self::Process => "process",
            Self::Otlp => "otlp",
            Self::Journal => "journal",
        }
    }
}

/// An OTLP `Resource`: constant for one run on one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The run that all records under this resource belong to.
    pub run_id: String,
    /// The bytes of the `opentelemetry.proto.resource.v1.Resource` message.
    pub encoded: Vec<u8>,
}

/// Tells where in a stream reading has to start again.
///
/// The queue stores the answer beside the batch, so that a stream's position and its lines cannot disagree.
pub trait Bookmark: Send + Sync + fmt::Debug {
    /// The source's own description of how far the stream is in the queue.
    ///
    /// Called once a batch, with offsets that only grow. `None` if the stream cannot be read again; nothing in it
    /// if the position is to be forgotten.
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>>;
}

/// For streams that cannot be read twice, such as a pipe.
#[derive(Debug, Clone, Copy)]
pub struct NoBookmark;

impl Bookmark for NoBookmark {
    fn at(&self, _: ReadTo) -> Option<Vec<u8>> {
        None
    }
}

/// For streams that are gone: the queue need not keep their positions.
#[derive(Debug, Clone, Copy)]
pub struct Forgotten;

impl Bookmark for Forgotten {
    fn at(&self, _: ReadTo) -> Option<Vec<u8>> {
        Some(Vec::new())
    }
}

/// One stream of bytes: one generation of a file, the stdout of a container, a pipe.
#[derive(Debug)]
pub struct Origin {
    /// Unique in this process; cheaper to compare than the key.
    pub id: u64,
    /// Names the stream's position in the queue, the same after a restart.
    pub key: String,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Its run and everything that is the same for all of its run.
    pub resource: Arc<Resource>,
    /// Record attributes of every line, already encoded by [`wire::record_attribute`].
    pub attributes: Vec<u8>,
    /// The same for lines that name a rank themselves; `None` if there are no ranks among them.
    unranked: Option<Vec<u8>>,
    /// The `log.record.uid` attribute of every line up to the 16 hexadecimal digits of the offset.
    pub uid_prefix: Vec<u8>,
    /// Lines below this level are counted and left out.
    pub level: Severity,
    /// How its lines are counted.
    pub tally: Arc<Tally>,
    /// Where to read on after a restart.
    pub bookmark: Arc<dyn Bookmark>,
    /// What is wrapped around its lines.
    pub format: Format,
    /// Where it was left before it was opened.
    pub left: Left,
    /// Whether lines of it that are one thing, such as a traceback, become one record.
    pub is_joined: bool,
    /// Whether nobody waits for its end: it stands in for a stream whose lines were left out and are sent after all, or
    /// brings what is told beside one.
    pub is_stand_in: bool,
}

/// Where a stream was left, to be read on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// How far it was given out.
    pub read_to: ReadTo,
    /// Where the line begins of which a first part was given out; `None` between lines.
    pub inside_line: Option<u64>,
    /// The [`Origin::id`] that it had until now, where nobody has stopped in between: the file was opened anew, or its
    /// bytes are read from another file. What is held back of a line is not read again.
    pub formerly: Option<u64>,
}

impl Left {
    /// What is still to be known of it once the stream was read on to `offset`.
    #[must_use]
    pub fn after(self, offset: u64) -> Self {
        let Self { read_to, inside_line, .. } = self;
        Self {
            read_to: ReadTo { offset, lanes: read_to.lanes.map(|lane| lane.max(offset)) },
            inside_line: inside_line.filter(|_| read_to.offset == offset),
            formerly: None,
        }
    }
}

impl From<ReadTo> for Left {
    fn from(read_to: ReadTo) -> Self {
        Self { read_to, ..Self::default() }
    }
}

/// What a source knows when it opens a stream; [`Origin::new`] derives the rest.
#[derive(Debug)]
pub struct Stream<'a> {
    /// See [`Origin::key`].
    pub key: String,
    /// See [`Origin::kind`].
    pub kind: SourceKind,
    /// Tells this generation of the stream from any other, on any agent; the input of the uid.
    pub identity: &'a [&'a [u8]],
    /// See [`Origin::resource`].
    pub resource: Arc<Resource>,
    /// See [`Origin::attributes`].
    pub attributes: Vec<u8>,
    /// See [`Origin::level`].
    pub level: Severity,
    /// See [`Origin::tally`].
    pub tally: Arc<Tally>,
    /// See [`Origin::bookmark`].
    pub bookmark: Arc<dyn Bookmark>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Origin {
    /// Opens a stream of plain lines.
    #[must_use]
    pub fn new(stream: Stream<'_>) -> Arc<Self> {
        Self::wrapped(stream, Format::Plain, Left::default())
    }

    /// Opens a stream of lines that may be wrapped.
    #[must_use]
    pub fn wrapped(stream: Stream<'_>, format: Format, left: impl Into<Left>) -> Arc<Self> {
        Arc::new(Self::open(stream, format, left.into()))
    }

    /// The same where each line is to be a record of its own.
    #[must_use]
    pub fn unjoined(stream: Stream<'_>, format: Format, left: impl Into<Left>) -> Arc<Self> {
        Arc::new(Self { is_joined: false, ..Self::open(stream, format, left.into()) })
    }

    /// What is told of a run beside its streams. Whoever waits for their ends does not wait for this one's.
    #[must_use]
    pub fn beside(stream: Stream<'_>) -> Arc<Self> {
        Arc::new(Self { is_stand_in: true, ..Self::open(stream, Format::Plain, Left::default()) })
    }

    fn open(stream: Stream<'_>, format: Format, left: Left) -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            uid_prefix: wire::uid_prefix(stream.identity),
            unranked: without_ranks(&stream.attributes),
            key: stream.key,
            kind: stream.kind,
            resource: stream.resource,
            attributes: stream.attributes,
            level: stream.level,
            tally: stream.tally,
            bookmark: stream.bookmark,
            format,
            left,
            is_joined: true,
            is_stand_in: false,
        }
    }

    /// What lines of this stream are sent under that were recorded before. It moves no position, and whoever waits for
    /// the end of the stream does not wait for it.
    #[must_use]
    pub fn stand_in(&self) -> Arc<Self> {
        let mut attributes = self.attributes.clone();
        wire::record_attribute(&mut attributes, "runlog.replayed", wire::Value::Bool(true));
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            key: String::new(),
            kind: self.kind,
            resource: Arc::clone(&self.resource),
            unranked: without_ranks(&attributes),
            attributes,
            uid_prefix: self.uid_prefix.clone(),
            level: self.level,
            tally: Arc::clone(&self.tally),
            bookmark: Arc::new(NoBookmark),
            format: self.format,
            left: Left::default(),
            is_joined: self.is_joined,
            is_stand_in: true,
        })
    }

    /// The attributes of lines that name a rank: of a launcher's lines its own ranks are not those of the line.
    #[must_use]
    pub fn attributes_without_ranks(&self) -> &[u8] {
        self.unranked.as_ref().unwrap_or(&self.attributes)
    }
}

fn without_ranks(attributes: &[u8]) -> Option<Vec<u8>> {
    let is_rank = |key| matches!(key, "ml.rank" | "ml.local_rank" | "ml.world_size");
    let record = wire::RecordView::read(attributes).ok()?;
    let mut others = Vec::new();
    let mut has_ranks = false;
    for (key, value) in record.attributes().filter_map(Result::ok) {
        if is_rank(key) {
            has_ranks = true;
        } else {
            wire::record_attribute(&mut others, key, value);
        }
    }
    has_ranks.then_some(others)
}

#[cfg(test)]
mod tests {
    use super::{
        wire::{Value, record_attribute},
        *,
    };

    #[test]
    fn a_launchers_ranks_are_left_out_of_lines_that_have_their_own() {
        let encoded = |all: &[(&str, Value<'_>)]| {
            let mut bytes = Vec::new();
            all.iter().for_each(|(key, value)| record_attribute(&mut bytes, key, *value));
            bytes
        };
        let (path, stream) = (("log.file.path", Value::String("/a")), ("log.iostream", Value::String("stderr")));
        let ranks = ["ml.rank", "ml.local_rank", "ml.world_size"].map(|key| (key, Value::Int(0)));
        let all = encoded(&[path, ranks[0], ranks[1], ranks[2], stream]);
        assert_eq!(without_ranks(&all), Some(encoded(&[path, stream])));
        assert_eq!(without_ranks(&encoded(&[path])), None);
    }
}
