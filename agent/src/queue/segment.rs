//! A file of the queue: its name, its header, and the frames in it.
//!
//! ```text
//!   0   8  MAGIC
//!   8   8  version of the format
//!  16  16  queue id
//!  32   8  number, as in the file's name
//!  40   8  first seq: entries from here on are in this segment or a later one
//!  48   8  time of creation, nanoseconds since 1970
//!  56   4  zero
//!  60   4  crc32c of the 60 bytes before
//!  64  64  the same again, so that one bad bit does not cost a segment
//! 128   …  frames, the first being a snapshot
//! ```
//!
//! The first 16 bytes and the checksum keep their place in every later version, so that an older binary can tell
//! a newer segment from a damaged one.

use std::io::{self, IoSlice};

use super::{
    Seq,
    frame::{self, Header, MARKER, Place},
    storage::{StoredFile, read_exact, write_all},
};

/// Where the first frame begins.
pub(super) const FIRST_FRAME: u64 = 128;

const MAGIC: [u8; 8] = *b"runlogQ\n";
pub(super) const VERSION: u64 = 1;
const HEADER_BYTES: usize = 64;
const SUFFIX: &str = ".segment";

/// Bytes that are looked through at once for the next frame.
const SEARCH_BYTES: usize = 256 * 1024;

/// The file name of a segment.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The number of the segment with this file name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub queue: [u8; 16],
    pub number: u64,
    pub first_seq: Seq,
    pub created: u64,
}

/// What a file turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// A segment that we can read.
    Segment(SegmentHeader),
    /// A segment of a later version of the format.
    Newer(u64),
    /// A segment whose making was cut short: nothing was ever in it.
    Unfinished,
    /// Something else, or a segment with both headers damaged.
    Unreadable,
}

impl SegmentHeader {
    /// Writes both copies.
    pub(super) fn write(&self, file: &dyn StoredFile) -> io::Result<()> {
        let bytes = self.encode();
        write_all(file, &mut [IoSlice::new(&bytes), IoSlice::new(&bytes)], 0)
    }

    /// Reads the better copy.
    pub(super) fn read(file: &dyn StoredFile) -> io::Result<Opened> {
        if file.length()? < FIRST_FRAME {
            return Ok(Opened::Unfinished);
        }
        let mut copies = [[0; HEADER_BYTES]; 2];
        read_exact(file, copies.as_flattened_mut(), 0)?;
        if copies.as_flattened().iter().all(|byte| *byte == 0) {
            return Ok(Opened::Unfinished);
        }
        Ok(copies.iter().find_map(Self::decode).unwrap_or(Opened::Unreadable))
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.queue);
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_seq.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.created.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Opened> {
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        let (magic, fields) = fields.split_first_chunk::<8>()?;
        if *magic != MAGIC || u32::from_le_bytes(*crc) != crc32c::crc32c(&bytes[..60]) {
            return None;
        }
        let (version, fields) = fields.split_first_chunk()?;
        let version = u64::from_le_bytes(*version);
        if version > VERSION {
            return Some(Opened::Newer(version));
        }
        let (queue, fields) = fields.split_first_chunk()?;
        let (number, fields) = fields.split_first_chunk()?;
        let (first_seq, fields) = fields.split_first_chunk()?;
        let (created, _zero) = fields.split_first_chunk()?;
        Some(Opened::Segment(Self {
            queue: *queue,
            number: u64::from_le_bytes(*number),
            first_seq: Seq(u64::from_le_bytes(*first_seq)),
            created: u64::from_le_bytes(*created),
        }))
    }
}

/// What stands at a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame begins here; its payload is not checked yet.
    Frame(Header),
    /// No frame begins here. The next one begins at `next`, or there is none before the end, which is `next` then.
    Damage { next: u64 },
    /// The end.
    End,
}

