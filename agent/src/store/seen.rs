//! Which events of a client the store has seen, by their uids.
//!
//! | uid | key | place |
//! |---|---|---|
//! | 32 hexadecimal digits, `-`, a number | of a call of the Run API | in that call: they come in order |
//! | 32 hexadecimal digits | the first 16: of a process | the others: of its threads, so not quite in order |
//!
//! Of a process the last [`WINDOW`] places are known one by one. What lies further back counts as new: that an event is
//! there twice is better than that it is not there.

use std::collections::{HashMap, hash_map::Entry};

use rusqlite::{OptionalExtension, Transaction, params};

/// Places of a process that are known one by one. A client sends again what it sent last, which is a fraction of it.
const WINDOW: u64 = 8_192;

const WORD: u64 = 64;

/// What was seen of each client of one run.
#[derive(Default)]
pub(super) struct Seen(HashMap<Vec<u8>, Client>);

struct Client {
    highest: Option<u64>,
    /// A bit for each place, by its remainder. Empty where places come in order.
    bits: Vec<u64>,
    is_changed: bool,
}

impl Seen {
    /// Whether an event of the run in that row was seen; from now on it was. One without such a uid never was.
    pub(super) fn see(&mut self, change: &Transaction<'_>, run: i64, uid: &str) -> rusqlite::Result<bool> {
        let Some((key, place)) = key_and_place(uid) else { return Ok(false) };
        let client = match self.0.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let client = Client::load(change, run, vacant.key())?;
                vacant.insert(client)
            }
        };
        Ok(client.see(place))
    }

    /// Writes down what has changed.
    pub(super) fn finish(self, change: &Transaction<'_>, run: i64) -> rusqlite::Result<()> {
        for (key, client) in self.0.into_iter().filter(|(_, client)| client.is_changed) {
            let bits: Vec<u8> = client.bits.iter().flat_map(|word| word.to_le_bytes()).collect();
            let highest = client.highest.unwrap_or_default().cast_signed();
            change
                .prepare_cached(
                    "INSERT INTO calls (run, key, highest, bits) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (run, key) DO UPDATE SET highest = excluded.highest, bits = excluded.bits",
                )?
                .execute(params![run, key, highest, bits])?;
        }
        Ok(())
    }
}

impl Client {
    fn load(change: &Transaction<'_>, run: i64, key: &[u8]) -> rusqlite::Result<Self> {
        let known: Option<(i64, Vec<u8>)> = change
            .prepare_cached("SELECT highest, bits FROM calls WHERE run = ?1 AND key = ?2")?
            .query_row(params![run, key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (highest, bits) = known.unzip();
        let mut client = Self::new(key);
        client.highest = highest.map(i64::cast_unsigned);
        for (word, bytes) in client.bits.iter_mut().zip(bits.unwrap_or_default().as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(client)
    }

    fn new(key: &[u8]) -> Self {
        let words = if key.len() == size_of::<u128>() { 0 } else { WINDOW / WORD };
        Self { highest: None, bits: (0..words).map(|_| 0).collect(), is_changed: false }
    }

    fn see(&mut self, place: u64) -> bool {
        let is_seen = match self.highest {
            Some(highest) if place <= highest => self.bits.is_empty() || highest - place < WINDOW && self.bit(place),
            _ => false,
        };
        if is_seen {
            return true;
        }
        self.is_changed = true;
        let before = self.highest;
        self.highest = before.max(Some(place));
        if !self.bits.is_empty() {
            match before {
                Some(highest) if place <= highest && highest - place >= WINDOW => return false,
                // The bits of places that are new stand for those a window before.
                Some(highest) if place > highest => {
                    (highest + 1..=place).take(usize::try_from(WINDOW).unwrap_or(0)).for_each(|at| self.set(at, false));
                }
                _ => {}
            }
            self.set(place, true);
        }
        false
    }

    fn bit(&self, place: u64) -> bool {
        let (word, bit) = at(place);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set(&mut self, place: u64, is_set: bool) {
        let (word, bit) = at(place);
        if let Some(word) = self.bits.get_mut(word) {
            *word = if is_set { *word | bit } else { *word & !bit };
        }
    }
}

fn at(place: u64) -> (usize, u64) {
    let place = place % WINDOW;
    (usize::try_from(place / WORD).unwrap_or(0), 1 << (place % WORD))
}

fn key_and_place(uid: &str) -> Option<(Vec<u8>, u64)> {
    if let Some((key, place)) = uid.split_once('-').filter(|(key, _)| key.len() == 32) {
        return Some((u128::from_str_radix(key, 16).ok()?.to_be_bytes().into(), place.parse().ok()?));
    }
    let (key, place) = uid.split_at_checked(16).filter(|(_, place)| place.len() == 16)?;
    Some((u64::from_str_radix(key, 16).ok()?.to_be_bytes().into(), u64::from_str_radix(place, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Client {
        Client::new(&[0; 8])
    }

    #[test]
    fn places_of_a_process_count_once_each_in_any_order() {
        let mut client = process();
        let first = [3, 1, 2, 0, 7, 100_000, 99_999, 100_000 - WINDOW + 1];
        assert_eq!(first.map(|place| client.see(place)), [false; 8]);
        assert_eq!([100_000, 99_999, 100_000 - WINDOW + 1].map(|place| client.see(place)), [true; 3]);
        assert!(!client.see(99_998), "one that was passed over is new");
        assert!(!client.see(5), "what lies too far back is kept rather than lost");
    }

    #[test]
    fn a_place_has_no_bit_of_one_a_window_before() {
        let mut client = process();
        assert_eq!([5, 5 + WINDOW, 6 + WINDOW].map(|place| client.see(place)), [false; 3]);
        assert!(client.see(5 + WINDOW));
        let mut client = process();
        client.see(5);
        client.see(7 + WINDOW);
        assert!(!client.see(5 + WINDOW));
    }

    #[test]
    fn places_of_a_call_come_in_order() {
        let mut client = Client::new(&[0; 16]);
        assert_eq!([0, 1, 40_000].map(|place| client.see(place)), [false; 3]);
        assert_eq!([0, 1, 39_999, 40_000].map(|place| client.see(place)), [true; 4]);
    }

    #[test]
    fn uids_of_others_have_no_key() {
        let uid = "0123456789abcdef0123456789abcdef";
        assert_eq!(key_and_place(uid), Some((0x0123_4567_89ab_cdef_u64.to_be_bytes().into(), 0x0123_4567_89ab_cdef)));
        assert_eq!(key_and_place(&format!("{uid}-12")).map(|(key, place)| (key.len(), place)), Some((16, 12)));
        for uid in ["", "a-1", "0123456789abcdef0123456789abcdeg", "ünïcödeünïcödeünïcöde"] {
            assert_eq!(key_and_place(uid), None, "{uid}");
        }
    }
}
