//! Lines that are closed off: of one run, in the order in which they were read.

use std::{collections::VecDeque, io, sync::Arc};

use tracing::warn;

use super::{
    Recorded,
    lines::{Before, Open, VOICE_OVERHEAD, Voice, read},
    pace::Pace,
    packer::{Packer, Work},
};
use crate::{
    parse::Line,
    record::{Origin, UnixNanos},
};

/// What was recorded of a run, taken out to be sent.
pub struct Replay(pub(super) VecDeque<Block>);

/// Lines that are compressed, if the packer had the time.
pub(super) struct Block {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    raw_bytes: usize,
    voices: Vec<Voice>,
    pub(super) lines: u64,
    pub(super) newest: UnixNanos,
    /// The packer has it, or had it.
    is_tried: bool,
}

/// The bytes of a block.
pub(super) enum Bytes {
    Raw(Vec<u8>),
    /// The packer has them, who holds so much.
    Away(usize),
    Packed(Box<[u8]>),
}

impl Block {
    /// Closes off what is open, which takes as much as before.
    pub(super) fn of(open: Open, number: u64) -> Self {
        let Open { raw, voices, lines, before, .. } = open;
        let (raw_bytes, newest) = (raw.len(), before.observed);
        Self { number, bytes: Bytes::Raw(raw), raw_bytes, voices, lines, newest, is_tried: false }
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.occupied() + self.voices.len() * VOICE_OVERHEAD
    }

    /// Whether the packer has the bytes.
    pub(super) const fn is_away(&self) -> bool {
        matches!(self.bytes, Bytes::Away(_))
    }

    /// Whether the packer had it: what it could not make smaller is not given to it again.
    pub(super) const fn is_tried(&self) -> bool {
        self.is_tried
    }

    /// Gives the bytes to the packer. `false` if it has enough to do: they stay as they are.
    pub(super) fn hand_over(&mut self, packer: &Packer, pace: &mut Pace) -> bool {
        if !pace.has_left() {
            return false;
        }
        let away = Bytes::Away(self.bytes.occupied());
        let bytes = std::mem::replace(&mut self.bytes, away);
        let refused = packer.give(Work { number: self.number, bytes }).err();
        self.is_tried = refused.is_none();
        match refused {
            Some(work) => self.bytes = work.bytes,
            None => pace.spend(self.raw_bytes),
        }
        self.is_tried
    }
}

impl Bytes {
    fn occupied(&self) -> usize {
        match self {
            Self::Raw(bytes) => bytes.capacity(),
            Self::Away(occupied) => *occupied,
            Self::Packed(bytes) => bytes.len(),
        }
    }
}

impl Replay {
    /// Gives each line to `send`, with what stands in for its stream, until that fails. A block that cannot be unpacked, for
    /// want of memory, is left out.
    ///
    /// # Errors
    /// What `send` says.
    pub fn each(
        self,
        mut send: impl FnMut(&Arc<Origin>, &Line<'_>, &Recorded<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for block in self.0 {
            let raw = match block.bytes {
                Bytes::Raw(bytes) => Ok(bytes),
                Bytes::Packed(bytes) => zstd::bulk::decompress(&bytes, block.raw_bytes),
                Bytes::Away(_) => Err(io::Error::other("it has not come back")),
            };
            let raw = match raw {
                Ok(raw) => raw,
                Err(error) => {
                    warn!(%error, lines = block.lines, "a block of the flight recorder cannot be unpacked");
                    continue;
                }
            };
            let (mut rest, mut before) = (&raw[..], Before::default());
            while let Some((voice, line, recorded)) = read(&mut rest, &mut before) {
                if let Some((_, origin)) = block.voices.get(voice) {
                    send(origin, &line, &recorded)?;
                }
            }
        }
        Ok(())
    }
}
