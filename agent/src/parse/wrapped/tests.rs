use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::MAX_OUTER_BYTES;
use crate::{
    parse::{Config, Lines, Part},
    record::{
        Chunk, Ending, Format, Lane, NoBookmark, Origin, ReadTo, Resource, Severity, SourceKind, Tally,
        origin::{Left, Stream},
        wire::{Value, attributes},
    },
};

/// The field number of a record's attributes.
const ATTRIBUTES: u32 = 6;
const STAMP: &str = "2026-11-24T05:44:23.5Z";
const TIME: u64 = 1_795_499_063_500_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    lane: Lane,
    at: u64,
    bytes: Vec<u8>,
    is_utf8: bool,
    time: u64,
    part: Option<Part>,
    attributes: Vec<(String, String)>,
    read_to: ReadTo,
}

impl Seen {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

fn origin(format: Format, left: Left) -> Arc<Origin> {
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
    Origin::wrapped(stream, format, left)
}

/// Lines that are kept as they were printed.
fn raw(max_line_bytes: usize) -> Config {
    Config { max_line_bytes, ..Config::default() }
}

/// Reads `pieces` from where a stream was left on.
fn read(format: Format, max_line_bytes: usize, left: impl Into<Left>, pieces: &[&[u8]], ending: Ending) -> Vec<Seen> {
    let left = left.into();
    let origin = origin(format, left);
    let mut at = left.read_to.offset;
    let mut lines = Lines::new(&raw(max_line_bytes), &origin, at);
    let mut seen: Vec<Seen> = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let ending = if i + 1 == pieces.len() { ending } else { Ending::Open };
        let origin = Arc::clone(&origin);
        let chunk = Chunk { origin, at, data: piece.to_vec(), observed: 0, marks: Vec::new(), ending, permit: None };
        lines.feed(&chunk, |line| {
            let show = |found: Result<(&str, Value<'_>), _>| {
                let (key, value) = found.unwrap();
                (key.to_owned(), format!("{value:?}"))
            };
            seen.push(Seen {
                lane: line.lane,
                at: line.at,
                bytes: line.bytes.to_vec(),
                is_utf8: line.is_utf8,
                time: line.time,
                part: line.part,
                attributes: attributes(line.attributes, ATTRIBUTES).map(show).collect(),
                read_to: line.read_to,
            });
        });
        at += piece.len() as u64;
    }
    if let Some(last) = seen.last() {
        assert!(lines.read_to().offset >= last.read_to.offset);
    }
    seen
}

fn whole(format: Format, text: &str) -> Vec<Seen> {
    read(format, 1 << 20, ReadTo::default(), &[text.as_bytes()], Ending::Closed)
}

fn docker(stream: &str, log: &str) -> String {
    format!("{{\"log\":{},\"stream\":\"{stream}\",\"time\":\"{STAMP}\"}}\n", Json::from(log))
}

fn cri(stream: &str, tag: &str, text: &str) -> String {
    format!("{STAMP} {stream} {tag} {text}\n")
}

fn iostream(name: &str) -> Vec<(String, String)> {
    vec![("log.iostream".to_owned(), format!("String({name:?})"))]
}

#[test]
fn a_line_comes_out_as_it_was_printed_with_the_time_and_the_stream_of_its_wrapping() {
    for text in [docker("stderr", "step \"1\"\r\n"), cri("stderr", "F", "step \"1\"\r")] {
        let seen = &whole(Format::Auto, &text)[0];
        assert_eq!((seen.text(), seen.at, seen.time, seen.lane), ("step \"1\"", 0, TIME, Lane::Stderr), "{text}");
        assert_eq!(seen.attributes, iostream("stderr"));
        assert_eq!(seen.read_to, ReadTo::whole(text.len() as u64));
    }
}

