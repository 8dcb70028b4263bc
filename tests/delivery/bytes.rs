//! Bytes that are not what one expects of a log.

use std::{fs::OpenOptions, io::Write};

use runlog_tests::{Agent, Line, Sink, SinkRecord};

/// Three lines' worth of parts, and a bit.
const LONG_LINE_BYTES: usize = 3 << 20;

#[test]
fn f17_odd_bytes_arrive_as_documented_and_so_does_the_line_after_them() {
    let sink = Sink::start();
    let agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint()).start();
    let long = long_line();
    let lines: [&[u8]; 8] = [
        b"caf\xe9 \xff\xfe loss",
        b"good 1",
        b"nul \0 inside",
        b"good 2",
        long.as_bytes(),
        b"good 3",
        b"windows line\r",
        b"good 4",
    ];
    let mut file = OpenOptions::new().create_new(true).append(true).open(agent.path("a.log")).unwrap();
    for line in lines {
        file.write_all(&[line, b"\n"].concat()).unwrap();
    }

    let parts = 4;
    let records = sink.eventually_records(7 + parts);
    let (before, rest) = records.split_at(4);
    let (long_parts, after) = rest.split_at(parts);
    let bodies = |records: &[SinkRecord]| records.iter().map(|record| record.body().to_owned()).collect::<Vec<_>>();
    assert_eq!(bodies(before), ["caf\u{fffd} \u{fffd}\u{fffd} loss", "good 1", "nul \0 inside", "good 2"]);
    assert_eq!(bodies(after), ["good 3", "windows line", "good 4"]);

    assert_eq!(records[0].number("runlog.invalid_utf8"), Some(3));
    assert_eq!(records[0].bytes("log.record.original"), Some(lines[0]));
    assert_eq!(records[1].number("runlog.invalid_utf8"), None);

    assert!(bodies(long_parts).concat() == long, "the parts are not the line");
    let part = |record: &SinkRecord| (record.number("runlog.part.index"), record.number("runlog.part.count"));
    let expected = [(Some(0), None), (Some(1), None), (Some(2), None), (Some(3), Some(4))];
    assert_eq!(long_parts.iter().map(part).collect::<Vec<_>>(), expected);
    let id = long_parts[0].text("runlog.part.id");
    assert!(!id.is_empty() && long_parts.iter().all(|record| record.text("runlog.part.id") == id));
}

#[test]
fn f18_odd_bytes_are_read_back_from_the_embedded_store() {
    let agent = Agent::builder().start();
    let long = long_line();
    let text = [b"nul \0 and \xff\n", long.as_bytes(), b"\nwindows\r\ngood\n"].concat();
    std::fs::write(agent.path("a.log"), text).unwrap();
    let lines = agent.eventually_lines("r", 7);
    assert_eq!(lines[0].body(), "nul \0 and \u{fffd}");
    assert_eq!(lines[0].attribute("runlog.invalid_utf8"), "1");
    assert!(lines[1..5].iter().map(Line::body).collect::<String>() == long, "the parts are not the line");
    assert_eq!(lines[5..].iter().map(Line::body).collect::<Vec<_>>(), ["windows", "good"]);
}

/// No two places are alike, and a part cannot end where the bytes of its size do: characters have two bytes or three.
fn long_line() -> String {
    (0..)
        .map(|number| format!("{number}ü€"))
        .scan(0, |bytes, piece| {
            *bytes += piece.len();
            (*bytes <= LONG_LINE_BYTES + 1000).then_some(piece)
        })
        .collect()
}
