//! Whose turn it is: streams in turn, so that a loud one does not hold up the others by all that waits of it.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::record::Input;

/// What has come in and is not handled yet. Bounded by what lets it in.
#[derive(Debug, Default)]
pub struct Turns {
    /// In their order, by a digest of the key of their position: what has one key keeps its order, and it does no
    /// harm if more than that does.
    waiting: HashMap<u64, VecDeque<Input>>,
    /// Each stream that has something waiting, once.
    order: VecDeque<u64>,
    /// What is told about all that came before it, and comes after that.
    last: Option<Input>,
}

impl Turns {
    /// Whether more may be added: not behind what comes after all before it.
    pub const fn are_open(&self) -> bool {
        self.last.is_none()
    }

    /// Adds what came next.
    pub fn add(&mut self, input: Input) {
        let key = match &input {
            // It may go on with what another stream held back, and the position of that one may be forgotten next.
            Input::Chunk(chunk) if chunk.is_opening() => {
                self.last = Some(input);
                return;
            }
            Input::Chunk(chunk) => &chunk.origin.key,
            Input::Entries(entries) => &entries.origin.key,
            Input::Pushed(pushed) => &pushed.origin.key,
            Input::Event(_) | Input::Settle(_) => {
                self.last = Some(input);
                return;
            }
        };
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let key = hasher.finish();
        let stream = self.waiting.entry(key).or_default();
        if stream.is_empty() {
            self.order.push_back(key);
        }
        stream.push_back(input);
    }

    /// The next input of the stream whose turn it is.
    pub fn next(&mut self) -> Option<Input> {
        let Some(key) = self.order.pop_front() else { return self.last.take() };
        let stream = self.waiting.get_mut(&key)?;
        let next = stream.pop_front();
        if stream.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.order.push_back(key);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{
        Chunk, Ending, Event, NoBookmark, Origin, Resource, Severity, SourceKind, Tally, origin::Stream,
    };

    fn origin(key: &str) -> Arc<Origin> {
        Origin::new(Stream {
            key: key.to_owned(),
            kind: SourceKind::File,
            identity: &[],
            resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::TRACE,
            tally: Tally::detached(SourceKind::File, key),
            bookmark: Arc::new(NoBookmark),
        })
    }

    fn chunk(key: &str, at: u64) -> Input {
        let (origin, data, marks) = (origin(key), vec![b'x'], Vec::new());
        Input::Chunk(Chunk { origin, at, data, observed: 0, marks, ending: Ending::Open, permit: None })
    }

    fn event() -> Input {
        let (name, body, attributes) = ("ml.run.end", String::new(), Vec::new());
        Input::Event(Event { origin: origin("events"), name, time: 0, severity: Severity::INFO, body, attributes })
    }

    fn all(turns: &mut Turns) -> Vec<String> {
        let name = |input| match input {
            Input::Chunk(chunk) => format!("{}{}", chunk.origin.key, chunk.at),
            _ => "event".to_owned(),
        };
        std::iter::from_fn(|| turns.next()).map(name).collect()
    }

    #[test]
    fn s9_streams_take_turns_and_each_keeps_its_order() {
        let mut turns = Turns::default();
        for at in 0..4 {
            turns.add(chunk("loud", at));
        }
        turns.add(chunk("quiet", 0));
        turns.add(chunk("other", 0));
        turns.add(chunk("quiet", 1));
        assert_eq!(all(&mut turns), ["loud0", "quiet0", "other0", "loud1", "quiet1", "loud2", "loud3"]);
    }

    #[test]
    fn s9_a_stream_is_opened_after_all_that_came_before_it() {
        let mut turns = Turns::default();
        let opening = Input::Chunk(Chunk::opening(origin("b"), 7, 0));
        for input in [chunk("a", 0), chunk("a", 1), opening] {
            turns.add(input);
        }
        assert!(!turns.are_open(), "what comes next has to wait");
        assert_eq!(all(&mut turns), ["a0", "a1", "b7"]);
    }

    #[test]
    fn s9_an_event_comes_after_all_that_came_before_it() {
        let mut turns = Turns::default();
        for input in [chunk("a", 0), chunk("a", 1), chunk("b", 0), event()] {
            assert!(turns.are_open());
            turns.add(input);
        }
        assert!(!turns.are_open(), "what comes next has to wait");
        assert_eq!(all(&mut turns), ["a0", "b0", "a1", "event"]);
        assert!(turns.are_open());
    }
}
