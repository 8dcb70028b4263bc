use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    record::{Event, Lag, ReadTo, Resource, Severity},
    source::docker::frame::Decoder,
};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;
const NOW: u64 = START + 1_000_000 * SECOND;

type Written = (Stdio, UnixNanos, Vec<u8>);

/// What the pipeline received of one stream.
#[derive(Debug, Default)]
struct Received {
    from: Option<u64>,
    bytes: Vec<u8>,
    times: Vec<(UnixNanos, usize)>,
    origins: Vec<Arc<Origin>>,
    closed: usize,
    events: Vec<&'static str>,
}

fn new_log(framing: Framing, stored: [Option<&[u8]>; 2]) -> Log {
    made_by(Make::Docker, framing, stored)
}

fn made_by(make: Make, framing: Framing, stored: [Option<&[u8]>; 2]) -> Log {
    let tags = Tags {
        name: "trainer".into(),
        resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        is_joined: true,
    };
    Log::new("abc", make, framing, tags, Arc::default(), stored)
}

fn fresh() -> Log {
    new_log(Framing::Multiplexed, [None, None])
}

/// Answers as the engine does: from the first entry that is not older than `since`.
fn answer<'a>(written: &'a [Written], request: &Request) -> &'a [Written] {
    let since = request.since.unwrap_or(0);
    let first = written.iter().position(|(_, time, _)| *time >= since).unwrap_or(written.len());
    &written[first..]
}

/// Reads as the reader does until everything written is handed over; says how many connections that took.
fn read(log: &mut Log, written: &[Written]) -> usize {
    for connection in 1..10 {
        let request = log.begin(false, NOW);
        let taken = answer(written, &request)
            .iter()
            .map(|(stdio, time, payload)| log.entry(Entry { stdio: *stdio, time: *time, payload }))
            .find(|taken| *taken == Taken::Lost);
        log.flush();
        if taken.is_none() && !log.is_seeking() {
            log.read_through();
            return connection;
        }
        log.lost();
    }
    panic!("the place is never found nor given up");
}

/// Checks that each stream is without holes.
fn receive(log: &mut Log) -> BTreeMap<Stdio, Received> {
    let mut streams: BTreeMap<Stdio, Received> = BTreeMap::new();
    for input in log.outgoing().drain(..) {
        let (Input::Chunk(Chunk { origin, .. }) | Input::Event(Event { origin, .. })) = &input else {
            panic!("a container pushes nothing")
        };
        let stdio = if origin.key.ends_with("/stdout") { Stdio::Out } else { Stdio::Err };
        let received = streams.entry(stdio).or_default();
        if received.origins.last().is_none_or(|last| last.id != origin.id) {
            received.origins.push(Arc::clone(origin));
        }
        match input {
            Input::Pushed(_) | Input::Entries(_) | Input::Settle(_) => {}
            Input::Event(event) => received.events.push(event.name),
            Input::Chunk(chunk) => {
                assert!(chunk.data.len() <= CHUNK);
                received.closed += usize::from(chunk.ending == Ending::Closed);
                if chunk.data.is_empty() {
                    continue;
                }
                let from = *received.from.get_or_insert(chunk.at);
                assert_eq!(from + received.bytes.len() as u64, chunk.at, "no hole and no overlap");
                let mut start = 0;
                for mark in chunk.marks {
                    received.times.push((mark.time, mark.end - start));
                    start = mark.end;
                }
                assert_eq!(start, chunk.data.len());
                received.bytes.extend(chunk.data);
            }
        }
    }
    streams
}

fn payload(written: &[Written], of: Stdio) -> Vec<u8> {
    written.iter().filter(|(stdio, ..)| *stdio == of).flat_map(|(.., payload)| payload.clone()).collect()
}

