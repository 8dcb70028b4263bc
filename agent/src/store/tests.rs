use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use regex::Regex;
use runlog_proto::v1;

use crate::record::{
    Severity,
    wire::{RequestWriter, resource_attribute},
};

use super::{
    samples::{Sample, WRITER, Word, append, batch, end, line, start},
    *,
};

fn bodies(reader: &Reader, query: &Query) -> Vec<String> {
    reader.logs(query).unwrap().lines.into_iter().map(|line| line.body).collect()
}

fn info(body: &str) -> Sample {
    line(1_000, Severity::INFO, body)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        }
        found.push(path);
    }
    found
}

fn block_files(dir: &Path) -> Vec<PathBuf> {
    files_below(&dir.join("runs")).into_iter().filter(|path| path.is_file()).collect()
}

#[test]
fn a_batch_that_comes_again_is_stored_once_also_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let (meta, payload) = batch("r", &[info("a"), info("b")]);
    let (meta2, payload2) = batch("r", &[info("c")]);
    let store = Store::open(dir.path()).unwrap();
    let first = store.append(WRITER, &[(0, &meta, &payload)]).unwrap();
    assert_eq!(first, Appended { stored: 1, repeated: 0 });
    let again = store.append(WRITER, &[(0, &meta, &payload), (5, &meta2, &payload2)]).unwrap();
    assert_eq!(again, Appended { stored: 1, repeated: 1 });
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    let after = store.append(WRITER, &[(0, &meta, &payload), (5, &meta2, &payload2)]).unwrap();

    assert_eq!(after, Appended { stored: 0, repeated: 2 });
    assert_eq!(bodies(&store.reader(), &Query::of("r")), ["a", "b", "c"]);
    assert_eq!(store.reader().find("r").unwrap().records, 3);
}

#[test]
fn q19_what_a_crash_left_behind_the_last_block_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    append(&store, 1, "r", &[info("a")]);
    let path = block_files(dir.path()).remove(0);
    let end = fs::metadata(&path).unwrap().len();
    // The bytes of a block whose row was never committed.
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[0xee; 4096], end).unwrap();

    append(&store, 2, "r", &[info("b")]);

    let answer = store.reader().logs(&Query::of("r")).unwrap();
    assert_eq!(answer.lines.iter().map(|line| &line.body[..]).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(answer.damaged_blocks, 0);
}

#[test]
fn what_a_killed_writer_stored_is_read_and_added_to() {
    let dir = tempfile::tempdir().unwrap();
    let left = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    append(&store, 1, "r", &[info("a")]);
    // The files as a kill leaves them: nothing was moved out of the write-ahead log, and its index is gone.
    for path in files_below(dir.path()).iter().filter(|path| !path.ends_with("index.sqlite-shm")) {
        let copy = left.path().join(path.strip_prefix(dir.path()).unwrap());
        if path.is_dir() {
            fs::create_dir_all(copy).unwrap();
        } else {
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(path, copy).unwrap();
        }
    }
    assert!(fs::metadata(left.path().join("index.sqlite-wal")).unwrap().len() > 0);

    assert_eq!(bodies(&Reader::open(left.path()).unwrap(), &Query::of("r")), ["a"]);
    let store = Store::open(left.path()).unwrap();
    append(&store, 1, "r", &[info("a")]);
    append(&store, 2, "r", &[info("b")]);
    assert_eq!(bodies(&store.reader(), &Query::of("r")), ["a", "b"]);
}

#[test]
fn q19_a_call_that_fails_stores_nothing_and_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (meta, payload) = batch("good", &[info("a")]);
    let (bad_meta, bad_payload) = batch("bad", &[info("b")]);
    // A file where the run's folder has to be.
    let blocker = dir.path().join(blocks::file_of("bad", &WRITER)).parent().unwrap().to_owned();
    fs::write(&blocker, "").unwrap();
    let both: [(u64, &_, &[u8]); 2] = [(1, &meta, &payload), (2, &bad_meta, &bad_payload)];
    store.append(WRITER, &both).unwrap_err();
    assert!(store.reader().runs(10).unwrap().is_empty());

    fs::remove_file(&blocker).unwrap();
    assert_eq!(store.append(WRITER, &both).unwrap().stored, 2);

    assert_eq!(bodies(&store.reader(), &Query::of("good")), ["a"]);
    assert_eq!(bodies(&store.reader(), &Query::of("bad")), ["b"]);
}

