//! Files whose bytes get into other files: copied and truncated, compressed, rotated while nobody looks.

use std::process::Command;

use super::{super::bookmark::FilePosition, *};

/// Lines that are told apart, so many bytes of them at least.
fn lines(from: u32, bytes: usize) -> String {
    (from..)
        .map(|number| format!("line {number}\n"))
        .scan(0, |sum, line| {
            let is_in = *sum < bytes;
            *sum += line.len();
            is_in.then_some(line)
        })
        .collect()
}

fn truncate(path: &Path) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

/// Compresses a file as logrotate does: in its place.
pub(super) fn compress(path: &Path, ending: &str) {
    let tool = match ending {
        "gz" => Command::new("gzip").arg(path).status(),
        _ => {
            let (bytes, modified) = (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap());
            let packed = path.with_added_extension("zst");
            fs::write(&packed, zstd::encode_all(bytes.as_slice(), 3).unwrap()).unwrap();
            // As the tools do.
            fs::File::options().write(true).open(&packed).unwrap().set_modified(modified).unwrap();
            fs::remove_file(path).unwrap();
            return;
        }
    };
    assert!(tool.unwrap().success());
}

impl Reading {
    /// What was read of each stream, in the order of the alphabet.
    pub(super) fn sorted(&self) -> Vec<String> {
        let mut texts = self.texts();
        texts.sort();
        texts
    }

    fn lost_bytes(&self) -> u64 {
        self.ledger.sums()[&SourceKind::File].bytes_lost
    }

    /// Forgets what was read, and gives the uids of the first stream.
    fn take_uid(&mut self) -> Vec<u8> {
        let uid = self.streams[0].0.uid_prefix.clone();
        self.streams.clear();
        uid
    }
}

#[test]
fn f2_generations_that_came_and_went_while_the_agent_was_away_are_read() {
    for has_hints in [true, false] {
        let mut reading = Reading::prepare();
        reading.has_hints = has_hints;
        // One that was never read and is older than what was.
        reading.append("a.log.9", "ancient\n");
        reading.append("a.log", "read\n");
        reading.start();
        reading.until_read(&["read\n"]);
        reading.stop();
        reading.streams.clear();
        reading.append("a.log", "missed\n");
        fs::rename(reading.path("a.log"), reading.path("a.log.2")).unwrap();
        reading.append("a.log.1", "never seen\n");
        reading.append("a.log", "new\n");
        reading.start();
        reading.until(|reading| reading.sorted() == ["missed\n", "never seen\n", "new\n"]);
        reading.stop();
        assert_eq!(reading.sorted().len(), 3);
        assert_eq!(reading.gaps, [] as [String; 0]);
    }
}

#[test]
fn f4_a_file_that_was_compressed_while_the_agent_was_away_is_read_on_inside() {
    for (ending, read) in [("gz", 100), ("zst", 100), ("gz", 700_000), ("zst", 700_000)] {
        let mut reading = Reading::new();
        let (read, missed) = (lines(0, read), lines(100_000, 600_000));
        reading.append("a.log", &read);
        reading.until_read(&[&read]);
        reading.stop();
        let uid = reading.take_uid();

        reading.append("a.log", &missed);
        fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
        // Another one with another content, compressed earlier.
        reading.append("a.log.2", &lines(7, 2_000));
        compress(&reading.path("a.log.2"), ending);
        compress(&reading.path("a.log.1"), ending);
        assert!(!reading.path("a.log.1").exists());
        reading.append("a.log", "new\n");
        reading.start();
        // Stopped half-way as well, to go on inside.
        reading
            .until(|reading| reading.streams.iter().any(|(told, bytes)| told.uid_prefix == uid && !bytes.is_empty()));
        reading.stop();
        let is_there = |reading: &Reading| {
            let texts = reading.texts();
            texts.contains(&missed) && texts.contains(&"new\n".to_owned())
        };
        assert!(is_there(&reading), "{ending}");
        assert!(reading.streams.iter().any(|(told, bytes)| told.uid_prefix == uid && bytes == missed.as_bytes()));
        reading.streams.clear();
        reading.append("a.log", "newer\n");
        reading.start();
        reading.until_read(&["newer\n"]);
        reading.stop();
        assert_eq!((reading.texts().len(), reading.lost_bytes()), (1, 0));
        assert_eq!(reading.gaps, [] as [String; 0]);
    }
}

