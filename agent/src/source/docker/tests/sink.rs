//! What stands in for the pipeline: collects bytes, and knows the positions after the last whole lines.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    record::{Ending, Input, Origin, ReadTo},
    source::{Outlet, Received},
};

/// By `container/stream`.
type ByStream<T> = BTreeMap<String, T>;

#[derive(Default)]
struct Seen {
    bytes: ByStream<Vec<u8>>,
    closed: ByStream<usize>,
    /// The newest origin and how far its lines are complete.
    lines_to: ByStream<(Arc<Origin>, u64)>,
    positions: BTreeMap<String, Vec<u8>>,
    /// The names of events and what they say, in the order in which they came.
    events: Vec<(&'static str, String)>,
}

pub(super) struct Sink {
    seen: watch::Receiver<Seen>,
    thread: thread::JoinHandle<()>,
}

impl Sink {
    pub(super) fn start(outlet: Outlet) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let thread = thread::spawn(move || {
            loop {
                match outlet.receive(Instant::now() + Duration::from_secs(60)) {
                    Received::Input(input) => sender.send_modify(|seen| seen.take(input)),
                    Received::Nothing => {}
                    Received::Finished => return,
                }
            }
        });
        Self { seen, thread }
    }

    async fn until(&mut self, what: &str, fact: impl Fn(&Seen) -> bool) {
        let fact = self.seen.wait_for(|seen| fact(seen));
        let is_there = matches!(tokio::time::timeout(Duration::from_secs(30), fact).await, Ok(Ok(_)));
        assert!(
            is_there,
            "{what} does not come; there is {:?}, {:?}",
            self.seen.borrow().bytes,
            self.seen.borrow().events
        );
    }

    /// Waits until exactly this was received of the stream.
    pub(super) async fn has(&mut self, stream: &str, text: &str) {
        self.until(stream, |seen| seen.bytes.get(stream).is_some_and(|bytes| bytes == text.as_bytes())).await;
    }

    pub(super) async fn is_closed(&mut self, stream: &str) {
        self.until("an end", |seen| seen.closed.contains_key(stream)).await;
    }

    /// Waits until exactly these events have come.
    pub(super) async fn has_events(&mut self, names: &[&str]) {
        let names_of = |seen: &Seen| seen.events.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        self.until("an event", |seen| names_of(seen) == names).await;
    }

    /// Waits until so many events have come.
    pub(super) async fn count_events(&mut self, count: usize) {
        self.until("an event", |seen| seen.events.len() == count).await;
    }

    /// Waits until an event has come that says exactly this.
    pub(super) async fn has_said(&mut self, name: &str, text: &str) {
        self.until(text, |seen| seen.events.iter().any(|(named, body)| *named == name && body == text)).await;
    }

    pub(super) async fn is_forgotten(&mut self, stream: &str) {
        let key = format!("docker/{stream}");
        self.until("forgetting", |seen| seen.positions.get(&key).is_some_and(Vec::is_empty)).await;
    }

    /// The events, when the source has finished.
    pub(super) fn told(self) -> Vec<(&'static str, String)> {
        self.thread.join().unwrap();
        self.seen.borrow().events.clone()
    }

    /// The bytes and positions, when the source has finished.
    pub(super) fn finish(self) -> (ByStream<Vec<u8>>, BTreeMap<String, Vec<u8>>) {
        self.thread.join().unwrap();
        let seen = self.seen.borrow();
        (seen.bytes.clone(), seen.positions.clone())
    }
}

impl Seen {
    fn take(&mut self, input: Input) {
        let chunk = match input {
            Input::Chunk(chunk) => chunk,
            Input::Event(event) => return self.events.push((event.name, event.body)),
            _ => return,
        };
        // A gap of a container that was not read has no key.
        let stream = chunk.origin.key.strip_prefix("docker/").unwrap_or_default().to_owned();
        if stream.ends_with("/life") {
            let told = chunk.origin.bookmark.at(ReadTo::whole(0)).unwrap();
            self.positions.insert(chunk.origin.key.clone(), told);
            return;
        }
        let end = chunk.at + chunk.data.len() as u64;
        let complete = match memchr::memrchr(b'\n', &chunk.data) {
            _ if chunk.ending == Ending::Closed => Some(end),
            Some(feed) => Some(chunk.at + feed as u64 + 1),
            None => None,
        };
        if !chunk.data.is_empty() {
            let bytes = self.bytes.entry(stream.clone()).or_default();
            if let Some((_, lines_to)) = self.lines_to.get(&stream) {
                assert!(*lines_to <= chunk.at, "{stream} is read twice");
            }
            bytes.extend(&chunk.data);
        }
        if chunk.ending == Ending::Closed {
            *self.closed.entry(stream.clone()).or_default() += 1;
        }
        if let Some(complete) = complete {
            if let Some(bookmark) = chunk.origin.bookmark.at(ReadTo::whole(complete)) {
                self.positions.insert(chunk.origin.key.clone(), bookmark);
            }
            self.lines_to.insert(stream, (chunk.origin, complete));
        }
    }
}
