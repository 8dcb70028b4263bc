mod changing;
mod closing;
mod faulty;
mod finding;
mod holes;
mod moving;
mod owned;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::atomic::Ordering,
    thread::JoinHandle,
};

use crate::{
    record::{Bookmark, Clock, Ending, Event, Format, Ledger, Origin, ReadTo, SystemClock, UnixNanos},
    source::{Outlet, Received, StopSwitch, intake, stop_switch},
};

use super::{
    bookmark::{FileBookmark, FilePosition},
    *,
};
use faulty::FaultyDisk;

/// A file source that works in a folder of its own, and what it has handed over.
struct Reading {
    folder: tempfile::TempDir,
    /// Another folder that is looked through as well.
    beside: tempfile::TempDir,
    config: Config,
    /// Whether the kernel tells of changes.
    has_hints: bool,
    /// Whose logs are followed as well, given the folder.
    owners: Option<MakeOwners>,
    disk: FaultyDisk,
    outlet: Outlet,
    switch: Option<StopSwitch>,
    thread: Option<JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
    /// Bytes per stream, streams in the order in which they appeared.
    streams: Vec<(Told, Vec<u8>)>,
    /// The sentences of `runlog.gap` records.
    gaps: Vec<String>,
    /// Newest position per key, as a queue would have it.
    positions: BTreeMap<String, Vec<u8>>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

type MakeOwners = fn(&Path) -> Box<dyn Owners>;

/// What is remembered of an [`Origin`]. Not the origin itself, which would keep its file open.
#[derive(Debug)]
struct Told {
    id: u64,
    key: String,
    uid_prefix: Vec<u8>,
    is_ended: bool,
}

impl Reading {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// With nothing but hints: nothing is looked at by itself for as long as a test takes.
    fn by_hints() -> Self {
        Self::with(|config| {
            config.scan = Duration::from_secs(3600);
            config.poll = Duration::from_secs(3600);
        })
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut reading = Self::prepare();
        change(&mut reading.config);
        reading.start();
        reading
    }