// logrotate compresses a generation late (`delaycompress`): its archive was taken for one of what came after the file that
// was read.
#[test]
fn f4_an_archive_that_is_made_of_what_was_there_before_the_first_start_is_not_read() {
    for ending in ["gz", "zst"] {
        let mut reading = Reading::new();
        reading.append("a.log.1", "before the first start\n");
        let old = fs::File::options().write(true).open(reading.path("a.log.1")).unwrap();
        old.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
        reading.append("a.log", "one\n");
        reading.until_read(&["one\n"]);
        reading.stop();
        reading.streams.clear();
        compress(&reading.path("a.log.1"), ending);
        let archive = |number: u8| reading.path(&format!("a.log.{number}.{ending}"));
        fs::rename(archive(1), archive(2)).unwrap();
        fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
        reading.append("a.log", "two\n");
        reading.start();
        reading.until(|reading| reading.texts().contains(&"two\n".to_owned()));
        reading.stop();
        assert_eq!((reading.texts(), reading.gaps.len()), (vec!["two\n".to_owned()], 0), "{ending}");
    }
}

#[test]
fn f4_reading_inside_a_compressed_file_goes_on_after_a_kill() {
    let mut reading = Reading::new();
    let missed = lines(100, 3_000_000);
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.stop();
    let uid = reading.take_uid();
    reading.append("a.log", &missed);
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    compress(&reading.path("a.log.1"), "gz");
    reading.start();
    reading.until(|reading| reading.streams.iter().any(|(_, bytes)| !bytes.is_empty()));
    // What is not taken over any more has not reached the queue.
    let positions = reading.positions.clone();
    let before: String = reading.texts().concat();
    reading.stop();
    assert!(before.len() < missed.len(), "it was read at once");
    reading.positions = positions;
    let position = reading.positions.values().map(|bytes| FilePosition::read(bytes).unwrap()).next().unwrap();
    assert_eq!((reading.positions.len(), position.is_packed), (1, true));
    assert_eq!(position.offset, before.len() as u64 + 4);
    reading.streams.clear();
    reading.start();
    reading.until(|reading| reading.texts().concat().len() + before.len() == missed.len());
    reading.stop();
    assert_eq!(reading.streams[0].0.uid_prefix, uid);
    assert!(before + &reading.texts().concat() == missed);
}

#[test]
fn f4_a_damaged_archive_is_a_gap_and_others_are_read() {
    let mut reading = Reading::new();
    let missed = lines(100, 600_000);
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.stop();
    reading.streams.clear();
    reading.append("a.log", &missed);
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    compress(&reading.path("a.log.1"), "gz");
    let archive = reading.path("a.log.1.gz");
    let size = fs::metadata(&archive).unwrap().len();
    fs::OpenOptions::new().write(true).open(&archive).unwrap().set_len(size / 2).unwrap();
    reading.append("a.log", "new\n");
    reading.start();
    reading.until(|reading| !reading.gaps.is_empty() && reading.texts().contains(&"new\n".to_owned()));
    reading.stop();
    let part = reading.texts().into_iter().find(|text| text != "new\n").unwrap();
    assert!(missed.starts_with(&part) && part.len() > 1_000, "what can be unpacked is read");
}

#[test]
fn f4_a_file_that_is_closed_is_read_on_in_its_archive() {
    let mut reading = closing::with_one_closed();
    reading.has_hints = false;
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    reading.append("a.log.1", "a2\n");
    compress(&reading.path("a.log.1"), "gz");
    reading.until_read(&["a1\na2\n"]);
    reading.stop();
}

#[test]
fn f4_an_archive_is_never_read_as_text() {
    let mut reading = Reading::prepare();
    reading.config.paths = vec![reading.path("*").display().to_string()];
    for ending in ["gz", "zst"] {
        reading.append(&format!("old-{ending}.log"), &lines(0, 5_000));
        compress(&reading.path(&format!("old-{ending}.log")), ending);
    }
    reading.append("a.log", "one\n");
    reading.start();
    reading.until_read(&["one\n"]);
    reading.stop();
    assert_eq!(reading.texts(), ["one\n"]);
}

