use std::{fs, path::PathBuf, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    parse::{self, Lines},
    record::{
        Chunk, Ending, Format, NoBookmark, Origin, Resource, Severity, SourceKind, Tally,
        origin::{Left, Stream},
        wire::attributes,
    },
};

/// The field number of a record's attributes.
const ATTRIBUTES: u32 = 6;
const SECOND: u64 = 1_000_000_000;

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    at: u64,
    body: String,
    attributes: Vec<(String, f64)>,
    read_to: ReadTo,
}

impl Seen {
    fn number(&self, key: &str) -> Option<f64> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    fn of(line: &Line<'_>) -> Self {
        let number = |value| match value {
            Value::Double(number) => number,
            Value::Int(number) => number as f64,
            _ => 0.0,
        };
        let attributes = attributes(line.attributes, ATTRIBUTES).map(|found| {
            let (key, value) = found.unwrap();
            (key.to_owned(), number(value))
        });
        let body = String::from_utf8_lossy(line.bytes).into_owned();
        Self { at: line.at, body, attributes: attributes.collect(), read_to: line.read_to }
    }
}

/// A stream that is read piece by piece.
struct Reading {
    origin: Arc<Origin>,
    lines: Lines,
    at: u64,
    now: u64,
    seen: Vec<Seen>,
}

impl Reading {
    fn of(format: Format, left: impl Into<Left>, max_line_bytes: usize) -> Self {
        let left = left.into();
        let stream = Stream {
            key: "test".into(),
            kind: SourceKind::File,
            identity: &[b"test"],
            resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::TRACE,
            tally: Tally::detached(SourceKind::File, "test"),
            bookmark: Arc::new(NoBookmark),
        };
        let origin = Origin::wrapped(stream, format, left);
        let terminal = Some(Config { progress_every: Duration::from_secs(10) });
        let config = parse::Config { max_line_bytes, terminal, ..parse::Config::default() };
        let at = left.read_to.offset;
        Self { lines: Lines::new(&config, &origin, at), origin, at, now: 0, seen: Vec::new() }
    }

    fn plain() -> Self {
        Self::of(Format::Plain, ReadTo::default(), 1 << 20)
    }

    fn take(&mut self, data: &[u8], seconds: u64, ending: Ending) -> &mut Self {
        let (origin, at, observed) = (Arc::clone(&self.origin), self.at, seconds * SECOND);
        let chunk = Chunk { origin, at, data: data.to_vec(), observed, marks: Vec::new(), ending, permit: None };
        self.lines.feed(&chunk, |line| self.seen.push(Seen::of(&line)));
        self.at += data.len() as u64;
        self.now = seconds;
        self
    }

    fn open(&mut self, data: &str, seconds: u64) -> &mut Self {
        self.take(data.as_bytes(), seconds, Ending::Open)
    }

    fn close(&mut self) -> Vec<Seen> {
        self.take(b"", self.now, Ending::Closed);
        assert_eq!(self.lines.read_to().offset, self.at, "a closed stream is given out");
        std::mem::take(&mut self.seen)
    }

    fn bodies(&self) -> Vec<&str> {
        self.seen.iter().map(|seen| seen.body.as_str()).collect()
    }
}

fn read(text: &str) -> Vec<Seen> {
    Reading::plain().open(text, 0).close()
}

fn bodies(text: &str) -> Vec<String> {
    read(text).into_iter().map(|seen| seen.body).collect()
}

fn corpus() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/terminal");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pipe" || extension == "pty") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    files.sort();
    assert!(files.len() > 10, "{} files", files.len());
    files
}

/// A bar that says how far it is, and one that is finished.
fn tqdm(label: &str, current: u32) -> String {
    let percent = current;
    format!("{label}: {percent:3}%|####      | {current}/100 [00:04<00:05,  9.90it/s]")
}

