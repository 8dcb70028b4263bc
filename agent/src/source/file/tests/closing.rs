//! Files that are not held open, since there are too many.

use super::*;

/// Reads with two files open at most, and sees to it that the first one of four is closed.
pub fn with_one_closed() -> Reading {
    let mut reading = Reading::prepare();
    reading.config.max_open = 2;
    close_one(reading)
}

fn close_one(mut reading: Reading) -> Reading {
    reading.start();
    reading.append("a.log", "a1\n");
    reading.until_read(&["a1\n"]);
    for (name, text) in [("b.log", "b1\n"), ("c.log", "c1\n"), ("d.log", "d1\n")] {
        reading.append(name, text);
        reading.until(|reading| reading.texts().iter().any(|read| read == text));
        reading.streams.retain(|(_, read)| read == b"a1\n");
    }
    assert!(!is_open(&reading, "a.log"), "the file that was read first is closed");
    reading
}

fn is_open(reading: &Reading, name: &str) -> bool {
    let mut links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.any(|path| path == reading.path(name))
}

#[test]
fn all_files_are_read_though_few_may_be_open() {
    let mut reading = Reading::prepare();
    reading.config.max_open = 3;
    for number in 0..40 {
        reading.append(&format!("{number}.log"), &format!("{number}\n"));
    }
    reading.start();
    reading.until(|reading| reading.texts().len() == 40);
    reading.stop();
    // One more while a new file is looked at.
    let most = reading.disk.faults().most_open;
    assert!(most <= 4, "{most} files were open");
    assert_eq!(reading.positions.len(), 40);
}

#[test]
fn a_closed_file_is_read_on_when_it_grows() {
    let mut reading = with_one_closed();
    reading.append("a.log", "a2\n");
    reading.until_read(&["a1\na2\n"]);
    reading.stop();
}

#[test]
fn a_closed_file_that_is_written_after_its_rotation_is_read_to_its_end() {
    for has_hints in [true, false] {
        let mut reading = Reading::prepare();
        reading.config.max_open = 2;
        reading.has_hints = has_hints;
        let mut reading = close_one(reading);
        fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
        reading.append("a.log.1", "a2\n");
        reading.until_read(&["a1\na2\n"]);
        reading.stop();
    }
}

#[test]
fn a_closed_file_that_is_deleted_is_forgotten() {
    let mut reading = with_one_closed();
    let key = reading.streams[0].0.key.clone();
    assert!(reading.positions.contains_key(&key));
    fs::remove_file(reading.path("a.log")).unwrap();
    reading.until(|reading| !reading.positions.contains_key(&key));
    reading.stop();
    assert_eq!(reading.ledger.sums()[&SourceKind::File].bytes_lost, 0);
}

#[test]
fn a_closed_file_that_is_truncated_is_read_again() {
    let mut reading = with_one_closed();
    fs::write(reading.path("a.log"), "other, longer\n").unwrap();
    reading.until_read(&["a1\n", "other, longer\n"]);
    reading.stop();
}

#[test]
fn a_line_without_its_end_keeps_its_file_open() {
    let mut reading = Reading::with(|config| config.max_open = 2);
    reading.append("a.log", "half a line");
    reading.until_read(&["half a line"]);
    reading.append("b.log", "b\n");
    reading.until_read(&["half a line", "b\n"]);
    reading.append("c.log", "c\n");
    reading.until_read(&["half a line", "b\n", "c\n"]);
    assert!(is_open(&reading, "a.log"), "it has been idle for longest");
    reading.append("a.log", "\n");
    reading.until_read(&["half a line\n", "b\n", "c\n"]);
    reading.stop();
}

#[test]
fn a_file_that_left_the_glob_and_comes_back_is_read_on() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    let uid = reading.streams[0].0.uid_prefix.clone();
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    reading.until(|reading| reading.streams[0].0.is_ended);
    reading.streams.clear();
    reading.append("a.log.1", "two\n");
    fs::rename(reading.path("a.log.1"), reading.path("b.log")).unwrap();
    reading.until_read(&["two\n"]);
    assert_eq!(reading.streams[0].0.uid_prefix, uid);
    reading.stop();
}
