//! Training runs that print, rotate and remove their files, and remember every byte.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::{
    eye::Eye,
    plan::{Act, Aside},
};

/// More than a queue of 8 MiB takes: what is printed cannot be compressed by more than a quarter.
const FLOOD_BYTES: usize = 16 << 20;
/// What has been in a file for so long while the agent could look has been seen.
const SEEN_AFTER: Duration = Duration::from_secs(1);
/// What a file holds at least when it is copied and emptied.
const SMALLEST_COPY_BYTES: usize = 16 << 10;
/// The most that is written at once where lines are written in pieces.
const LARGEST_PIECE_BYTES: usize = 3000;

/// What follows the mark of a line that has one: a letter, its number, `s`, the number of its stream.
pub const MARK_END: &str = " 2026-03-01 12:00:00,000 INFO train: ";

/// What one file held from its beginning, or from when it was emptied, to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Who wrote it.
    pub stream: usize,
    /// Where it was begun.
    pub path: PathBuf,
    /// All of it.
    pub bytes: Vec<u8>,
    /// The numbers of lines that have one, with their offsets.
    pub numbers: Vec<(u64, u64)>,
    /// Offsets inside of lines at which the writer made a pause, however short.
    pub torn: Vec<u64>,
    /// What became of it.
    pub fate: Fate,
    /// What had been there long enough to be seen by then: bytes from the start.
    pub seen_bytes: u64,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is where it was.
    IsThere,
    /// It has another name.
    Renamed(Aside),
    /// It was emptied; all of it is in a copy.
    Copied(Aside),
    /// It was emptied, and nobody has a copy.
    Emptied,
    /// It was removed.
    Removed,
}

/// What a writer has done.
#[derive(Debug, Default)]
pub struct Written {
    /// All that it printed.
    pub generations: Vec<Generation>,
    /// What each write took.
    pub latencies: Vec<Duration>,
    /// What it did.
    pub acts: Vec<Act>,
}

/// Begins to write, on a thread of its own that ends with the last act.
pub fn start(stream: usize, folder: PathBuf, acts: Vec<Act>, seed: u64, eye: Eye) -> JoinHandle<Written> {
    thread::spawn(move || {
        let path = folder.join(format!("w{stream}.log"));
        let mut writer = Writer {
            stream,
            file: append_to(&path),
            now: Generation::begin(stream, path),
            times: Vec::new(),
            folder,
            random: Rng::with_seed(seed),
            eye,
            next: 0,
            asides: 0,
            written: Written::default(),
        };
        for act in acts {
            writer.act(act);
            writer.written.acts.push(act);
        }
        writer.written.generations.push(writer.now);
        writer.written
    })
}

struct Writer {
    stream: usize,
    folder: PathBuf,
    random: Rng,
    eye: Eye,
    file: File,
    now: Generation,
    /// When the file was written up to which byte.
    times: Vec<(u64, Instant)>,
    next: u64,
    asides: u32,
    written: Written,
}

impl Generation {
    fn begin(stream: usize, path: PathBuf) -> Self {
        let (bytes, numbers, torn) = (Vec::new(), Vec::new(), Vec::new());
        Self { stream, path, bytes, numbers, torn, fate: Fate::IsThere, seen_bytes: 0 }
    }
}

impl Writer {
    fn act(&mut self, act: Act) {
        match act {
            Act::Print(lines) => self.print(lines),
            Act::Flood => {
                let end = self.now.bytes.len() + FLOOD_BYTES;
                while self.now.bytes.len() < end {
                    let length = self.random.usize(1000..60_000);
                    let noise: String = (0..length).map(|_| self.random.alphanumeric()).collect();
                    let line = self.numbered(&noise);
                    self.write(&line);
                }
            }
            Act::Pause(pause) => thread::sleep(pause),
            Act::HalfALine(pause) => {
                let line = self.line();
                let (first, rest) = line.split_at(self.random.usize(1..=line.len()));
                self.write(first);
                thread::sleep(pause);
                self.write(rest);
            }
            Act::Rename(aside, late_lines) => {
                let path = self.aside(aside);
                self.note_fate(Fate::Renamed(aside));
                fs::rename(&self.now.path, path).unwrap();
                self.print(late_lines);
                self.file = append_to(&self.now.path);
                self.begin_anew();
            }
            Act::Truncate(None) => {
                self.note_fate(Fate::Emptied);
                self.file.set_len(0).unwrap();
                self.begin_anew();
            }
            Act::Truncate(Some(aside)) => {
                // Nobody rotates less, and a copy of less is not told from another file with the same first lines.
                while self.now.bytes.len() < SMALLEST_COPY_BYTES {
                    self.print(10);
                }
                let copy = self.aside(aside);
                self.note_fate(Fate::Copied(aside));
                fs::copy(&self.now.path, copy).unwrap();
                self.file.set_len(0).unwrap();
                self.begin_anew();
            }
            Act::Delete(late_lines) => {
                self.note_fate(Fate::Removed);
                fs::remove_file(&self.now.path).unwrap();
                self.print(late_lines);
                self.file = append_to(&self.now.path);
                self.begin_anew();
            }
            Act::ManyFiles(files) => {
                for _ in 0..files {
                    self.asides += 1;
                    let path = self.folder.join(format!("w{}-{}.log", self.stream, self.asides));
                    let mut one = Generation::begin(self.stream, path);
                    std::mem::swap(&mut one, &mut self.now);
                    let line = self.numbered("alone");
                    std::mem::swap(&mut one, &mut self.now);
                    one.bytes = line;
                    fs::write(&one.path, &one.bytes).unwrap();
                    self.eye.printed(1);
                    self.written.generations.push(one);
                }
            }
        }
    }

