//! Lines in the form of the container runtime interface, as containerd and CRI-O write them.
//!
//! `2026-11-24T05:44:23.123456789Z stdout F text`: the tag is F for the last or only piece of a line, P for another;
//! further tags may follow after a colon. Source: kubernetes `cri-client/pkg/logs/logs.go`, `parseCRILog`.

use memchr::memchr;

use super::stamp;
use crate::record::Lane;

/// The parts of a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Cri<'a> {
    /// When it was printed.
    pub stamp: &'a [u8],
    /// Where to.
    pub lane: Lane,
    /// Whether the line that was printed ends with it.
    pub ends_line: bool,
    /// What was printed.
    pub text: &'a [u8],
}

/// Takes a line apart. `None` if it is not of this form; whether the stamp is one is not looked at.
pub fn split(line: &[u8]) -> Option<Cri<'_>> {
    if line.get(10) != Some(&b'T') {
        return None;
    }
    let at = stamp::SHORTEST + memchr(b' ', line.get(stamp::SHORTEST..line.len().min(stamp::LONGEST + 1))?)?;
    let (stamp, rest) = line.split_at(at);
    let (lane, rest) = match rest {
        [b' ', b's', b't', b'd', b'o', b'u', b't', b' ', rest @ ..] => (Lane::Stdout, rest),
        [b' ', b's', b't', b'd', b'e', b'r', b'r', b' ', rest @ ..] => (Lane::Stderr, rest),
        _ => return None,
    };
    let (ends_line, rest) = match rest {
        [b'F', rest @ ..] => (true, rest),
        [b'P', rest @ ..] => (false, rest),
        _ => return None,
    };
    let text = match rest {
        [] => rest,
        [b' ', text @ ..] => text,
        [b':', ..] => memchr(b' ', rest).map_or(&[][..], |space| &rest[space + 1..]),
        _ => return None,
    };
    Some(Cri { stamp, lane, ends_line, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let cases = [
            ("2026-11-24T05:44:23.123456789Z stdout F a b", Lane::Stdout, true, "a b"),
            ("2026-11-24T05:44:23.1+01:00 stderr P  x ", Lane::Stderr, false, " x "),
            ("2026-11-24T05:44:23.123456789+01:00 stdout F", Lane::Stdout, true, ""),
            ("2026-11-24T05:44:23Z stdout F ", Lane::Stdout, true, ""),
            ("2026-11-24T05:44:23Z stdout P:x=1 text", Lane::Stdout, false, "text"),
        ];
        for (line, lane, ends_line, text) in cases {
            let cri = split(line.as_bytes()).unwrap();
            assert_eq!((cri.lane, cri.ends_line, cri.text), (lane, ends_line, text.as_bytes()), "{line}");
            assert!(line.as_bytes().starts_with(cri.stamp) && line.as_bytes()[cri.stamp.len()] == b' ');
        }
    }

    #[test]
    fn what_only_looks_like_it_is_refused() {
        let lines = [
            "",
            "2026-11-24 05:44:23,123 INFO train: step 1",
            "2026-11-24T05:44:23.123456789Z",
            "2026-11-24T05:44:23.123456789Z stdin F x",
            "2026-11-24T05:44:23.123456789Z stdout X x",
            "2026-11-24T05:44:23.123456789Z stdout Full",
            "2026-11-24T05:44:23.123456789Z INFO train: step 1",
        ];
        for line in lines {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }
}
