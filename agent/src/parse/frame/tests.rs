use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::record::{Mark, NoBookmark, Origin, Resource, Severity, SourceKind, Tally, origin::Stream};

fn origin() -> Arc<Origin> {
    Origin::new(Stream {
        key: "test".into(),
        kind: SourceKind::File,
        identity: &[b"test"],
        resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, "test"),
        bookmark: Arc::new(NoBookmark),
    })
}

fn chunk(at: u64, data: &[u8], ending: Ending) -> Chunk {
    Chunk { origin: origin(), at, data: data.to_vec(), observed: 0, marks: Vec::new(), ending, permit: None }
}

type Seen = (u64, Vec<u8>, Option<Part>);

fn lines(pieces: &[&[u8]], max_line_bytes: usize) -> Vec<Seen> {
    let mut framer = Framer::new(max_line_bytes, 0);
    let mut seen = Vec::new();
    let mut at = 0;
    for (i, piece) in pieces.iter().enumerate() {
        let ending = if i + 1 == pieces.len() { Ending::Closed } else { Ending::Open };
        framer.feed(&chunk(at, piece, ending), |line| seen.push((line.at, line.bytes.to_vec(), line.part)));
        at += piece.len() as u64;
        if framer.is_between_lines() {
            framer = Framer::new(max_line_bytes, at);
        }
    }
    assert_eq!(framer.consumed(), at, "a closed stream is consumed to its end");
    seen
}

