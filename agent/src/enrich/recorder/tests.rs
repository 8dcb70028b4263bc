use proptest::prelude::*;

use super::{block::Bytes, lines::VOICE_OVERHEAD, pace::BYTES_PER_SECOND, *};
use crate::{
    parse::Part,
    record::{Lane, NoBookmark, ReadTo, Resource, SourceKind, Tally, origin::Stream},
};

const SECOND: u64 = 1_000_000_000;

fn origin(run_id: &str, name: &str) -> Arc<Origin> {
    Origin::new(Stream {
        key: name.to_owned(),
        kind: SourceKind::Docker,
        identity: &[name.as_bytes()],
        resource: Arc::new(Resource { run_id: run_id.to_owned(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::INFO,
        tally: Tally::detached(SourceKind::Docker, name),
        bookmark: Arc::new(NoBookmark),
    })
}

fn recorder(bytes: usize) -> (Recorder, Replays) {
    let replays = Replays::default();
    (Recorder::new(Some(Config { bytes, span: Duration::from_secs(10) }), replays.clone()), replays)
}

const KNOWN: Recorded<'_> = Recorded {
    observed: SECOND,
    severity: Severity::DEBUG,
    severity_text: b"",
    logger: b"",
    family: None,
    lines: 1,
    heads: None,
};

fn record(recorder: &mut Recorder, origin: &Arc<Origin>, at: u64, body: &str) {
    recorder.record(origin, &Line::bare(at, at, body.as_bytes()), &KNOWN);
}

/// What is taken of a run, as text, with the stream's name.
fn taken(recorder: &mut Recorder, run_id: &str) -> Vec<(String, String)> {
    let mut taken = Vec::new();
    let Some(replay) = recorder.take(run_id) else { return taken };
    let each = |voice: &Arc<Origin>, line: &Line<'_>, _: &Recorded<'_>| {
        taken.push((voice.tally.name.clone(), String::from_utf8(line.bytes.to_vec()).unwrap()));
        Ok(())
    };
    replay.each(each).unwrap();
    taken
}

#[test]
fn what_is_taken_is_what_was_recorded_of_that_run_in_its_order_and_once() {
    let (mut recorder, replays) = recorder(1 << 20);
    let (a, b, other) = (origin("r", "a"), origin("r", "b"), origin("other", "a"));
    // Enough for several blocks.
    let text = "x".repeat(1_000);
    let mut expected = Vec::new();
    for number in 0..200 {
        for origin in [&a, &other, &b] {
            let body = format!("{number} {text}");
            record(&mut recorder, origin, number, &body);
            if origin.resource.run_id == "r" {
                expected.push((origin.tally.name.clone(), body));
            }
        }
    }
    assert_eq!(replays.recording().lines, 600);
    assert_eq!(taken(&mut recorder, "r"), expected);
    assert_eq!(taken(&mut recorder, "r"), []);
    assert_eq!((replays.recording().lines, recorder.runs()), (200, vec!["other".to_owned()]));
    // Those who are asked for wait for the packer, and so are the others compressed by then.
    recorder.forget_old(SECOND);
    assert!(replays.recording().bytes < 200 * 1_000, "it is compressed: {:?}", replays.recording());
}

#[test]
fn the_oldest_of_the_run_that_has_most_is_forgotten_for_want_of_room() {
    const BYTES: usize = 300 << 10;
    let (mut recorder, replays) = recorder(BYTES);
    let (small, large) = (origin("small", "a"), origin("large", "b"));
    record(&mut recorder, &small, 0, "the only one");
    let mut random = 1_u64;
    let mut last = String::new();
    for number in 0..20_000 {
        // What can hardly be compressed.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        last = format!("{number} {random:016x}{:016x}", random.rotate_left(17));
        record(&mut recorder, &large, number, &last);
        assert!(replays.recording().bytes <= BYTES as u64);
    }
    assert_eq!(taken(&mut recorder, "small").len(), 1);
    let held = taken(&mut recorder, "large");
    assert!(held.len() > 1_000 && held.last().unwrap().1 == last);
    assert_eq!(replays.recording().forgotten, 20_000 - held.len() as u64);
    assert_eq!((replays.recording().lines, replays.recording().bytes), (0, 0));
}

#[test]
fn what_is_older_than_the_span_is_forgotten() {
    let (mut recorder, replays) = recorder(1 << 20);
    let origin = origin("r", "a");
    record(&mut recorder, &origin, 0, "old");
    recorder.forget_old(11 * SECOND);
    assert_eq!(replays.recording().lines, 1, "it is as old as it may be");
    recorder.forget_old(11 * SECOND + 1);
    assert_eq!((replays.recording().lines, replays.recording().forgotten), (0, 1));
    assert!(recorder.runs().is_empty());
    // The run may go on.
    record(&mut recorder, &origin, 4, "new");
    assert_eq!(taken(&mut recorder, "r").len(), 1);
}

#[test]
fn what_is_off_keeps_nothing() {
    let mut recorder = Recorder::new(None, Replays::default());
    record(&mut recorder, &origin("r", "a"), 0, "x");
    assert!(!recorder.is_on() && recorder.take("r").is_none());
}

#[test]
fn what_stands_in_for_a_stream_moves_no_position_and_says_what_it_is() {
    let origin = origin("r", "a");
    let other = origin.stand_in();
    assert!(other.id != origin.id && other.bookmark.at(ReadTo::whole(7)).is_none() && other.is_stand_in);
    assert_eq!(other.uid_prefix, origin.uid_prefix);
    assert!(Arc::ptr_eq(&other.tally, &origin.tally) && Arc::strong_count(&origin) == 1);
    assert!(other.attributes.windows(15).any(|bytes| bytes == b"runlog.replayed"));
}

/// What comes back of lines, which are told apart in all that is kept of them, and of which stream.
fn told<'a>(name: &str, line: &Line<'a>, recorded: &Recorded<'_>) -> String {
    let line = Line { read_to: ReadTo::whole(0), read_from: 0, ..*line };
    format!("{name} {line:?} {recorded:?}")
}

#[test]
fn words_of_any_length_at_any_place_come_back() {
    let (mut recorder, _) = recorder(64 << 20);
    let origin = origin("r", "a");
    let text: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 17).collect();
    let bodies = [&text[..0], &text[..600], &text[..65_535], &text[..65_536], &text[..]];
    let mut expected = Vec::new();
    for body in bodies {
        for at in [0, 254, 255, 256, 500] {
            for length in [0, 1, 254, 255, 256, 600] {
                // In the line or beside it, across its end, and the same bytes elsewhere.
                for word in [text.get(at..at + length).unwrap(), &text.clone()[at..at + length]] {
                    let line = Line::bare(7, 7, body);
                    let recorded = Recorded { severity_text: word, logger: &text[at..=at], ..KNOWN };
                    recorder.record(&origin, &line, &recorded);
                    expected.push(told("a", &line, &recorded));
                }
            }
        }
    }
    let mut taken = Vec::new();
    let each = |voice: &Arc<Origin>, line: &Line<'_>, recorded: &Recorded<'_>| {
        taken.push(told(&voice.tally.name, line, recorded));
        Ok(())
    };
    recorder.take("r").unwrap().each(each).unwrap();
    assert!(taken == expected, "{} lines of {}", taken.len(), expected.len());
}

