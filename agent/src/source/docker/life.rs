//! What the run of a container is told of it: that it started, how it ended, whether it is well, what is missing of it. The
//! agent's own run is told of its containers' gaps alone.
//!
//! What was told is kept in the queue like a position, in the same entry as the event, so that an agent that is started
//! again neither repeats it nor leaves a run without its end because nobody looked when its container ended. While it
//! lives it is a stream of its run, in which nothing comes, so that the run's receipt waits for its end.

use std::{collections::BTreeMap, sync::Arc};

use prost::Message;

use super::{
    change::Condition,
    stamp,
    tagging::{Container, Tags},
};
use crate::{
    record::{
        Bookmark, Chunk, Event, Input, NoBookmark, Origin, ReadTo, Resource, Severity, SourceKind, Tally, UnixNanos,
        origin::Stream,
        wire::{Value, record_attribute},
    },
    run::RunId,
};

pub(super) use crate::source::exit::Exit;

#[cfg(test)]
mod tests;

/// The exit code after SIGKILL.
const KILLED: i64 = 128 + 9;

/// How long after the end of a container it may become known that memory was short.
pub(super) const MEMORY_LATE: UnixNanos = 1_000_000_000;

/// The lives of one container, from each start to the end that follows.
#[derive(Debug)]
pub(super) struct Life {
    key: String,
    tags: Tags,
    /// Whether its run begins and ends with it. The agent's own does not.
    has_own_run: bool,
    told: Told,
    /// For how long its run goes on.
    open: Option<Arc<Origin>>,
}

/// What was told last. A protobuf message of our own; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
struct Told {
    /// Of which life: when it began, as the engine writes times. Empty if of none.
    #[prost(string, tag = "1")]
    started_at: String,
    /// Whether that life's end was told as well.
    #[prost(bool, tag = "2")]
    has_ended: bool,
    /// The container's name, its run, and the bytes of the resource, for when it is not there any more.
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    run_id: String,
    #[prost(bytes = "vec", tag = "5")]
    resource: Vec<u8>,
    /// Whether its run was the agent's own.
    #[prost(bool, tag = "6")]
    is_of_agents_run: bool,
}

/// The key under which the queue keeps what was told of a container.
pub(super) fn key(id: &str) -> String {
    format!("docker/{id}/life")
}

