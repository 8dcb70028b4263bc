//! What the runs of pods are told of their containers: that one was started again, and how it ended.
//!
//! Which life of a container it is stands in the name of its log. How one has ended only the list of pods says, which is
//! asked for when a container has a new life, and now and then while one prints nothing. What was told is kept in the
//! queue like a position. While a container lives it is a stream of its run, in which nothing comes, so that the run's
//! receipt waits for its end.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use prost::Message;

use super::{
    Metadata, PodLog,
    metadata::{Reasoned, State},
    pods::PATIENCE,
};
use crate::{
    record::{
        Bookmark, Chunk, Clock, Event, Input, NoBookmark, Origin, ReadTo, Severity, SourceKind, Tally, UnixNanos,
        origin::Stream,
        wire::{Value, record_attribute},
    },
    source::{Context, Tags},
};

/// How long a container prints nothing before it is asked whether it has ended.
const SILENCE: Duration = Duration::from_secs(5);
/// How long until it is asked again: if something was printed meanwhile, and if not.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));

/// Keys of what was told, in the queue's positions.
const KEY_PREFIX: &str = "kubernetes/";

/// The containers whose logs are read.
pub(super) struct Lives {
    /// Without it only starts are known.
    metadata: Option<Metadata>,
    clock: Arc<dyn Clock>,
    told: BTreeMap<String, Told>,
    known: BTreeMap<String, Life>,
    outgoing: Vec<Input>,
}

/// A container, in its present life.
struct Life {
    uid: String,
    container: String,
    log: PathBuf,
    restarts: i64,
    tags: Tags,
    told: Told,
    /// When it began, as far as that was seen.
    since: Instant,
    /// When it was looked whether it prints, when it was asked for, and when it had printed last then.
    checked: Instant,
    asked: Option<(Instant, SystemTime)>,
    /// For how long its run goes on.
    open: Option<Arc<Origin>>,
}

/// What was told last. A protobuf message of our own; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
struct Told {
    /// Of which life.
    #[prost(int64, tag = "1")]
    restarts: i64,
    /// Whether that life's end was told as well.
    #[prost(bool, tag = "2")]
    has_ended: bool,
    /// Where the container's logs are, for when they are not there any more.
    #[prost(string, tag = "3")]
    folder: String,
}

impl Bookmark for Told {
    fn at(&self, _: ReadTo) -> Option<Vec<u8>> {
        Some(self.encode_to_vec())
    }
}

/// Names a container.
pub(super) fn id(log: &PodLog<'_>) -> String {
    format!("{}/{}", log.uid, log.container)
}

impl Lives {
    /// Goes on from what the queue has.
    pub(super) fn new(metadata: Option<Metadata>, context: &Context) -> Self {
        let told = context.positions.iter().filter_map(|(key, bytes)| {
            let id = key.strip_prefix(KEY_PREFIX)?;
            Some((id.to_owned(), Told::decode(bytes.as_slice()).ok()?))
        });
        Self {
            metadata,
            clock: Arc::clone(&context.clock),
            told: told.collect(),
            known: BTreeMap::new(),
            outgoing: Vec::new(),
        }
    }

    /// A log is read, with lines that are tagged so.
    pub(super) fn opened(&mut self, log: &PodLog<'_>, path: &Path, tags: Tags, now: Instant) {
        let id = id(log);
        let known = self.known.entry(id).or_insert_with_key(|id| {
            let folder = path.parent().unwrap_or(path).display().to_string();
            let told = self.told.remove(id).unwrap_or(Told { folder, ..Told::default() });
            let (uid, container) = (log.uid.to_owned(), log.container.to_owned());
            Life {
                uid,
                container,
                log: path.to_owned(),
                restarts: -1,
                tags: tags.clone(),
                told,
                since: now,
                checked: now,
                asked: None,
                open: None,
            }
        });
        if log.restarts < known.restarts {
            return;
        }
        if log.restarts > known.restarts {
            (known.restarts, known.since) = (log.restarts, now);
            if let Some(metadata) = self.metadata.as_ref().filter(|_| known.restarts > known.told.restarts) {
                metadata.miss();
            }
        }
        if path.extension().is_some_and(|end| end == "log") {
            path.clone_into(&mut known.log);
        }
        if known.open.as_ref().is_some_and(|open| open.resource != tags.resource) {
            self.outgoing.extend(known.close(self.clock.now()));
        }
        known.tags = tags;
    }