fn bodies(pieces: &[&[u8]]) -> Vec<String> {
    lines(pieces, 1000).into_iter().map(|(_, bytes, _)| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn lines_end_at_newlines_with_or_without_carriage_return() {
    assert_eq!(bodies(&[b"one\ntwo\r\n\nfour"]), ["one", "two", "", "four"]);
    assert_eq!(bodies(&[b"sp", b"lit\nin three", b" pieces", b"\n"]), ["split", "in three pieces"]);
    assert_eq!(bodies(&[b"cut before newline\r", b"\nnext\n"]), ["cut before newline", "next"]);
}

#[test]
fn f13_an_unterminated_line_waits_until_the_stream_is_closed() {
    let mut framer = Framer::new(100, 40);
    let mut seen = Vec::new();
    framer.feed(&chunk(40, b"whole\nhalf", Ending::Open), |line| seen.push((line.at, line.bytes.to_vec())));
    assert_eq!(seen, [(40, b"whole".to_vec())]);
    assert_eq!(framer.consumed(), 46);

    framer.feed(&chunk(50, b"", Ending::Closed), |line| seen.push((line.at, line.bytes.to_vec())));
    assert_eq!(seen[1], (46, b"half".to_vec()));
}

#[test]
fn f16_a_long_line_is_split_into_numbered_parts_that_tear_no_character() {
    let text = "aé".repeat(4) + "\nshort\n";
    let seen = lines(&[text.as_bytes()], 5);
    let joined: Vec<u8> = seen[..3].iter().flat_map(|(_, bytes, _)| bytes.clone()).collect();
    assert_eq!(String::from_utf8(joined).unwrap(), "aé".repeat(4));
    for (index, (_, bytes, part)) in seen[..3].iter().enumerate() {
        assert!(std::str::from_utf8(bytes).is_ok());
        assert_eq!(*part, Some(Part { line_at: 0, index: u32::try_from(index).unwrap(), is_last: index == 2 }));
    }
    assert_eq!(seen[3], (13, b"short".to_vec(), None));
}

#[test]
fn a_line_takes_the_time_of_the_mark_in_which_it_starts() {
    let mut one = chunk(0, b"a\nlong\nb", Ending::Open);
    one.marks = vec![Mark { end: 2, time: 10 }, Mark { end: 7, time: 20 }, Mark { end: 8, time: 30 }];
    let mut two = chunk(8, b"b\nc\n", Ending::Closed);
    two.marks = vec![Mark { end: 2, time: 40 }, Mark { end: 4, time: 50 }];
    let mut framer = Framer::new(100, 0);
    let mut seen = Vec::new();
    for chunk in [one, two] {
        framer.feed(&chunk, |line| seen.push((line.bytes.to_vec(), line.time)));
    }
    assert_eq!(seen, [(b"a".to_vec(), 10), (b"long".to_vec(), 20), (b"bb".to_vec(), 30), (b"c".to_vec(), 50)]);
}

#[test]
fn f17_invalid_utf8_is_told_for_its_own_line_only() {
    let mut framer = Framer::new(100, 0);
    let mut seen = Vec::new();
    framer.feed(&chunk(0, b"fine\nbad \xff\xfe\nnul \0 is fine\n", Ending::Closed), |line| seen.push(line.is_utf8));
    assert_eq!(seen, [true, false, true]);
}

#[test]
fn f14_a_line_that_was_given_out_in_part_at_a_stop_goes_on_with_the_rest_alone() {
    let mut seen: Vec<Seen> = Vec::new();
    let mut framer = Framer::new(10, 40);
    let mut stop = |framer: &mut Framer, chunk: &Chunk| {
        framer.feed(chunk, |line| seen.push((line.at, line.bytes.to_vec(), line.part)));
        framer.consumed()
    };
    assert_eq!(stop(&mut framer, &chunk(40, b"whole\nhalf ", Ending::Open)), 46);
    assert_eq!(stop(&mut framer, &chunk(51, b"", Ending::Stopped)), 51);
    let mut framer = Framer::within(10, 51, Some(Rest::of(46, 51, 10)), Returns::Bytes);
    assert!(!framer.is_between_lines());
    stop(&mut framer, &chunk(51, b"a line\nnext\n", Ending::Open));
    let part = |index, is_last| Some(Part { line_at: 46, index, is_last });
    let expected: [Seen; 4] = [
        (40, b"whole".to_vec(), None),
        (46, b"half ".to_vec(), part(0, false)),
        (51, b"a line".to_vec(), part(1, true)),
        (58, b"next".to_vec(), None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn f14_a_stop_between_lines_gives_out_nothing() {
    let mut framer = Framer::new(10, 0);
    framer.feed(&chunk(0, b"whole\n", Ending::Open), |_| {});
    framer.feed(&chunk(6, b"", Ending::Stopped), |line| panic!("{line:?}"));
}

#[test]
fn f19_a_progress_bar_without_a_newline_is_bounded_and_nothing_of_it_is_lost() {
    let max = 1_000;
    let bar: Vec<u8> = (0..20_000).flat_map(|step| format!("\r{step:5}/20000 it/s").into_bytes()).collect();
    let mut framer = Framer::new(max, 0);
    let mut joined = Vec::new();
    for (i, piece) in bar.chunks(777).enumerate() {
        framer.feed(&chunk(i as u64 * 777, piece, Ending::Open), |line| joined.extend_from_slice(line.bytes));
        assert!(framer.held.len() <= max, "{} bytes are held", framer.held.len());
    }
    framer.feed(&chunk(bar.len() as u64, b"\rdone\r\n", Ending::Open), |line| joined.extend_from_slice(line.bytes));
    assert!(joined == [bar.as_slice(), b"\rdone"].concat(), "what came out is not what came in");
}

#[test]
fn f20_a_byte_order_mark_is_taken_off_the_first_line_however_it_is_cut() {
    let text = b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n";
    for cut in 0..text.len() {
        let (before, after) = text.split_at(cut);
        let seen = lines(&[before, after], 100);
        let expected: [Seen; 2] = [(3, b"one".to_vec(), None), (7, b"\xef\xbb\xbftwo".to_vec(), None)];
        assert_eq!(seen, expected, "{cut}");
    }
    assert_eq!(lines(&[b"\xef\xbb\n"], 100), [(0, b"\xef\xbb".to_vec(), None)]);
}

proptest! {
    // The bytes and offsets that come out do not depend on where the pieces are cut.
    #[test]
    fn cuts_change_nothing(
        data in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 2 => Just(b'\n'), 1 => Just(b'\r')], 0..300),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        max in 1_usize..40,
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
        cuts.extend([0, data.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect();

        let whole = lines(&[&data], max);
        prop_assert_eq!(&lines(&pieces, max), &whole);

        let mut rebuilt = data.clone();
        for (at, bytes, _) in &whole {
            let at = usize::try_from(*at).unwrap();
            prop_assert_eq!(&data[at..at + bytes.len()], &bytes[..]);
            rebuilt[at..at + bytes.len()].fill(b'\n');
        }
        prop_assert!(rebuilt.iter().all(|byte| matches!(byte, b'\n' | b'\r')), "only line ends are left over");
    }
}