#[test]
fn f5_what_a_truncation_cut_is_read_in_the_copy_first() {
    for name in ["a.log.1", "a-1.log"] {
        let mut reading = Reading::new();
        let big = lines(0, 3_000_000) + "half a line";
        reading.append("a.log", &big);
        // The door lets no more than a third of it through.
        reading.until(|reading| !reading.texts().is_empty());
        fs::copy(reading.path("a.log"), reading.path(name)).unwrap();
        truncate(&reading.path("a.log"));
        assert!(reading.streams[0].1.len() < big.len(), "all was read before it was cut");
        reading.append("a.log", "new\n");
        reading.until(|reading| reading.texts().iter().map(String::len).sum::<usize>() == big.len() + 4);
        reading.stop();
        assert!(reading.texts() == [big, "new\n".to_owned()], "{name}");
        assert_eq!((reading.lost_bytes(), reading.gaps.len()), (0, 0));
    }
}

#[test]
fn f5_what_was_cut_while_the_agent_was_away_is_read_in_the_copy() {
    for name in ["a.log.1", "a-1.log"] {
        let mut reading = Reading::new();
        reading.append("a.log", "one\n");
        reading.until_read(&["one\n"]);
        reading.stop();
        let uid = reading.take_uid();
        reading.append("a.log", "two\n");
        fs::copy(reading.path("a.log"), reading.path(name)).unwrap();
        truncate(&reading.path("a.log"));
        reading.append("a.log", "a longer third\n");
        reading.start();
        reading.until(|reading| reading.sorted() == ["a longer third\n", "two\n"]);
        reading.stop();
        assert!(reading.streams.iter().any(|(told, text)| told.uid_prefix == uid && text == b"two\n"));
        // And never again.
        reading.streams.clear();
        reading.append("a.log", "four\n");
        reading.start();
        reading.until_read(&["four\n"]);
        reading.stop();
        assert_eq!((reading.texts().len(), reading.gaps.len()), (1, 0));
    }
}

#[test]
fn f5_a_kill_between_the_positions_of_a_copy_and_of_its_cut_file_repeats_and_loses_nothing() {
    for given_out in [0, 6] {
        let mut reading = Reading::prepare();
        reading.append("a.log", "new\n");
        reading.append("a.log.1", "old 1\nold 2\n");
        let open = |name: &str| RealDisk.open(&reading.path(name)).unwrap().unwrap();
        let (id, stream) = (open("a.log").1, |id| bookmark::Stream { id, generation: 7, is_packed: false });
        // The original was read before it was cut.
        let position = |name: &str, read_to| {
            let (handle, copy) = open("a.log.1");
            let of = if name == "a.log" { id } else { copy };
            let bookmark = FileBookmark::new(of, Arc::from(reading.path(name)), stream(id), Arc::from(handle));
            (of.key(), bookmark.at(ReadTo::whole(read_to)).unwrap())
        };
        let positions = [position("a.log", given_out), position("a.log.1", 6)];
        reading.positions = positions.into();
        reading.start();
        reading.until(|reading| reading.sorted() == ["new\n", "old 2\n"]);
        reading.stop();
        assert_eq!(reading.gaps, [] as [String; 0], "{given_out}");
    }
}

#[test]
fn f5_a_copy_that_is_made_over_an_older_one_holds_what_the_next_truncation_cut() {
    let mut reading = Reading::new();
    let mut expected = Vec::new();
    for round in 0..5 {
        let text = lines(round * 1_000, 5_000);
        reading.append("a.log", &text);
        expected.push(text);
        reading.until(|reading| reading.texts() == expected);
        fs::copy(reading.path("a.log"), reading.path("a.copy")).unwrap();
        truncate(&reading.path("a.log"));
    }
    reading.append("a.log", "new\n");
    reading.until(|reading| reading.texts().len() == 6);
    reading.stop();
    assert_eq!((reading.texts().len(), reading.gaps.len()), (6, 0));
}

#[test]
fn f5_what_was_cut_and_copied_nowhere_is_a_gap() {
    let mut reading = Reading::new();
    reading.append("a.log", &lines(0, 5_000));
    reading.until_read(&[&lines(0, 5_000)]);
    reading.stop();
    reading.streams.clear();
    // No copy: another content of another length.
    reading.append("a.log.1", &lines(3, 6_000));
    truncate(&reading.path("a.log"));
    reading.append("a.log", "new\n");
    reading.start();
    reading.until_read(&["new\n"]);
    reading.stop();
    assert_eq!(reading.gaps.len(), 1, "{:?}", reading.gaps);
}

