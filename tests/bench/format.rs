//! The shapes in which a training job's lines lie in files, and how a mark is found again in what arrives.
//!
//! Every shape carries the same [`Lines`], so that formats can be compared by the line.

use std::{io::Write, ops::Range};

use crate::lines::{LINE_BYTES, Lines, Mark, mark, mark_at_end};

/// Bytes of `2026-11-24 00:00:00,000 `.
const TIME_BYTES: usize = 24;
/// Where the level stands in a line, with the space behind it if it has five letters.
const LEVEL: Range<usize> = TIME_BYTES..TIME_BYTES + 6;
/// What a line grows by as JSON: keys and quotes for what stood between its parts.
const JSON_EXTRA_BYTES: usize = 44;
/// Every so many lines, one that the runtime has cut in two. Real runtimes cut at 16 KiB, so this is much more often.
const CRI_CUT_EVERY: u64 = 16;
/// Every so many lines, an error with its traceback.
const TRACEBACK_EVERY: u64 = 50;
/// Every so many lines, a progress bar.
const PROGRESS_EVERY: u64 = 50;
const PROGRESS_UPDATES: u64 = 20;
const TRACEBACK: &str = r#"Traceback (most recent call last):
  File "/workspace/train.py", line 412, in train_step
    loss = model(batch.to(device)).loss
  File "/opt/venv/lib/python3.12/site-packages/torch/nn/modules/module.py", line 1553, in _call_impl
    return forward_call(*args, **kwargs)
torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.14 GiB
"#;

/// How lines lie in their file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As Python's `logging` writes them.
    Python,
    /// An object a line: time, level, logger, message.
    Json,
    /// As Docker's `json-file` driver wraps them.
    Docker,
    /// As containerd and CRI-O wrap them: stdout and stderr in one file, some lines cut in two.
    Cri,
    /// Python's lines without an error: seven of ten are below the level info.
    Calm,
    /// Python's lines, and now and then a traceback.
    Traceback,
    /// Python's lines, and now and then a progress bar that is drawn over itself with `\r`.
    Progress,
}

/// What a record's body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A line of ours.
    Line(Mark),
    /// A line that has no mark and is allowed to be there.
    Unmarked,
    /// Anything else: a line that was cut, joined with another, or altered.
    Foreign,
}

/// The lines of one stream in a format.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    lines: Lines,
    plain: Vec<u8>,
}