#[test]
fn what_counts_is_the_memory_that_blocks_occupy() {
    const RUNS: u64 = 1_000;
    let (mut recorder, replays) = recorder(64 << 20);
    let origins: Vec<_> = (0..RUNS).map(|run| origin(&format!("r-{run}"), "a")).collect();
    let occupied = |recorder: &Recorder| {
        let of_tape = |tape: &Tape| tape.open.raw.capacity() + tape.blocks.iter().map(Block::bytes).sum::<usize>();
        let voices = recorder.tapes.iter().map(|tape| tape.open.voices.len()).sum::<usize>();
        (recorder.tapes.iter().map(of_tape).sum::<usize>() + voices * VOICE_OVERHEAD) as u64
    };
    for origin in &origins {
        record(&mut recorder, origin, 0, "a line");
    }
    assert_eq!(replays.recording().bytes, occupied(&recorder));
    assert!(replays.recording().bytes < RUNS * 2_048, "{:?}", replays.recording());
    // Some of several blocks, some of one that has grown, and a line that has one of its own.
    for number in 0..20_000 {
        record(&mut recorder, &origins[usize::try_from(number % 7 * number % RUNS).unwrap()], number, &"x".repeat(200));
    }
    record(&mut recorder, &origins[0], 0, &"y".repeat(100_000));
    assert_eq!(replays.recording().bytes, occupied(&recorder));
    for origin in &origins {
        recorder.take(&origin.resource.run_id);
    }
    assert_eq!((replays.recording().lines, replays.recording().bytes), (0, 0));
}