#[test]
fn two_writers_share_a_run_and_keep_their_own_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap()];
    let threads: Vec<_> = stores
        .into_iter()
        .zip([[1; 16], [2; 16]])
        .map(|(store, writer)| {
            std::thread::spawn(move || {
                for seq in 0..20 {
                    let (meta, payload) = batch("r", &[info(&format!("{}-{seq}", writer[0]))]);
                    store.append(writer, &[(seq, &meta, &payload)]).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    let lines = bodies(&Reader::open(dir.path()).unwrap(), &Query::of("r"));
    for writer in ["1-", "2-"] {
        let of_writer: Vec<_> = lines.iter().filter(|line| line.starts_with(writer)).collect();
        assert_eq!(
            of_writer,
            (0..20).map(|seq| format!("{writer}{seq}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
    assert_eq!(block_files(dir.path()).len(), 2);
}

#[test]
fn only_the_owner_can_read_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    append(&store, 1, "r", &[info("secret")]);

    for path in files_below(dir.path()) {
        let metadata = fs::metadata(&path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
    }
}

#[test]
fn a_run_id_never_becomes_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let ids = ["../../escape", "/etc/passwd", "a/b", ".", "C:\\x", "nul\0", &"x".repeat(4096)];
    for (seq, id) in ids.iter().enumerate() {
        append(&store, seq as u64, id, &[info("a")]);
        assert_eq!(bodies(&store.reader(), &Query::of(id)), ["a"], "{id:?}");
    }

    let names = files_below(&dir.path().join("store/runs"));
    let is_hex = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().chars().all(|c| c.is_ascii_hexdigit());
    assert_eq!(names.len(), 2 * ids.len());
    assert!(names.iter().all(is_hex));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn q13_a_store_of_version_1_is_read_and_written_and_gets_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    append(&store, 1, "r", &[Sample::default()]);
    drop(store);
    let index = rusqlite::Connection::open(dir.path().join("index.sqlite")).unwrap();
    for table in ["receipts", "points", "extremes", "metrics", "notes", "calls", "artifacts"] {
        index.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    for name in ["runs_of_experiment", "runs_of_parent", "runs_of_status"] {
        index.execute_batch(&format!("DROP INDEX {name}")).unwrap();
    }
    let later = ["name", "parent", "start_time", "end_time", "status_time", "error_code", "error_message"];
    for column in ["events"].into_iter().chain(later) {
        index.execute_batch(&format!("ALTER TABLE runs DROP COLUMN {column}")).unwrap();
    }
    index.pragma_update(None, "user_version", 1).unwrap();
    drop(index);

    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.find("r").unwrap().records, 1);
    let store = Store::open(dir.path()).unwrap();
    append(&store, 2, "r", &[Sample { event_name: "runlog.receipt", ..Sample::default() }]);
    let run = reader.find("r").unwrap();
    assert_eq!((run.records, run.events, run.receipts.len(), run.complete), (2, 1, 1, Some(false)));
}

#[test]
fn q13_a_newer_store_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let index = rusqlite::Connection::open(dir.path().join("index.sqlite")).unwrap();
    index.pragma_update(None, "user_version", 99).unwrap();

    assert!(matches!(Store::open(dir.path()), Err(OpenError::Newer { found: 99, .. })));
    let refusal = Reader::open(dir.path()).unwrap_err().to_string();
    assert!(refusal.ends_with("has version 99, this runlog reads up to 4; use a newer runlog"), "{refusal}");
}

#[test]
fn q14_a_store_that_is_removed_while_it_is_in_use_begins_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("state/store");
    let store = Store::open(&dir).unwrap();
    append(&store, 1, "r", &[info("removed")]);
    let reader = store.reader();
    assert_eq!(bodies(&reader, &Query::of("r")), ["removed"]);
    fs::remove_dir_all(parent.path().join("state")).unwrap();

    append(&store, 2, "r", &[info("a")]);
    append(&store, 2, "r", &[info("a")]);

    assert_eq!(bodies(&reader, &Query::of("r")), ["a"]);
    assert_eq!(bodies(&Store::open(&dir).unwrap().reader(), &Query::of("r")), ["a"]);
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_reading() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(dir.path()), Err(OpenError::Absent { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_run_knows_its_experiment_host_levels_and_times() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    append(&store, 1, "r", &[line(50, Severity::WARN, "w"), line(70, Severity::INFO, "i")]);
    append(&store, 2, "r", &[line(60, Severity::ERROR, "e"), line(40, Severity::INFO, "i")]);

    let run = store.reader().find("r").unwrap();

    assert_eq!((&run.experiment[..], &run.host[..], &run.status[..]), ("mnist", "node-1", "running"));
    assert_eq!((run.first_time_unix_nano, run.last_time_unix_nano, run.records), (40, 70, 4));
    assert_eq!(run.levels, Some(v1::LevelCounts { info: 2, warn: 1, error: 1, ..Default::default() }));
    let stored: u64 = block_files(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(run.stored_bytes, stored);
}

#[test]
fn events_tell_how_a_run_stands() {
    let ended = |result, code| vec![start(1), end(2, result, code)];
    let unstated = |code| Sample { attributes: vec![("process.exit.code", Word::Number(code))], ..end(1, "", 0) };
    let taken_up = |time| Sample {
        event_name: "ml.run.status",
        attributes: vec![("ml.run.status", Word::Text("running"))],
        ..line(time, Severity::INFO, "status")
    };
    let cases: [(Vec<Sample>, &str, Option<i32>); 12] = [
        (vec![], "running", None),
        (vec![start(1)], "running", None),
        (ended("success", 0), "completed", Some(0)),
        (ended("failure", 137), "failed", Some(137)),
        (ended("cancellation", 143), "canceled", Some(143)),
        (vec![unstated(3)], "failed", Some(3)),
        (vec![unstated(0)], "completed", Some(0)),
        // Another process of the run ends well after one has failed.
        ([ended("failure", 1), vec![end(3, "success", 0)]].concat(), "failed", Some(1)),
        // The run starts again.
        ([ended("failure", 1), vec![start(3)]].concat(), "running", None),
        ([ended("cancellation", 1), vec![start(3)]].concat(), "running", None),
        // It is canceled while somebody is about to start it, and ends well before it can be ended.
        (vec![end(1, "cancellation", 0), start(2), start(2), end(3, "success", 0)], "canceled", Some(0)),
        (vec![end(1, "cancellation", 0), start(2), taken_up(3)], "running", None),
    ];
    for (number, (events, status, exit_code)) in cases.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        append(&store, 1, "r", &[info("a")]);
        for (seq, event) in (2..).zip(&events) {
            append(&store, seq, "r", std::slice::from_ref(event));
        }
        let run = store.reader().find("r").unwrap();
        assert_eq!((&run.status[..], run.exit_code), (status, exit_code), "case {number}");
    }
}

#[test]
fn a_run_is_found_by_an_unambiguous_beginning_or_as_the_latest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (seq, id) in ["abc", "abcd", "b%", "bx"].iter().enumerate() {
        append(&store, seq as u64, id, &[info("a")]);
    }
    let reader = store.reader();
    let found = |word: &str| reader.find(word).map(|run| run.run_id).map_err(|error| error.to_string());

    assert_eq!(found("abcd"), Ok("abcd".to_owned()));
    assert_eq!(found("abc"), Ok("abc".to_owned()), "an exact id is not ambiguous");
    assert_eq!(found("b%"), Ok("b%".to_owned()));
    assert_eq!(found("latest"), Ok("bx".to_owned()));
    assert_eq!(found("ab"), Err("\"ab\" begins more than one run: abcd, abc".to_owned()));
    for word in ["ABCD", "%", "b_"] {
        assert_eq!(found(word), Err(format!("no run begins with {word:?}; `runlog runs` lists them")));
    }
    assert_eq!(found("z"), Err("no run begins with \"z\"; `runlog runs` lists them".to_owned()));
    assert_eq!(reader.runs(3).unwrap().iter().map(|run| &run.run_id[..]).collect::<Vec<_>>(), ["bx", "b%", "abcd"]);
}

#[test]
fn a_damaged_block_is_passed_over_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    append(&store, 1, "r", &[info("a")]);
    append(&store, 2, "r", &[info("b")]);
    let path = block_files(dir.path()).remove(0);
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[0; 8], 0).unwrap();

    let answer = store.reader().logs(&Query::of("r")).unwrap();

    assert_eq!(answer.lines.iter().map(|line| &line.body[..]).collect::<Vec<_>>(), ["b"]);
    assert_eq!(answer.damaged_blocks, 1);
}

#[test]
fn a_block_that_unpacks_without_end_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 65 << 20], 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(blocks::decompress(&bomb, 10).is_err());
}

#[test]
fn a_line_shows_what_its_record_says() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sample = Sample {
        attributes: vec![("log.iostream", Word::Text("stderr")), ("ml.rank", Word::Number(3))],
        ..line(1_700_000_000_123_456_789, Severity::WARN, "careful")
    };
    append(&store, 1, "r", &[sample]);

    let shown = store.reader().logs(&Query::of("r")).unwrap().lines.remove(0);

    assert_eq!(shown.time, "2023-11-14T22:13:20.123456789Z");
    assert_eq!((&shown.stream[..], shown.rank, shown.severity_number), ("stderr", Some(3), 13));
    assert_eq!((&shown.scope[..], &shown.container[..], &shown.body[..]), ("root", "trainer", "careful"));
    assert_eq!(shown.attributes["ml.rank"], "3");
}

#[test]
fn bodies_that_are_no_strings_are_shown_as_text() {
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest,
        common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    };
    use prost::Message;

    let any = |value| AnyValue { value: Some(value) };
    let pair = KeyValue { key: "loss".into(), value: Some(any(Value::DoubleValue(f64::NAN))), ..KeyValue::default() };
    let list = ArrayValue { values: vec![any(Value::IntValue(1)), any(Value::StringValue("x".into()))] };
    let cases = [
        (Some(any(Value::BytesValue(vec![b'h', b'i', 0xff]))), "hi\u{fffd}"),
        (Some(any(Value::IntValue(-4))), "-4"),
        (Some(any(Value::ArrayValue(list))), r#"[1,"x"]"#),
        (Some(any(Value::KvlistValue(KeyValueList { values: vec![pair] }))), r#"{"loss":"NaN"}"#),
        (None, ""),
    ];
    let log_records = cases.iter().map(|(body, _)| LogRecord { body: body.clone(), ..LogRecord::default() }).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let request =
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] };
    let payload = zstd::bulk::compress(&request.encode_to_vec(), 1).unwrap();
    let meta = crate::record::BatchMeta { run_id: "r".into(), records: 5, ..Default::default() };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.append(WRITER, &[(1, &meta, &payload)]).unwrap();

    assert_eq!(bodies(&store.reader(), &Query::of("r")), cases.map(|(_, text)| text));
}

