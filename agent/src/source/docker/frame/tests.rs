use super::*;

const STAMP: &str = "2024-02-29T23:59:59.123456789Z ";
const TIME: UnixNanos = 1_709_251_199_123_456_789;

fn frame(kind: u8, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(text);
    bytes
}

fn stamped(payload: &[u8]) -> Vec<u8> {
    [STAMP.as_bytes(), payload].concat()
}

/// What comes out if the bytes arrive in two parts.
fn decode(framing: Framing, seams: &[Seam], bytes: &[u8], cut: usize) -> Result<Vec<(Stdio, Vec<u8>)>, DecodeError> {
    let mut decoder = Decoder::new(framing, seams.to_vec());
    let mut entries = Vec::new();
    for (part, is_last) in [(&bytes[..cut], false), (&bytes[cut..], true)] {
        decoder.feed(part);
        if is_last {
            decoder.end();
        }
        while let Some(entry) = decoder.next()? {
            assert_eq!(entry.time, TIME);
            entries.push((entry.stdio, entry.payload.to_vec()));
        }
    }
    Ok(entries)
}

#[test]
fn frames_cut_at_any_byte_give_the_same_entries() {
    let piece = vec![b'x'; PIECE];
    let entries = vec![
        (Stdio::Out, b"first\n".to_vec()),
        (Stdio::Err, b"\xff\x00\x01 no text\n".to_vec()),
        (Stdio::Out, piece),
        (Stdio::Out, b"rest\n".to_vec()),
        (Stdio::Err, b"\n".to_vec()),
        (Stdio::Out, Vec::new()),
        (Stdio::Out, b"unfinished".to_vec()),
    ];
    let bytes: Vec<u8> = entries.iter().flat_map(|(stdio, text)| frame(*stdio as u8 + 1, &stamped(text))).collect();
    let interesting = (0..300).chain(PIECE..bytes.len());
    for cut in interesting {
        assert_eq!(decode(Framing::Multiplexed, &[], &bytes, cut).as_ref(), Ok(&entries), "cut at {cut}");
    }
}

#[test]
fn d8_broken_frames_are_errors_and_never_text() {
    let cases = [
        (frame(3, b"Error grabbing logs: unexpected EOF\n"), "the engine reports: Error grabbing logs: unexpected EOF"),
        (frame(7, &stamped(b"x\n")), "a frame has the unknown type 7"),
        (vec![1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], "a frame of 4294967295 bytes is longer than 1048576"),
        (frame(1, b"no stamp\n"), "an entry does not start with its time"),
        (frame(1, b""), "an entry does not start with its time"),
        (frame(1, &stamped(b"cut"))[..20].to_vec(), "the logs end inside an entry"),
        (vec![1, 0, 0], "the logs end inside an entry"),
    ];
    for (bytes, message) in cases {
        assert_eq!(decode(Framing::Multiplexed, &[], &bytes, 0).unwrap_err().to_string(), message);
    }
}

#[test]
fn d7_terminal_lines_cut_at_any_byte_lose_the_repeated_stamp_and_nothing_else() {
    for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 5] {
        let mut line = vec![b'-'; length];
        line.push(b'\n');
        let bytes: Vec<u8> =
            line.chunks(PIECE).flat_map(stamped).chain(stamped(b"\x01\0\0\0\xff\xff\xff\xff\r\n")).collect();
        let cuts = (0..40).chain((PIECE..2 * PIECE + 200).step_by(1021)).chain(PIECE..PIECE + 120);
        for cut in cuts.filter(|cut| *cut <= bytes.len()) {
            let entries = decode(Framing::Raw, &[], &bytes, cut).unwrap();
            let payload: Vec<u8> = entries.into_iter().flat_map(|(_, payload)| payload).collect();
            let expected = [line.as_slice(), b"\x01\0\0\0\xff\xff\xff\xff\r\n"].concat();
            assert!(payload == expected, "{length} bytes, cut at {cut}");
        }
    }
}

#[test]
fn a_stamp_inside_a_terminal_line_is_text() {
    let line = [b"time=", STAMP.as_bytes(), b"level=info\n"].concat();
    let entries = decode(Framing::Raw, &[], &stamped(&line), 10);
    assert_eq!(entries, Ok(vec![(Stdio::Out, line)]));
}

#[test]
fn an_engine_with_larger_pieces_is_understood() {
    let line = [vec![b'x'; PIECE + 100], b"\n".to_vec()].concat();
    let payload: Vec<u8> =
        decode(Framing::Raw, &[], &stamped(&line), 40).unwrap().into_iter().flat_map(|entry| entry.1).collect();
    assert!(payload == line);
}

#[test]
fn a_known_seam_ends_a_terminal_line_of_a_process_that_was_killed() {
    let bytes = [stamped(b" 45%|####  "), stamped(b"started again\n")].concat();
    let seam = Seam { time: TIME, length: 11 };
    for cut in 0..=bytes.len() {
        let entries = decode(Framing::Raw, &[seam], &bytes, cut).unwrap();
        let expected = vec![(Stdio::Out, b" 45%|####  ".to_vec()), (Stdio::Out, b"started again\n".to_vec())];
        assert_eq!(entries, expected, "cut at {cut}");
    }
}

#[test]
fn an_error_in_a_terminals_logs_is_no_line() {
    assert_eq!(decode(Framing::Raw, &[], b"Error grabbing logs: gone\n", 0), Err(NoStamp.into()));
}
