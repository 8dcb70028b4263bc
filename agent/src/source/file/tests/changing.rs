//! Files that are not what they were: other inodes, other rights, other times, other disks.

use std::os::unix::fs::{MetadataExt, symlink};

use super::{tail::Turn, *};
use crate::record::{Tally, origin};

const EIO: i32 = 5;

/// A file that was read up to there, and what describes its positions, before it is opened again.
fn left_at(path: &Arc<Path>, offset: u64) -> (Tail, Awake) {
    left_in_lanes(path, ReadTo::whole(offset))
}

/// The same of one that lanes were given out of further than others.
fn left_in_lanes(path: &Arc<Path>, read_to: ReadTo) -> (Tail, Awake) {
    let (handle, id) = RealDisk.open(path).unwrap().unwrap();
    let handle: Arc<dyn Handle> = Arc::from(handle);
    let stream = bookmark::Stream { id, generation: 7, is_packed: false };
    let position = FilePosition::moved(id, path, stream, read_to);
    let tail = Tail::new(handle.as_ref(), Arc::clone(path), Arc::clone(path), &position);
    let bookmark = Arc::new(FileBookmark::new(id, Arc::clone(path), stream, Arc::clone(&handle)));
    let stream = origin::Stream {
        key: id.key(),
        kind: SourceKind::File,
        identity: &[],
        resource: Arc::new(Resource { run_id: "run".into(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, "a.log"),
        bookmark: Arc::clone(&bookmark) as _,
    };
    let origin = Origin::wrapped(stream, Format::Auto, tail.known().left);
    (tail, Awake { origin, bookmark, handle })
}

/// Parts of a long line were given out again: its file had been opened, and was copied and cut before the first read.
#[test]
fn f5_what_lanes_were_given_out_of_is_known_until_it_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path: Arc<Path> = Arc::from(folder.path().join("a.log"));
    fs::write(&path, "first\nlong line\n").unwrap();
    for (read_to, inside_line) in
        [(ReadTo { offset: 6, lanes: [10, 9999, 6] }, None), (ReadTo { offset: 8, lanes: [8, 9999, 12] }, Some(6))]
    {
        let (mut tail, awake) = left_in_lanes(&path, read_to);
        let left = tail.known().left;
        assert_eq!((left.read_to, left.inside_line), (read_to, inside_line));
        tail.wake(awake);
        assert_eq!(tail.known().left, left, "nothing was read since");
        let awake = tail.sleep().unwrap();
        assert_eq!(tail.known().left, left, "the file was closed");
        tail.wake(awake);
        assert!(matches!(tail.read(1), Turn::Read(_)));
        let left = tail.known().left;
        assert_eq!((left.read_to, left.inside_line), (ReadTo { offset: 16, lanes: [16, 9999, 16] }, None));
    }
}

#[test]
fn f5_what_is_remembered_of_a_short_file_grows_with_what_is_read_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path: Arc<Path> = Arc::from(folder.path().join("a.log"));
    fs::write(&path, "first\n").unwrap();
    let (mut tail, awake) = left_at(&path, 0);
    let bookmark = Arc::clone(&awake.bookmark);
    tail.wake(awake);
    assert!(matches!(tail.read(1), Turn::Read(_)));
    assert!(!bookmark.head().unwrap().is_whole());
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&[b'x'; 2_000]).unwrap();
    assert!(matches!(tail.read(1), Turn::Read(_)));
    // Nobody has asked for a position, and by then the file may be emptied.
    assert!(bookmark.head().unwrap().is_whole());
}

#[test]
fn f6_how_a_file_begins_that_is_read_on_is_known_before_anybody_asks_for_a_position() {
    let folder = tempfile::tempdir().unwrap();
    let path: Arc<Path> = Arc::from(folder.path().join("a.log"));
    let old: String = (0..1_000).map(|number| format!("old {number}\n")).collect();
    let new = old.replace("old", "new");
    for is_rewritten_before in [false, true] {
        fs::write(&path, &old).unwrap();
        let (mut tail, awake) = left_at(&path, 2_000);
        let bookmark = Arc::clone(&awake.bookmark);
        if is_rewritten_before {
            fs::write(&path, &new).unwrap();
        }
        tail.wake(awake);
        assert_eq!(bookmark.head().is_some(), !is_rewritten_before);
        // The first batch closes when the file holds other bytes there.
        fs::write(&path, &new).unwrap();
        let position = bookmark.position(ReadTo::whole(3_000)).unwrap();
        let leads_there = position.matches(&*RealDisk.open(&path).unwrap().unwrap().0);
        assert!(is_rewritten_before || !leads_there, "a restart would read on in other bytes");
    }
}

#[test]
fn f6_a_file_that_is_emptied_and_regrown_between_a_look_and_the_read_is_read_from_its_start() {
    let mut reading = Reading::new();
    reading.append("a.log", "first\n");
    reading.until_read(&["first\n"]);
    let text = "second, and longer\nthird\n";
    reading.disk.faults().rewritten = Some((6, reading.path("a.log"), text));
    reading.append("a.log", "lost\n");
    reading.until_read(&["first\n", text]);
    assert!(reading.disk.faults().rewritten.is_none());
    reading.stop();
}