#[test]
fn f14_a_bare_line_that_was_given_out_in_part_at_a_stop_goes_on_with_the_rest_alone() {
    for format in [Format::Auto, Format::Plain] {
        let before = read(format, 100, ReadTo::default(), &[b"one\nhalf "], Ending::Stopped);
        let left = Left { read_to: ReadTo::whole(9), inside_line: Some(4), formerly: None };
        let after = read(format, 100, left, &[b"a ", b"line\ntwo\n"], Ending::Open);
        let shown: Vec<_> = before.iter().chain(&after).map(|seen| (seen.text(), seen.at, seen.part)).collect();
        let part = |index, is_last| Some(Part { line_at: 4, index, is_last });
        let expected =
            [("one", 0, None), ("half ", 4, part(0, false)), ("a line", 9, part(1, true)), ("two", 16, None)];
        assert_eq!(shown, expected, "{format:?}");
        assert_eq!(before[1].read_to, left.read_to);
    }
}

// Longer than the longest wrapped line, so that it is taken apart twice: reading starts again where the outer part begins.
#[test]
fn f16_a_long_bare_line_comes_once_wherever_reading_starts_again() {
    let long = [b"0123456789".repeat(MAX_OUTER_BYTES / 10), b"-".repeat(250)].concat();
    let file = [b"first\n".as_slice(), &long, b"\nlast\n"].concat();
    let straight = read(Format::Auto, 100, ReadTo::default(), &[&file], Ending::Closed);
    assert_eq!(straight.len(), 2 + long.len().div_ceil(100));
    for (index, seen) in straight.iter().enumerate() {
        let from = usize::try_from(seen.read_to.offset).unwrap();
        let is_inside = from > 0 && file[from - 1] != b'\n';
        let left = Left { read_to: seen.read_to, inside_line: is_inside.then_some(6), formerly: None };
        let again = read(Format::Auto, 100, left, &[&file[from..]], Ending::Closed);
        assert_eq!(again, straight[index + 1..], "after {} at {}", index, seen.at);
    }
}

#[test]
fn c1_pieces_are_joined_in_their_own_stream() {
    let texts = [
        [docker("stdout", "one "), docker("stderr", "two "), docker("stdout", "line\n"), docker("stderr", "lines\n")],
        [
            cri("stdout", "P", "one "),
            cri("stderr", "P", "two "),
            cri("stdout", "F", "line"),
            cri("stderr", "F", "lines"),
        ],
    ];
    for lines in texts {
        let seen = whole(Format::Auto, &lines.concat());
        let shown: Vec<_> = seen.iter().map(|seen| (seen.lane, seen.text(), seen.at, seen.part)).collect();
        let second = lines[0].len() as u64;
        assert_eq!(shown, [(Lane::Stdout, "one line", 0, None), (Lane::Stderr, "two lines", second, None)]);
        let end = lines[..3].concat().len() as u64;
        assert_eq!(seen[0].read_to, ReadTo { offset: second, lanes: [end, end, second] }, "the second waits");
    }
}

#[test]
fn what_was_given_out_before_is_not_forgotten_while_it_is_read_again() {
    let text =
        format!("{}{}{}", cri("stdout", "P", "first "), cri("stderr", "F", "between"), cri("stdout", "F", "rest"));
    // The begin of stdout's line is given out, and the line of stderr is not.
    let first = text.find('\n').unwrap() as u64 + 1;
    let between = first + text[first as usize..].find('\n').unwrap() as u64 + 1;
    let left = ReadTo { offset: first, lanes: [between, between, first] };
    let origin = origin(Format::Cri, Left::from(left));
    let mut lines = Lines::new(&raw(1 << 20), &origin, first);
    let mut chunk = Chunk::opening(Arc::clone(&origin), first, 1);
    lines.feed(&chunk, |_| unreachable!());
    assert_eq!(lines.read_to(), left);
    for byte in text.as_bytes()[first as usize..between as usize].iter().take(30) {
        chunk.data = vec![*byte];
        lines.feed(&chunk, |_| unreachable!());
        chunk.at += 1;
        assert_eq!(lines.read_to(), left);
    }
}

