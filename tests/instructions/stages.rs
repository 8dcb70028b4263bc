//! Does one stage of the way of a line so many times over the same 1,700 lines, for valgrind to count:
//! `stages NAME ROUNDS`. What is done once is the same for any number of rounds, so the difference between two numbers
//! is the stage alone.
//!
//! `line` is the whole way from a chunk of a file to the queue, with the settings that users have; `line-bare` the same
//! with all switched off that can be, and `line-join` and so on with one thing of it.
//!
//! For more than ten rounds a way of a line also says the CPU time of a line, of all threads together.
//!
//! In `line-level` seven of ten lines are below the level and nothing is an error, and in `line-recorder` the flight recorder
//! keeps those. In `line-ranks` two ranks print each line, and in `line-collapse` these become one record.

#![allow(clippy::unwrap_used, reason = "a program of a test may stop")]

#[path = "../bench/lines.rs"]
#[allow(dead_code, reason = "the marks are the benchmark's")]
mod lines;

// The agent's own folders, without those that no line goes through: all of the agent takes six times as long to build.
#[path = "../../agent/src/batch/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod batch;
#[path = "../../agent/src/enrich/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod enrich;
#[path = "../../agent/src/parse/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod parse;
#[path = "../../agent/src/pipeline"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod pipeline {
    mod stage;
    mod watchdog;

    pub use stage::Stage;
}
#[path = "../../agent/src/queue/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod queue;
#[path = "../../agent/src/record/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod record;
#[path = "../../agent/src/run/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod run;
#[path = "../../agent/src/source"]
#[allow(dead_code, unused_imports, reason = "others use the rest")]
mod source {
    mod intake;
    mod turns;

    pub use intake::{HeldUp, Outlet, Received, intake};
}

use std::{collections::BTreeMap, env, fs, hint::black_box, ops::Range, process::ExitCode, sync::Arc, time::Duration};

use crate::{
    batch::Batcher,
    enrich::{Redactor, Replays, recorder, redact},
    parse::{AlikeConfig, Framer, LocalZone, Prefixes, TerminalConfig, cause, detect, join, timestamp},
    pipeline::Stage,
    queue::{Config, Disk, Entry, Queue},
    record::{
        Chunk, Ending, Format, Input, Lane, NoBookmark, Origin, ReadTo, Resource, Severity, SourceKind, Tally,
        batch::compressor,
        origin::Stream,
        wire::{Fields, RequestWriter, Text, Value, record_attribute, resource_attribute, uid_prefix},
    },
    source::intake,
};
use bytes::Bytes;
use tokio::{runtime, sync::mpsc};

const LINES: u64 = 1700;
/// No more of them are counted.
const COUNTED_ROUNDS: u64 = 10;
/// What `/proc` counts CPU time in.
const TICK_NANOS: u64 = 10_000_000;
const BATCH_BYTES: usize = 768 << 10;
const MAX_LINE_BYTES: usize = 1 << 20;
const USAGE: &str = "stages frame|level|cause|time|redact|encode|compress|append|line[-bare|-FEATURE] ROUNDS";
/// What can be switched on.
const FEATURES: [&str; 9] =
    ["join", "terminal", "redact", "scalars", "repeats", "level", "recorder", "ranks", "collapse"];
