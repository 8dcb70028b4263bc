//! How files are found: by hints alone, and where there are none.

use super::*;

#[test]
fn a_file_in_a_new_folder_is_found() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    fs::create_dir_all(reading.path("run/rank-0")).unwrap();
    reading.append("run/rank-0/b.log", "two\n");
    reading.until_read(&["one\n", "two\n"]);
    reading.append("run/rank-0/b.log", "three\n");
    reading.until_read(&["one\n", "two\nthree\n"]);
    reading.stop();
}

#[test]
fn a_file_that_is_renamed_into_the_glob_is_found() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.append("draft", "two\n");
    fs::rename(reading.path("draft"), reading.path("b.log")).unwrap();
    reading.until_read(&["one\n", "two\n"]);
    reading.stop();
}

#[test]
fn a_folder_that_is_moved_into_the_glob_is_walked_through() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("run")).unwrap();
    fs::write(outside.path().join("run/b.log"), "two\n").unwrap();
    fs::rename(outside.path().join("run"), reading.path("run")).unwrap();
    reading.until_read(&["one\n", "two\n"]);
    reading.stop();
}

// F2: what was created, written and rotated away before anybody looked was never read.
#[test]
fn f2_each_of_ten_rotations_at_once_is_read() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "0\n");
    reading.until_read(&["0\n"]);
    for rotation in 1..=10 {
        for old in (0..rotation).rev() {
            let name = |number| if number == 0 { "a.log".to_owned() } else { format!("a.log.{number}") };
            fs::rename(reading.path(&name(old)), reading.path(&name(old + 1))).unwrap();
        }
        reading.append("a.log", &format!("{rotation}\n"));
    }
    reading.until(|reading| reading.texts().len() == 11);
    let mut texts = reading.texts();
    texts.sort_by_key(|text| text.trim().parse::<u32>().unwrap());
    assert_eq!(texts, (0..=10).map(|rotation| format!("{rotation}\n")).collect::<Vec<_>>());
    reading.stop();
}

#[test]
fn f2_a_generation_that_came_and_went_at_once_is_a_gap() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    // The door lets no more than a third of it through, so that nobody reads hints.
    let big = "line\n".repeat(600_000);
    reading.append("a.log", &big);
    reading.until(|reading| reading.texts()[0].len() > 4);
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    reading.append("a.log", "gone\n");
    fs::remove_file(reading.path("a.log")).unwrap();
    // What comes and goes where nothing is followed is no log.
    reading.append("b.log", "a draft\n");
    fs::remove_file(reading.path("b.log")).unwrap();
    reading.append("a.log", "two\n");
    let path = reading.path("a.log");
    reading.until(|reading| reading.texts().contains(&"two\n".to_owned()));
    reading.stop();
    let told = [format!("a file at {} was removed before it could be opened", path.display())];
    // Where the reader was not held up yet, it may have been in time.
    assert!(reading.gaps == told || reading.texts().contains(&"gone\n".to_owned()), "{:?}", reading.gaps);
}

// F2: was lost without a word, since what was opened at its path had been renamed again before that was looked at.
#[test]
fn f2_a_generation_that_came_and_went_between_two_rotations_is_a_gap() {
    let mut reading = Reading::by_hints();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    // The door lets no more than a third of it through, so that nobody reads hints.
    let big = "line\n".repeat(600_000);
    reading.append("a.log", &big);
    reading.until(|reading| reading.texts()[0].len() > 4);
    let [path, first, second] = ["a.log", "a.log.1", "a.log.2"].map(|name| reading.path(name));
    fs::rename(&path, &first).unwrap();
    reading.append("a.log", "gone\n");
    fs::remove_file(&path).unwrap();
    reading.disk.faults().renamed = Some((1, path.clone(), second));
    reading.append("a.log", "two\n");
    reading.until(|reading| reading.texts().contains(&"two\n".to_owned()));
    reading.stop();
    let told = [format!("a file at {} was removed before it could be opened", path.display())];
    // Where the reader was not held up yet, it may have been in time.
    assert!(reading.gaps == told || reading.texts().contains(&"gone\n".to_owned()), "{:?}", reading.gaps);
}

