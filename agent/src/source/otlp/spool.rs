//! Requests that programs have left in files, since nobody listened when they were made: `runlog.Handler` of Python.
//!
//! A line of such a file is a request in OTLP's JSON and goes the way of one that is received. A file belongs to its
//! writer for as long as it is locked, which is as long as the writer lives; it is removed when all of it is durable.
//! If runlog is killed before that, its requests are sent once more, as by a client that was not answered. What a
//! writer had not written to the line's end when it was killed is counted as lost.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{Access, FlockOperation, OFlags, access, flock},
    io::Errno,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    select, task,
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

use crate::{
    receive::{End, Refusal, take_json},
    record::Signal,
    source::Stop,
};

use super::end::Gate;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request waits before it is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How much longer files are taken when runlog stops. What is left is there at the next start.
const LAST_CALL: Duration = Duration::from_secs(5);
/// A writer gives its file this ending once it has locked it.
const EXTENSION: &str = "jsonl";

/// A folder of such files.
struct Spool {
    folder: PathBuf,
    gate: Gate,
    stop: Stop,
    /// Set with the stop.
    until: Option<Instant>,
    /// Why the folder could not be used when it was last looked at.
    trouble: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// All of it is durable.
    Whole,
    /// The rest has to wait for the next start.
    Interrupted,
    /// It is its writer's still.
    NotYet,
}

/// Takes what lies in the folder until the stop is thrown. A folder that nobody uses is no stream, and has no gate.
pub(super) async fn collect(folder: PathBuf, gate: impl FnOnce() -> Gate, mut stop: Stop) {
    while list(&folder).await.is_ok_and(|files| files.is_empty()) {
        if stop.is_thrown() {
            return;
        }
        pause(&mut stop).await;
    }
    Spool { folder, gate: gate(), stop, until: None, trouble: None }.collect().await;
}

async fn list(folder: &Path) -> io::Result<Vec<(SystemTime, PathBuf, u64)>> {
    let folder = folder.to_owned();
    task::spawn_blocking(move || files(&folder)).await.unwrap_or_else(|_| Ok(Vec::new()))
}

/// Waits for the next look.
async fn pause(stop: &mut Stop) {
    select! {
        () = sleep(LOOK) => {}
        () = stop.thrown() => {}
    }
}

impl Spool {
    async fn collect(mut self) {
        loop {
            if self.stop.is_thrown() {
                self.until = Some(Instant::now() + LAST_CALL);
            }
            let looked = self.look().await;
            self.tell(looked.err());
            if self.until.is_some() {
                return;
            }
            pause(&mut self.stop).await;
        }
    }

    /// Takes each file whose writer has gone.
    async fn look(&self) -> io::Result<()> {
        let files = list(&self.folder).await?;
        let mut waiting: u64 = files.iter().map(|(_, _, size)| size).sum();
        let mut outcome = Ok(());
        for (_, path, size) in files {
            self.gate.waits(waiting);
            match self.take_if_left(&path).await {
                Ok(Taken::Interrupted) => return Ok(()),
                Ok(Taken::Whole) => waiting -= size,
                Ok(Taken::NotYet) => {}
                // Others may still be taken.
                Err(error) => outcome = Err(error),
            }
        }
        self.gate.waits(waiting);
        outcome
    }

    /// Takes a file, and removes it, if its writer has gone.
    async fn take_if_left(&self, path: &Path) -> io::Result<Taken> {
        let opened = path.to_owned();
        let Some(file) = task::spawn_blocking(move || open(&opened)).await.unwrap_or(Ok(None))? else {
            return Ok(Taken::NotYet);
        };
        // It is locked until it is removed, so that no other agent takes it as well.
        let kept = file.try_clone()?;
        let taken = self.take(path, file).await?;
        if taken == Taken::Whole {
            tokio::fs::remove_file(path).await?;
        }
        drop(kept);
        Ok(taken)
    }

    /// Sends the lines of a file.
    async fn take(&self, path: &Path, file: File) -> io::Result<Taken> {
        let limit = self.gate.max_request_bytes();
        let mut reader = BufReader::new(tokio::fs::File::from_std(file));
        let (mut line, mut count) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            (&mut reader).take(limit as u64 + 1).read_until(b'\n', &mut line).await?;
            if line.is_empty() {
                break;
            }
            let bytes = line.len();
            if line.pop_if(|last| *last == b'\n').is_none() {
                let more = pass_line(&mut reader).await?;
                self.lose(path, bytes as u64 + more, "its writer was killed within a request, or it is no request");
                continue;
            }
            if line.is_empty() {
                continue;
            }
            if let Some(refusal) = self.send(&line).await {
                if matches!(refusal, Refusal::Busy) {
                    return Ok(Taken::Interrupted);
                }
                self.lose(path, bytes as u64, &refusal.to_string());
            }
            count += 1;
        }
        info!(path = %path.display(), requests = count, "taken from the spool");
        Ok(Taken::Whole)
    }

    /// Sends one request, however long there is no room for it. Gives the reason if it is not taken: `Busy` when
    /// runlog stops.
    async fn send(&self, line: &[u8]) -> Option<Refusal> {
        loop {
            match take_json(Signal::Logs, line, &self.gate).await {
                Ok(_) => return None,
                Err(Refusal::Busy) if self.is_over() => return Some(Refusal::Busy),
                Err(Refusal::Busy) => sleep(AGAIN).await,
                Err(refusal) => return Some(refusal),
            }
        }
    }

    fn is_over(&self) -> bool {
        match self.until {
            Some(until) => Instant::now() >= until,
            // Its last call comes with the next look.
            None => self.stop.is_thrown(),
        }
    }

    fn lose(&self, path: &Path, bytes: u64, reason: &str) {
        self.gate.tally().bytes_lost.fetch_add(bytes, Ordering::Relaxed);
        self.gate.tally().failed(reason);
        warn!(path = %path.display(), lost_bytes = bytes, reason, "a part of a spooled file is lost");
    }

    /// Says what is wrong with the folder when that changes.
    fn tell(&mut self, error: Option<io::Error>) {
        let trouble = error.map(|error| error.to_string());
        if let Some(error) = trouble.as_ref().filter(|error| self.trouble.as_ref() != Some(*error)) {
            self.gate.tally().failed(error);
            warn!(folder = %self.folder.display(), error, "cannot take what programs have left here, trying again");
        }
        self.trouble = trouble;
    }
}

/// Passes over what is left of a line. Gives its bytes.
async fn pass_line(reader: &mut BufReader<tokio::fs::File>) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let buffered = reader.fill_buf().await?;
        let newline = buffered.iter().position(|byte| *byte == b'\n');
        let length = newline.map_or(buffered.len(), |at| at + 1);
        reader.consume(length);
        passed += length as u64;
        if newline.is_some() || length == 0 {
            return Ok(passed);
        }
    }
}

/// The files, the oldest first, with their sizes. None if there is no folder, since nobody has left anything.
fn files(folder: &Path) -> io::Result<Vec<(SystemTime, PathBuf, u64)>> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden || path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        // One that has just gone is somebody else's.
        if let Ok(file) = path.symlink_metadata()
            && file.is_file()
        {
            files.push((file.modified()?, path, file.len()));
        }
    }
    if !files.is_empty() {
        // What could be read and not be removed would be sent again and again.
        access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    }
    files.sort();
    Ok(files)
}

/// Opens a file and locks it. `None` if its writer has it still.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        // Another agent has just removed it.
        Ok(()) if file.metadata()?.nlink() == 0 => Ok(None),
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => {
            debug!(path = %path.display(), %error, "cannot be locked");
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests;