/// Waits for the packer.
fn wait(recorder: &mut Recorder) {
    while recorder.tapes.iter().flat_map(|tape| &tape.blocks).any(Block::is_away) {
        let work = recorder.packer.wait().unwrap();
        recorder.place(work);
    }
}

#[test]
fn of_what_comes_at_full_throttle_so_much_is_compressed_and_later_the_newest_first() {
    let (mut recorder, replays) = recorder(8 << 20);
    let origin = origin("r", "a");
    recorder.forget_old(SECOND);
    let expected: Vec<_> = (0..39_000).map(|number| ("a".to_owned(), format!("{number:0>200}"))).collect();
    for (number, (_, body)) in (0..).zip(&expected) {
        record(&mut recorder, &origin, number * 201, body);
        wait(&mut recorder);
    }
    let packed = |recorder: &Recorder| -> Vec<bool> {
        recorder.tapes[0].blocks.iter().map(|block| matches!(block.bytes, Bytes::Packed(_))).collect()
    };
    let lines = recorder.tapes[0].blocks[0].lines;
    let first = BYTES_PER_SECOND.div_ceil(usize::try_from(lines * 212).unwrap());
    let before = packed(&recorder);
    assert!(before.len() > 100, "{} blocks", before.len());
    assert_eq!(before, [vec![true; first], vec![false; before.len() - first]].concat());
    // No line comes, but time passes.
    recorder.forget_old(SECOND + SECOND / 4);
    wait(&mut recorder);
    let (after, more) = (packed(&recorder), first / 4);
    let count = after.iter().filter(|is_packed| **is_packed).count();
    assert!(count.abs_diff(first + more) <= 1, "{count} are compressed");
    assert_eq!(after[first..], [vec![false; after.len() - count], vec![true; count - first]].concat());
    assert_eq!(replays.recording().forgotten, 0);
    assert!(taken(&mut recorder, "r") == expected, "they do not come in their order, or not once");
}

#[test]
fn what_cannot_be_made_smaller_is_given_to_the_packer_once() {
    let (mut recorder, _) = recorder(1 << 20);
    let origin = origin("r", "a");
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..60_000).map(|_| random.u8(..)).collect();
    for _ in 0..2 {
        recorder.record(&origin, &Line::bare(0, 0, &noise), &KNOWN);
    }
    wait(&mut recorder);
    assert!(matches!(recorder.tapes[0].blocks[0].bytes, Bytes::Raw(_)));
    recorder.forget_old(SECOND);
    assert!(!recorder.tapes[0].blocks[0].is_away());
}

#[test]
fn a_block_that_the_packer_has_is_waited_for_before_it_is_forgotten() {
    let (mut recorder, replays) = recorder(100 << 10);
    let origin = origin("r", "a");
    for number in 0..2 {
        record(&mut recorder, &origin, number, &"x".repeat(60_000));
    }
    assert_eq!((replays.recording().lines, replays.recording().forgotten), (2, 0), "it is small by then");
}

#[test]
fn a_line_that_is_longer_than_all_may_be_is_forgotten_at_once() {
    let (mut recorder, replays) = recorder(20 << 10);
    let origin = origin("r", "a");
    record(&mut recorder, &origin, 0, "before");
    record(&mut recorder, &origin, 7, &"x".repeat(30 << 10));
    record(&mut recorder, &origin, 9, "behind");
    assert_eq!(taken(&mut recorder, "r"), [("a".to_owned(), "behind".to_owned())]);
    assert_eq!((replays.recording().lines, replays.recording().forgotten), (0, 2));
}