#[test]
fn f7_a_copy_that_the_globs_lead_to_is_not_read_again() {
    for has_hints in [true, false] {
        let mut reading = Reading::prepare();
        reading.has_hints = has_hints;
        reading.start();
        let text = lines(0, 5_000);
        reading.append("a.log", &text);
        reading.until_read(&[&text]);
        // As `cp` does: the file is there before its content.
        let mut copy = fs::File::create(reading.path("a-1.log")).unwrap();
        reading.append("b.log", "b\n");
        reading.until_read(&[&text, "b\n"]);
        copy.write_all(text.as_bytes()).unwrap();
        reading.append("b.log", "bb\n");
        reading.until_read(&[&text, "b\nbb\n"]);
        truncate(&reading.path("a.log"));
        reading.append("a.log", "new\n");
        reading.until_read(&[&text, "b\nbb\n", "new\n"]);
        reading.stop();
        assert_eq!(reading.texts().len(), 3);
        // Nor after a restart.
        reading.streams.clear();
        reading.append("a.log", "newer\n");
        reading.start();
        reading.until_read(&["newer\n"]);
        reading.stop();
        assert_eq!((reading.texts().len(), reading.gaps.len()), (1, 0));
    }
}

// F7: what began with the one byte that was read of the other file was taken for a copy for good, and was lost.
#[test]
fn f7_what_begins_as_a_copy_of_a_few_bytes_is_read_once_the_copied_file_was_cut() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "d");
    reading.until_read(&["d"]);
    // The door lets no more than a third of it through, so that all that follows is met at once.
    let big = lines(0, 3_000_000);
    reading.append("b.log", &big);
    reading.until(|reading| reading.texts().len() == 2);
    for (name, text) in [("a-1.log", "done\nand more\n"), ("a-2.log", "down\n"), ("a-3.log", "dawn\n")] {
        reading.append(name, text);
        // Which of them was written first is seen.
        std::thread::sleep(Duration::from_millis(20));
    }
    truncate(&reading.path("a.log"));
    reading.append("a.log", "new\n");
    reading.until(|reading| reading.texts().iter().map(String::len).sum::<usize>() >= big.len() + 28);
    reading.stop();
    let short: Vec<String> = reading.sorted().into_iter().filter(|text| text.len() < 100).collect();
    assert_eq!(short, ["dawn\n", "done\nand more\n", "down\n", "new\n"]);
    assert_eq!(reading.gaps, [] as [String; 0]);
}

#[test]
fn f7_a_copy_of_a_file_that_was_not_read_yet_is_read_only_if_that_one_is_cut() {
    for is_cut in [false, true] {
        let mut reading = Reading::prepare();
        let text = lines(0, 5_000);
        reading.append("a.log", &text);
        fs::copy(reading.path("a.log"), reading.path("a-1.log")).unwrap();
        if is_cut {
            reading.disk.faults().rewritten = Some((0, reading.path("a.log"), "new\n"));
        }
        reading.start();
        let read = if is_cut { vec![&*text, "new\n"] } else { vec![&*text] };
        reading.until(|reading| reading.sorted().iter().eq(&read));
        reading.stop();
        assert_eq!(reading.texts().len(), read.len());
        assert!(reading.disk.faults().rewritten.is_none());
    }
}

#[test]
fn f7_a_copy_that_is_seen_empty_while_nothing_of_its_file_is_read_yet_is_not_read_again() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "");
    reading.append("b.log", "b\n");
    reading.until_read(&["b\n"]);
    reading.disk.faults().failing_reads = Some((1, rustix::io::Errno::IO.raw_os_error()));
    reading.append("a.log", "a\n");
    while reading.disk.faults().failed == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut copy = fs::File::create(reading.path("a-1.log")).unwrap();
    reading.until_read(&["b\n", "a\n"]);
    copy.write_all(b"a\n").unwrap();
    reading.append("b.log", "bb\n");
    reading.until_read(&["b\nbb\n", "a\n"]);
    reading.stop();
    assert_eq!(reading.texts().len(), 2);
}

#[test]
fn f7_a_copy_that_becomes_another_file_is_read_from_its_start() {
    let mut reading = Reading::new();
    reading.append("a.log", "banner\n");
    reading.until_read(&["banner\n"]);
    reading.append("a-1.log", "banner\n");
    reading.append("b.log", "b\n");
    reading.until_read(&["banner\n", "b\n"]);
    reading.append("a-1.log", "rank 1\n");
    reading.until_read(&["banner\n", "b\n", "banner\nrank 1\n"]);
    reading.stop();
}