/// Reads the first `read_entries`, lets the pipeline finish with `consumed` bytes of each stream, and starts again.
/// Returns what comes then, and how many connections it took.
fn restart(
    written: &[Written],
    read_entries: usize,
    consumed: [Option<usize>; 2],
    kept: &[Written],
) -> (BTreeMap<Stdio, Received>, usize) {
    let mut before = fresh();
    read(&mut before, &written[..read_entries]);
    let received = receive(&mut before);
    let stored = Stdio::BOTH.map(|stdio| {
        let origin = received.get(&stdio)?.origins.last()?;
        origin.bookmark.at(ReadTo::whole(consumed[stdio as usize]? as u64))
    });
    let mut after = new_log(Framing::Multiplexed, [0, 1].map(|i| stored[i].as_deref()));
    let connections = read(&mut after, kept);
    let again = receive(&mut after);
    for (stdio, received) in &received {
        if let (Some(old), Some(new)) = (received.origins.last(), again.get(stdio).and_then(|r| r.origins.first())) {
            let same_bytes = again[stdio].events.is_empty();
            assert!(!same_bytes || old.uid_prefix == new.uid_prefix, "the same lines have the same uids");
        }
    }
    (again, connections)
}

fn check_restart(written: &[Written], read_entries: usize, consumed: [Option<usize>; 2]) {
    let (again, _) = restart(written, read_entries, consumed, written);
    for stdio in Stdio::BOTH {
        let rest = &payload(written, stdio)[consumed[stdio as usize].unwrap_or(0)..];
        let got = again.get(&stdio).map_or(&[][..], |received| &received.bytes);
        assert!(got == rest, "{stdio:?} after {read_entries} entries and {consumed:?}: {got:?} for {rest:?}");
    }
}

fn lines(entries: &[(Stdio, u64, &str)]) -> Vec<Written> {
    entries.iter().map(|(stdio, nanos, text)| (*stdio, START + nanos, text.as_bytes().to_vec())).collect()
}

/// Repetition, equal times, times that go back, unfinished lines and both streams.
fn awkward() -> Vec<Written> {
    use Stdio::{Err, Out};
    lines(&[
        (Out, 10, "a\n"),
        (Out, 11, "a\n"),
        (Err, 5, "e\n"),
        (Out, 11, "b\n"),
        (Out, 12, "a\n"),
        (Out, 12, "b\n"),
        (Err, 9, "e\n"),
        (Err, 7, "e\n"),
        (Out, 3 * SECOND, "late\n"),
        (Out, 2 * SECOND, "back\n"),
        (Out, 2 * SECOND, "part"),
        (Out, 2 * SECOND, "part"),
        (Err, 8, "e\n"),
        (Out, 4 * SECOND, "a\n"),
        (Out, 5 * SECOND, "end"),
    ])
}

#[test]
fn every_pair_of_positions_resumes_at_its_bytes() {
    let written = awkward();
    for read_entries in [4, 9, 11, written.len()] {
        let lengths = Stdio::BOTH.map(|stdio| payload(&written[..read_entries], stdio).len());
        for out in (0..=lengths[0]).map(Some).chain([None]) {
            for err in (0..=lengths[1]).map(Some).chain([None]) {
                check_restart(&written, read_entries, [out, err]);
            }
        }
    }
}

/// Gives each entry its own time, as an engine does, but for those that are the same all the same.
fn with_own_times(mut written: Vec<Written>) -> Vec<Written> {
    for at in 1..written.len() {
        while written[..at].contains(&written[at]) {
            written[at].1 += 1;
        }
    }
    written
}

proptest! {
    #[test]
    fn any_log_resumes_at_any_pair_of_positions(
        entries in prop::collection::vec((any::<bool>(), 0_u64..4, -1_i64..3, 0_usize..3), 1..60),
        read_share in 0.0..=1.0_f64,
        shares in [prop::option::of(0.0..=1.0_f64), prop::option::of(0.0..=1.0_f64)],
    ) {
        let mut time = START;
        let written: Vec<Written> = entries.iter().map(|&(err, unit, step, text)| {
            time = time.saturating_add_signed(step * 10_i64.pow(3 * u32::try_from(unit).unwrap()));
            let stdio = if err { Stdio::Err } else { Stdio::Out };
            (stdio, time, [&b"x\n"[..], b"yy\n", b"z"][text].to_vec())
        }).collect();
        let written = with_own_times(written);
        let share = |whole: usize, part: f64| (whole as f64 * part) as usize;
        let read_entries = share(written.len(), read_share);
        let consumed = Stdio::BOTH.map(|stdio| {
            shares[stdio as usize].map(|part| share(payload(&written[..read_entries], stdio).len(), part))
        });
        check_restart(&written, read_entries, consumed);
    }
}