/// No batch and no group commit waits for the clock, which counts nothing.
const NEVER: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [stage, rounds] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let rounds = 0..rounds.parse::<u64>().unwrap();
    let text = text(&mut lines::Lines::new(0));
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]).collect();
    match stage.as_str() {
        "frame" => {
            let chunk = chunk(&origin(Format::Plain, Severity::TRACE), 0, &text);
            rounds.for_each(|_| Framer::new(MAX_LINE_BYTES, 0).feed(&chunk, |line| _ = black_box(line)));
        }
        "level" => rounds.for_each(|_| lines.iter().for_each(|line| _ = black_box(detect(black_box(line))))),
        "cause" => rounds.for_each(|_| lines.iter().for_each(|line| _ = black_box(cause(black_box(line))))),
        "time" => {
            let mut zone = LocalZone::system();
            rounds.for_each(|_| lines.iter().for_each(|line| _ = black_box(timestamp(line, &mut zone))));
        }
        "redact" => {
            let config = redact::Config { builtin: true, patterns: Vec::new() };
            let mut redactor = Redactor::new(config, Arc::default());
            rounds.for_each(|_| {
                lines.iter().for_each(|line| _ = black_box(redactor.mask_line(1, Lane::Bare, black_box(line))));
            });
        }
        "encode" => {
            let mut writer = writer();
            rounds.for_each(|_| _ = black_box(encode(&mut writer, &lines)));
        }
        "compress" => {
            let mut writer = writer();
            let request = encode(&mut writer, &lines);
            let mut compressor = compressor().unwrap();
            let mut compressed = Vec::with_capacity(zstd::zstd_safe::compress_bound(request.len()));
            rounds.for_each(|_| {
                compressed.clear();
                compressor.compress_to_buffer(black_box(request), &mut compressed).unwrap();
            });
        }
        "append" => {
            let body = compressor().unwrap().compress(encode(&mut writer(), &lines)).unwrap();
            append_and_sync(&Bytes::from(body), rounds);
        }
        "line" => whole_way(rounds, &["join", "terminal", "redact"]),
        "line-bare" => whole_way(rounds, &[]),
        other => {
            let known = |feature: &&str| FEATURES.contains(feature);
            let Some(feature) = other.strip_prefix("line-").filter(known) else {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            };
            whole_way(rounds, &[feature]);
        }
    }
    ExitCode::SUCCESS
}

/// From chunks of a file to the queue, in the thread that counts. All chunks are there before it begins.
fn whole_way(rounds: Range<u64>, features: &[&str]) {
    // Lines that came before in the same batch compress to nothing. To write all of ten rounds costs the same for any number.
    let mut lines = lines::Lines::new(0);
    let (is_recorded, is_collapsed) = (features.contains(&"recorder"), features.contains(&"collapse"));
    let (has_level, has_ranks) =
        (is_recorded || features.contains(&"level"), is_collapsed || features.contains(&"ranks"));
    let changed = |text: Vec<u8>| match (has_level, has_ranks) {
        (true, _) => calm(text),
        (_, true) => of_two_ranks(&text),
        _ => text,
    };
    let texts: Vec<Vec<u8>> = (0..rounds.end.max(COUNTED_ROUNDS)).map(|_| changed(text(&mut lines))).collect();
    let count = usize::try_from(rounds.end).unwrap();
    let is_on = |feature| features.contains(&feature);
    let folder = tempfile::tempdir().unwrap();
    let config = Config::sized(2 << 30, 32 << 20);
    let (queue, _) = Queue::open(folder.path(), &config, &["otlp"], Arc::new(Disk), NEVER).unwrap();
    let batcher = Batcher::new(batch::Config { max_bytes: BATCH_BYTES, linger: NEVER }).unwrap();
    let parse = parse::Config {
        max_line_bytes: MAX_LINE_BYTES,
        rank_prefix: Prefixes::Known,
        terminal: is_on("terminal").then_some(TerminalConfig { progress_every: Duration::from_secs(10) }),
        join: join::Config { is_on: is_on("join"), wait: NEVER, max_bytes: 256 << 10 },
        scalars: if is_on("scalars") { patterns(&["loss", "lr", "eval_*"]) } else { Vec::new() },
        are_gauges_sent: true,
        alike: AlikeConfig { repeats: is_on("repeats").then_some(NEVER), ranks: is_collapsed.then_some(NEVER) },
        silent_rank_after: None,
        lines_per_second: None,
    };
    let (awaited, _awaiting) = mpsc::channel(1);
    let gave_up = Arc::default();
    let stage = Stage::new(parse, batcher, queue, &BTreeMap::new(), Arc::default(), awaited, gave_up);
    let stage = stage.redacting(redact::Config { builtin: is_on("redact"), patterns: Vec::new() });
    let recorder = recorder::Config { bytes: 8 << 20, span: NEVER };
    let stage = stage.recording(is_recorded.then_some(recorder), Replays::default());
    let (door, outlet) = intake(512 << 20);
    // The agent does not know what a file holds either.
    let origin = origin(Format::Auto, if has_level { Severity::INFO } else { Severity::TRACE });
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for (at, text) in (0..).step_by(texts[0].len()).zip(texts.iter().take(count)) {
            door.send(Input::Chunk(chunk(&origin, at, text))).await.unwrap();
        }
    });
    drop(door);
    let before = cpu_nanos();
    stage.run(&outlet).unwrap();
    if rounds.end > COUNTED_ROUNDS {
        eprintln!("{} ns of CPU time a line", (cpu_nanos() - before) / (rounds.end * LINES));
    }
}

