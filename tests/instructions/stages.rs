//! Does one stage of the way of a line so many times over the same 1,700 lines, for valgrind to count:
//! `stages NAME ROUNDS`. What is done once is the same for any number of rounds, so the difference between two numbers
//! is the stage alone.

#![allow(clippy::unwrap_used, reason = "a program of a test may stop")]

#[path = "../bench/lines.rs"]
#[allow(dead_code, reason = "the marks are the benchmark's")]
mod lines;

use std::{env, hint::black_box, process::ExitCode, sync::Arc, time::Duration};

use bytes::Bytes;
use runlog::{
    enrich::{Redactor, redact},
    parse::{Framer, LocalZone, detect, timestamp},
    queue::{Config, Disk, Entry, Queue},
    record::{
        Chunk, Ending, Lane, NoBookmark, Origin, Resource, Severity, SourceKind, Tally, batch,
        origin::Stream,
        wire::{Fields, RequestWriter, Text, Value, record_attribute, resource_attribute, uid_prefix},
    },
};

const LINES: u64 = 1700;
const BATCH_BYTES: usize = 768 << 10;
const MAX_LINE_BYTES: usize = 1 << 20;
const USAGE: &str = "stages frame|level|time|redact|encode|compress|append ROUNDS";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [stage, rounds] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let rounds = 0..rounds.parse::<u64>().unwrap();
    let text = text();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]).collect();
    match stage.as_str() {
        "frame" => {
            let chunk = chunk(&text);
            rounds.for_each(|_| Framer::new(MAX_LINE_BYTES, 0).feed(&chunk, |line| _ = black_box(line)));
        }
        "level" => rounds.for_each(|_| lines.iter().for_each(|line| _ = black_box(detect(black_box(line))))),
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
            let mut compressor = batch::compressor().unwrap();
            let mut compressed = Vec::with_capacity(zstd::zstd_safe::compress_bound(request.len()));
            rounds.for_each(|_| {
                compressed.clear();
                compressor.compress_to_buffer(black_box(request), &mut compressed).unwrap();
            });
        }
        "append" => {
            let body = batch::compressor().unwrap().compress(encode(&mut writer(), &lines)).unwrap();
            append_and_sync(&Bytes::from(body), rounds);
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
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
    let never = Duration::from_secs(3600);
    let (queue, _) = Queue::open(folder.path(), &config, &["otlp"], Arc::new(Disk), never).unwrap();
    for number in rounds {
        let positions = [("file:/logs/train.log", number.to_le_bytes())];
        let positions = positions.each_ref().map(|(key, at)| (*key, at.as_slice()));
        queue.append(&Entry { meta: &[1; 60], body: body.clone(), positions: &positions }).unwrap();
        queue.sync().unwrap();
    }
}

fn text() -> Vec<u8> {
    let (mut lines, mut text) = (lines::Lines::new(0), Vec::new());
    (0..LINES).for_each(|_| lines.write(&mut text));
    text
}

fn writer() -> RequestWriter {
    let mut resource = Vec::new();
    resource_attribute(&mut resource, "ml.run.id", Value::String("instructions"));
    RequestWriter::new(&resource, "", BATCH_BYTES)
}

fn chunk(text: &[u8]) -> Chunk {
    let mut attributes = Vec::new();
    record_attribute(&mut attributes, "log.file.name", Value::String("train.log"));
    let origin = Origin::new(Stream {
        key: "file:/logs/train.log".to_owned(),
        kind: SourceKind::File,
        identity: &[b"instructions"],
        resource: Arc::new(Resource { run_id: "instructions".to_owned(), encoded: Vec::new() }),
        attributes,
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, "train.log"),
        bookmark: Arc::new(NoBookmark),
    });
    let data = text.to_vec();
    Chunk { origin, at: 0, data, observed: 1, marks: Vec::new(), ending: Ending::Open, permit: None }
}
