//! The file in which torchelastic's `@record` leaves what the process raised: `TORCHELASTIC_ERROR_FILE`.
//!
//! It is there once the process has ended, and says what was raised also if the process's output does not: where it was
//! closed, or went elsewhere.

use std::{
    fs::{self, File},
    io::Read,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use tracing::warn;

use crate::{
    record::{
        Chunk, Ending, Input, SourceKind,
        wire::{Value, record_attribute},
    },
    source::Context,
};

use super::run::{Tagging, origin};

/// What the stream is called.
const NAME: &str = "error_file";
/// No traceback is longer. What is, is no such file.
const MAX_BYTES: u64 = 1 << 20;

/// Looks whether the process leaves one.
pub struct ErrorFile {
    path: PathBuf,
    /// When it was written last before the process began: another process may have left it.
    before: Option<SystemTime>,
}

impl ErrorFile {
    /// Before the process begins.
    pub fn at(path: PathBuf) -> Self {
        let before = written(&path);
        Self { path, before }
    }

    /// Once the process has ended: what it has left is one line of a stream of its own.
    pub async fn collect(self, tagging: &Tagging, context: &Context) {
        if written(&self.path).is_none_or(|now| Some(now) == self.before) {
            return;
        }
        let mut data = Vec::new();
        if let Err(error) = File::open(&self.path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut data)) {
            warn!(path = %self.path.display(), %error, "what the process has raised cannot be read");
            return;
        }
        let mut attributes = tagging.attributes.clone();
        record_attribute(&mut attributes, "log.file.path", Value::String(&self.path.to_string_lossy()));
        let tally = context.ledger.open(SourceKind::Process, NAME);
        tally.bytes_read.fetch_add(data.len() as u64, Ordering::Relaxed);
        let origin = origin(tagging, attributes, NAME, Arc::clone(&tally));
        let observed = context.clock.now();
        let chunk = Chunk { origin, at: 0, data, observed, marks: Vec::new(), ending: Ending::Closed, permit: None };
        if context.intake.send(Input::Chunk(chunk)).await.is_err() {
            warn!("the pipeline has ended, what the process has raised is not recorded");
        }
        context.ledger.close(&tally);
    }
}

fn written(path: &std::path::Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