#[test]
fn an_answer_is_bounded_in_bytes_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let large = "x".repeat(3 << 20);
    for seq in 0..6 {
        append(&store, seq, "r", &[info(&format!("{seq}{large}"))]);
    }
    for take in [Take::First, Take::Last] {
        let query = Query { take, ..Query::of("r") };
        let answer = store.reader().logs(&query).unwrap();
        assert_eq!((answer.lines.len(), answer.more), (3, true), "{take:?}");
        let rest = match take {
            Take::First => Query { after: answer.next.parse().ok(), ..query },
            Take::Last => Query { before: answer.previous.parse().ok(), ..query },
        };
        assert_eq!(store.reader().logs(&rest).unwrap().lines.len(), 3, "{take:?}");
    }
}

#[test]
fn a_cursor_is_only_what_an_answer_contained() {
    for text in ["", "1", "1.", ".1", "-1.0", "1.2.3", "1.4294967296", "x.y"] {
        assert_eq!(text.parse::<Cursor>(), Err(UnknownCursor(text.to_owned())));
    }
    assert_eq!("12.4294967295".parse::<Cursor>().unwrap().to_string(), "12.4294967295");
}

#[test]
fn what_comes_later_is_found_after_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let reader = store.reader();
    let mut query = Query { min_level: Severity::WARN, ..Query::of("r") };
    for (seq, severity) in (0..).zip([Severity::INFO, Severity::WARN, Severity::INFO, Severity::ERROR]) {
        append(&store, 2 * seq, "r", &[line(1, severity, &format!("{seq}"))]);
        append(&store, 2 * seq + 1, "other", &[line(1, severity, "other")]);
        let answer = reader.logs(&query).unwrap();
        let expected = if severity == Severity::INFO { vec![] } else { vec![format!("{seq}")] };
        assert_eq!(answer.lines.into_iter().map(|line| line.body).collect::<Vec<_>>(), expected);
        query.after = Some(answer.next.parse().unwrap());
    }
}