#[test]
fn a_finished_bar_of_each_program_is_one_record_and_no_line_is_lost() {
    let one: &[&str] = &["train: 100%|", "after the bar"];
    let nested: &[&str] = &[
        "epoch 0: 100%|",
        "epoch 0 done",
        "epoch 1: 100%|",
        "epoch 1 done",
        "epoch 2: 100%|",
        "epoch 2 done",
        "epochs: 100%|",
        "after the bars",
    ];
    let glued: &[&str] = &[
        "before",
        "INFO:root:saved checkpoint",
        "75%|",
        "Traceback (most recent call last):",
        "  File \"",
        "    globals()",
        "  File \"",
        "    raise ValueError(",
        "ValueError: loss is NaN",
    ];
    let keras: &[&str] = &["Epoch 1/2", "25/25 ━", "25/25 ━", "after the bars"];
    let pip: &[&str] = &["Downloading train-1.0", "━", "Successfully installed train-1.0"];
    let rich: &[&str] = &["half way", "download ━", "unpack   ━", "all done"];
    let expected = [
        ("keras_bar", keras),
        ("keras_before_3", &["Epoch 1/1", "25/25 [="]),
        ("pip_download", pip),
        ("rich_bars", rich),
        ("tqdm_bar", one),
        ("tqdm_bytes", &["model.bin: 100%|"]),
        ("tqdm_endless", &["25it ["]),
        ("tqdm_glued", glued),
        ("tqdm_nested", nested),
    ];
    let files = corpus();
    assert_eq!(files.len(), 2 * expected.len());
    for (name, text) in files {
        let program = name.split('.').next().unwrap();
        let (_, expected) = expected.iter().find(|(name, _)| *name == program).unwrap();
        let seen = read(&text);
        let bodies: Vec<&str> = seen.iter().map(|seen| seen.body.as_str()).collect();
        let are_alike = |(body, expected): (&&str, &&str)| body.trim_start().starts_with(expected.trim_start());
        let is_right = bodies.len() == expected.len() && bodies.iter().zip(*expected).all(are_alike);
        assert!(is_right, "{name}: {bodies:#?}");
        for Seen { body, .. } in &seen {
            assert!(!body.contains(['\x1b', '\r', '\x08']), "{name}: {body:?}");
        }
        for bar in seen.iter().filter(|seen| seen.body.contains('%') || seen.body.contains("/25")) {
            let (current, total) = (bar.number("progress.current").unwrap(), bar.number("progress.total").unwrap());
            assert!(current == total || program == "tqdm_glued" && (current, total) == (15.0, 20.0), "{name}: {bar:?}");
        }
    }
}

#[test]
fn a_bar_is_told_once_in_progress_every_and_when_it_is_finished() {
    let mut reading = Reading::plain();
    for second in 0..=35 {
        reading.open(&format!("\r{}", tqdm("train", second)), u64::from(second));
    }
    reading.open(&format!("\r{}\n", tqdm("train", 100)), 36);
    let told: Vec<_> =
        reading.seen.iter().map(|seen| (seen.number("progress.current"), seen.number("runlog.folded"))).collect();
    // The newest state has no end before the next one begins, so each is told a second later.
    let expected = [(10.0, Some(10.0)), (20.0, Some(9.0)), (30.0, Some(9.0)), (100.0, Some(5.0))];
    assert_eq!(told, expected.map(|(current, folded)| (Some(current), folded)));
    assert_eq!(reading.lines.take_folded(), 10 + 9 + 9 + 5);
}

#[test]
fn a_line_that_is_glued_to_a_bar_is_a_line() {
    let bar = tqdm("train", 41);
    for glued in ["[rank0]: Traceback (most recent call last):", "ERROR:root:bad", "hello"] {
        let text = format!("\r{bar}{glued}\n\r{}", tqdm("train", 42));
        assert_eq!(bodies(&text), [glued.to_owned(), tqdm("train", 42)]);
        let first = &read(&text)[0];
        assert_eq!(first.at, 1 + bar.len() as u64);
    }
    assert_eq!(bodies("\r 41%|###  | 41/100\nERROR:root:bad\n"), [" 41%|###  | 41/100", "ERROR:root:bad"]);
}