#[test]
fn a_last_piece_is_given_out_when_the_stream_closes() {
    let text = cri("stderr", "P", "prompt") + &cri("stdout", "P", "no ") + &cri("stdout", "P", "end");
    let seen = whole(Format::Auto, &text);
    assert_eq!(seen.iter().map(Seen::text).collect::<Vec<_>>(), ["prompt", "no end"]);
    assert_eq!(seen[0].attributes, iostream("stderr"));
    assert_eq!(seen[1].read_to, ReadTo::whole(text.len() as u64));
}

// A container that is restarted goes on in the same file, and what it left unfinished is not the start of a new line.
#[test]
fn a_piece_of_docker_with_another_time_begins_another_line() {
    let later = docker("stdout", "life\n").replace("23.5Z", "24.5Z");
    let text = docker("stdout", "ha") + &docker("stdout", "lf") + &docker("stderr", "other ") + &later;
    let seen = whole(Format::Auto, &(text + &docker("stderr", "stream\n")));
    let shown: Vec<_> = seen.iter().map(|seen| (seen.text(), seen.time - TIME)).collect();
    assert_eq!(shown, [("half", 0), ("life", 1_000_000_000), ("other stream", 0)]);
}

#[test]
fn c2_a_last_piece_is_given_out_after_a_silence_and_what_follows_is_a_line_of_its_own() {
    let (first, second) = (cri("stdout", "P", "prompt"), cri("stdout", "F", "answer"));
    let origin = origin(Format::Auto, Left::default());
    let mut lines = Lines::new(&raw(100), &origin, 0);
    let (mut seen, end) = (Vec::new(), first.len() as u64);
    let mut feed = |lines: &mut Lines, mut chunk: Chunk, text: &str| {
        chunk.data = text.as_bytes().to_vec();
        lines.feed(&chunk, |line| seen.push((line.at, String::from_utf8(line.bytes.to_vec()).unwrap())));
    };
    let open = |at| Chunk { ending: Ending::Open, ..Chunk::silent(Arc::clone(&origin), at, 0) };
    feed(&mut lines, open(0), &first);
    assert!(lines.is_waiting());
    feed(&mut lines, Chunk::silent(Arc::clone(&origin), end, 0), "");
    assert!(!lines.is_waiting());
    assert_eq!(lines.read_to(), ReadTo::whole(end));
    feed(&mut lines, open(end), &second);
    assert_eq!(seen, [(0, "prompt".to_owned()), (end, "answer".to_owned())]);
}

#[test]
fn c3_a_character_that_a_runtime_cut_is_whole_again() {
    let mut text = Vec::new();
    for (tag, piece) in [("P", &b"loss \xe2"[..]), ("P", b"\x82"), ("F", b"\xac")] {
        text.extend_from_slice(format!("{STAMP} stdout {tag} ").as_bytes());
        text.extend_from_slice(piece);
        text.push(b'\n');
    }
    let seen = read(Format::Auto, 100, ReadTo::default(), &[&text], Ending::Closed);
    assert_eq!((seen[0].text(), seen[0].is_utf8), ("loss €", true));
}

#[test]
fn f19_a_bare_line_loses_one_carriage_return_at_its_end_and_no_more() {
    for format in [Format::Auto, Format::Plain] {
        let seen = whole(format, "50%\r\r\n100%\r\n");
        assert_eq!(seen.iter().map(Seen::text).collect::<Vec<_>>(), ["50%\r", "100%"], "{format:?}");
    }
}

#[test]
fn a_carriage_return_at_the_end_of_a_piece_is_kept_and_one_at_the_end_of_a_line_is_not() {
    let seen = whole(Format::Auto, &(cri("stdout", "P", "50%\r") + &cri("stdout", "F", "100%\r")));
    assert_eq!(seen[0].text(), "50%\r100%");
}

