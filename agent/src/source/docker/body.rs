//! The engine's answer to a GET, as it comes.
//!
//! The engine makes an HTTP chunk of each line, and general clients give out one chunk at a time, so that each line
//! costs a wake. Here all that has arrived is read at once.
//!
//! Source: RFC 9112, sections 6 and 7.1.

#[cfg(test)]
mod tests;

use std::{io, mem, ops::Range, path::Path};

use hyper::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// What is read at once. A longer head is no answer of an engine.
const BUFFER: usize = 64 * 1024;

/// More are no answer of an engine.
const HEADERS: usize = 64;

/// The answer cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the answer is not HTTP")]
    Head(#[from] httparse::Error),
    #[error("the answer's head is longer than {BUFFER} bytes")]
    LongHead,
    #[error("the answer does not say how it will end")]
    Endless,
    #[error("the answer has a chunk without a size")]
    Chunk,
    #[error("the answer ends in its midst")]
    Cut,
}

/// The bytes of an answer.
pub(super) struct Body {
    socket: UnixStream,
    buffer: Box<[u8]>,
    length: Length,
    /// What lies in `buffer` and was not given out yet.
    held: Range<usize>,
}

/// How much is to come.
#[derive(Debug, Clone, Copy)]
enum Length {
    Known(u64),
    Chunked(Chunks),
}

/// Where the next byte of a chunked body belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    /// Before the size of a chunk.
    Start,
    /// To the size.
    Size(u64),
    /// Behind the size, in its line.
    Extension(u64),
    /// To the data, of which so much is left, or to the end of line after it.
    Data(u64),
    /// To a line after the last chunk.
    Trailer {
        is_empty: bool,
    },
    Over,
}

impl Body {
    /// Asks for `path`, and waits for the head of the answer.
    pub(super) async fn open(socket: &Path, path: &str) -> Result<(StatusCode, Self), Broken> {
        Self::ask(UnixStream::connect(socket).await?, path).await
    }

    async fn ask(mut socket: UnixStream, path: &str) -> Result<(StatusCode, Self), Broken> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; BUFFER].into_boxed_slice();
        let mut filled = 0;
        loop {
            if filled == buffer.len() {
                return Err(Broken::LongHead);
            }
            let read = socket.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Err(Broken::Cut);
            }
            filled += read;
            if let Some((end, status, length)) = head(&buffer[..filled])? {
                let mut body = Self { socket, buffer, length, held: 0..0 };
                body.take(end..filled)?;
                return Ok((status, body));
            }
        }
    }

    /// The next bytes; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        self.arrives().await?;
        let held = mem::take(&mut self.held);
        Ok((!held.is_empty()).then(|| &self.buffer[held]))
    }

    /// Waits for the next bytes or the end, which [`Body::next`] then gives. Cancel safe.
    pub(super) async fn arrives(&mut self) -> Result<(), Broken> {
        while self.held.is_empty() && !self.length.is_reached() {
            let read = self.socket.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(Broken::Cut);
            }
            self.take(0..read)?;
        }
        Ok(())
    }

    /// Finds the payload in what was read into that part of the buffer.
    fn take(&mut self, read: Range<usize>) -> Result<(), Broken> {
        let bytes = &mut self.buffer[read.clone()];
        let payload = match &mut self.length {
            Length::Known(left) => {
                let payload = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= payload as u64;
                payload
            }
            Length::Chunked(chunks) => chunks.decode(bytes)?,
        };
        self.held = read.start..read.start + payload;
        Ok(())
    }
}

/// Where the head ends, and what it says; `None` if more of it has to come.
fn head(bytes: &[u8]) -> Result<Option<(usize, StatusCode, Length)>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = head.parse(bytes)? else { return Ok(None) };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(httparse::Error::Status)?;
    let value = |name: &str| head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let length = match (value("transfer-encoding"), value("content-length")) {
        (Some(coding), _) if coding.value.eq_ignore_ascii_case(b"chunked") => Length::Chunked(Chunks::Start),
        (None, Some(length)) => {
            let digits = std::str::from_utf8(length.value).ok().and_then(|text| text.trim().parse().ok());
            Length::Known(digits.ok_or(Broken::Endless)?)
        }
        // Were the end of the connection taken for the end of the logs, an engine that dies would cut them silently.
        _ => return Err(Broken::Endless),
    };
    Ok(Some((end, status, length)))
}

impl Length {
    const fn is_reached(self) -> bool {
        matches!(self, Self::Known(0) | Self::Chunked(Chunks::Over))
    }
}

impl Chunks {
    /// Moves the payload of `bytes` to their front, and says how much there is.
    fn decode(&mut self, bytes: &mut [u8]) -> Result<usize, Broken> {
        let (mut at, mut payload) = (0, 0);
        while at < bytes.len() {
            if let Self::Data(left) = *self {
                let count = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                bytes.copy_within(at..at + count, payload);
                (at, payload) = (at + count, payload + count);
                *self = Self::Data(left - count as u64);
            }
            if let Some(&byte) = bytes.get(at) {
                *self = self.after(byte)?;
                at += 1;
            }
        }
        Ok(payload)
    }

    fn after(self, byte: u8) -> Result<Self, Broken> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        Ok(match (self, byte, digit) {
            (Self::Start, _, Some(digit)) => Self::Size(digit),
            (Self::Size(size), _, Some(digit)) => Self::Size(size.checked_mul(16).ok_or(Broken::Chunk)? + digit),
            (Self::Size(0) | Self::Extension(0), b'\n', _) => Self::Trailer { is_empty: true },
            (Self::Size(size) | Self::Extension(size), b'\n', _) => Self::Data(size),
            (Self::Size(size), b'\r' | b';' | b' ' | b'\t', _) | (Self::Extension(size), ..) => Self::Extension(size),
            (Self::Data(0), b'\r', _) => Self::Data(0),
            (Self::Data(0), b'\n', _) => Self::Start,
            (Self::Trailer { is_empty: true }, b'\n', _) | (Self::Over, ..) => Self::Over,
            (Self::Trailer { .. }, b'\n', _) => Self::Trailer { is_empty: true },
            (Self::Trailer { is_empty }, b'\r', _) => Self::Trailer { is_empty },
            (Self::Trailer { .. }, ..) => Self::Trailer { is_empty: false },
            (Self::Start | Self::Size(_) | Self::Data(_), ..) => return Err(Broken::Chunk),
        })
    }
}
