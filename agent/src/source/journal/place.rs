//! How far the journal is in the queue.
//!
//! The journal is read once for all units, in its own order, while entries of several runs close in batches of their
//! own, in any order. So the position is the last entry up to which all are in the queue, and for each stream that is
//! further, how far. A restart begins at the first and passes over what the second says.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message;

use crate::record::{Bookmark, ReadTo};

use super::cursor::{Cursor, Standing};

/// The bytes of a position. Fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
struct Position {
    /// The last entry up to which all are in the queue.
    #[prost(string, tag = "1")]
    cursor: String,
    /// Streams of which more is.
    #[prost(message, repeated, tag = "2")]
    ahead: Vec<Ahead>,
}

/// How far a stream is in the queue.
#[derive(Clone, PartialEq, Eq, Message)]
struct Ahead {
    #[prost(string, tag = "1")]
    stream: String,
    #[prost(string, tag = "2")]
    cursor: String,
}

/// Where an earlier process was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resumed {
    /// The last entry up to which all are in the queue.
    pub cursor: Option<Cursor>,
    /// Streams of which more is, and how far.
    pub ahead: BTreeMap<String, Cursor>,
}

impl Resumed {
    /// What stands in a position; nothing if it cannot be read.
    pub(super) fn of(position: Option<&[u8]>) -> Self {
        let Some(position) = position.and_then(|bytes| Position::decode(bytes).ok()) else { return Self::default() };
        Self {
            cursor: Some(position.cursor).filter(|text| !text.is_empty()).map(Cursor::new),
            ahead: position.ahead.into_iter().map(|ahead| (ahead.stream, Cursor::new(ahead.cursor))).collect(),
        }
    }
}

/// What was read and is not known to be in the queue.
#[derive(Debug, Default)]
pub(super) struct Place(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Up to which all entries are in the queue.
    cursor: Option<Cursor>,
    /// Entries behind it, in their order; the first is not in the queue.
    waiting: VecDeque<Waiting>,
    /// Streams of which an earlier process has put more into the queue.
    ahead: BTreeMap<String, Cursor>,
}

#[derive(Debug)]
struct Waiting {
    cursor: Cursor,
    /// `None` for what nobody waits for: an entry that is not wanted.
    of: Option<(u64, Arc<str>)>,
    is_queued: bool,
}

