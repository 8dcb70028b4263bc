use proptest::prelude::*;

use super::*;
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

fn line(at: u64, body: &str) -> Recorded<'_> {
    let line = Line::bare(at, at, body.as_bytes());
    Recorded {
        line,
        observed: SECOND,
        severity: Severity::DEBUG,
        severity_text: b"",
        logger: b"",
        family: None,
        lines: 1,
        heads: None,
    }
}

/// What is taken of a run, as text, with the stream's name.
fn taken(recorder: &mut Recorder, run_id: &str) -> Vec<(String, String)> {
    let mut taken = Vec::new();
    let Some(replay) = recorder.take(run_id) else { return taken };
    let each = |voice: &Arc<Origin>, recorded: &Recorded<'_>| {
        taken.push((voice.tally.name.clone(), String::from_utf8(recorded.line.bytes.to_vec()).unwrap()));
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
            recorder.record(origin, &line(number, &body));
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
    recorder.record(&small, &line(0, "the only one"));
    let mut random = 1_u64;
    let mut last = String::new();
    for number in 0..20_000 {
        // What can hardly be compressed.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        last = format!("{number} {random:016x}{:016x}", random.rotate_left(17));
        recorder.record(&large, &line(number, &last));
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
    recorder.record(&origin, &line(0, "old"));
    recorder.forget_old(11 * SECOND);
    assert_eq!(replays.recording().lines, 1, "it is as old as it may be");
    recorder.forget_old(11 * SECOND + 1);
    assert_eq!((replays.recording().lines, replays.recording().forgotten), (0, 1));
    assert!(recorder.runs().is_empty());
    // The run may go on.
    recorder.record(&origin, &line(4, "new"));
    assert_eq!(taken(&mut recorder, "r").len(), 1);
}

#[test]
fn what_is_off_keeps_nothing() {
    let mut recorder = Recorder::new(None, Replays::default());
    recorder.record(&origin("r", "a"), &line(0, "x"));
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

proptest! {
    #[test]
    fn a_line_comes_back_as_it_was(
        lines in prop::collection::vec(
            (any::<[u64; 4]>(), any::<[bool; 3]>(), 0..3_usize, 0..25_i32, 0..9_usize, any::<u32>(), any::<[Vec<u8>; 4]>()),
            1..20,
        ),
    ) {
        let (mut recorder, _) = recorder(1 << 20);
        let origin = origin("r", "a");
        let lanes = [Lane::Bare, Lane::Stdout, Lane::Stderr];
        let recorded: Vec<Recorded<'_>> = lines.iter().map(|(numbers, truths, lane, severity, family, index, texts)| {
            let [at, time, observed, line_at] = *numbers;
            let part = truths[0].then_some(Part { line_at, index: *index, is_last: truths[1] });
            let line = Line {
                is_utf8: truths[2],
                time,
                part,
                lane: lanes[*lane],
                attributes: &texts[0],
                ..Line::bare(at, at, &texts[1])
            };
            let severity = Severity::from_number(*severity);
            let family = Family::ALL.get(*family).copied();
            let heads = truths[1].then_some(Heads { resource: &texts[2], scope: &texts[0] });
            let (severity_text, logger, lines) = (&texts[2], &texts[3], u64::from(truths[0]) + 1);
            Recorded { line, observed, severity, severity_text, logger, family, lines, heads }
        }).collect();
        recorded.iter().for_each(|recorded| recorder.record(&origin, recorded));
        let told = |recorded: &Recorded<'_>| {
            let Recorded { line, .. } = *recorded;
            format!("{:?}", Recorded { line: Line { read_to: ReadTo::whole(0), read_from: 0, ..line }, ..*recorded })
        };
        let mut taken = Vec::new();
        recorder.take("r").unwrap().each(|_, recorded| { taken.push(told(recorded)); Ok(()) }).unwrap();
        prop_assert_eq!(taken, recorded.iter().map(told).collect::<Vec<_>>());
    }
}
