//! How lines come into their file: all of them ahead, or at a rate.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::lines::{LINE_BYTES, Lines};

/// How often lines are written at a rate.
const PACE: Duration = Duration::from_millis(10);
const BUFFER_BYTES: usize = 1 << 20;

/// Writes the first `count` lines of a stream into a new file, as fast as it goes.
///
/// # Errors
/// If the file cannot be written.
pub fn write_ahead(path: &Path, stream: u16, count: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut lines = Lines::new(stream);
    let mut buffer = Vec::with_capacity(BUFFER_BYTES + LINE_BYTES);
    for _ in 0..count {
        lines.write(&mut buffer);
        if buffer.len() >= BUFFER_BYTES {
            file.write_all(&buffer)?;
            buffer.clear();
        }
    }
    file.write_all(&buffer)?;
    // What is left to write back would be paid for by the first agent that is measured.
    file.sync_all()
}

/// Appends the first `count` lines of a stream to a file, so many a second; returns when the last one is written.
///
/// # Errors
/// If the file cannot be written.
pub fn write_at_rate(path: &Path, stream: u16, count: u64, lines_per_second: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut lines = Lines::new(stream);
    let mut buffer = Vec::new();
    let mut written = 0;
    let start = Instant::now();
    while written < count {
        let due = due_by(start.elapsed(), lines_per_second).min(count);
        buffer.clear();
        (written..due).for_each(|_| lines.write(&mut buffer));
        file.write_all(&buffer)?;
        written = due;
        thread::sleep(PACE);
    }
    Ok(())
}

fn due_by(elapsed: Duration, lines_per_second: u64) -> u64 {
    let due = elapsed.as_micros() * u128::from(lines_per_second) / 1_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::mark;

    #[test]
    fn both_ways_write_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (ahead, paced) = (folder.path().join("ahead"), folder.path().join("paced"));
        write_ahead(&ahead, 3, 9000).unwrap();
        write_at_rate(&paced, 3, 9000, 1_000_000).unwrap();
        let text = std::fs::read(&ahead).unwrap();
        assert_eq!(text.len(), 9000 * LINE_BYTES);
        assert!(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).all(|line| mark(line).is_some()));
        assert!(text == std::fs::read(&paced).unwrap());
    }

    #[test]
    fn rate_is_kept_over_hours() {
        assert_eq!(due_by(Duration::from_millis(10), 10_000), 100);
        assert_eq!(due_by(Duration::from_secs(36_000), 10_000), 360_000_000);
    }
}