fn steady(count: u64) -> Vec<Written> {
    (0..count).map(|n| (Stdio::Out, START + n * SECOND, format!("line {n}\n").into_bytes())).collect()
}

#[test]
fn a_recent_place_is_found_without_reading_the_whole_log() {
    let written = steady(1000);
    let length = payload(&written[..900], Stdio::Out).len();
    let mut log = fresh();
    read(&mut log, &written[..900]);
    receive(&mut log)[&Stdio::Out].origins[0].bookmark.at(ReadTo::whole(length as u64));

    let request = log.begin(true, NOW);

    assert_eq!(request.since, Some(START + 895 * SECOND));
    assert!(request.follow);
}

#[test]
fn a_quiet_stream_does_not_send_the_reading_back_to_its_last_line() {
    let mut written = lines(&[(Stdio::Err, 0, "warning\n")]);
    written.extend(steady(1000));
    let length = payload(&written, Stdio::Out).len();
    let mut log = fresh();
    read(&mut log, &written);
    let received = receive(&mut log);
    let stored = [
        received[&Stdio::Out].origins[0].bookmark.at(ReadTo::whole(length as u64)),
        received[&Stdio::Err].origins[0].bookmark.at(ReadTo::whole(8)),
    ];

    let mut after = new_log(Framing::Multiplexed, [0, 1].map(|i| stored[i].as_deref()));

    assert!(after.begin(true, NOW).since > Some(START + 990 * SECOND));
}

#[test]
fn a_log_whose_head_was_rotated_away_inside_the_ring_is_aligned() {
    let written = steady(50);
    let consumed = payload(&written[..40], Stdio::Out).len();
    let (again, connections) = restart(&written, 40, [Some(consumed), None], &written[39..]);
    assert_eq!(again[&Stdio::Out].bytes, payload(&written[40..], Stdio::Out));
    assert_eq!((again[&Stdio::Out].events.len(), connections), (0, 2), "near, then whole");

    // Most of the first run's entries are gone.
    let pieces: Vec<Written> = (0..9).map(|_| (Stdio::Out, START, b"piece".to_vec())).collect();
    let written = [pieces, steady(3)].concat();
    let (again, _) = restart(&written, 10, [Some(5 * 9 + 7), None], &written[7..]);
    assert_eq!(again[&Stdio::Out].bytes, payload(&written[10..], Stdio::Out));
    assert!(again[&Stdio::Out].events.is_empty(), "no gap");
}

#[test]
fn d2_what_the_engine_removed_unread_is_a_gap_and_the_rest_is_taken() {
    let written = steady(100);
    let consumed = payload(&written[..40], Stdio::Out).len();

    let (again, connections) = restart(&written, 40, [Some(consumed), None], &written[60..]);

    assert_eq!(again[&Stdio::Out].events, ["runlog.gap"]);
    assert_eq!(again[&Stdio::Out].from, Some(0));
    assert_eq!(again[&Stdio::Out].bytes, payload(&written[60..], Stdio::Out));
    assert_eq!(connections, 3, "near, whole, and what is newer");
}

#[test]
fn after_a_gap_both_streams_resume_where_they_were() {
    let mut log = fresh();
    let mut written = awkward();
    read(&mut log, &written);
    receive(&mut log);
    written = awkward().into_iter().map(|(stdio, time, text)| (stdio, time + 100 * SECOND, text)).collect();
    read(&mut log, &written);
    let received = receive(&mut log);
    assert_eq!(received[&Stdio::Out].bytes, payload(&written, Stdio::Out));

    for (out, err) in [(0, 0), (3, 1), (12, 3), (20, 8)] {
        let stored = [(Stdio::Out, out), (Stdio::Err, err)]
            .map(|(stdio, consumed)| received[&stdio].origins.last().unwrap().bookmark.at(ReadTo::whole(consumed)));
        let mut after = new_log(Framing::Multiplexed, [0, 1].map(|i| stored[i].as_deref()));
        read(&mut after, &written);
        let again = receive(&mut after);
        assert!(again[&Stdio::Out].events.is_empty());
        assert_eq!(again[&Stdio::Out].bytes, payload(&written, Stdio::Out)[usize::try_from(out).unwrap()..]);
    }
}

