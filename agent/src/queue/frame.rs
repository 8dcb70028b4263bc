//! The smallest thing on disk that is whole or not: a frame.
//!
//! Goals: a frame proves by itself that it is whole and that it stands where it was written; a length is believed
//! only after its checksum; after damage the next frame can be found. Not a goal: to say what the payload means,
//! which is `payload.rs`.
//!
//! ```text
//!  0   4  MARKER
//!  4   4  crc32c over the place (queue id, segment number, offset) and bytes 8..48
//!  8   4  kind
//! 12   4  crc32c of the payload
//! 16   8  bytes of payload
//! 24   8  seq: the entry's own, or that of the last entry before
//! 32   8  synced to: every byte of this segment before that offset was durable when this frame was written
//! 40   8  time of writing, nanoseconds since 1970
//! 48   …  payload
//! ```
//!
//! All numbers are little endian. The checksum is CRC-32C (Castagnoli), RFC 3720 appendix B.4.

use bytes::Bytes;

use super::{
    Seq,
    payload::{pairs, split_entry},
};

/// Bytes of a frame before its payload.
pub(super) const HEADER_BYTES: usize = 48;

/// Longer payloads are neither written nor believed.
pub(super) const MAX_PAYLOAD_BYTES: u64 = 64 * 1024 * 1024;

/// How a frame begins. The first byte occurs in no UTF-8 text.
pub(super) const MARKER: [u8; 4] = *b"\xf5RLq";

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A body for the readers, and positions.
    Entry,
    /// Positions alone.
    Positions,
    /// How far some destinations have acknowledged.
    Cursors,
    /// All positions and all cursors, in place of everything said before.
    Snapshot,
    /// Nothing but its header's `synced_to`, written after each sync. Tells, after a crash, a synced frame that was
    /// damaged since from one that never reached the disk.
    Synced,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Entry, Self::Positions, Self::Cursors, Self::Snapshot, Self::Synced];

    const fn number(self) -> u32 {
        match self {
            Self::Entry => 1,
            Self::Positions => 2,
            Self::Cursors => 3,
            Self::Snapshot => 4,
            Self::Synced => 5,
        }
    }

    /// Whether a frame of this kind has a seq of its own.
    pub(super) const fn is_numbered(self) -> bool {
        matches!(self, Self::Entry | Self::Positions)
    }
}

/// Where a frame stands. Being part of its checksum, it makes a frame invalid anywhere else: a copy of a segment
/// inside a body, or left over by a file system, is never taken for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub queue: [u8; 16],
    pub segment: u64,
    pub offset: u64,
}

impl Place {
    pub(super) const fn at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    fn checksum(&self) -> u32 {
        let crc = crc32c::crc32c(&self.queue);
        let crc = crc32c::crc32c_append(crc, &self.segment.to_le_bytes());
        crc32c::crc32c_append(crc, &self.offset.to_le_bytes())
    }
}

/// What a frame says before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub payload_crc: u32,
    pub payload_bytes: u64,
    pub seq: Seq,
    pub synced_to: u64,
    pub time: u64,
}

impl Header {
    pub(super) fn encode(&self, place: Place) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MARKER);
        bytes[8..12].copy_from_slice(&self.kind.number().to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.seq.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.synced_to.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.time.to_le_bytes());
        let crc = crc32c::crc32c_append(place.checksum(), &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if no frame begins at `place`. The payload is not looked at.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES], place: Place) -> Option<Self> {
        let crc = crc32c::crc32c_append(place.checksum(), &bytes[8..]);
        if bytes[0..4] != MARKER || u32_at(bytes, 4) != crc {
            return None;
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.number() == u32_at(bytes, 8))?;
        let payload_bytes = u64_at(bytes, 16);
        (payload_bytes <= MAX_PAYLOAD_BYTES).then_some(Self {
            kind,
            payload_crc: u32_at(bytes, 12),
            payload_bytes,
            seq: Seq(u64_at(bytes, 24)),
            synced_to: u64_at(bytes, 32),
            time: u64_at(bytes, 40),
        })
    }

    /// Bytes of the whole frame.
    pub(super) const fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.payload_bytes
    }
}

/// A frame in memory, free to be written at any place.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub kind: Kind,
    pub seq: Seq,
    pub time: u64,
    /// The payload up to the body.
    pub lead: Vec<u8>,
    /// The rest of the payload; shared with whoever handed it over, never copied.
    pub body: Bytes,
    payload_crc: u32,
}

impl Frame {
    pub(super) fn new(kind: Kind, seq: Seq, time: u64, lead: Vec<u8>, body: Bytes) -> Self {
        let payload_crc = crc32c::crc32c_append(crc32c::crc32c(&lead), &body);
        Self { kind, seq, time, lead, body, payload_crc }
    }

    /// A frame of our own, without a body.
    pub(super) fn internal(kind: Kind, seq: Seq, time: u64, payload: Vec<u8>) -> Self {
        Self::new(kind, seq, time, payload, Bytes::new())
    }

    /// An entry that was read. `None` if its payload is malformed.
    pub(super) fn from_payload(header: &Header, payload: Vec<u8>) -> Option<Self> {
        let parts = split_entry(&payload)?;
        pairs(&payload[parts.positions])?;
        let mut body = Bytes::from(payload);
        let lead = body.split_to(parts.body.start).to_vec();
        let Header { kind, seq, time, payload_crc, .. } = *header;
        Some(Self { kind, seq, time, lead, body, payload_crc })
    }

    /// What stands before the payload, the segment's bytes before `synced_to` being durable.
    pub(super) fn header(&self, synced_to: u64) -> Header {
        Header {
            kind: self.kind,
            payload_crc: self.payload_crc,
            payload_bytes: (self.lead.len() + self.body.len()) as u64,
            seq: self.seq,
            synced_to,
            time: self.time,
        }
    }

    /// Bytes that the frame takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        (HEADER_BYTES + self.lead.len() + self.body.len()) as u64
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { queue: [7; 16], segment: 3, offset: 4096 };

    fn header() -> Header {
        Frame::new(Kind::Entry, Seq(u64::MAX - 3), 5, b"lead".to_vec(), Bytes::from_static(b"body")).header(1024)
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        assert_eq!(Header::decode(&header().encode(PLACE), PLACE), Some(header()));
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_no_header() {
        let written = header().encode(PLACE);
        for bit in 0..written.len() * 8 {
            let mut flipped = written;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, PLACE), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_is_no_header_anywhere_else() {
        let written = header().encode(PLACE);
        let elsewhere = [PLACE.at(4097), Place { segment: 4, ..PLACE }, Place { queue: [8; 16], ..PLACE }, PLACE.at(3)];
        for place in elsewhere {
            assert_eq!(Header::decode(&written, place), None, "{place:?}");
        }
    }

    #[test]
    fn q9_a_length_above_the_limit_is_not_believed() {
        let huge = Header { payload_bytes: MAX_PAYLOAD_BYTES + 1, ..header() };
        assert_eq!(Header::decode(&huge.encode(PLACE), PLACE), None);
    }
}