/// Looks at `place`, which is a place where a frame is expected, in a segment that ends at `end`.
pub(super) fn find(file: &dyn StoredFile, place: Place, end: u64) -> io::Result<Found> {
    if place.offset >= end {
        return Ok(Found::End);
    }
    match header_at(file, place, end)? {
        Some(header) => Ok(Found::Frame(header)),
        None => Ok(Found::Damage { next: next_frame(file, place.at(place.offset + 1), end)? }),
    }
}

/// The payload of the frame that begins at `place`. `None` if it is damaged.
pub(super) fn payload(file: &dyn StoredFile, place: Place, header: &Header) -> io::Result<Option<Vec<u8>>> {
    let length = usize::try_from(header.payload_bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut payload = vec![0; length];
    read_exact(file, &mut payload, place.offset + frame::HEADER_BYTES as u64)?;
    Ok((crc32c::crc32c(&payload) == header.payload_crc).then_some(payload))
}

fn header_at(file: &dyn StoredFile, place: Place, end: u64) -> io::Result<Option<Header>> {
    if end.saturating_sub(place.offset) < frame::HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = [0; frame::HEADER_BYTES];
    read_exact(file, &mut bytes, place.offset)?;
    Ok(Header::decode(&bytes, place).filter(|header| header.frame_bytes() <= end - place.offset))
}

fn next_frame(file: &dyn StoredFile, from: Place, end: u64) -> io::Result<u64> {
    let mut window = vec![0; SEARCH_BYTES];
    let mut start = from.offset;
    while end.saturating_sub(start) >= frame::HEADER_BYTES as u64 {
        let length = (end - start).min(window.len() as u64);
        let bytes = &mut window[..length as usize];
        read_exact(file, bytes, start)?;
        for at in memchr::memmem::find_iter(bytes, &MARKER) {
            let candidate = from.at(start + at as u64);
            if header_at(file, candidate, end)?.is_some() {
                return Ok(candidate.offset);
            }
        }
        // A marker may lie across the edge of two windows.
        start += length - (MARKER.len() as u64 - 1);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_copy_with_any_bit_flipped_is_not_believed() {
        let header = SegmentHeader { queue: [5; 16], number: u64::MAX - 3, first_seq: Seq(9), created: 4 };
        let written = header.encode();
        assert_eq!(SegmentHeader::decode(&written), Some(Opened::Segment(header)));
        for bit in 0..written.len() * 8 {
            let mut flipped = written;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn the_next_frame_is_found_behind_a_gap_of_any_length() {
        use crate::queue::{
            frame::{Frame, Kind},
            storage::{Storage, sim::Sim},
        };
        let sim = Sim::default();
        let place = Place { queue: [5; 16], segment: 1, offset: FIRST_FRAME };
        let frame = Frame::internal(Kind::Synced, Seq(1), 0, Vec::new());
        let gaps = (1..100).chain(SEARCH_BYTES - 60..SEARCH_BYTES + 60).chain([3 * SEARCH_BYTES]);
        for gap in gaps {
            let file = sim.create(std::path::Path::new(&format!("gap of {gap}"))).unwrap();
            let offset = FIRST_FRAME + gap as u64;
            let header = frame.header(0).encode(place.at(offset));
            write_all(&*file, &mut [IoSlice::new(&vec![MARKER[0]; gap]), IoSlice::new(&header)], FIRST_FRAME).unwrap();
            let end = file.length().unwrap();
            assert_eq!(find(&*file, place, end).unwrap(), Found::Damage { next: offset }, "gap of {gap}");
            assert_eq!(find(&*file, place, end - 1).unwrap(), Found::Damage { next: end - 1 }, "gap of {gap}, cut");
        }
    }

    #[test]
    fn only_our_own_file_names_are_segments() {
        assert_eq!(number_of(&file_name(17)), Some(17));
        assert_eq!(number_of(&file_name(u64::MAX)), Some(u64::MAX));
        for name in ["17.segment", "lock", "00000000000000000017.segment.corrupt", "+0000000000000000017.segment"] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
