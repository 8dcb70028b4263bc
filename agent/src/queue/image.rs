//! What the log says at one point of it: all positions and all cursors.
//!
//! Frames are applied in order, by recovery as they are read and by the committer as they become durable, so
//! that a queue knows after a crash what it knew before.

use std::collections::BTreeMap;

use super::{
    Seq,
    frame::Kind,
    payload::{pair_bytes, pairs, put_pair, split_entry, take_sized},
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// The newest position of each key.
    pub positions: BTreeMap<String, Vec<u8>>,
    /// The last entry that each destination has acknowledged.
    pub cursors: BTreeMap<String, Seq>,
}

impl Image {
    /// Takes in a frame. The body of an entry may be missing. `None`, changing nothing, if the payload is malformed.
    pub(super) fn apply(&mut self, kind: Kind, payload: &[u8]) -> Option<()> {
        match kind {
            Kind::Entry | Kind::Positions => {
                let parts = split_entry(payload)?;
                self.move_positions(&pairs(&payload[parts.positions])?);
            }
            Kind::Cursors => self.cursors.extend(cursors(payload)?),
            Kind::Synced => {}
            Kind::Snapshot => {
                let mut rest = payload;
                let positions = pairs(take_sized(&mut rest)?)?;
                self.cursors = cursors(rest)?.into_iter().collect();
                self.positions.clear();
                self.move_positions(&positions);
            }
        }
        Some(())
    }

    fn move_positions(&mut self, moved: &[(&str, &[u8])]) {
        for &(key, value) in moved {
            if value.is_empty() {
                self.positions.remove(key);
            } else if let Some(position) = self.positions.get_mut(key) {
                position.clear();
                position.extend(value);
            } else {
                self.positions.insert(key.to_owned(), value.to_owned());
            }
        }
    }

    /// What the positions take in a snapshot.
    pub(super) fn positions_bytes(&self) -> usize {
        self.positions.iter().map(|(key, value)| pair_bytes(key, value)).sum()
    }

    /// The payload of a snapshot frame.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let positions_bytes = self.positions_bytes();
        let mut payload = Vec::with_capacity(8 + positions_bytes);
        payload.extend((positions_bytes as u64).to_le_bytes());
        for (key, value) in &self.positions {
            put_pair(&mut payload, key, value);
        }
        payload.extend(cursors_payload(&self.cursors));
        payload
    }
}

/// The payload of a cursors frame.
pub(super) fn cursors_payload(cursors: &BTreeMap<String, Seq>) -> Vec<u8> {
    let mut payload = Vec::new();
    for (destination, seq) in cursors {
        put_pair(&mut payload, destination, &seq.0.to_le_bytes());
    }
    payload
}

fn cursors(payload: &[u8]) -> Option<Vec<(String, Seq)>> {
    pairs(payload)?
        .into_iter()
        .map(|(destination, seq)| Some((destination.to_owned(), Seq(u64::from_le_bytes(seq.try_into().ok()?)))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::payload::entry;

    #[test]
    fn a_snapshot_says_what_the_frames_before_it_said() {
        let mut image = Image::default();
        image.apply(Kind::Entry, &entry(b"meta", &[("a", b"1"), ("b", b"1"), ("c", b"1")])).unwrap();
        image.apply(Kind::Positions, &entry(b"", &[("a", b"22"), ("b", b"")])).unwrap();
        image.apply(Kind::Cursors, &cursors_payload(&BTreeMap::from([("otlp".to_owned(), Seq(9))]))).unwrap();
        assert_eq!(
            image.positions,
            BTreeMap::from([("a".to_owned(), b"22".to_vec()), ("c".to_owned(), b"1".to_vec())])
        );

        let mut restored = Image::default();
        restored.apply(Kind::Positions, &entry(b"", &[("stale", b"1")])).unwrap();
        restored.apply(Kind::Snapshot, &image.snapshot()).unwrap();

        assert_eq!(restored, image);
    }

    #[test]
    fn a_malformed_payload_changes_nothing() {
        let mut image = Image::default();
        image.apply(Kind::Entry, &entry(b"", &[("a", b"1")])).unwrap();
        let before = image.clone();
        for kind in [Kind::Entry, Kind::Cursors, Kind::Snapshot] {
            assert_eq!(image.apply(kind, b"malformed"), None, "{kind:?}");
            assert_eq!(image, before);
        }
    }
}