// F2, F4: what was packed before anybody looked was told as a gap, although it stood in its archive.
#[test]
fn f2_a_generation_that_came_and_was_packed_at_once_is_read_from_its_archive() {
    for ending in ["gz", "zst"] {
        let mut reading = Reading::by_hints();
        reading.append("a.log", "one\n");
        reading.until_read(&["one\n"]);
        // The door lets no more than a third of it through, so that nobody reads hints.
        let big = "line\n".repeat(600_000);
        reading.append("a.log", &big);
        reading.until(|reading| reading.texts()[0].len() > 4);
        fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
        reading.append("a.log", "packed\n");
        fs::rename(reading.path("a.log.1"), reading.path("a.log.2")).unwrap();
        fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
        // The one that is being read as well; it has been begun.
        moving::compress(&reading.path("a.log.2"), ending);
        moving::compress(&reading.path("a.log.1"), ending);
        reading.append("a.log", "two\n");
        reading
            .until(|reading| reading.texts().len() == 3 && reading.texts().iter().any(|text| text.len() > big.len()));
        reading.stop();
        let mut texts = reading.texts();
        texts.sort();
        assert_eq!(texts[1..], ["packed\n", "two\n"], "{ending}");
        assert_eq!(texts[0], format!("one\n{big}").as_str());
        assert_eq!(reading.gaps, [] as [String; 0]);
    }
}

#[test]
fn f28_a_folder_that_is_removed_and_made_again_is_watched_again() {
    let mut reading = Reading::with(|config| config.poll = Duration::from_secs(3600));
    let beside = reading.beside.path().join("b.log");
    fs::write(&beside, "one\n").unwrap();
    reading.until_read(&["one\n"]);
    // The kernel does not tell of the removal while a file is open, and this one concerns nobody.
    let _held = fs::File::create(reading.path("other")).unwrap();
    fs::remove_dir_all(reading.folder.path()).unwrap();
    fs::create_dir(reading.folder.path()).unwrap();
    reading.append("a.log", "two\n");
    reading.until_read(&["one\n", "two\n"]);
    reading.append("a.log", "three\n");
    reading.until_read(&["one\n", "two\nthree\n"]);
    reading.stop();
}

#[test]
fn f28_a_folder_that_comes_after_the_start_is_found() {
    let mut reading = Reading::prepare();
    reading.config.paths = vec![reading.path("not/yet/*.log").display().to_string()];
    reading.config.scan = Duration::from_secs(3600);
    reading.start();
    fs::create_dir_all(reading.path("not/yet")).unwrap();
    reading.append("not/yet/a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.stop();
}

// F22: the kernel forgets hints when too many wait.
#[test]
fn f22_what_happened_while_hints_were_lost_is_found() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: u32 = limit.trim().parse().unwrap();
    let mut reading = Reading::by_hints();
    reading.append("a.log", "one\n");
    reading.append("b.log", "two\n");
    reading.until(|reading| reading.texts().len() == 2);
    // The door lets no more than a third of it through, so that nobody reads hints.
    let big = "line\n".repeat(600_000);
    reading.append("a.log", &big);
    reading.until(|reading| reading.texts().iter().any(|text| text.len() > 4));
    for number in 0..=limit / 2 {
        let path = reading.path(&format!("{number}.tmp"));
        fs::write(&path, b"").unwrap();
        fs::remove_file(&path).unwrap();
    }
    reading.append("b.log", "three\n");
    reading.append("c.log", "four\n");
    reading.until(|reading| {
        let texts = reading.texts();
        texts.iter().any(|text| text == "two\nthree\n") && texts.iter().any(|text| text == "four\n")
    });
    reading.stop();
}

#[test]
fn a_file_reached_by_a_link_is_read_on() {
    let mut reading = Reading::with(|config| config.scan = Duration::from_secs(3600));
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target");
    fs::write(&target, "one\n").unwrap();
    std::os::unix::fs::symlink(&target, reading.path("a.log")).unwrap();
    reading.until_read(&["one\n"]);
    fs::OpenOptions::new().append(true).open(&target).unwrap().write_all(b"two\n").unwrap();
    reading.until_read(&["one\ntwo\n"]);
    reading.stop();
}

#[test]
fn f22_without_inotify_files_are_found_and_read_on() {
    let mut reading = Reading::prepare();
    reading.has_hints = false;
    reading.start();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.append("a.log", "two\n");
    fs::create_dir(reading.path("run")).unwrap();
    reading.append("run/b.log", "three\n");
    reading.until_read(&["one\ntwo\n", "three\n"]);
    reading.stop();
}