    fn prepare() -> Self {
        let [folder, beside] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let config = Config {
            paths: [&folder, &beside].map(|dir| dir.path().join("**/*.log").display().to_string()).to_vec(),
            exclude: vec![folder.path().join("left-out*").display().to_string()],
            poll: Duration::from_millis(20),
            scan: Duration::from_millis(40),
            rotate_grace: Duration::from_millis(100),
            format: Format::Auto,
            max_open: 1_000,
        };
        Self {
            folder,
            beside,
            config,
            has_hints: true,
            owners: None,
            disk: FaultyDisk::default(),
            outlet: intake(1 << 20).1,
            switch: None,
            thread: None,
            runtime: tokio::runtime::Runtime::new().unwrap(),
            streams: Vec::new(),
            gaps: Vec::new(),
            positions: BTreeMap::new(),
            ledger: Arc::default(),
            clock: Arc::new(SystemClock),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn start(&mut self) {
        let (intake, outlet) = intake(1 << 20);
        let (switch, stop) = stop_switch();
        let context = Context {
            intake,
            stop,
            ledger: Arc::clone(&self.ledger),
            positions: Arc::new(self.positions.clone()),
            clock: Arc::clone(&self.clock),
        };
        let tagging = Tagging {
            resource: Arc::new(Resource { run_id: "run".into(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::TRACE,
            state_dir: self.path("state"),
            agent_id: [0; 16],
        };
        let (config, runtime) = (self.config.clone(), self.runtime.handle().clone());
        let mut source = FileSource::new(config, context, tagging, Arc::new(self.disk.clone()), runtime);
        if let Some(owners) = self.owners {
            source = source.with(owners(self.folder.path()));
        }
        if !self.has_hints {
            source.watch = Watch::over(None);
        }
        self.thread = Some(std::thread::spawn(move || source.run()));
        self.switch = Some(switch);
        self.outlet = outlet;
    }

    /// Stops as SIGTERM does: everything that is there is read first.
    fn stop(&mut self) {
        self.switch.take().unwrap().throw();
        while self.receive() {}
        self.thread.take().unwrap().join().unwrap();
    }

    /// Takes one input. False when the source has finished.
    fn receive(&mut self) -> bool {
        match self.outlet.receive(Instant::now() + Duration::from_secs(120)) {
            Received::Finished => false,
            Received::Nothing => panic!("nothing came for two minutes, so far: {:?}", self.texts()),
            Received::Input(Input::Pushed(_) | Input::Entries(_) | Input::Settle(_)) => true,
            Received::Input(Input::Event(Event { name, body, .. })) => {
                assert_eq!(name, "runlog.gap");
                self.gaps.push(body);
                true
            }
            Received::Input(Input::Chunk(chunk)) => {
                let known = self.streams.iter().position(|(told, _)| told.uid_prefix == chunk.origin.uid_prefix);
                let index = known.unwrap_or_else(|| {
                    let Origin { id, key, uid_prefix, .. } = chunk.origin.as_ref();
                    let (key, uid_prefix) = (key.clone(), uid_prefix.clone());
                    self.streams.push((Told { id: *id, key, uid_prefix, is_ended: false }, Vec::new()));
                    self.streams.len() - 1
                });
                let (told, text) = &mut self.streams[index];
                let is_between_lines = text.last().is_none_or(|byte| *byte == b'\n') || told.is_ended;
                let is_continued = told.id == chunk.origin.id || chunk.origin.left.formerly == Some(told.id);
                // What moved to another file is closed after that was opened.
                let is_last_word = chunk.data.is_empty() && chunk.ending == Ending::Closed;
                assert!(is_continued || is_between_lines || is_last_word, "half a line is forgotten with its origin");
                if !is_last_word {
                    told.id = chunk.origin.id;
                }
                told.is_ended |= !chunk.ending.goes_on();
                text.extend_from_slice(&chunk.data);
                let end = chunk.at + chunk.data.len() as u64;
                if let Some(bookmark) = chunk.origin.bookmark.at(ReadTo::whole(end)) {
                    if bookmark.is_empty() {
                        self.positions.remove(&chunk.origin.key);
                    } else {
                        self.positions.insert(chunk.origin.key.clone(), bookmark);
                    }
                }
                true
            }
        }
    }

    fn until(&mut self, is_reached: impl Fn(&Self) -> bool) {
        while !is_reached(self) {
            assert!(self.receive(), "the source finished early, with {:?}", self.texts());
        }
    }

    fn until_read(&mut self, wanted: &[&str]) {
        self.until(|reading| reading.texts() == wanted);
    }

    /// What was read of each stream, streams with nothing left out.
    fn texts(&self) -> Vec<String> {
        let texts = self.streams.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        texts.filter(|text| !text.is_empty()).collect()
    }
}

#[test]
fn lines_that_come_later_are_read_and_left_out_files_are_not() {
    let mut reading = Reading::new();
    reading.append("left-out.log", "no\n");
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.append("a.log", "two\n");
    reading.until_read(&["one\ntwo\n"]);
    reading.append("b.log", "three\n");
    reading.until_read(&["one\ntwo\n", "three\n"]);
    reading.stop();
    assert_eq!(reading.texts().len(), 2);
}

#[test]
fn f1_a_renamed_file_is_read_until_its_writer_is_done_beside_the_new_one() {
    let mut reading = Reading::new();
    reading.append("a.log", "old 1\n");
    reading.until_read(&["old 1\n"]);
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    reading.append("a.log", "new 1\n");
    reading.append("a.log.1", "old 2\n");
    reading.until_read(&["old 1\nold 2\n", "new 1\n"]);
    reading.stop();
    assert_eq!(reading.texts(), ["old 1\nold 2\n", "new 1\n"]);
}

#[test]
fn f3_a_file_rotated_while_the_agent_was_away_is_finished_first() {
    let mut reading = Reading::new();
    reading.append("a.log", "read\n");
    reading.until_read(&["read\n"]);
    reading.stop();
    reading.streams.clear();

    reading.append("a.log", "missed\n");
    fs::rename(reading.path("a.log"), reading.path("a.log.1")).unwrap();
    reading.append("a.log", "new\n");
    reading.start();
    reading.until(|reading| reading.texts().len() == 2);
    reading.stop();
    let mut texts = reading.texts();
    texts.sort();
    assert_eq!(texts, ["missed\n", "new\n"]);
}

#[test]
fn reading_goes_on_where_the_queue_says() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.stop();
    let uid = reading.streams[0].0.uid_prefix.clone();
    reading.streams.clear();
    reading.append("a.log", "two\n");
    reading.start();
    reading.until_read(&["two\n"]);
    assert_eq!(reading.streams[0].0.uid_prefix, uid, "it is the same stream as before");
    reading.stop();
}

#[test]
fn a_truncated_file_is_read_again_as_another_stream() {
    let mut reading = Reading::new();
    reading.append("a.log", "a long first generation\n");
    reading.until_read(&["a long first generation\n"]);
    fs::write(reading.path("a.log"), "short\n").unwrap();
    reading.until_read(&["a long first generation\n", "short\n"]);
    assert_ne!(reading.streams[0].0.uid_prefix, reading.streams[1].0.uid_prefix);
    reading.stop();
}

#[test]
fn a_file_rewritten_to_the_same_size_is_read_again() {
    let mut reading = Reading::new();
    reading.append("a.log", "first\n");
    reading.until_read(&["first\n"]);
    // Not truncated, so that no other size can be seen in between.
    let mut writer = fs::OpenOptions::new().write(true).open(reading.path("a.log")).unwrap();
    writer.write_all(b"other\n").unwrap();
    reading.until_read(&["first\n", "other\n"]);
    reading.stop();
}

#[test]
fn f5_bytes_that_were_seen_and_cut_and_copied_nowhere_are_counted_and_a_gap() {
    let mut reading = Reading::new();
    let big = "line\n".repeat(600_000);
    // A write of that size can be seen half done.
    reading.append("draft", &big);
    fs::rename(reading.path("draft"), reading.path("a.log")).unwrap();
    // The source has seen the size, and the door lets no more than a third of it through.
    reading.until(|reading| !reading.texts().is_empty());
    fs::write(reading.path("a.log"), "new\n").unwrap();
    reading.until(|reading| reading.texts().len() == 2);
    reading.stop();
    let read = reading.streams[0].1.len();
    assert!(read < big.len());
    let lost = big.len() - read;
    assert_eq!(reading.ledger.sums()[&SourceKind::File].bytes_lost, lost as u64);
    let path = reading.path("a.log");
    assert_eq!(reading.gaps, [format!("{lost} bytes of {} were removed before they were read", path.display())]);
}

#[test]
fn f6_a_file_rewritten_past_the_position_is_not_taken_for_an_append() {
    let mut reading = Reading::new();
    reading.append("a.log", "first\n");
    reading.until_read(&["first\n"]);
    reading.stop();
    reading.streams.clear();
    fs::write(reading.path("a.log"), "second, and longer\n").unwrap();
    reading.start();
    reading.until_read(&["second, and longer\n"]);
    reading.stop();
}

#[test]
fn f10_a_deleted_file_is_read_to_its_end_and_its_position_forgotten() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    let mut writer = fs::OpenOptions::new().append(true).open(reading.path("a.log")).unwrap();
    fs::remove_file(reading.path("a.log")).unwrap();
    writer.write_all(b"two\n").unwrap();
    drop(writer);
    reading.until(|reading| reading.texts() == ["one\ntwo\n"] && reading.positions.is_empty());
    reading.stop();
}

#[test]
fn positions_of_files_that_are_gone_are_forgotten_at_the_start() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.stop();
    assert_eq!(reading.positions.len(), 1);
    fs::remove_file(reading.path("a.log")).unwrap();
    reading.start();
    reading.until(|reading| reading.positions.is_empty());
    reading.stop();
}

// A volume that was mounted late made the agent forget its files, and read them again once they were there.
#[test]
fn positions_in_a_folder_that_cannot_be_looked_at_are_kept() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    reading.stop();
    reading.streams.clear();
    let (there, away) = (reading.folder.path().to_owned(), reading.folder.path().with_extension("away"));
    fs::rename(&there, &away).unwrap();
    fs::write(reading.beside.path().join("b.log"), "beside\n").unwrap();
    reading.start();
    // It has looked for its old files before it reads any.
    reading.until_read(&["beside\n"]);
    fs::rename(&away, &there).unwrap();
    reading.append("a.log", "two\n");
    reading.until_read(&["beside\n", "two\n"]);
    reading.stop();
}

#[test]
fn what_is_written_before_the_stop_is_read_before_the_end() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\n");
    reading.until_read(&["one\n"]);
    let big = "line\n".repeat(200_000);
    reading.append("a.log", &big);
    reading.append("b.log", "no newline");
    reading.stop();
    assert_eq!(reading.streams.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), 4 + big.len() + 10);
}