#[test]
fn f6_a_file_that_is_emptied_and_regrown_with_the_same_bytes_before_the_position_is_read_from_its_start() {
    let mut reading = Reading::new();
    let filler = "loss 0.3141 ".repeat(20);
    let (old, new) = (format!("a {filler}\n"), format!("b {filler}\nc {filler}\n"));
    reading.append("a.log", &old);
    reading.until_read(&[&old]);
    fs::write(reading.path("a.log"), &new).unwrap();
    reading.until_read(&[&old, &new]);
    reading.stop();
}

#[test]
fn f9_another_file_with_the_inode_of_a_known_one_is_read_from_its_start() {
    let mut reading = Reading::new();
    reading.append("a.log", "first\n");
    reading.until_read(&["first\n"]);
    reading.stop();
    reading.streams.clear();
    let inode = fs::metadata(reading.path("a.log")).unwrap().ino();
    fs::remove_file(reading.path("a.log")).unwrap();
    let is_reused = (0..1_000).any(|_| {
        let _ = fs::remove_file(reading.path("a.log"));
        reading.append("a.log", "second, and longer\n");
        fs::metadata(reading.path("a.log")).unwrap().ino() == inode
    });
    if !is_reused {
        // File systems that never reuse one have no such fault: the position is made to name the new file.
        let (handle, id) = RealDisk.open(&reading.path("a.log")).unwrap().unwrap();
        let mut position = bookmark::FilePosition::start(id, &reading.path("a.log"), 7);
        position.offset = 6;
        drop(handle);
        reading.positions = BTreeMap::from([(id.key(), prost::Message::encode_to_vec(&position))]);
    }
    reading.start();
    reading.until_read(&["second, and longer\n"]);
    reading.stop();
}

#[test]
fn f11_files_that_begin_alike_are_each_read() {
    let mut reading = Reading::new();
    let banner = "the same banner in each rank\n".repeat(150);
    assert!(banner.len() > 4096);
    for rank in 0..100 {
        reading.append(&format!("rank-{rank}.log"), &format!("{banner}rank {rank}\n"));
    }
    reading.until(|reading| reading.texts().len() == 100);
    reading.stop();
    let mut ends: Vec<u32> =
        reading.texts().iter().map(|text| text[banner.len() + 5..].trim().parse().unwrap()).collect();
    ends.sort_unstable();
    assert_eq!(ends, (0..100).collect::<Vec<_>>());
}

#[test]
fn f12_empty_files_and_files_of_one_byte_are_told_apart() {
    let mut reading = Reading::new();
    for number in 0..1_000 {
        reading.append(&format!("{number}.log"), "");
    }
    reading.append("one.log", "x");
    reading.until_read(&["x"]);
    reading.append("500.log", "\n");
    reading.append("501.log", "\n");
    reading.until_read(&["x", "\n", "\n"]);
    reading.stop();
}

#[test]
fn f20_a_file_in_utf_16_is_kept_as_it_is() {
    let mut reading = Reading::new();
    let bytes: Vec<u8> = "\u{feff}one\r\ntwo\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(reading.path("a.log"), &bytes).unwrap();
    // The last NUL may be the first of more.
    reading.until(|reading| reading.streams.first().is_some_and(|(_, read)| *read == bytes[..bytes.len() - 1]));
    reading.stop();
}

#[test]
fn f23_a_size_that_is_wrong_for_a_while_is_no_truncation() {
    let mut reading = Reading::prepare();
    reading.has_hints = false;
    reading.disk.faults().system = Some(System::Remote);
    reading.start();
    reading.append("a.log", "one\ntwo ha");
    reading.until_read(&["one\ntwo ha"]);
    reading.disk.faults().shown_size = Some(3);
    reading.append("b.log", "b\n");
    let disk = reading.disk.clone();
    let told = disk.faults().told_wrong;
    while disk.faults().told_wrong < told + 3 {
        std::thread::yield_now();
    }
    disk.faults().shown_size = None;
    reading.append("a.log", "lf\n");
    reading.until(|reading| reading.texts().contains(&"one\ntwo half\n".to_owned()));
    assert_eq!(reading.texts().len(), 2, "{:?}", reading.texts());

    // One that is true is believed.
    fs::write(reading.path("a.log"), "new\n").unwrap();
    reading.until(|reading| reading.texts().contains(&"new\n".to_owned()));
    reading.stop();
}

#[test]
fn f23_a_file_that_the_server_has_forgotten_is_opened_again() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\ntwo ha");
    reading.until_read(&["one\ntwo ha"]);
    let opened = reading.disk.faults().opened;
    reading.disk.faults().forgotten = opened;
    reading.append("a.log", "lf\n");
    reading.until_read(&["one\ntwo half\n"]);
    assert!(reading.disk.faults().failed > 0);
    reading.stop();
}