    /// What is to be told now.
    pub(super) fn news(&mut self, now: Instant) -> Vec<Input> {
        let time = self.clock.now();
        for life in self.known.values_mut() {
            if life.told.has_ended && life.restarts <= life.told.restarts {
                continue;
            }
            if self.metadata.is_some() && life.open.is_none() {
                let origin = Origin::new(life.stream(String::new(), Arc::new(NoBookmark)));
                self.outgoing.push(Input::Chunk(Chunk::opening(Arc::clone(&origin), 0, time)));
                life.open = Some(origin);
            }
            let state = self.metadata.as_ref().and_then(|metadata| life.state(metadata)).map(|(state, _)| state);
            if life.restarts > life.told.restarts {
                let state = state.filter(|state| state.restarts >= life.restarts);
                if self.metadata.is_none() || state.is_some() || life.since + PATIENCE <= now {
                    let last = state.filter(|state| state.restarts == life.restarts).and_then(|state| state.last);
                    self.outgoing.extend(life.tell_restart(last, time));
                }
            } else if let Some(metadata) = self.metadata.as_ref().filter(|_| life.has_to_be_asked_for(now)) {
                metadata.miss();
            }
        }
        std::mem::take(&mut self.outgoing)
    }

    /// The containers that have ended for good and of which that was not told yet.
    pub(super) fn ending(&self) -> Vec<String> {
        let Some(metadata) = &self.metadata else { return Vec::new() };
        let is_ending =
            |life: &Life| !life.told.has_ended && life.restarts <= life.told.restarts && life.exit(metadata).is_some();
        self.known.iter().filter(|(_, life)| is_ending(life)).map(|(id, _)| id.clone()).collect()
    }

    /// All that such a container has printed was handed over: what is told then.
    pub(super) fn ended(&mut self, id: &str) -> Vec<Input> {
        let time = self.clock.now();
        let (Some(metadata), Some(life)) = (&self.metadata, self.known.get_mut(id)) else { return Vec::new() };
        let Some((end, is_main)) = life.exit(metadata) else { return Vec::new() };
        let mut told = life.tell_end(&end, is_main, time);
        told.extend(life.close(time));
        told
    }

    /// Forgets containers whose logs have been removed. `folder` has those of all pods.
    pub(super) fn look(&mut self, folder: &Path) {
        if !folder.is_dir() {
            return;
        }
        let time = self.clock.now();
        let is_gone = |folder: &str| !Path::new(folder).exists();
        for (_, mut life) in self.known.extract_if(.., |_, life| is_gone(&life.told.folder)) {
            self.outgoing.extend(life.close(time));
            let last = Origin::beside(life.stream(life.key(), Arc::new(NoBookmark)));
            self.outgoing.push(Input::Chunk(Chunk::forgetting_behind(&last, time)));
        }
        for (id, _) in self.told.extract_if(.., |_, told| is_gone(&told.folder)) {
            let key = format!("{KEY_PREFIX}{id}");
            self.outgoing.push(Input::Chunk(Chunk::forgetting(key, SourceKind::Kubernetes, time)));
        }
    }
}

impl Life {
    fn key(&self) -> String {
        format!("{KEY_PREFIX}{}/{}", self.uid, self.container)
    }

    /// What the list says of it, and whether all of its pod is over.
    fn state(&self, metadata: &Metadata) -> Option<(State, bool)> {
        let described = metadata.of(&self.uid)?;
        Some((described.states.get(&self.container)?.clone(), described.is_over))
    }