#[test]
fn c12_a_line_is_told_by_itself_where_formats_are_mixed() {
    let text = docker("stdout", "a\n") + &cri("stdout", "F", "b") + "plain\n" + &docker("stderr", "c\n");
    let seen = whole(Format::Auto, &text);
    assert_eq!(seen.iter().map(Seen::text).collect::<Vec<_>>(), ["a", "b", "plain", "c"]);
    assert_eq!(seen.iter().map(|seen| seen.lane).collect::<Vec<_>>()[2], Lane::Bare);
}

#[test]
fn c7_a_line_that_should_be_wrapped_and_is_not_goes_along_as_it_stands() {
    let marked = |seen: &Seen| seen.attributes.iter().any(|(key, _)| key == "runlog.parse_error");
    let broken = "\"stream\":\"stdout\",\"time\":\"2026-11-24T05:44:23Z\"}\n";
    for (format, first) in [(Format::Docker, ""), (Format::Auto, &*docker("stdout", "a\n"))] {
        let seen = whole(format, &format!("{first}{broken}"));
        let last = seen.last().unwrap();
        assert_eq!(last.text(), broken.trim_end());
        assert!(marked(last), "{format:?}");
    }
    let plain = whole(Format::Auto, &format!("training\n{broken}{}", r#"{"log":"mine"}"#));
    assert!(plain.len() == 3 && !plain.iter().any(marked), "a file of plain lines is not expected to be wrapped");
    let seen = whole(Format::Plain, &docker("stdout", "a\n"));
    assert_eq!(seen[0].text(), docker("stdout", "a\n").trim_end());
}

#[test]
fn attributes_of_dockers_own_go_along() {
    let text = docker("stdout", "a\n").replace(",\"time\"", r#","attrs":{"tag":"x","n":"1"},"time""#);
    let mut expected = iostream("stdout");
    expected.push(("runlog.docker.attrs.n".to_owned(), "String(\"1\")".to_owned()));
    expected.push(("runlog.docker.attrs.tag".to_owned(), "String(\"x\")".to_owned()));
    let seen = whole(Format::Auto, &(text + &docker("stdout", "b\n")));
    assert_eq!(seen[0].attributes, expected);
    assert_eq!(seen[1].attributes, iostream("stdout"));
}

#[test]
fn a_joined_line_that_is_too_long_is_split_between_characters() {
    let text = cri("stdout", "P", "aé") + &cri("stdout", "P", "aéa") + &cri("stdout", "F", "éb");
    let seen = read(Format::Auto, 5, ReadTo::default(), &[text.as_bytes()], Ending::Closed);
    let shown: Vec<_> =
        seen.iter().map(|seen| (seen.text(), seen.part.map(|part| (part.index, part.is_last)))).collect();
    assert_eq!(shown, [("aéaé", Some((0, false))), ("aéb", Some((1, true)))]);
    assert!(seen.iter().all(|seen| seen.is_utf8 && seen.part.unwrap().line_at == 0));
}

#[test]
fn a_wrapped_line_without_bounds_is_one_line_all_the_same() {
    let long = "0123456789".repeat(30_000);
    let text = cri("stdout", "F", &long) + &cri("stdout", "F", "next");
    let seen = read(Format::Auto, 1024, ReadTo::default(), &[text.as_bytes()], Ending::Closed);
    let (next, parts) = seen.split_last().unwrap();
    assert_eq!(parts.iter().map(Seen::text).collect::<String>(), long);
    assert!(parts.iter().all(|seen| seen.lane == Lane::Stdout && seen.part.unwrap().line_at == 0));
    assert_eq!(next.text(), "next");
}

/// A file as a runtime writes it: lines cut in pieces and woven together.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![3 => "[a-z\"\\\\é€]{0,12}", 1 => Just("x".repeat(60))];
    let line = (0..5_u8, text, any::<bool>()).prop_map(|(kind, text, ends)| match kind {
        0 => docker("stdout", &if ends { text + "\n" } else { text }),
        1 => docker("stderr", &if ends { text + "\n" } else { text }),
        2 => cri("stdout", if ends { "F" } else { "P" }, &text),
        3 => cri("stderr", if ends { "F" } else { "P" }, &text),
        _ => text + "\n",
    });
    proptest::collection::vec(line, 0..14).prop_map(|lines| lines.concat().into_bytes())
}

/// What was printed, whichever lines were cut into parts.
fn printed(seen: &[Seen]) -> Vec<(Lane, u64, Vec<u8>)> {
    let mut printed: Vec<_> = seen.iter().map(|seen| (seen.lane, seen.at, seen.bytes.clone())).collect();
    printed.sort_by_key(|(_, at, _)| *at);
    printed
}

#[test]
fn c11_a_line_without_a_usable_time_is_kept_with_all_that_it_says() {
    let stamps = [
        ("1969-12-31T23:59:59.9Z", 0),
        ("2026-11-24T05:44:23Z", TIME - 500_000_000),
        ("2026-11-24T05:44:23.5+00:00", TIME),
        ("2026-11-24T06:44:23.500000000+01:00", TIME),
        ("2200-01-01T00:00:00Z", 7_258_118_400_000_000_000),
        ("2400-01-01T00:00:00Z", 0),
    ];
    for (stamp, time) in stamps {
        let seen = &whole(Format::Auto, &cri("stderr", "F", "loss").replace(STAMP, stamp))[0];
        assert_eq!((seen.text(), seen.lane, seen.time), ("loss", Lane::Stderr, time), "{stamp}");
    }
    // No stamp at all: the line as it stands.
    let odd = cri("stdout", "F", "a") + &cri("stdout", "F", "b").replace(STAMP, "2026-11-24 05:44:23");
    assert_eq!(whole(Format::Auto, &odd)[1].text(), "2026-11-24 05:44:23 stdout F b");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    // Bytes of a rotation that cut a line anywhere, or wrote over it: nothing of the others is lost, and nothing of it.
    #[test]
    fn c7_a_damaged_line_costs_no_byte_and_no_other_line(
        damaged in "[ -~]{0,40}",
        cut in any::<prop::sample::Index>(),
    ) {
        let (whole_line, next) = (cri("stdout", "F", "before"), cri("stderr", "F", "after"));
        let rest = &next[cut.index(next.len() - 1)..];
        let text = [&whole_line, rest, &next].concat() + &damaged + "\n" + &next;
        let seen = whole(Format::Auto, &text);
        let bodies: String = seen.iter().map(Seen::text).collect();
        prop_assert!(bodies.contains("before") && bodies.ends_with("after"), "{bodies}");
        prop_assert_eq!(seen.len(), 5);
        let is_bare = seen[3].lane == Lane::Bare;
        prop_assert!(!is_bare || seen[3].text() == damaged.trim_end_matches('\r'));
    }

    // Wherever chunks are cut, and after whichever line a batch closes and the agent dies, each line is given out once.
    #[test]
    fn every_line_comes_once_over_cuts_and_restarts(
        file in file(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        deaths in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        max in prop_oneof![Just(1_usize), 4..70_usize],
    ) {
        let straight = read(Format::Auto, max, ReadTo::default(), &[&file], Ending::Closed);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(file.len() + 1)).collect();
        cuts.extend([0, file.len()]);
        cuts.sort_unstable();

        let mut kept: Vec<Seen> = Vec::new();
        let mut left_at = ReadTo::default();
        for death in deaths.iter().map(Some).chain([None]) {
            let from = usize::try_from(left_at.offset).unwrap();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &file[pair[0].max(from)..pair[1].max(from)]).collect();
            let mut seen = read(Format::Auto, max, left_at, &pieces, Ending::Closed);
            if let Some(death) = death {
                seen.truncate(death.index(seen.len() + 1));
            }
            left_at = seen.last().map_or(left_at, |seen| seen.read_to);
            kept.append(&mut seen);
        }
        prop_assert_eq!(printed(&kept), printed(&straight));
    }
}