/// The CPU time of this process, of all its threads, also of those that have ended.
fn cpu_nanos() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind) = stat.rsplit_once(')').unwrap();
    // The third word is the first behind the name; those of CPU time are the 14th and the 15th (proc_pid_stat(5)).
    behind.split_ascii_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap() * TICK_NANOS).sum()
}

fn encode<'a>(writer: &'a mut RequestWriter, lines: &[&[u8]]) -> &'a [u8] {
    let uid = uid_prefix(&[b"instructions"]);
    writer.clear();
    for (at, line) in (0..).zip(lines) {
        let fields = Fields {
            time: 1_795_500_000_000_000_000 + at * 100_000,
            observed: 1_795_500_000_000_000_001,
            severity: Severity::DEBUG,
            severity_text: Text::new("DEBUG"),
            body: Text::from_validated(line),
            attributes: [b"", b""],
            uid: (&uid, at),
            event_name: "",
        };
        writer.record(Text::new("train.loop"), &fields);
    }
    writer.finish()
}

/// A group commit for each entry, so that the number of commits does not depend on the clock.
fn append_and_sync(body: &Bytes, rounds: impl Iterator<Item = u64>) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::sized(2 << 30, 32 << 20);
    let (queue, _) = Queue::open(folder.path(), &config, &["otlp"], Arc::new(Disk), NEVER).unwrap();
    for number in rounds {
        let positions = [("file:/logs/train.log", number.to_le_bytes())];
        let positions = positions.each_ref().map(|(key, at)| (*key, at.as_slice()));
        queue.append(&Entry { meta: &[1; 60], body: body.clone(), positions: &positions }).unwrap();
        queue.sync().unwrap();
    }
}

fn text(lines: &mut lines::Lines) -> Vec<u8> {
    let mut text = Vec::new();
    (0..LINES).for_each(|_| lines.write(&mut text));
    text
}

/// The same lines without an error.
fn calm(mut text: Vec<u8>) -> Vec<u8> {
    let places: Vec<usize> = memchr::memmem::find_iter(&text, b" ERROR ").collect();
    places.into_iter().for_each(|at| text[at..at + 7].copy_from_slice(b" DEBUG "));
    text
}

/// Half as many lines, each printed by two ranks.
fn of_two_ranks(text: &[u8]) -> Vec<u8> {
    let half = text.split_inclusive(|byte| *byte == b'\n').step_by(2);
    half.flat_map(|line| [&b"[rank0]: "[..], line, b"[rank1]: ", line].concat()).collect()
}

fn patterns(names: &[&str]) -> Vec<glob::Pattern> {
    names.iter().map(|name| glob::Pattern::new(name).unwrap()).collect()
}

fn writer() -> RequestWriter {
    let mut resource = Vec::new();
    resource_attribute(&mut resource, "ml.run.id", Value::String("instructions"));
    RequestWriter::new(&resource, "", BATCH_BYTES)
}

fn chunk(origin: &Arc<Origin>, at: u64, text: &[u8]) -> Chunk {
    let (origin, data) = (Arc::clone(origin), text.to_vec());
    Chunk { origin, at, data, observed: 1, marks: Vec::new(), ending: Ending::Open, permit: None }
}

fn origin(format: Format, level: Severity) -> Arc<Origin> {
    let mut attributes = Vec::new();
    record_attribute(&mut attributes, "log.file.name", Value::String("train.log"));
    let stream = Stream {
        key: "file:/logs/train.log".to_owned(),
        kind: SourceKind::File,
        identity: &[b"instructions"],
        resource: Arc::new(Resource { run_id: "instructions".to_owned(), encoded: Vec::new() }),
        attributes,
        level,
        tally: Tally::detached(SourceKind::File, "train.log"),
        bookmark: Arc::new(NoBookmark),
    };
    Origin::wrapped(stream, format, ReadTo::default())
}