#[test]
fn d4_a_clock_set_back_by_an_hour_hides_nothing() {
    let mut written = steady(20);
    written.extend(steady(20).into_iter().map(|(stdio, time, text)| (stdio, time - 3600 * SECOND, text)));
    for read_entries in [15, 20, 21, 30] {
        let consumed = payload(&written[..read_entries], Stdio::Out).len();
        check_restart(&written, read_entries, [Some(consumed), None]);
    }
}

#[test]
fn once_found_in_the_whole_log_a_place_is_followed_there() {
    let mut written = steady(20);
    written.extend(steady(20).into_iter().map(|(stdio, time, text)| (stdio, time - 3600 * SECOND, text)));
    let mut log = fresh();
    read(&mut log, &written[..30]);
    read(&mut log, &written);
    let request = log.begin(true, NOW);
    assert_eq!((request.since, request.follow), (None, true));
}

#[test]
fn more_entries_than_are_remembered_resume_all_the_same() {
    let written: Vec<Written> = (0..10_000).map(|n| (Stdio::Out, START + n, format!("{n}\n").into_bytes())).collect();
    let length = payload(&written, Stdio::Out).len();
    for consumed in [1, 4_000, length / 2, length - 1, length] {
        check_restart(&written, written.len(), [Some(consumed), None]);
    }
}

#[test]
fn a_lost_connection_repeats_nothing() {
    let written = awkward();
    let mut log = fresh();
    for reach in 1..=written.len() {
        read(&mut log, &written[..reach]);
    }
    let received = receive(&mut log);
    assert_eq!(received[&Stdio::Out].bytes, payload(&written, Stdio::Out));
    assert_eq!(received[&Stdio::Err].bytes, payload(&written, Stdio::Err));
}

#[test]
fn an_unfinished_line_of_a_killed_process_does_not_run_into_the_next_ones() {
    let written = lines(&[(Stdio::Out, 1, "45%"), (Stdio::Out, 2, "started again\n")]);
    let mut log = fresh();
    read(&mut log, &written);
    log.close();
    let received = receive(&mut log);
    assert_eq!((received[&Stdio::Out].origins.len(), received[&Stdio::Out].closed), (2, 2));
}

#[test]
fn each_entry_keeps_its_time_and_a_chunk_its_size() {
    let written: Vec<Written> =
        (0..40).map(|n| (Stdio::Out, START + n, vec![b'x'; PIECE - usize::try_from(n).unwrap()])).collect();
    let mut log = fresh();
    read(&mut log, &written);
    let received = receive(&mut log);
    let mut lengths: BTreeMap<UnixNanos, usize> = BTreeMap::new();
    received[&Stdio::Out].times.iter().for_each(|(time, length)| *lengths.entry(*time).or_default() += length);
    assert_eq!(lengths, written.iter().map(|(_, time, text)| (*time, text.len())).collect());
}

#[test]
fn a_terminal_that_was_killed_in_the_middle_of_a_line_is_aligned_after_the_restart() {
    let stamp = |second: u64, text: &str| format!("2024-01-01T00:00:{second:02}.000000000Z {text}").into_bytes();
    let first = [stamp(1, "one\n"), stamp(2, "45%|##")].concat();
    let whole = [first.clone(), stamp(9, "two\n"), stamp(10, "three\n")].concat();
    let mut log = new_log(Framing::Raw, [None, None]);
    for bytes in [&first, &whole] {
        let request = log.begin(false, NOW);
        let mut decoder = Decoder::new(Framing::Raw, request.seams);
        decoder.feed(bytes);
        decoder.end();
        while let Some(entry) = decoder.next().unwrap() {
            assert_eq!(log.entry(entry), Taken::Fine);
        }
        assert!(!log.is_seeking());
        log.flush();
    }
    let received = receive(&mut log);
    assert_eq!(String::from_utf8_lossy(&received[&Stdio::Out].bytes), "one\n45%|##two\nthree\n");
    assert_eq!(received[&Stdio::Out].closed, 1);
}

#[test]
fn an_unreadable_position_is_no_position() {
    let mut log = new_log(Framing::Multiplexed, [Some(b"\xff\xff"), Some(b"")]);
    read(&mut log, &awkward());
    assert_eq!(receive(&mut log)[&Stdio::Out].bytes, payload(&awkward(), Stdio::Out));
}

