//! NULs where text should be.

use std::{io::Seek, os::unix::fs::FileExt};

use super::*;

impl Reading {
    fn writer(&self, name: &str) -> fs::File {
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.path(name)).unwrap()
    }
}

#[test]
fn f8_the_hole_of_a_writer_that_kept_its_offset_is_passed_over() {
    for old in [100_u64, 5_000, 1 << 40] {
        let mut reading = Reading::new();
        let mut writer = reading.writer("a.log");
        writer.write_all(b"before\n").unwrap();
        reading.until_read(&["before\n"]);
        writer.set_len(0).unwrap();
        writer.seek(io::SeekFrom::Start(old)).unwrap();
        writer.write_all(b"after\n").unwrap();
        reading.until_read(&["before\n", "after\n"]);
        writer.write_all(b"more\n").unwrap();
        reading.until_read(&["before\n", "after\nmore\n"]);
        reading.stop();
        assert_eq!(reading.gaps.len(), 1, "{:?}", reading.gaps);
        assert!(reading.gaps[0].starts_with(&format!("{old} NUL")), "{:?}", reading.gaps);

        reading.streams.clear();
        writer.write_all(b"last\n").unwrap();
        reading.start();
        reading.until_read(&["last\n"]);
        reading.stop();
    }
}

#[test]
fn f18_nuls_inside_a_line_are_kept_and_blocks_of_them_are_passed_over() {
    let mut reading = Reading::new();
    // A power cut leaves blocks without content.
    let text = ["a\0b\n", "\0c\n", "half a li", &"\0".repeat(4096), "after\n"].concat();
    reading.append("a.log", &text);
    reading.until(|reading| reading.texts().concat() == "a\0b\n\0c\nhalf a liafter\n");
    assert_eq!(reading.gaps.len(), 1);
    reading.stop();
}

// F32: was told as a gap of all the room.
#[test]
fn f32_what_is_written_into_room_between_two_looks_at_it_is_no_rewriting() {
    let mut reading = Reading::prepare();
    let writer = reading.writer("a.log");
    writer.write_all_at(&[0; 1 << 20], 0).unwrap();
    reading.disk.faults().filled = Some((reading.path("a.log"), "one\n"));
    reading.start();
    reading.until_read(&["one\n"]);
    reading.stop();
    assert_eq!(reading.gaps, [] as [String; 0]);
}

#[test]
fn f32_what_was_made_room_for_is_read_when_it_is_written() {
    for is_allocated in [true, false] {
        let mut reading = Reading::new();
        let writer = reading.writer("a.log");
        if is_allocated {
            rustix::fs::fallocate(&writer, rustix::fs::FallocateFlags::empty(), 0, 1 << 20).unwrap();
        } else {
            writer.write_all_at(&[0; 1 << 20], 0).unwrap();
        }
        writer.write_all_at(b"one\nha", 0).unwrap();
        reading.until_read(&["one\nha"]);
        writer.write_all_at(b"lf\ntwo\n", 6).unwrap();
        reading.until_read(&["one\nhalf\ntwo\n"]);
        reading.stop();
        reading.streams.clear();
        writer.write_all_at(b"three\n", 13).unwrap();
        reading.start();
        reading.until_read(&["three\n"]);
        // A rotated one is done with, although there are NULs behind its last line.
        fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
        reading.until(|reading| reading.streams[0].0.is_ended);
        reading.stop();
        assert_eq!(reading.texts(), ["three\n"]);
        assert_eq!(reading.gaps, [] as [String; 0], "{is_allocated}");
    }
}