const SEVERITIES: [Severity; 7] = [
    Severity::UNSPECIFIED,
    Severity::TRACE,
    Severity::DEBUG,
    Severity::INFO,
    Severity::WARN,
    Severity::ERROR,
    Severity::FATAL,
];

fn any_sample() -> impl Strategy<Value = Sample> {
    (1_u64..50, prop::sample::select(&SEVERITIES[..]), "[ab]{0,3}", any::<bool>()).prop_map(
        |(time, severity, body, is_event)| Sample {
            event_name: if is_event { "ml.metric" } else { "" },
            ..line(time, severity, &body)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_any_query_together_are_what_a_plain_filter_finds(
        batches in prop::collection::vec(prop::collection::vec(any_sample(), 1..8), 1..6),
        min_level in prop::sample::select(&SEVERITIES[..]),
        grep in prop::option::of(prop::sample::select(&["a", "^b", "ab$"][..])),
        since in prop::option::of(0_u64..55),
        until in prop::option::of(0_u64..55),
        limit in 1_usize..9,
        take in prop::sample::select(&[Take::First, Take::Last][..]),
        events in prop::sample::select(&[Events::Shown, Events::Hidden][..]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for (seq, samples) in (0..).zip(&batches) {
            append(&store, 2 * seq, "r", samples);
            append(&store, 2 * seq + 1, "another", &[info("ab")]);
        }
        let grep = grep.map(|pattern| Regex::new(pattern).unwrap());
        let level = |sample: &Sample| match sample.severity {
            Severity::UNSPECIFIED => Severity::INFO,
            stated => stated,
        };
        let expected: Vec<String> = batches.iter().flatten()
            .filter(|sample| level(sample) >= min_level)
            .filter(|sample| since.is_none_or(|since| sample.time >= since) && until.is_none_or(|until| sample.time < until))
            .filter(|sample| grep.as_ref().is_none_or(|grep| grep.is_match(&sample.body)))
            .filter(|sample| events == Events::Shown || sample.event_name.is_empty())
            .map(|sample| sample.body.clone())
            .collect();

        let reader = store.reader();
        let mut query = Query { min_level, grep, since, until, limit, take, events, ..Query::of("r") };
        let mut found: Vec<String> = Vec::new();
        loop {
            let answer = reader.logs(&query).unwrap();
            prop_assert!(answer.lines.len() <= limit);
            let lines = answer.lines.into_iter().map(|line| line.body);
            match take {
                Take::First => found.extend(lines),
                Take::Last => found = lines.chain(found).collect(),
            }
            if !answer.more {
                break;
            }
            match take {
                Take::First => query.after = Some(answer.next.parse().unwrap()),
                Take::Last => query.before = Some(answer.previous.parse().unwrap()),
            }
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_batch_whose_levels_were_not_counted_is_searched_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (mut meta, payload) = batch("r", &[line(1, Severity::FATAL, "boom")]);
    meta.records_by_range.clear();
    store.append(WRITER, &[(1, &meta, &payload)]).unwrap();
    assert_eq!(bodies(&store.reader(), &Query { min_level: Severity::FATAL, ..Query::of("r") }), ["boom"]);
}

#[test]
fn a_request_without_records_tells_of_its_run_as_well() {
    let mut resource = Vec::new();
    resource_attribute(&mut resource, "ml.experiment.name", crate::record::wire::Value::String("x"));
    let payload = zstd::bulk::compress(RequestWriter::new(&resource, "", 64).finish(), 1).unwrap();
    let meta = crate::record::BatchMeta { run_id: "r".into(), ..Default::default() };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.append(WRITER, &[(1, &meta, &payload)]).unwrap();
    assert_eq!(store.reader().find("r").unwrap().experiment, "x");
}
