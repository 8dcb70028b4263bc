//! How lines come into their files: all of them ahead, or at a rate.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    format::{Format, Writer},
    lines::Lines,
};

/// How often lines are written at a rate.
const PACE: Duration = Duration::from_millis(10);
const BUFFER_BYTES: usize = 1 << 20;
/// More than any format makes of a line.
const LARGEST_LINE_BYTES: usize = 8 << 10;

/// When lines of a stream were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The lines before this one, from where the entry before ends.
    pub until: u64,
    /// Just before they were written.
    pub at: Instant,
}

/// The file of a stream in a folder of logs.
#[must_use]
pub fn path_of(logs: &Path, stream: u16) -> PathBuf {
    logs.join(format!("train-{stream}.log"))
}

/// Writes `count` lines into a new file for each of so many streams, as fast as it goes.
///
/// # Errors
/// If a file cannot be written.
pub fn write_ahead(logs: &Path, format: Format, streams: u16, count: u64) -> io::Result<()> {
    for stream in 0..streams {
        let mut file = File::create(path_of(logs, stream))?;
        let mut writer = Writer::new(format, stream);
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + LARGEST_LINE_BYTES);
        for _ in 0..count {
            writer.write(&mut buffer);
            if buffer.len() >= BUFFER_BYTES {
                file.write_all(&buffer)?;
                buffer.clear();
            }
        }
        file.write_all(&buffer)?;
        // What is left to write back would be paid for by the first agent that is measured.
        file.sync_all()?;
    }
    Ok(())
}

/// Writes so many files of one line each, a thousand streams taking turns.
///
/// # Errors
/// If a file cannot be written.
pub fn write_one_each(logs: &Path, files: u32) -> io::Result<()> {
    for number in 0..files {
        let mut line = Vec::new();
        let stream = u16::try_from(number % 1000).unwrap_or_default();
        Lines::from(stream, u64::from(number / 1000)).write(&mut line);
        fs::write(logs.join(format!("train-{number}.log")), line)?;
    }
    Ok(())
}

/// Appends one line to a file, and says when.
///
/// # Errors
/// If the file cannot be written.
pub fn append_line(path: &Path, lines: &mut Lines) -> io::Result<Instant> {
    let mut line = Vec::new();
    lines.write(&mut line);
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let at = Instant::now();
    file.write_all(&line)?;
    Ok(at)
}

/// Lines at a rate.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Lines in all.
    pub count: u64,
    /// Lines a second.
    pub lines_per_second: u64,
    /// Rename the file and begin another one after so many lines.
    pub rotate_after: Option<u64>,
}

/// Appends Python's lines of stream 0 to its file at a rate; returns when the last one is written.
///
/// # Errors
/// If the file cannot be written.
pub fn write_at_rate(logs: &Path, rate: Rate) -> io::Result<Vec<Written>> {
    let path = path_of(logs, 0);
    let open = || OpenOptions::new().create(true).append(true).open(&path);
    let mut file = open()?;
    let mut lines = Lines::new(0);
    let mut buffer = Vec::new();
    let mut written = Vec::new();
    let (mut count, mut rotations) = (0, 0);
    let start = Instant::now();
    while count < rate.count {
        let due = due_by(start.elapsed(), rate.lines_per_second).min(rate.count);
        buffer.clear();
        (count..due).for_each(|_| lines.write(&mut buffer));
        written.push(Written { until: due, at: Instant::now() });
        file.write_all(&buffer)?;
        count = due;
        if rate.rotate_after.is_some_and(|lines| count / lines > rotations) {
            rotations += 1;
            fs::rename(&path, path.with_extension(format!("log.{rotations}")))?;
            file = open()?;
        }
        thread::sleep(PACE);
    }
    Ok(written)
}

fn due_by(elapsed: Duration, lines_per_second: u64) -> u64 {
    let due = elapsed.as_micros() * u128::from(lines_per_second) / 1_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 9000, lines_per_second: 1_000_000, rotate_after: None };

    #[test]
    fn both_ways_write_the_same_lines() {
        let (ahead, paced) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_ahead(ahead.path(), Format::Python, 1, 9000).unwrap();
        let written = write_at_rate(paced.path(), RATE).unwrap();
        assert!(fs::read(path_of(ahead.path(), 0)).unwrap() == fs::read(path_of(paced.path(), 0)).unwrap());
        assert_eq!(written.last().unwrap().until, 9000);
    }

    #[test]
    fn rotated_files_hold_all_lines_in_order() {
        let (ahead, rotated) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_ahead(ahead.path(), Format::Python, 1, 9000).unwrap();
        write_at_rate(rotated.path(), Rate { lines_per_second: 200_000, rotate_after: Some(3000), ..RATE }).unwrap();
        let names = ["log.1", "log.2", "log.3", "log"].map(|name| path_of(rotated.path(), 0).with_extension(name));
        let parts: Vec<u8> = names.iter().filter_map(|path| fs::read(path).ok()).flatten().collect();
        // On a busy machine many lines are due at once, and the file is renamed less often.
        assert!(names[0].exists());
        assert!(parts == fs::read(path_of(ahead.path(), 0)).unwrap());
    }

    #[test]
    fn rate_is_kept_over_hours() {
        assert_eq!(due_by(Duration::from_millis(10), 10_000), 100);
        assert_eq!(due_by(Duration::from_secs(36_000), 10_000), 360_000_000);
    }
}