#[test]
fn f15_half_a_line_at_a_rotation_is_ended_with_its_file() {
    let mut reading = Reading::new();
    reading.append("a.log", "half a l");
    reading.until_read(&["half a l"]);
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    reading.append("a.log", "ine\n");
    reading.until(|reading| reading.texts() == ["half a l", "ine\n"] && reading.streams[0].0.is_ended);
    reading.stop();
}

#[test]
fn f6_a_position_that_is_asked_for_after_a_truncation_does_not_lead_into_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
    let old = lines(0, 5_000);
    fs::write(&path, &old).unwrap();
    let (handle, id) = RealDisk.open(&path).unwrap().unwrap();
    let stream = bookmark::Stream { id, generation: 7, is_packed: false };
    let bookmark = bookmark::FileBookmark::new(id, Arc::from(path.as_path()), stream, Arc::from(handle));
    bookmark.position(ReadTo::whole(2_000)).unwrap();
    fs::copy(&path, &copy).unwrap();
    fs::write(&path, lines(500, 9_000)).unwrap();
    let position = bookmark.position(ReadTo::whole(4_000)).unwrap();
    let open = |path: &Path| RealDisk.open(path).unwrap().unwrap().0;
    assert!(!position.matches(&*open(&path)), "what is there now was never read");
    assert!(position.is_copied_to(&*open(&copy)), "what was read is in the copy");
    assert!(!position.is_copied_to(&*open(&path)));
}

#[test]
fn f6_a_position_in_a_short_file_that_was_truncated_since_leads_to_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
    let old = lines(0, 200);
    fs::write(&path, &old).unwrap();
    let (handle, id) = RealDisk.open(&path).unwrap().unwrap();
    let stream = bookmark::Stream { id, generation: 7, is_packed: false };
    let bookmark = bookmark::FileBookmark::new(id, Arc::from(path.as_path()), stream, Arc::from(handle));
    bookmark.begins_with(old.as_bytes());
    fs::copy(&path, &copy).unwrap();
    fs::write(&path, lines(500, 900)).unwrap();
    let position = bookmark.position(ReadTo::whole(100)).unwrap();
    let open = |path: &Path| RealDisk.open(path).unwrap().unwrap().0;
    assert!(position.is_copied_to(&*open(&copy)), "what was read is in the copy");
    assert!(!position.is_copied_to(&*open(&path)));
    // More than is known of the head was given out: others may begin like that.
    let further = bookmark.position(ReadTo::whole(300)).unwrap();
    fs::write(&copy, old + &lines(900, 500)).unwrap();
    assert!(!further.is_copied_to(&*open(&copy)));
}

#[test]
fn f10_a_file_that_was_removed_with_bytes_that_were_seen_is_a_gap() {
    let mut reading = Reading::new();
    let big = lines(0, 3_000_000);
    reading.append("a.log", &big);
    reading.until(|reading| !reading.texts().is_empty());
    let positions = reading.positions.clone();
    reading.stop();
    // Killed before more than the first bytes were in the queue.
    reading.positions = positions;
    fs::remove_file(reading.path("a.log")).unwrap();
    reading.start();
    reading.until(|reading| !reading.gaps.is_empty() && reading.positions.is_empty());
    reading.stop();
    assert!(reading.lost_bytes() > 1_000_000, "{}", reading.lost_bytes());
}

#[test]
fn f24_a_file_that_was_copied_to_the_upper_layer_is_read_on() {
    for is_stopped in [false, true] {
        let mut reading = Reading::prepare();
        reading.has_hints = false;
        reading.disk.faults().system = Some(System::Layered);
        reading.start();
        reading.append("a.log", "one\nhalf ");
        reading.until_read(&["one\nhalf "]);
        if is_stopped {
            reading.stop();
        }
        // What the first write through an overlay looks like to whoever has the lower file open.
        fs::copy(reading.path("a.log"), reading.path("upper")).unwrap();
        fs::rename(reading.path("upper"), reading.path("a.log")).unwrap();
        reading.append("a.log", "a line\ntwo\n");
        if is_stopped {
            reading.start();
        }
        reading.until_read(&["one\nhalf a line\ntwo\n"]);
        reading.stop();
        assert_eq!((reading.texts().len(), reading.positions.len()), (1, 1));
    }
}