#[test]
fn s1_a_file_that_grows_faster_than_it_is_read_does_not_hold_the_stop() {
    let mut reading = Reading::new();
    let mut growing = fs::File::create(reading.path("a.log")).unwrap();
    let mut size = 0;
    let mut grow = || {
        // A chunk is a quarter of this.
        let piece = vec![b'x'; 1 << 20];
        growing.write_all(&piece).unwrap();
        size += piece.len();
    };
    grow();
    reading.until(|reading| !reading.streams.is_empty());
    reading.switch.take().unwrap().throw();
    while reading.receive() {
        grow();
        assert!(reading.streams[0].1.len() < 64 << 20, "the end is never reached");
    }
    reading.thread.take().unwrap().join().unwrap();
    assert!(reading.streams[0].1.len() < size, "it did have an end");
    assert!(!reading.streams[0].0.is_ended, "a line that goes on was ended");
}

#[test]
fn s1_a_line_that_nobody_goes_on_with_is_ended_by_the_stop() {
    let mut reading = Reading::new();
    reading.append("a.log", "one\nno newline");
    reading.stop();
    assert_eq!(reading.texts(), ["one\nno newline"]);
    assert!(reading.streams[0].0.is_ended);
}

#[test]
fn s19_a_file_of_more_than_four_gibibytes_is_read_on_at_its_place() {
    const START: u64 = 5 << 30;
    let mut reading = Reading::prepare();
    let path = reading.path("a.log");
    // One hole, so that it takes no room; nothing of it is read.
    let mut file = fs::File::create(&path).unwrap();
    file.set_len(START).unwrap();
    let (handle, id) = RealDisk.open(&path).unwrap().unwrap();
    let stream = bookmark::Stream { id, generation: 0, is_packed: false };
    let bookmark = FileBookmark::new(id, Arc::from(path.as_path()), stream, Arc::from(handle));
    reading.positions.insert(id.key(), bookmark.at(ReadTo::whole(START)).unwrap());
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"behind the hole\n").unwrap();

    reading.start();
    reading.until_read(&["behind the hole\n"]);
    reading.stop();
    let kept = FilePosition::read(&reading.positions[&id.key()]).unwrap();
    assert_eq!(kept.offset, START + 16);
}