#[test]
fn f25_links_that_are_swapped_lead_to_each_file_in_turn() {
    let mut reading = Reading::patient();
    let outside = tempfile::tempdir().unwrap();
    let target = |name: &str| outside.path().join(name);
    for name in ["one", "two"] {
        // Two links on the way, as from `/var/log/containers`.
        fs::write(target(name), format!("{name}\n")).unwrap();
        symlink(target(name), target(&format!("{name}-link"))).unwrap();
        symlink(target(&format!("{name}-link")), reading.path("new")).unwrap();
        fs::rename(reading.path("new"), reading.path("a.log")).unwrap();
        reading.until(|reading| reading.texts().contains(&format!("{name}\n")));
    }
    // The writer of the first has not noticed yet.
    fs::OpenOptions::new().append(true).open(target("one")).unwrap().write_all(b"late\n").unwrap();
    reading.until_read(&["one\nlate\n", "two\n"]);
    reading.stop();
}

#[test]
fn f26_a_file_with_many_names_is_read_once() {
    let mut reading = Reading::prepare();
    reading.append("a.log", "one\n");
    fs::hard_link(reading.path("a.log"), reading.path("hard.log")).unwrap();
    symlink(reading.path("a.log"), reading.path("soft.log")).unwrap();
    symlink(reading.folder.path(), reading.beside.path().join("folder")).unwrap();
    // Reached by two globs as well.
    reading.config.paths.push(reading.path("a*").display().to_string());
    reading.start();
    reading.until_read(&["one\n"]);
    reading.append("hard.log", "two\n");
    reading.until_read(&["one\ntwo\n"]);
    fs::remove_file(reading.path("a.log")).unwrap();
    reading.append("hard.log", "three\n");
    reading.until_read(&["one\ntwo\nthree\n"]);
    reading.stop();
}

#[test]
fn f30_failing_and_short_reads_cost_time_and_no_bytes() {
    let mut reading = Reading::prepare();
    reading.disk.faults().short_reads = Some(7);
    reading.start();
    let text = "a line that takes several reads\n".repeat(50);
    reading.append("a.log", &text[..800]);
    reading.until_read(&[&text[..800]]);
    reading.disk.faults().failing_reads = Some((3, EIO));
    reading.append("a.log", &text[800..]);
    reading.until_read(&[&text]);
    assert_eq!(reading.disk.faults().failed, 3);
    reading.stop();
}

#[test]
fn f31_times_of_other_centuries_hide_no_file() {
    let reading = Reading::new();
    let set = |name: &str, seconds: i64| {
        let file = fs::OpenOptions::new().append(true).open(reading.path(name)).unwrap();
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
        let both = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&file, &both).unwrap();
    };
    for (name, seconds) in [("old.log", -2_000_000_000), ("new.log", 4_000_000_000)] {
        reading.append(name, "one\n");
        set(name, seconds);
    }
    let mut reading = reading;
    reading.until_read(&["one\n", "one\n"]);
    for name in ["old.log", "new.log"] {
        reading.append(name, "two\n");
    }
    reading.until_read(&["one\ntwo\n", "one\ntwo\n"]);
    reading.stop();
}

#[test]
fn f33_a_file_that_is_saved_by_renaming_is_read_anew() {
    let mut reading = Reading::new();
    reading.append("a.log", "state 1\n");
    reading.until_read(&["state 1\n"]);
    fs::write(reading.path("saved"), "state 1\nstate 2\n").unwrap();
    fs::rename(reading.path("saved"), reading.path("a.log")).unwrap();
    reading.until_read(&["state 1\n", "state 1\nstate 2\n"]);
    reading.stop();
}

#[test]
fn f34_positions_that_are_torn_or_of_another_host_lead_nowhere() {
    let mut reading = Reading::new();
    reading.append("torn.log", "torn 1\n");
    reading.append("fine.log", "fine 1\n");
    reading.append("moved.log", "another host's 1\n");
    reading.until(|reading| reading.texts().len() == 3);
    reading.stop();
    reading.streams.clear();
    let key = |name: &str| RealDisk.look(&reading.path(name)).unwrap().unwrap().0.key();
    let (torn, fine, moved) = (key("torn.log"), key("fine.log"), key("moved.log"));
    reading.positions.get_mut(&torn).unwrap().truncate(5);
    // The other host has another file under these numbers.
    let elsewhere = reading.positions[&fine].clone();
    reading.positions.insert(moved, elsewhere);
    reading.positions.insert("file:1:2:3".to_owned(), reading.positions[&fine].clone());
    reading.append("fine.log", "fine 2\n");
    reading.start();
    reading.until(|reading| reading.texts().len() >= 3);
    reading.stop();
    let mut texts = reading.texts();
    texts.sort();
    assert_eq!(texts, ["another host's 1\n", "fine 2\n", "torn 1\n"]);
}

#[test]
fn f34_without_positions_files_are_read_from_their_start() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.stop();
    reading.streams.clear();
    reading.positions.clear();
    reading.start();
    reading.until_read(&["one\n"]);
    reading.stop();
}