proptest! {
    #[test]
    fn a_line_comes_back_as_it_was(
        lines in prop::collection::vec(
            (any::<[u64; 4]>(), any::<[bool; 6]>(), 0..3_usize, 0..25_i32, 0..9_usize, any::<u32>(), any::<[Vec<u8>; 4]>()),
            1..20,
        ),
    ) {
        let (mut recorder, _) = recorder(1 << 20);
        let (origins, mut before) = ([origin("r", "a"), origin("r", "b")], (0, 0, 0));
        let lanes = [Lane::Bare, Lane::Stdout, Lane::Stderr];
        let mut expected = Vec::new();
        for (numbers, truths, lane, severity, family, index, texts) in &lines {
            let [at, time, observed, line_at] = *numbers;
            // Most lines go on where the one before has ended, and are of the same moment.
            let (at, time, observed) = if truths[3] { before } else { (at, time, observed) };
            let body = &texts[1][..];
            before = (at.wrapping_add(body.len() as u64).wrapping_add(1), time, observed);
            let part = truths[0].then_some(Part { line_at, index: *index, is_last: truths[1] });
            let attributes = if truths[3] { &[] } else { &texts[0][..] };
            let lane = lanes[*lane];
            let line = Line { is_utf8: truths[2], time, part, lane, attributes, ..Line::bare(at, at, body) };
            let severity = Severity::from_number(*severity);
            let family = Family::ALL.get(*family).copied();
            let heads = truths[1].then_some(Heads { resource: &texts[2], scope: &texts[0] });
            // Most words stand in the line.
            let words = if truths[4] { body.split_at(body.len() / 2) } else { (&texts[2][..], &texts[3][..]) };
            let ((severity_text, logger), lines) = (words, u64::from(truths[0]) + 1);
            let recorded = Recorded { observed, severity, severity_text, logger, family, lines, heads };
            let origin = &origins[usize::from(truths[5])];
            recorder.record(origin, &line, &recorded);
            expected.push(told(&origin.tally.name, &line, &recorded));
        }
        let mut taken = Vec::new();
        let each = |voice: &Arc<Origin>, line: &Line<'_>, recorded: &Recorded<'_>| {
            taken.push(told(&voice.tally.name, line, recorded));
            Ok(())
        };
        recorder.take("r").unwrap().each(each).unwrap();
        prop_assert_eq!(taken, expected);
    }

    #[test]
    fn what_is_held_of_a_run_is_the_last_of_it_within_the_budget_and_the_rest_is_counted(
        bytes in prop_oneof![Just(20_usize << 10), Just(100 << 10), Just(300 << 10), Just(3 << 20)],
        // A run, what happens to it, and how much.
        steps in prop::collection::vec((0..3_usize, 0..100_u8, any::<u16>()), 1..200),
    ) {
        let (mut recorder, replays) = recorder(bytes);
        let origins = ["r-0", "r-1", "r-2"].map(|run_id| origin(run_id, "a"));
        let mut recorded = [const { Vec::new() }; 3];
        let (mut now, mut count, mut told) = (SECOND, 0, 0);
        let all = (0..3).map(|run| (run, 100, 0));
        for (run, kind, much) in steps.into_iter().chain(all) {
            match kind {
                0..90 => {
                    // Most are short, and some are longer than a block.
                    let length = usize::from(much) >> [7, 7, 2, 0][usize::from(kind % 4)];
                    let body = format!("{count} {}", "x".repeat(length));
                    let recording = Recorded { observed: now, ..KNOWN };
                    recorder.record(&origins[run], &Line::bare(count, count, body.as_bytes()), &recording);
                    recorded[run].push(("a".to_owned(), body));
                    count += 1;
                }
                90..98 => {
                    now += u64::from(much) * 100_000;
                    recorder.forget_old(now);
                }
                _ => {
                    let of_run = std::mem::take(&mut recorded[run]);
                    let taken = taken(&mut recorder, &format!("r-{run}"));
                    prop_assert!(of_run.ends_with(&taken), "{} of {}", taken.len(), of_run.len());
                    told += taken.len() as u64;
                }
            }
            let Recording { lines, bytes: held, forgotten, .. } = replays.recording();
            prop_assert!(held <= bytes as u64, "{held} of {bytes} bytes");
            prop_assert_eq!(lines + told + forgotten, count);
        }
        prop_assert_eq!((replays.recording().lines, replays.recording().bytes), (0, 0));
    }
}