/// A clock that goes an hour back or forth whenever it is asked.
#[derive(Debug, Default)]
struct Jumping(std::sync::atomic::AtomicU64);

impl Clock for Jumping {
    fn now(&self) -> UnixNanos {
        const HOUR: u64 = 3_600_000_000_000;
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        1_800_000_000_000_000_000 - asked + [0, HOUR, 3 * HOUR, 2 * HOUR][usize::try_from(asked % 4).unwrap()]
    }
}

#[test]
fn s11_a_clock_that_jumps_by_hours_hides_nothing_and_repeats_nothing() {
    let mut reading = Reading::prepare();
    reading.clock = Arc::new(Jumping::default());
    reading.start();
    let mut all = String::new();
    for number in 0..20 {
        let line = format!("line {number}\n");
        reading.append("a.log", &line);
        all += &line;
        reading.until_read(&[&all]);
    }
    reading.stop();
    reading.append("a.log", "later\n");
    reading.start();
    all += "later\n";
    reading.until_read(&[&all]);
    fs::write(reading.path("a.log"), "anew\n").unwrap();
    reading.until_read(&[&all, "anew\n"]);
    reading.stop();
}

#[test]
fn a_file_that_never_ends_does_not_hide_a_new_one() {
    let mut reading = Reading::prepare();
    reading.disk.faults().endless = Some("a.log");
    reading.start();
    reading.append("a.log", "\n");
    reading.until(|reading| !reading.streams.is_empty());
    reading.append("b.log", "new\n");
    reading.until(|reading| {
        assert!(reading.disk.faults().endless_read < 1 << 30, "nobody has looked for new files while it was read");
        reading.streams.iter().any(|(_, bytes)| bytes == b"new\n")
    });
    reading.disk.faults().shown_size = Some(1);
    reading.switch.take().unwrap().throw();
}

#[test]
fn f29_what_is_no_file_in_the_globs_is_passed_by() {
    let mut reading = Reading::prepare();
    let status = std::process::Command::new("mkfifo").arg(reading.path("pipe.log")).status().unwrap();
    assert!(status.success());
    std::os::unix::fs::symlink("/dev/zero", reading.path("device.log")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(reading.path("socket.log")).unwrap();
    fs::create_dir(reading.path("folder.log")).unwrap();
    reading.append("a.log", "one\n");
    reading.start();
    reading.until_read(&["one\n"]);
    reading.append("a.log", "two\n");
    reading.until_read(&["one\ntwo\n"]);
    reading.stop();
}