impl Format {
    /// All, with the names that they have on the command line.
    pub const ALL: [(&'static str, Self); 7] = [
        ("python", Self::Python),
        ("json", Self::Json),
        ("docker", Self::Docker),
        ("cri", Self::Cri),
        ("calm", Self::Calm),
        ("traceback", Self::Traceback),
        ("progress", Self::Progress),
    ];

    /// What the lines of a body are.
    pub fn contents(self, body: &[u8]) -> impl Iterator<Item = Content> {
        let has_unmarked = matches!(self, Self::Traceback | Self::Progress);
        body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(move |line| match self.mark(line) {
            Some(mark) => Content::Line(mark),
            None if has_unmarked => Content::Unmarked,
            None => Content::Foreign,
        })
    }

    fn mark(self, line: &[u8]) -> Option<Mark> {
        if self != Self::Json {
            return mark(line);
        }
        let is_whole = line.len() == LINE_BYTES - 1 + JSON_EXTRA_BYTES;
        if is_whole { mark_at_end(line.strip_suffix(br#""}"#)?) } else { None }
    }
}

impl Writer {
    /// The lines of that stream, from its first.
    #[must_use]
    pub const fn new(format: Format, stream: u16) -> Self {
        Self::with(format, Lines::new(stream))
    }

    /// These lines.
    #[must_use]
    pub const fn with(format: Format, lines: Lines) -> Self {
        Self { format, lines, plain: Vec::new() }
    }

    /// How many of so many lines are not below the level info. Of lines that are not wrapped.
    #[must_use]
    pub fn count_kept(mut self, lines: u64) -> u64 {
        let mut line = Vec::new();
        let mut is_kept = || {
            line.clear();
            self.write(&mut line);
            line[LEVEL] != *b"DEBUG "
        };
        (0..lines).filter(|_| is_kept()).count() as u64
    }

    /// Appends the next line, with what belongs to it.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        let sequence = self.lines.next();
        self.plain.clear();
        self.lines.write(&mut self.plain);
        let line = self.plain.strip_suffix(b"\n").unwrap_or(&self.plain);
        match self.format {
            Format::Python => out.extend_from_slice(&self.plain),
            Format::Calm => {
                let level = &mut self.plain[LEVEL];
                if level == b"ERROR " {
                    level.copy_from_slice(b"DEBUG ");
                }
                out.extend_from_slice(&self.plain);
            }
            Format::Json => json(line, out),
            Format::Docker => {
                out.extend_from_slice(br#"{"log":""#);
                out.extend_from_slice(line);
                out.extend_from_slice(br#"\n","stream":"stderr","time":""#);
                wrapper_time(line, sequence, out);
                out.extend_from_slice(b"\"}\n");
            }
            Format::Cri => cri(line, sequence, out),
            Format::Traceback => {
                out.extend_from_slice(&self.plain);
                if sequence % TRACEBACK_EVERY == TRACEBACK_EVERY - 1 {
                    out.extend_from_slice(TRACEBACK.as_bytes());
                }
            }
            Format::Progress => {
                out.extend_from_slice(&self.plain);
                if sequence % PROGRESS_EVERY == PROGRESS_EVERY - 1 {
                    progress(sequence, out);
                }
            }
        }
    }
}

fn json(line: &[u8], out: &mut Vec<u8>) {
    let (time, rest) = line.split_at(TIME_BYTES);
    let mut parts = rest.splitn(3, |byte| *byte == b' ');
    let mut part = || parts.next().unwrap_or_default();
    let (level, logger, message) = (part(), part(), part());
    for piece in [
        br#"{"time":""#.as_slice(),
        &time[..10],
        b"T",
        &time[11..19],
        b".",
        &time[20..23],
        br#"Z","level":""#,
        level,
        br#"","logger":""#,
        logger.strip_suffix(b":").unwrap_or(logger),
        br#"","message":""#,
        message,
        b"\"}\n",
    ] {
        out.extend_from_slice(piece);
    }
}

/// The time in nanoseconds at which a runtime read the line.
fn wrapper_time(line: &[u8], sequence: u64, out: &mut Vec<u8>) {
    let nanos = sequence * 7919 % 1_000_000;
    for piece in [&line[..10], b"T", &line[11..19], b".", &line[20..23]] {
        out.extend_from_slice(piece);
    }
    put(out, format_args!("{nanos:06}Z"));
}

fn cri(line: &[u8], sequence: u64, out: &mut Vec<u8>) {
    let mut piece = |stream: &[u8], tag: &[u8], text: &[u8]| {
        wrapper_time(line, sequence, out);
        for part in [b" ", stream, b" ", tag, b" ", text, b"\n"] {
            out.extend_from_slice(part);
        }
    };
    match sequence % CRI_CUT_EVERY {
        1 => {
            // The Collector trims what it reads, so a piece has no space at its end; and it joins what is next in the
            // file, so the other stream never comes between two pieces.
            let middle = line.len() / 2;
            let space = line[middle..].iter().position(|byte| *byte == b' ').unwrap_or(0);
            let (first, second) = line.split_at(middle + space + 2);
            piece(b"stdout", b"P", first);
            piece(b"stdout", b"F", second);
        }
        2 => piece(b"stderr", b"F", line),
        _ => piece(b"stdout", b"F", line),
    }
}

fn progress(sequence: u64, out: &mut Vec<u8>) {
    for update in 1..=PROGRESS_UPDATES {
        let percent = update * 100 / PROGRESS_UPDATES;
        let bar = "##########".get(..(percent / 10) as usize).unwrap_or_default();
        put(out, format_args!("\repoch {}: {percent:3}%|{bar:10}| {update}/{PROGRESS_UPDATES}", sequence / 1000));
        put(out, format_args!(" [00:{update:02}<00:{:02}, 1.{:02}it/s]", PROGRESS_UPDATES - update, sequence % 97));
    }
    out.push(b'\n');
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Format, count: usize) -> String {
        let (mut writer, mut out) = (Writer::new(format, 7), Vec::new());
        (0..count).for_each(|_| writer.write(&mut out));
        String::from_utf8(out).unwrap()
    }

    fn marked(format: Format, bodies: impl Iterator<Item = String>) -> Vec<u64> {
        let contents: Vec<Content> =
            bodies.flat_map(|body| format.contents(body.as_bytes()).collect::<Vec<_>>()).collect();
        assert!(!contents.contains(&Content::Foreign), "{format:?}");
        let line = |content| if let Content::Line(mark) = content { Some(mark.sequence) } else { None };
        contents.into_iter().filter_map(line).collect()
    }

    #[test]
    fn every_line_is_found_again_in_formats_that_are_not_wrapped() {
        for format in [Format::Python, Format::Json, Format::Calm, Format::Traceback, Format::Progress] {
            let found = marked(format, text(format, 1000).lines().map(ToOwned::to_owned));
            assert_eq!(found, (0..1000).collect::<Vec<_>>(), "{format:?}");
        }
    }

    #[test]
    fn json_lines_are_json_with_a_level() {
        for line in text(Format::Json, 1000).lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(json["message"].as_str().unwrap().contains(" #007/"), "{line}");
            assert!(runlog::parse::detect(line.as_bytes()).is_some(), "{line}");
        }
    }

    #[test]
    fn calm_lines_have_no_error_and_those_that_are_kept_are_counted() {
        let calm = text(Format::Calm, 1000);
        assert!(text(Format::Python, 1000).contains(" ERROR ") && !calm.contains(" ERROR "));
        let kept = calm.lines().filter(|line| !line.contains(" DEBUG ")).count();
        assert!((250..350).contains(&kept), "{kept} of 1000");
        assert_eq!(Writer::new(Format::Calm, 7).count_kept(1000), kept as u64);
    }

    #[test]
    fn docker_wraps_the_line_with_its_newline() {
        let bodies = text(Format::Docker, 1000);
        let inner = bodies.lines().map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let log = json["log"].as_str().unwrap();
            assert!(log.ends_with('\n'), "{line}");
            log.to_owned()
        });
        assert_eq!(marked(Format::Docker, inner), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn cri_pieces_join_to_lines() {
        let (mut held, mut bodies) = (String::new(), Vec::new());
        for piece in text(Format::Cri, 1000).lines() {
            let mut parts = piece.splitn(4, ' ').skip(1);
            match [(); 3].map(|()| parts.next().unwrap()) {
                ["stdout", "P", text] => held.push_str(text),
                ["stdout" | "stderr", "F", text] => bodies.push(std::mem::take(&mut held) + text),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(marked(Format::Cri, bodies.into_iter()), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn line_that_was_cut_is_foreign() {
        let line = text(Format::Json, 1);
        assert_eq!(Format::Json.contents(&line.as_bytes()[1..]).next(), Some(Content::Foreign));
        assert_eq!(Format::Python.contents(b"another line").next(), Some(Content::Foreign));
        assert_eq!(Format::Traceback.contents(b"another line").next(), Some(Content::Unmarked));
    }
}