#[test]
fn what_is_drawn_over_and_is_no_earlier_state_is_a_line() {
    for (text, expected) in [
        ("message\r          \rother message\n", &["message", "other message"][..]),
        ("Loading\rLoading.\rLoading..\n", &["Loading.."]),
        ("⠋ working\r⠙ working\r⠹ working\r\x1b[2Kdone\n", &["⠹ working", "done"]),
        ("step 1 loss 0.5\rstep 2 loss 0.4\rstep 3 loss nan\n", &["step 2 loss 0.4", "step 3 loss nan"]),
        // A logger's lines that end in a lone carriage return.
        (
            "INFO:root:step 1\rINFO:root:step 2\rINFO:root:step 3\n",
            &["INFO:root:step 1", "INFO:root:step 2", "INFO:root:step 3"],
        ),
        // Messages that speak of percentages, printed by tqdm.write.
        ("\r    \raccuracy 41%\n\r    \raccuracy 43%\n", &["accuracy 41%", "accuracy 43%"]),
        ("Receiving: 41% (41/100)\rReceiving: 100% (100/100), done.\n", &["Receiving: 100% (100/100), done."]),
    ] {
        assert_eq!(bodies(text), expected, "{text:?}");
    }
}

#[test]
fn lines_without_drawing_are_left_as_they_are_and_colours_are_taken_off() {
    for (text, expected) in [
        ("windows\r\n\r\nline\r\n", &["windows", "", "line"][..]),
        ("\x1b[32mINFO\x1b[0m \x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\ there\n", &["INFO link there"]),
        ("\x1b[0m\nafter\n", &["", "after"]),
        ("  indented “quoted” text  \n", &["  indented “quoted” text  "]),
        ("no sequence \x1b[3\n", &["no sequence \x1b[3"]),
        ("41% of it, 3/10\n", &["41% of it, 3/10"]),
        ("\r\r\rend\n", &["end"]),
        ("twice\r\r\nnext\n", &["twice", "next"]),
    ] {
        assert_eq!(bodies(text), expected, "{text:?}");
    }
}

#[test]
fn an_unfinished_bar_is_told_when_its_program_goes_on_or_ends() {
    let bar = tqdm("train", 41);
    assert_eq!(bodies(&format!("\r{bar}")), [bar.as_str()]);
    assert_eq!(bodies(&format!("\r{bar}\nnext\n")), [bar.as_str(), "next"]);
    // The next epoch.
    assert_eq!(bodies(&format!("\r{bar}\r{}\r{}", tqdm("train", 0), tqdm("train", 1))), [bar, tqdm("train", 1)]);
}

#[test]
fn a_finished_bar_that_is_drawn_once_more_is_not_told_again() {
    let bar = tqdm("train", 100);
    assert_eq!(bodies(&format!("\r{bar}\rmessage\n\r{bar}\n")), [&bar, "message"]);
    // Keras adds what it has validated.
    let more = format!("{bar} val_loss");
    let both = [bar.as_str(), "message", " val_loss"];
    assert_eq!(bodies(&format!("\r{bar}\rmessage\n\r{more}\n")), both);
    let keras = ["25/25 [====] - loss: 0.3", "25/25 [====] - loss: 0.3 - val_loss: 0.2"];
    assert_eq!(bodies(&format!("\r{}\rmessage\n\r{}\n", keras[0], keras[1])), [keras[0], "message", keras[1]]);
}

#[test]
fn a_position_does_not_pass_words_that_nothing_took_the_place_of() {
    let mut reading = Reading::plain();
    reading.open(&format!("\r{}\rwaiting\r{}\n", tqdm("train", 50), tqdm("train", 100)), 0);
    assert_eq!(reading.bodies(), ["waiting", &tqdm("train", 100)]);
}