#[test]
fn d19_entries_that_the_engine_sends_again_around_a_rotation_are_passed_by() {
    use Stdio::{Err, Out};
    let entries =
        lines(&[(Out, 1, "1\n"), (Err, 2, "e\n"), (Out, 3, "2\n"), (Out, 4, "2\n"), (Out, 5, "3\n"), (Out, 6, "4\n")]);
    // It goes back by four entries, by one, and by two.
    let repeated = [&entries[..5], &entries[1..5], &entries[4..5], &entries[3..]].concat();
    let mut log = fresh();
    read(&mut log, &repeated);
    let received = receive(&mut log);
    assert_eq!(received[&Out].bytes, payload(&entries, Out));
    assert_eq!(received[&Err].bytes, payload(&entries, Err));

    // The place is one of the entries as the engine has them.
    let more = [entries, lines(&[(Out, 7, "5\n")])].concat();
    assert_eq!(read(&mut log, &more), 1);
    assert_eq!(receive(&mut log)[&Out].bytes, b"5\n");
}

#[test]
fn d19_equal_pieces_of_a_line_are_no_repetition_although_the_other_stream_went_on() {
    let piece = |text: &[u8]| (Stdio::Out, START, text.repeat(PIECE));
    let later = || (Stdio::Err, START + 5, b"e\n".to_vec());
    let entries = vec![piece(b"a"), later(), piece(b"b"), piece(b"a"), (Stdio::Out, START, b"a\n".to_vec())];
    let mut log = fresh();
    read(&mut log, &entries);
    assert!(receive(&mut log)[&Stdio::Out].bytes == payload(&entries, Stdio::Out));
}

#[test]
fn d4_where_the_clock_is_coarse_equal_lines_of_equal_times_are_all_kept() {
    let entries =
        lines(&[(Stdio::Out, 0, "a\n"), (Stdio::Out, 0, "b\n"), (Stdio::Out, 0, "\n"), (Stdio::Out, 0, "\n")]);
    let mut log = fresh();
    read(&mut log, &entries);
    assert_eq!(receive(&mut log)[&Stdio::Out].bytes, b"a\nb\n\n\n");
}

#[test]
fn d21_podmans_lines_of_one_second_are_told_apart_by_their_number() {
    // Times are those of the second, and a pattern that is older than what is remembered repeats itself.
    let entries: Vec<Written> =
        (0..300_u64).map(|n| (Stdio::Out, START + n / 150 * SECOND, vec![b'a' + (n % 2) as u8, b'\n'])).collect();
    let mut log = made_by(Make::Podman, Framing::Multiplexed, [None, None]);
    read(&mut log, &entries[..201]);
    let origin = receive(&mut log)[&Stdio::Out].origins[0].clone();
    let stored = origin.bookmark.at(ReadTo::whole(2 * 201));
    let mut after = made_by(Make::Podman, Framing::Multiplexed, [stored.as_deref(), None]);
    read(&mut after, &entries);
    assert_eq!(receive(&mut after)[&Stdio::Out].bytes, payload(&entries[201..], Stdio::Out));
}

#[test]
fn d21_podmans_pieces_of_any_length_are_one_line() {
    let entries = lines(&[(Stdio::Out, 0, "a piece, "), (Stdio::Out, 0, "its end\n"), (Stdio::Out, 1, "half")]);
    let mut log = made_by(Make::Podman, Framing::Multiplexed, [None, None]);
    read(&mut log, &entries);
    let received = receive(&mut log);
    assert_eq!((received[&Stdio::Out].origins.len(), received[&Stdio::Out].closed), (1, 0));
}

#[test]
fn a_stream_is_behind_by_the_age_of_its_last_line_and_nobody_knows_by_how_much() {
    let mut log = fresh();
    let written = [(Stdio::Out, START, b"one\n".to_vec()), (Stdio::Out, START + SECOND, b"two\n".to_vec())];
    read(&mut log, &written);
    let progress = || log.tallies().map(Tally::progress).map(|of| (of.position, of.lag)).collect::<Vec<_>>();
    assert_eq!(progress(), [(8, Lag::Behind { bytes: None, since: START + SECOND })]);
    log.caught_up();
    assert_eq!(progress(), [(8, Lag::Nothing)]);
}
