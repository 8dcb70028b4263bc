//! The bytes of `/containers/{id}/logs?timestamps=1`, decoded into entries.
//!
//! Without a terminal each entry is one frame: a type (1 stdout, 2 stderr, 3 the engine's own error), three zero
//! bytes, the length as four bytes, big endian, then that many bytes: a stamp and the payload. With a terminal
//! there are no frames: stamp and payload follow each other, and a line longer than [`PIECE`] has its stamp again
//! before each further piece. Which of the two comes is a setting of the container; the bytes cannot tell.
//!
//! Source: Docker Engine API v1.44, "Attach to a container", section "Stream format"; moby `api/pkg/stdcopy`,
//! `daemon/logger/copier.go`.

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::stamp::{self, NoStamp};
use crate::record::UnixNanos;

/// The engine cuts longer lines into pieces of this many bytes.
pub(super) const PIECE: usize = 16 * 1024;

/// Longer frames are taken for a broken connection.
const MAX_FRAME: usize = 1024 * 1024;

const HEADER: usize = 8;

/// One of a container's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stdio {
    Out,
    Err,
}

impl Stdio {
    pub(super) const BOTH: [Self; 2] = [Self::Out, Self::Err];

    /// The value of `log.iostream`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// How entries are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Frames of two streams.
    Multiplexed,
    /// A terminal's bytes.
    Raw,
}

/// A line or a piece of one, as the engine stored it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub stdio: Stdio,
    pub time: UnixNanos,
    /// Ends with a line feed unless the line goes on, or its writer ended in the middle of it.
    pub payload: &'a [u8],
}

/// A line that a terminal's writer left unfinished: what follows it in the raw bytes is another entry's stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seam {
    pub time: UnixNanos,
    /// Payload bytes before the seam.
    pub length: usize,
}

/// The connection cannot be read on; what was not handed over comes again with the next one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("the engine reports: {0}")]
    Engine(String),
    #[error("a frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    #[error("a frame has the unknown type {0}")]
    UnknownType(u8),
    #[error(transparent)]
    NoStamp(#[from] NoStamp),
    #[error("the logs end inside an entry")]
    Cut,
}

/// Takes bytes as they arrive and gives entries.
#[derive(Debug)]
pub(super) struct Decoder {
    framing: Framing,
    seams: Vec<Seam>,
    buffer: Vec<u8>,
    /// Where the next entry starts in `buffer`.
    at: usize,
    /// The time of the line whose piece was handed over last, if the line goes on.
    unfinished: Option<UnixNanos>,
    ended: bool,
}

impl Decoder {
    /// `seams` are those that earlier readings of the same logs found.
    pub(super) const fn new(framing: Framing, seams: Vec<Seam>) -> Self {
        Self { framing, seams, buffer: Vec::new(), at: 0, unfinished: None, ended: false }
    }

    /// Appends what has arrived.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that nothing more will arrive because the engine has sent all.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// The next entry; `None` if its last byte has not arrived yet.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, DecodeError> {
        let found = match self.framing {
            Framing::Multiplexed => self.next_frame()?,
            Framing::Raw => self.next_piece()?,
        };
        Ok(found.map(|(stdio, time, payload)| Entry { stdio, time, payload: &self.buffer[payload] }))
    }

    fn next_frame(&mut self) -> Result<Option<(Stdio, UnixNanos, Range<usize>)>, DecodeError> {
        let rest = &self.buffer[self.at..];
        let Some((header, body)) = rest.split_first_chunk::<HEADER>() else {
            return self.nothing(rest.is_empty());
        };
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let stdio = match header {
            [1, 0, 0, 0, ..] => Some(Stdio::Out),
            [2, 0, 0, 0, ..] => Some(Stdio::Err),
            [3, 0, 0, 0, ..] => None,
            _ => return Err(DecodeError::UnknownType(header[0])),
        };
        if length > MAX_FRAME {
            return Err(DecodeError::TooLong(length));
        }
        let Some(frame) = body.get(..length) else { return self.nothing(false) };
        let Some(stdio) = stdio else {
            return Err(DecodeError::Engine(String::from_utf8_lossy(frame).trim_end().to_owned()));
        };
        let (time, stamp) = stamp::split(frame)?.ok_or(NoStamp)?;
        let start = self.at + HEADER;
        self.at = start + length;
        Ok(Some((stdio, time, start + stamp..self.at)))
    }

    fn next_piece(&mut self) -> Result<Option<(Stdio, UnixNanos, Range<usize>)>, DecodeError> {
        let rest = &self.buffer[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let (time, stamp) = match (stamp::split(rest), self.unfinished) {
            (Ok(Some(found)), _) => found,
            (Ok(None), _) if !self.ended => return Ok(None),
            // An engine with larger pieces goes on with the line itself.
            (_, Some(time)) => (time, 0),
            (Ok(None), None) => return Err(DecodeError::Cut),
            (Err(error), None) => return Err(error.into()),
        };
        let text = &rest[stamp..];
        let line = memchr::memchr(b'\n', &text[..text.len().min(PIECE)]).map(|feed| feed + 1);
        let whole = line.or_else(|| (text.len() >= PIECE).then_some(PIECE));
        let Some(length) = self.seam(time, text, whole).or(whole).or(self.ended.then_some(text.len())) else {
            return Ok(None);
        };
        let goes_on = line != Some(length);
        if length == 0 {
            return Ok(None);
        }
        let start = self.at + stamp;
        self.at = start + length;
        self.unfinished = goes_on.then_some(time);
        Ok(Some((Stdio::Out, time, start..self.at)))
    }

    /// Where a line is known to be cut off, if the bytes after that agree.
    fn seam(&self, time: UnixNanos, text: &[u8], whole: Option<usize>) -> Option<usize> {
        let reach = whole.unwrap_or(text.len());
        let holds = |seam: &&Seam| {
            seam.time == time && seam.length < reach && matches!(stamp::split(&text[seam.length..]), Ok(Some(_)))
        };
        self.seams.iter().find(holds).map(|seam| seam.length)
    }

    const fn nothing<T>(&self, complete: bool) -> Result<Option<T>, DecodeError> {
        if self.ended && !complete { Err(DecodeError::Cut) } else { Ok(None) }
    }
}