#[test]
fn a_bar_that_stands_still_is_told_when_it_is_due_and_its_newline_is_no_line() {
    let mut reading = Reading::plain();
    reading.open(&format!("\r{}", tqdm("train", 40)), 1).open(&format!("\r{}", tqdm("train", 41)), 2);
    assert!(reading.lines.is_waiting());
    reading.take(b"", 10, Ending::Silent);
    assert!(reading.seen.is_empty(), "{:?}", reading.seen);
    reading.take(b"", 12, Ending::Silent);
    assert_eq!(reading.bodies(), [tqdm("train", 41)]);
    assert_eq!(reading.lines.read_to(), ReadTo::whole(reading.at));
    assert!(!reading.lines.is_waiting());
    reading.open("\nnext\n", 13);
    assert_eq!(reading.bodies()[1..], ["next"]);
}

#[test]
fn a_bar_of_hours_holds_no_more_than_its_newest_state_and_its_position_moves() {
    let mut reading = Reading::plain();
    for step in 0..20_000_u32 {
        let before = reading.at;
        reading.open(&format!("\rstep {step:5} of many, loss {}", 1.0 / f64::from(step + 1)), 0);
        assert!(reading.lines.read_to().offset + 100 > before, "the position stays behind at {step}");
    }
    let seen = reading.close();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].number("runlog.folded"), Some(19_999.0));
}

#[test]
fn pieces_of_a_container_runtime_are_folded_while_they_come() {
    let cri = |stream, tag, text: &str| format!("2026-11-24T05:44:23.5Z {stream} {tag} {text}\n");
    let mut reading = Reading::of(Format::Cri, ReadTo::default(), 1 << 20);
    let text = (0..=50).map(|current| format!("\r{}", tqdm("train", current))).collect::<String>();
    for piece in text.as_bytes().chunks(100) {
        reading.open(&cri("stderr", "P", std::str::from_utf8(piece).unwrap()), 0);
    }
    let behind = reading.at - reading.lines.read_to().offset;
    assert!(behind < 600, "{behind} bytes would be read again");
    reading.open(&cri("stdout", "F", "beside"), 0);
    reading.open(&cri("stderr", "F", "[rank0]: bad"), 0);
    assert_eq!(reading.bodies(), ["beside", "[rank0]: bad"]);
    let seen = reading.close();
    assert_eq!(seen[2].body, tqdm("train", 50));
}

#[test]
fn what_is_off_is_kept_as_it_was_printed() {
    let mut reading = Reading::plain();
    reading.lines = Lines::new(&parse::Config::default(), &reading.origin, 0);
    reading.open("\r 41%|###\r\x1b[31m 42%|###\n", 0);
    assert_eq!(reading.bodies(), ["\r 41%|###\r\x1b[31m 42%|###"]);
}

