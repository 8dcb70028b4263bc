//! A node's folder of logs.
//!
//! Source: kubernetes `pkg/kubelet/logs/container_log_manager.go` and `pkg/kubelet/kuberuntime/kuberuntime_container.go`,
//! containerd `internal/cri/io`.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use runlog_tests::{Agent, AgentBuilder, Line};

/// The kubelet's `containerLogMaxFiles`.
const MAX_FILES: usize = 5;
/// Where containerd cuts a line.
const PIECE_BYTES: usize = 16 * 1024;

/// A node without a cluster.
pub struct Node(tempfile::TempDir);

impl Node {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// An agent that reads the node's pods.
    pub fn agent(&self) -> AgentBuilder {
        Agent::builder().set("RUNLOG_KUBERNETES_LOGS", self.0.path().display().to_string())
    }

    /// Where the logs of a new pod are. The number makes its uid.
    pub fn pod(&self, name: &str, number: u32) -> PathBuf {
        let path = self.0.path().join(format!("ml_{name}_{}", uid(number)));
        fs::create_dir(&path).unwrap();
        path
    }
}

/// The uid of the pod of that number.
pub fn uid(number: u32) -> String {
    format!("12345678-1234-1234-1234-{number:012}")
}

/// A container that prints, what the runtime writes of it, and what the kubelet does with that.
pub struct Container {
    folder: PathBuf,
    restarts: u32,
    rotations: u32,
    /// What the runtime has open.
    file: File,
    printed: u64,
}

impl Container {
    /// Starts for the first time.
    pub fn start(pod: &Path, name: &str) -> Self {
        let folder = pod.join(name);
        fs::create_dir(&folder).unwrap();
        let file = open(&folder.join("0.log"));
        Self { folder, restarts: 0, rotations: 0, file, printed: 0 }
    }

    /// Prints so many numbered lines, to stdout and stderr in turn.
    pub fn print(&mut self, lines: u64) {
        for number in self.printed..self.printed + lines {
            let stream = ["stdout", "stderr"][usize::from(number % 2 == 1)];
            self.write(stream, 'F', &format!("line {number}"));
        }
        self.printed += lines;
    }

    /// Prints a line that is longer than the runtime's buffer.
    pub fn print_long(&mut self, line: &str) {
        let mut pieces = line.as_bytes().chunks(PIECE_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let tag = if pieces.peek().is_some() { 'P' } else { 'F' };
            self.write_bytes("stdout", tag, piece);
        }
    }

    /// Prints what has no end.
    pub fn print_half(&mut self, text: &str) {
        self.write("stdout", 'P', text);
    }

    fn write(&mut self, stream: &str, tag: char, text: &str) {
        self.write_bytes(stream, tag, text.as_bytes());
    }

    /// In one piece, as containerd does.
    fn write_bytes(&mut self, stream: &str, tag: char, text: &[u8]) {
        let head = format!("2026-11-24T05:44:23.{:09}+00:00 {stream} {tag} ", self.rotations);
        self.file.write_all(&[head.as_bytes(), text, b"\n"].concat()).unwrap();
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.restarts))
    }

    /// Ends and starts again. The kubelet keeps the log of one life before, and removes those of earlier ones.
    pub fn restart(&mut self) {
        if let Some(removed) = self.restarts.checked_sub(1) {
            for path in self.logs_that_begin_with(&format!("{removed}.log")) {
                fs::remove_file(path).unwrap();
            }
        }
        self.restarts += 1;
        self.file = open(&self.log());
    }

    /// What the kubelet does when the log has become too large, step by step. `late` are lines that the container prints
    /// before the runtime has opened its new file.
    pub fn rotate(&mut self, late: u64) {
        let name = format!("{}.log.", self.restarts);
        let mut rotated = self.logs_that_begin_with(&name);
        rotated.sort();
        let excess = rotated.len().saturating_sub(MAX_FILES - 2);
        for path in rotated.drain(..excess) {
            fs::remove_file(path).unwrap();
        }
        for path in rotated.iter().filter(|path| path.extension().is_none_or(|end| end != "gz")) {
            compress(path);
        }
        self.rotations += 1;
        let rotated = self.folder.join(format!("{name}20261124-{:06}", self.rotations));
        fs::rename(self.log(), rotated).unwrap();
        self.print(late);
        self.file = open(&self.log());
    }

    /// How many archives the kubelet keeps of it.
    pub fn archives(&self) -> usize {
        let names = self.logs_that_begin_with(&format!("{}.log.", self.restarts));
        names.iter().filter(|path| path.extension().is_some_and(|end| end == "gz")).count()
    }

    fn logs_that_begin_with(&self, start: &str) -> Vec<PathBuf> {
        let paths = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start)).collect()
    }

    /// How many numbered lines it has printed in all its lives.
    pub const fn printed(&self) -> u64 {
        self.printed
    }

    /// Fails unless each numbered line is there once.
    pub fn is_told_once(&self, lines: &[Line]) {
        let bodies: Vec<&str> = lines.iter().map(Line::body).filter(|body| body.starts_with("line ")).collect();
        let seen: BTreeSet<&str> = bodies.iter().copied().collect();
        let printed: BTreeSet<String> = (0..self.printed).map(|number| format!("line {number}")).collect();
        let missing: Vec<&String> = printed.iter().filter(|line| !seen.contains(line.as_str())).take(10).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        assert_eq!(bodies.len() as u64, self.printed, "lines are there twice");
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// Beside the file, under another name until it is whole.
fn compress(path: &Path) {
    let draft = path.with_added_extension("tmp");
    let mut encoder = GzEncoder::new(File::create(&draft).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::rename(&draft, path.with_added_extension("gz")).unwrap();
    fs::remove_file(path).unwrap();
}
