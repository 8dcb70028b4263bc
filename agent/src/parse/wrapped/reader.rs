//! Tells what is wrapped around each line, and takes it apart.

use crate::record::{Format, Lane, UnixNanos};

use super::{attributes::Attributes, cri, docker, join::Piece, stamp::Stamps};
use crate::parse::Line;

/// Reads the wrapped lines of one stream.
#[derive(Debug)]
pub struct Reader {
    format: Format,
    /// Whether the first line was wrapped, so that all should be.
    is_wrapped: Option<bool>,
    stamps: Stamps,
    attributes: Attributes,
    /// Text that does not stand in the line as it was printed.
    text: Vec<u8>,
    /// What the wrapped line is whose parts are coming.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    lane: Lane,
    time: UnixNanos,
    ends_line: bool,
}

impl Reader {
    /// Expects lines of that format.
    pub fn new(format: Format) -> Self {
        let is_wrapped = match format {
            Format::Auto => None,
            Format::Plain => Some(false),
            Format::Docker | Format::Cri => Some(true),
        };
        let (stamps, attributes) = (Stamps::new(), Attributes::new());
        Self { format, is_wrapped, stamps, attributes, text: Vec::new(), open: None }
    }

    /// Whether it is known if lines are expected to be wrapped.
    pub fn is_told(&self) -> bool {
        self.is_wrapped.is_some()
    }

    /// Whether lines are expected to be wrapped. Where that is told by the lines, the first one tells it.
    pub fn is_wrapped(&self) -> bool {
        self.is_wrapped == Some(true)
    }

    /// The attributes of a line whose end never came.
    pub fn attributes(&self, lane: Lane) -> &[u8] {
        self.attributes.of(lane)
    }

    /// Takes a line apart, or a part of a line that was too long. What is not wrapped is a piece of its own.
    pub fn read<'a>(&'a mut self, line: &Line<'a>) -> Piece<'a> {
        if line.part.is_some_and(|part| part.index > 0) {
            return self.further_part(line);
        }
        if matches!(self.format, Format::Auto | Format::Docker)
            && (docker::is_like(line.bytes) || self.format == Format::Docker)
            && let Some(docker) = docker::split(line.bytes, &mut self.text)
            && let Some(time) = self.stamps.read(&docker.stamp)
        {
            self.is_wrapped = Some(self.is_wrapped.unwrap_or(true));
            let attributes = self.attributes.with(docker.lane, &docker.attrs);
            let bytes = docker.text.unwrap_or(&self.text);
            let is_utf8 = line.is_utf8 || simdutf8::basic::from_utf8(bytes).is_ok();
            let (lane, ends_line) = (docker.lane, docker.ends_line);
            let has_line_time = true;
            return Piece { lane, bytes, is_utf8, time, ends_line, has_line_time, attributes, ..Piece::bare(line) };
        }
        if matches!(self.format, Format::Auto | Format::Cri)
            && let Some(cri) = cri::split(line.bytes)
            && let Some(time) = self.stamps.read(cri.stamp)
        {
            self.is_wrapped = Some(self.is_wrapped.unwrap_or(true));
            if line.part.is_some() {
                self.open = Some(Open { lane: cri.lane, time, ends_line: cri.ends_line });
            }
            let ends_line = cri.ends_line && line.part.is_none();
            let bytes = if ends_line { cri.text } else { with_cr(line, cri.text, &mut self.text) };
            let attributes = self.attributes.with(cri.lane, &[]);
            return Piece { lane: cri.lane, bytes, time, ends_line, attributes, ..Piece::bare(line) };
        }
        let is_odd = *self.is_wrapped.get_or_insert(false);
        let attributes = if is_odd { self.attributes.odd() } else { &[] };
        Piece { attributes, ..Piece::bare(line) }
    }

    fn further_part<'a>(&'a mut self, line: &Line<'a>) -> Piece<'a> {
        let is_last = line.part.is_none_or(|part| part.is_last);
        let open = if is_last { self.open.take() } else { self.open };
        match open {
            Some(Open { lane, time, ends_line }) => {
                let ends_line = ends_line && is_last;
                Piece { lane, time, ends_line, attributes: self.attributes.of(lane), ..Piece::bare(line) }
            }
            None => {
                let attributes = if self.is_wrapped == Some(true) { self.attributes.odd() } else { &[] };
                Piece { attributes, ..Piece::bare(line) }
            }
        }
    }
}

/// A carriage return before the wrapped line's end is in the middle of the line that was printed, if that goes on.
fn with_cr<'a>(line: &Line<'_>, text: &'a [u8], copy: &'a mut Vec<u8>) -> &'a [u8] {
    let has_cr = line.read_to.offset - line.at == line.bytes.len() as u64 + 2;
    if !has_cr {
        return text;
    }
    copy.clear();
    copy.extend_from_slice(text);
    copy.push(b'\r');
    copy
}