impl Place {
    pub(super) fn resumed(resumed: Resumed) -> Arc<Self> {
        let Resumed { cursor, ahead } = resumed;
        Arc::new(Self(Mutex::new(State { cursor, waiting: VecDeque::new(), ahead })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the next entry: number `number` of the stream.
    pub(super) fn read(&self, cursor: Cursor, number: u64, stream: &Arc<str>) {
        let waiting = Waiting { cursor, of: Some((number, Arc::clone(stream))), is_queued: false };
        self.state().waiting.push_back(waiting);
    }

    /// Notes that the next entry is passed over.
    pub(super) fn pass(&self, cursor: Cursor) {
        let mut state = self.state();
        match state.waiting.back_mut() {
            None => state.cursor = Some(cursor),
            Some(last) if last.of.is_none() => last.cursor = cursor,
            Some(_) => state.waiting.push_back(Waiting { cursor, of: None, is_queued: true }),
        }
    }

    /// Whether an earlier process has put that entry of a stream into the queue.
    pub(super) fn is_known(&self, cursor: &Cursor, stream: &str) -> bool {
        self.state().ahead.get(stream).is_some_and(|known| cursor.standing(known) == Standing::NotLater)
    }

    /// Entries of `stream` with numbers below `read_to` are in the queue with what is being closed.
    fn queued(&self, stream: &str, read_to: u64) -> Vec<u8> {
        let mut state = self.state();
        for waiting in &mut state.waiting {
            let is_of_it = |(number, of): &(u64, Arc<str>)| *number < read_to && **of == *stream;
            waiting.is_queued |= waiting.of.as_ref().is_some_and(is_of_it);
        }
        while let Some(first) = state.waiting.pop_front_if(|first| first.is_queued) {
            state.cursor = Some(first.cursor);
        }
        let State { cursor, ahead, .. } = &mut *state;
        ahead.retain(|_, known| cursor.as_ref().is_none_or(|at| at.standing(known) == Standing::NotLater));
        let mut ahead = state.ahead.clone();
        let further = state.waiting.iter().filter(|waiting| waiting.is_queued);
        ahead.extend(further.filter_map(|waiting| Some((waiting.of.as_ref()?.1.to_string(), waiting.cursor.clone()))));
        let ahead = ahead.into_iter().map(|(stream, cursor)| Ahead { stream, cursor: cursor.as_str().to_owned() });
        let cursor = state.cursor.as_ref().map(|cursor| cursor.as_str().to_owned()).unwrap_or_default();
        Position { cursor, ahead: ahead.collect() }.encode_to_vec()
    }
}

/// The position as one of the journal's streams moves it.
#[derive(Debug)]
pub(super) struct StreamPlace {
    pub place: Arc<Place>,
    pub stream: Arc<str>,
}

impl Bookmark for StreamPlace {
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>> {
        Some(self.place.queued(&self.stream, read_to.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(number: u64) -> Cursor {
        Cursor::new(format!("s=c;i={number:x};b=b"))
    }

    fn resumed(position: &[u8]) -> (Option<Cursor>, Vec<(String, Cursor)>) {
        let Resumed { cursor, ahead } = Resumed::of(Some(position));
        (cursor, ahead.into_iter().collect())
    }

    #[test]
    fn the_position_stays_before_what_is_not_in_the_queue_and_tells_what_is_behind_it() {
        let place = Place::resumed(Resumed { cursor: Some(cursor(1)), ahead: BTreeMap::new() });
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        place.read(cursor(2), 0, &a);
        place.read(cursor(3), 1, &b);
        place.pass(cursor(4));
        place.pass(cursor(5));
        place.read(cursor(6), 2, &b);
        place.read(cursor(7), 3, &a);
        let at = |stream: &Arc<str>, read_to| {
            let stream = StreamPlace { place: Arc::clone(&place), stream: Arc::clone(stream) };
            resumed(&stream.at(ReadTo::whole(read_to)).unwrap())
        };

        assert_eq!(at(&b, 2), (Some(cursor(1)), vec![("b".into(), cursor(3))]));
        assert_eq!(at(&b, 3), (Some(cursor(1)), vec![("b".into(), cursor(6))]));
        assert_eq!(at(&a, 1), (Some(cursor(6)), vec![]), "what is not wanted holds nothing back");
        assert_eq!(at(&a, 4), (Some(cursor(7)), vec![]));
        place.pass(cursor(8));
        assert_eq!(at(&a, 4), (Some(cursor(8)), vec![]));
    }

    #[test]
    fn what_an_earlier_process_put_into_the_queue_is_passed_over_once() {
        let ahead = BTreeMap::from([("b".to_owned(), cursor(5))]);
        let place = Place::resumed(Resumed { cursor: Some(cursor(2)), ahead });
        assert!(!place.is_known(&cursor(3), "a"));
        assert!(place.is_known(&cursor(4), "b"));
        // Killed again before it came further, the next process knows the same.
        let position = place.queued("a", 0);
        assert_eq!(resumed(&position), (Some(cursor(2)), vec![("b".into(), cursor(5))]));
        assert!(place.is_known(&cursor(5), "b"));
        assert!(!place.is_known(&cursor(6), "b"));
        // An entry of another stream before it is not in the queue yet.
        assert_eq!(resumed(&place.queued("b", 0)).1, [("b".into(), cursor(5))]);
        place.pass(cursor(6));
        assert_eq!(resumed(&place.queued("a", 0)), (Some(cursor(6)), vec![]));
    }

    #[test]
    fn a_position_that_cannot_be_read_leads_nowhere() {
        assert_eq!(Resumed::of(Some(b"\xff\xff")), Resumed::default());
        assert_eq!(Resumed::of(None), Resumed::default());
    }
}