    /// A name that no file has had.
    fn aside(&mut self, aside: Aside) -> PathBuf {
        self.asides += 1;
        self.folder.join(match aside {
            Aside::InsideTheGlobs => format!("w{}-{}.log", self.stream, self.asides),
            Aside::OutsideTheGlobs => format!("w{}.log.{}", self.stream, self.asides),
        })
    }

    fn note_fate(&mut self, fate: Fate) {
        self.now.fate = fate;
        let seen = |(_, at): &&(u64, Instant)| at.elapsed() >= SEEN_AFTER && self.eye.watched() >= SEEN_AFTER;
        self.now.seen_bytes = self.times.iter().rev().find(seen).map_or(0, |(end, _)| *end);
    }

    fn begin_anew(&mut self) {
        self.times.clear();
        let next = Generation::begin(self.stream, self.now.path.clone());
        self.written.generations.push(std::mem::replace(&mut self.now, next));
    }

    fn print(&mut self, lines: u32) {
        let in_pieces = self.random.bool();
        for _ in 0..lines {
            let line = self.line();
            let mut rest = line.as_slice();
            while !rest.is_empty() {
                let most = if in_pieces { self.random.usize(1..LARGEST_PIECE_BYTES) } else { rest.len() };
                let (piece, later) = rest.split_at(most.min(rest.len()));
                self.write(piece);
                rest = later;
            }
            if self.random.u8(..16) == 0 {
                thread::sleep(Duration::from_micros(self.random.u64(..4000)));
            }
        }
    }

    fn write(&mut self, piece: &[u8]) {
        // Remembered first: what the agent has was printed.
        self.now.bytes.extend_from_slice(piece);
        let began = Instant::now();
        self.file.write_all(piece).unwrap();
        self.written.latencies.push(began.elapsed());
        self.times.push((self.now.bytes.len() as u64, began));
        self.eye.printed(piece.iter().filter(|byte| **byte == b'\n').count());
        if self.now.bytes.last() != Some(&b'\n') {
            self.now.torn.push(self.now.bytes.len() as u64);
        }
    }

    /// The next line with its end. The first of a file is one that is known by its number.
    fn line(&mut self) -> Vec<u8> {
        if self.now.bytes.is_empty() {
            return self.numbered("first");
        }
        let random = &mut self.random;
        let noise = |random: &mut Rng, bytes: usize| {
            // What draws on a terminal is not kept as it was printed.
            let noise: Vec<u8> =
                (0..bytes).map(|_| random.u8(..)).filter(|byte| !matches!(byte, b'\n' | b'\r' | 0x1b)).collect();
            noise
        };
        match random.u16(..1000) {
            0..50 => b"\n".to_vec(),
            50..90 => self.numbered("windows\r"),
            90..130 => {
                let length = random.usize(1..200);
                let noise = noise(random, length);
                let head = self.numbered("bytes ");
                [&head[..head.len() - 1], &noise, b".\n"].concat()
            }
            130..150 => self.numbered("nul \0 inside"),
            150..180 => {
                let text = "ü€😀 ".repeat(random.usize(1..900));
                self.numbered(&text)
            }
            180..184 => {
                let length = random.usize(60_000..140_000);
                let text: String = (0..length).map(|_| random.alphanumeric()).collect();
                self.numbered(&text)
            }
            _ => {
                let text = "loss 0.3141 ".repeat(random.usize(..10));
                self.numbered(&text)
            }
        }
    }

    fn numbered(&mut self, text: &str) -> Vec<u8> {
        self.now.numbers.push((self.next, self.now.bytes.len() as u64));
        // Neighbours differ from their first byte on, so that a file that was emptied is not its own new beginning.
        let letter = letter_of(self.next);
        let line = format!("{letter}{}s{}{MARK_END}{text}\n", self.next, self.stream);
        self.next += 1;
        line.into_bytes()
    }
}

fn append_to(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// What a line of that number begins with, so that two lines differ from their first byte on.
pub fn letter_of(number: u64) -> char {
    char::from(b'a' + u8::try_from(number % 26).expect("below 26"))
}