fn drawing() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => (0..3_usize, 0..=100_u32).prop_map(|(label, current)| tqdm(["train", "valid", "epoch 3"][label], current)),
        2 => Just("\r".to_owned()),
        2 => Just("\n".to_owned()),
        1 => Just("\r\n".to_owned()),
        1 => Just("\x1b[A".to_owned()),
        1 => Just("\x1b[2K".to_owned()),
        1 => Just("\x1b[31mred\x1b[0m".to_owned()),
        1 => Just("           ".to_owned()),
        1 => Just("12/25 [===>...] - loss: 0.3\x08\x08\x08\x08\r".to_owned()),
        1 => "(message|ERROR:root:bad|\\[rank0\\]: x|[0-9]{1,2}%|é━)",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(data: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
    cuts.extend([0, data.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect()
}

/// The same with each line in a container runtime's wrapping, cut into pieces of 50 bytes.
fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    for line in text.split_inclusive('\n') {
        let (line, ends) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        let mut pieces: Vec<&[u8]> = line.as_bytes().chunks(50).collect();
        if pieces.is_empty() {
            pieces.push(b"");
        }
        for (index, piece) in pieces.iter().enumerate() {
            let tag = if ends && index + 1 == pieces.len() { "F" } else { "P" };
            wrapped += &format!("2026-11-24T05:44:23.5Z stdout {tag} {}\n", String::from_utf8_lossy(piece));
        }
    }
    wrapped
}

/// A text as it was printed, as a container runtime wraps it, and where that is told by its first line or by one before,
/// also where that one is another.
fn formats(text: &str) -> [(Format, String); 6] {
    [
        (Format::Plain, text.to_owned()),
        (Format::Cri, wrapped(text)),
        (Format::Auto, text.to_owned()),
        (Format::Auto, wrapped(text)),
        (Format::Auto, format!("bare\n{text}")),
        (Format::Auto, wrapped("wrapped\n") + text),
    ]
}

#[test]
fn a_bar_that_is_the_first_in_a_file_is_told_before_its_line_ends() {
    let text: String = (0..40).map(|state| format!("\r{}", tqdm("train", state))).collect();
    // With a carriage return before the first state, and without, as rich and wget do.
    for text in [&text[..], &text[1..]] {
        for size in [1, 7, 100, text.len()] {
            let drawn = |format| {
                let mut reading = Reading::of(format, ReadTo::default(), 1 << 20);
                let mut pieces = text.as_bytes().chunks(size);
                let count = pieces.len() as u64;
                (1..).zip(&mut pieces).for_each(|(at, piece)| _ = reading.take(piece, 40 * at / count, Ending::Open));
                reading
            };
            let (told, plain) = (drawn(Format::Auto), drawn(Format::Plain));
            assert_eq!(told.seen, plain.seen, "in pieces of {size}");
            assert!(size == text.len() || told.seen.len() >= 3, "in pieces of {size}: {:?}", told.bodies());
        }
    }
}

#[test]
fn a_bar_in_a_file_that_may_be_wrapped_is_told_before_its_line_ends() {
    let drawn = |format| {
        let mut reading = Reading::of(format, ReadTo::default(), 1 << 20);
        reading.open("loading\n", 0);
        for (state, seconds) in [(10, 1), (20, 12), (30, 13), (40, 24)] {
            reading.open(&format!("\r{}", tqdm("train", state)), seconds);
        }
        reading
    };
    let (told, plain) = (drawn(Format::Auto), drawn(Format::Plain));
    assert_eq!(told.bodies(), ["loading", &tqdm("train", 30)]);
    assert_eq!(told.seen, plain.seen);
    // Wrapped around it is what begins so, whatever stood before.
    let text = "2026-11-24T05:44:23.1Z stdout F 50%\r100%\n";
    let seen = Reading::of(Format::Auto, ReadTo::default(), 1 << 20)
        .open("loading\n", 0)
        .open(&text[..35], 0)
        .open(&text[35..], 0)
        .close();
    assert_eq!(seen.last().unwrap().body, "100%");
    assert_eq!(seen.len(), 2);
}

// The first of two carriage returns before a newline was a byte of the row if the line was there as a whole.
#[test]
fn a_row_that_is_as_long_as_may_be_is_the_same_wherever_its_line_is_cut() {
    let bar = tqdm("train", 10);
    for format in [Format::Plain, Format::Auto] {
        let read = |pieces: &[&str]| {
            let mut reading = Reading::of(format, ReadTo::default(), bar.len());
            pieces.iter().for_each(|piece| _ = reading.open(piece, 0));
            reading.close()
        };
        let whole = read(&[&format!("{bar}\r\r\n")]);
        assert_eq!(whole[0].body, bar);
        assert_eq!(read(&[&bar[..30], &bar[30..], "\r\r\n"]), whole, "{format:?}");
    }
}

#[test]
fn what_is_not_wrapped_among_wrapped_lines_is_given_out_when_it_has_ended() {
    // Whether it comes behind the first of them, or together with it.
    for pieces in [&["stdout F message\n", "torn\rnot\rdrawn"][..], &["stdout F message\ntorn\rnot\rdrawn"]] {
        let mut reading = Reading::of(Format::Auto, ReadTo::default(), 1 << 20);
        reading.open("2026-11-24T05:44:23.1Z ", 0);
        pieces.iter().for_each(|piece| _ = reading.open(piece, 0));
        assert_eq!(reading.bodies(), ["message"], "{pieces:?}");
        assert_eq!(reading.open("\n", 0).seen.len(), 4);
    }
}

// As in a file that nothing can be wrapped around: the rest of a row is no part of a line that was too long.
#[test]
fn a_row_that_is_read_from_its_midst_after_a_kill_is_drawn() {
    let bar = tqdm("train", 0);
    let text = format!("{}{bar}{bar}\x1b[A\x1b[31mred\x1b[0m\r\nlast\n", tqdm("train", 100));
    let mut straight = Reading::of(Format::Auto, ReadTo::default(), 1 << 20);
    let left = straight.open(&text, 0).seen[0].read_to;
    assert_eq!(left.offset, 0, "it is read again from the beginning of its line");
    let seen = Reading::of(Format::Auto, left, 1 << 20).open(&text, 0).close();
    assert!(seen.iter().any(|seen| seen.body == "red"), "{seen:?}");
    assert!(!seen.iter().any(|seen| seen.body.contains('\x1b')), "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 500 } else { 5000 }))]

    // The lines that come out do not depend on where chunks are cut, whether by bytes or by a container runtime.
    #[test]
    fn cuts_change_nothing(
        text in drawing(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        max in prop_oneof![4 => Just(1_usize << 20), 1 => 1..90_usize],
    ) {
        for (format, text) in formats(&text) {
            let all = |pieces: &[&[u8]]| {
                let mut reading = Reading::of(format, ReadTo::default(), max);
                for piece in pieces {
                    reading.take(piece, 0, Ending::Open);
                }
                reading.close()
            };
            let whole = all(&[text.as_bytes()]);
            let told = |seen: &[Seen]| seen.iter().map(|seen| (seen.at, seen.body.clone(), seen.attributes.clone())).collect::<Vec<_>>();
            prop_assert_eq!(told(&all(&cut(text.as_bytes(), &cuts))), told(&whole));
            let uids: std::collections::BTreeSet<u64> = whole.iter().map(|seen| seen.at).collect();
            prop_assert_eq!(uids.len(), whole.len(), "two records have one name");
        }
    }

    // Whichever record a batch closes behind, and wherever the agent dies: what is no state of a bar comes once.
    #[test]
    fn each_line_comes_once_over_restarts(
        text in drawing(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        deaths in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        for (format, text) in formats(&text) {
            let (mut kept, mut left) = (Vec::new(), ReadTo::default());
            for death in deaths.iter().map(Some).chain([None]) {
                let from = usize::try_from(left.offset).unwrap();
                let mut reading = Reading::of(format, left, 1 << 20);
                for piece in cut(&text.as_bytes()[from..], &cuts) {
                    reading.take(piece, 0, Ending::Open);
                }
                let mut seen = reading.close();
                if let Some(death) = death {
                    seen.truncate(death.index(seen.len() + 1));
                }
                left = seen.last().map_or(left, |seen| seen.read_to);
                kept.append(&mut seen);
            }
            let mut straight = Reading::of(format, ReadTo::default(), 1 << 20);
            let straight = straight.take(text.as_bytes(), 0, Ending::Open).close();
            for line in straight.iter().filter(|seen| seen.attributes.is_empty() && !seen.body.contains(['%', '['])) {
                // Glued to a bar that nothing shows to be one where it is read on from there, it stays so. The blanks
                // that a row ends with are those of what is gone, if it is not glued to anything.
                let has = |kept: &Seen| kept.at <= line.at && kept.body.contains(line.body.trim_end());
                prop_assert!(kept.iter().any(has), "{line:?} is lost");
            }
            let uids: std::collections::BTreeSet<u64> = kept.iter().map(|seen| seen.at).collect();
            prop_assert_eq!(uids.len(), kept.len(), "a record came twice");
        }
    }
}