/// The lives of all containers of which something was told, with their ids.
pub(super) fn left_behind(positions: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = (&str, Life)> {
    positions.iter().filter_map(|(key, bytes)| {
        let id = key.strip_prefix("docker/")?.strip_suffix("/life")?;
        let told = Told::decode(bytes.as_slice()).ok().filter(|told| !told.started_at.is_empty())?;
        let resource = Resource { run_id: told.run_id.clone(), encoded: told.resource.clone() };
        let (name, resource) = (told.name.clone(), Arc::new(resource));
        let tags = Tags { name, resource, attributes: Vec::new(), level: Severity::UNSPECIFIED, is_joined: true };
        Some((id, Life { key: key.clone(), tags, has_own_run: !told.is_of_agents_run, told, open: None }))
    })
}

impl Life {
    /// The lives of a container from where the queue says. What cannot be read counts as nothing told.
    pub(super) fn new(id: &str, tags: Tags, agents_run: &RunId, stored: Option<&[u8]>) -> Self {
        Self {
            key: key(id),
            has_own_run: tags.resource.run_id != agents_run.as_str(),
            tags,
            told: stored.and_then(|bytes| Told::decode(bytes).ok()).unwrap_or_default(),
            open: None,
        }
    }

    /// Whether a start was told and its end was not.
    pub(super) const fn is_open(&self) -> bool {
        !self.told.started_at.is_empty() && !self.told.has_ended
    }

    /// Tells what is new when the container is seen like that. `last` is how it ended before, if that is known.
    pub(super) fn seen(&mut self, container: &Container, last: Option<Exit>, now: UnixNanos) -> Vec<Input> {
        if container.started_at.is_empty() {
            return Vec::new();
        }
        if container.started_at == self.told.started_at {
            // Its engine is about to start it again.
            let exit = container.exit.as_ref().filter(|_| container.running);
            let mut inputs = self.open(now);
            inputs.extend(exit.map_or_else(Vec::new, |exit| self.ended(Some(exit), now)));
            return inputs;
        }
        let started = stamp::parse(container.started_at.as_bytes()).unwrap_or(now);
        let last = last.filter(|exit| exit.finished.is_some_and(|finished| finished <= started));
        let mut inputs = self.ended(last.as_ref(), now.min(started));
        let Tags { name, resource, .. } = &self.tags;
        let body = format!("container {name} of run {} started", resource.run_id);
        self.told = Told {
            started_at: container.started_at.clone(),
            has_ended: false,
            name: name.clone(),
            run_id: resource.run_id.clone(),
            resource: resource.encoded.clone(),
            is_of_agents_run: !self.has_own_run,
        };
        inputs.extend(self.tell("ml.run.start", started, Severity::INFO, body, Vec::new(), now));
        inputs.extend(self.open(now));
        inputs
    }

    /// Tells how the container ended, unless that was told before. `now` is when, if `exit` does not know.
    pub(super) fn ended(&mut self, exit: Option<&Exit>, now: UnixNanos) -> Vec<Input> {
        if !self.is_open() {
            return Vec::new();
        }
        let mut inputs = self.open(now);
        self.told.has_ended = true;
        inputs.extend(self.tell_end(exit, now));
        let closing = self.open.take().map(|open| Input::Chunk(Chunk::closing(open, 0, now)));
        inputs.extend(closing);
        inputs
    }

    /// Lets the run go on until the end was told, if that is still to come.
    fn open(&mut self, now: UnixNanos) -> Vec<Input> {
        if !self.is_open() || self.open.is_some() {
            return Vec::new();
        }
        let open = self.open.insert(origin(&self.tags, String::new(), Arc::new(NoBookmark)));
        vec![Input::Chunk(Chunk::opening(Arc::clone(open), 0, now))]
    }

    fn tell_end(&self, exit: Option<&Exit>, now: UnixNanos) -> Vec<Input> {
        let (name, run_id) = (&self.tags.name, &self.tags.resource.run_id);
        let Some(exit) = exit else {
            let body = format!("container {name} of run {run_id} has ended, how is not known");
            return self.tell("ml.run.end", now, Severity::WARN, body, Vec::new(), now);
        };
        let time = exit.finished.unwrap_or(now);
        let mut attributes = Vec::new();
        record_attribute(
            &mut attributes,
            "ml.run.result",
            Value::String(if exit.is_well() { "success" } else { "failure" }),
        );
        record_attribute(&mut attributes, "process.exit.code", Value::Int(exit.code));
        if let Some(start) = stamp::parse(self.told.started_at.as_bytes()) {
            let seconds = time.saturating_sub(start) as f64 / 1e9;
            record_attribute(&mut attributes, "ml.run.duration", Value::Double(seconds));
        }
        if exit.is_oom_killed {
            record_attribute(&mut attributes, "runlog.oom_killed", Value::Bool(true));
        }
        let severity = if exit.is_well() { Severity::INFO } else { Severity::FATAL };
        let body = format!("container {name} of run {run_id} ended with {}", exit.words());
        self.tell("ml.run.end", time, severity, body, attributes, now)
    }

    /// Tells how the container ended, unless that was told before, and lets the queue drop that: it does not exist any
    /// more.
    pub(super) fn gone(&mut self, exit: Option<&Exit>, now: UnixNanos) -> Vec<Input> {
        let mut told = self.ended(exit, now);
        if !self.told.started_at.is_empty() {
            // Behind the event, which nobody would tell otherwise.
            let last = origin(&self.tags, self.key.clone(), Arc::new(NoBookmark));
            told.push(Input::Chunk(Chunk::forgetting_behind(&last, now)));
        }
        told
    }

    /// Tells of a container that was removed while nobody looked, and forgets it. What it printed last nobody has read.
    pub(super) fn vanished(mut self, exit: Option<&Exit>, now: UnixNanos) -> Vec<Input> {
        let mut told = self.open(now);
        if self.is_open() {
            told.extend(cut_short(&self.tags, exit, now));
        }
        told.extend(self.gone(exit, now));
        told
    }

    /// An event, and behind it in the same batch that it was told. The agent's own run is told of neither start nor end,
    /// and what is kept says all the same whether the container was read to its end.
    fn tell(
        &self,
        name: &'static str,
        time: UnixNanos,
        severity: Severity,
        body: String,
        attributes: Vec<u8>,
        now: UnixNanos,
    ) -> Vec<Input> {
        let origin = Origin::beside(stream(&self.tags, self.key.clone(), Arc::new(self.told.clone())));
        let event = Event { name, time, severity, body, attributes, origin: Arc::clone(&origin) };
        let event = self.has_own_run.then_some(Input::Event(event));
        event.into_iter().chain([Input::Chunk(Chunk::opening(origin, 0, now))]).collect()
    }
}

impl Bookmark for Told {
    fn at(&self, _: ReadTo) -> Option<Vec<u8>> {
        Some(self.encode_to_vec())
    }
}

impl Exit {
    /// Whether it was killed just now, and for want of memory for all that is known: engines hear of both on ways of
    /// their own.
    pub(super) fn may_be_killed_for_memory(&self, now: UnixNanos) -> bool {
        let is_new = self.finished.is_none_or(|finished| now.saturating_sub(finished) < MEMORY_LATE);
        self.code == KILLED && !self.is_oom_killed && is_new
    }
}

/// Tells what a container's health check has found.
pub(super) fn health(tags: &Tags, condition: Condition, time: UnixNanos) -> Input {
    let (word, severity) = match condition {
        Condition::Healthy => ("healthy", Severity::INFO),
        Condition::Unhealthy => ("unhealthy", Severity::WARN),
    };
    let mut attributes = Vec::new();
    record_attribute(&mut attributes, "runlog.container.health", Value::String(word));
    let body = format!("container {} of run {} is {word}", tags.name, tags.resource.run_id);
    let origin = origin(tags, String::new(), Arc::new(NoBookmark));
    Input::Event(Event { name: "ml.run.status", time, severity, body, attributes, origin })
}

/// Tells that lines of a container are missing, because it was removed before all of them were read.
pub(super) fn cut_short(tags: &Tags, exit: Option<&Exit>, now: UnixNanos) -> [Input; 2] {
    let ended = exit.map_or_else(String::new, |exit| format!(" ended with {} and", exit.words()));
    let body = format!("lines of {} may be missing: the container{ended} was removed before all were read", tags.name);
    let mut attributes = Vec::new();
    if let Some(exit) = exit {
        record_attribute(&mut attributes, "process.exit.code", Value::Int(exit.code));
    }
    let origin = origin(tags, String::new(), Arc::new(NoBookmark));
    let event = Event {
        name: "runlog.gap",
        time: exit.and_then(|exit| exit.finished).unwrap_or(now),
        severity: Severity::WARN,
        body,
        attributes,
        origin: Arc::clone(&origin),
    };
    // The run's account has the gap, and the run ends with its last stream.
    [Input::Event(event), Input::Chunk(Chunk::closing(origin, 0, now))]
}

fn origin(tags: &Tags, key: String, bookmark: Arc<dyn Bookmark>) -> Arc<Origin> {
    Origin::new(stream(tags, key, bookmark))
}

fn stream(tags: &Tags, key: String, bookmark: Arc<dyn Bookmark>) -> Stream<'static> {
    Stream {
        key,
        kind: SourceKind::Docker,
        identity: &[],
        resource: Arc::clone(&tags.resource),
        attributes: tags.attributes.clone(),
        level: tags.level,
        tally: Tally::detached(SourceKind::Docker, &tags.name),
        bookmark,
    }
}