    /// How it ended, if it will not be started again, and whether it is one that its pod is made for.
    fn exit(&self, metadata: &Metadata) -> Option<(Reasoned, bool)> {
        let (state, _) = self.state(metadata).filter(|(_, is_over)| *is_over)?;
        Some((state.now.filter(|_| state.restarts == self.restarts)?, state.is_main))
    }

    /// Whether it may have ended: it has printed nothing for a while.
    fn has_to_be_asked_for(&mut self, now: Instant) -> bool {
        if self.checked + SILENCE > now {
            return false;
        }
        self.checked = now;
        let Ok(written) = fs::metadata(&self.log).and_then(|metadata| metadata.modified()) else { return false };
        let is_silent = written.elapsed().is_ok_and(|since| since >= SILENCE);
        let (soon, late) = ASK_AGAIN;
        let is_due =
            self.asked.is_none_or(|(asked, before)| asked + if before == written { late } else { soon } <= now);
        if is_silent && is_due {
            self.asked = Some((now, written));
        }
        is_silent && is_due
    }

    fn tell_restart(&mut self, last: Option<Reasoned>, now: UnixNanos) -> Vec<Input> {
        (self.told.restarts, self.told.has_ended) = (self.restarts, false);
        let Tags { name, resource, .. } = &self.tags;
        let mut body =
            format!("container {name} of run {} was started again (restart {})", resource.run_id, self.restarts);
        let mut attributes = Vec::new();
        if let Some(end) = &last {
            body += &format!(", it had ended with {}", end.exit.words());
            end.describe(&mut attributes);
        }
        let time = last.and_then(|end| end.exit.finished).unwrap_or(now);
        self.tell(Some(("ml.run.status", Severity::WARN, body)), time, attributes, now)
    }

    fn tell_end(&mut self, end: &Reasoned, is_main: bool, now: UnixNanos) -> Vec<Input> {
        self.told.has_ended = true;
        let (name, run_id) = (&self.tags.name, &self.tags.resource.run_id);
        let body = format!("container {name} of run {run_id} ended with {}", end.exit.words());
        let mut attributes = Vec::new();
        let (result, severity) =
            if end.exit.is_well() { ("success", Severity::INFO) } else { ("failure", Severity::FATAL) };
        record_attribute(&mut attributes, "ml.run.result", Value::String(result));
        end.describe(&mut attributes);
        // What prepares a pod ends before the run, which it fails all the same.
        let event = (is_main || !end.exit.is_well()).then_some(("ml.run.end", severity, body));
        self.tell(event, end.exit.finished.unwrap_or(now), attributes, now)
    }

    /// An event, and behind it in the same batch that it was told.
    fn tell(
        &self,
        event: Option<(&'static str, Severity, String)>,
        time: UnixNanos,
        attributes: Vec<u8>,
        now: UnixNanos,
    ) -> Vec<Input> {
        let origin = Origin::beside(self.stream(self.key(), Arc::new(self.told.clone())));
        let event = event.map(|(name, severity, body)| {
            Input::Event(Event { origin: Arc::clone(&origin), name, time, severity, body, attributes })
        });
        event.into_iter().chain([Input::Chunk(Chunk::opening(origin, 0, now))]).collect()
    }

    /// Lets its run end.
    fn close(&mut self, now: UnixNanos) -> Option<Input> {
        Some(Input::Chunk(Chunk::closing(self.open.take()?, 0, now)))
    }

    fn stream(&self, key: String, bookmark: Arc<dyn Bookmark>) -> Stream<'static> {
        Stream {
            key,
            kind: SourceKind::Kubernetes,
            identity: &[],
            resource: Arc::clone(&self.tags.resource),
            attributes: self.tags.attributes.clone(),
            level: self.tags.level,
            tally: Tally::detached(SourceKind::Kubernetes, &self.tags.name),
            bookmark,
        }
    }
}
