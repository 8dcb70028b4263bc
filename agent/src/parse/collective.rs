//! What PyTorch says of ranks that wait for each other: the watchdog of NCCL's collectives, and torchrun's report.

use memchr::memmem;

use crate::record::{Cause, Collective};

use super::cause;

/// How much of a text is looked through.
const LOOKED_AT: usize = 16 << 10;
/// Behind which torchrun tells of the rank that failed first on its node.
const ROOT: &[u8] = b"Root Cause (first observed failure):";

/// How far a rank is in its collectives, where its watchdog says it.
///
/// `Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7219, OpType=BROADCAST, …)`, `Timeout at NCCL work: 7219,
/// last enqueued NCCL work: 7220, last completed NCCL work: 7218.`, and in newer ones `last enqueued work: 7220, …`
#[must_use]
pub fn collective(text: &[u8]) -> Option<Collective> {
    let text = &text[..text.len().min(LOOKED_AT)];
    let is_of_nccl = [&b"WorkNCCL("[..], b"NCCL work: ", b"last enqueued work: "]
        .iter()
        .any(|word| memmem::find(text, word).is_some());
    if !is_of_nccl {
        return None;
    }
    let number = |words: &[&[u8]]| words.iter().find_map(|word| number(behind(text, word)?));
    let waited_for = number(&[b"WorkNCCL(SeqNum=", b"Timeout at NCCL work: ", b"watchdog at work sequence id: "]);
    let begun = number(&[b"last enqueued NCCL work: ", b"last enqueued work: "]);
    let kind = behind(text, b"OpType=").unwrap_or_default();
    let kind = &kind[..kind.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()];
    let kind = String::from_utf8_lossy(kind).into_owned();
    let collective = Collective { waited_for, begun, kind };
    (waited_for.is_some() || begun.is_some()).then_some(collective)
}

/// The rank that failed first on a node, as torchrun reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootCause<'a> {
    /// The global rank.
    pub rank: u32,
    /// The rank on its node.
    pub local_rank: Option<u32>,
    /// How it ended, and its traceback if it is known.
    pub text: &'a [u8],
    /// What that tells of.
    pub cause: Cause,
}

/// Reads `torch.distributed.elastic`'s report.
#[must_use]
pub fn root_cause(text: &[u8]) -> Option<RootCause<'_>> {
    let report = &text[memmem::find(text, ROOT)? + ROOT.len()..];
    let end = memmem::find(report, b"\n=====").unwrap_or(report.len()).min(LOOKED_AT);
    let report = &report[..end];
    let rank = number(field(report, b"rank ")?)?;
    let local_rank = behind(report, b"(local_rank: ").and_then(number);
    let from = memmem::find(report, b"exitcode ").unwrap_or(0);
    let text = report[from..].trim_ascii();
    let narrow = |number: u64| u32::try_from(number).ok();
    Some(RootCause { rank: narrow(rank)?, local_rank: local_rank.and_then(narrow), text, cause: told(text) })
}

/// What the end of a rank tells of.
fn told(text: &[u8]) -> Cause {
    let holds = |word: &[u8]| memmem::find(text, word).is_some();
    match cause(text) {
        // The watchdog ends its process so, and so do launchers.
        Cause::Other | Cause::Ended if holds(b"Signal 6 (") || holds(b"Signal 15 (") => Cause::Ended,
        Cause::Other if holds(b"Traceback (most recent call last)") => Cause::Exception,
        Cause::Ended => Cause::Other,
        other => other,
    }
}

/// What stands behind the colon of that field's line.
fn field<'a>(report: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = report.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.find(|line| line.starts_with(name))?;
    Some(behind(line, b":")?.trim_ascii_start())
}

fn behind<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    memmem::find(text, word).map(|at| &text[at + word.len()..])
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was waited for, what was begun, and its kind.
    type Told<'a> = (Option<u64>, Option<u64>, &'a str);

    #[test]
    fn the_watchdogs_numbers_are_read() {
        let cases: [(&str, Option<Told<'_>>); 5] = [
            (
                "[E918 19:29:24.436 ProcessGroupNCCL.cpp:632] [Rank 2] Watchdog caught collective operation timeout: \
                 WorkNCCL(SeqNum=7219, OpType=BROADCAST, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600029 \
                 milliseconds before timing out.",
                Some((Some(7219), None, "BROADCAST")),
            ),
            (
                "[E918 19:29:24.437 ProcessGroupNCCL.cpp:1785] [PG ID 0 PG GUID 0(default_pg) Rank 2] Exception (either \
                 an error or timeout) detected by watchdog at work: 7219, last enqueued NCCL work: 7220, last completed \
                 NCCL work: 7218.",
                Some((None, Some(7220), "")),
            ),
            (
                "[PG 0 Rank 0] Timeout at NCCL work: 7221, last enqueued NCCL work: 7222, last completed NCCL work: 7220.",
                Some((Some(7221), Some(7222), "")),
            ),
            (
                "failure detected by watchdog at work sequence id: 4 PG status: last enqueued work: 5, last completed \
                 work: 3",
                Some((Some(4), Some(5), "")),
            ),
            ("work: 3 WorkNCCL(SeqNum=, OpType=", None),
        ];
        for (text, expected) in cases {
            let expected =
                expected.map(|(waited_for, begun, kind)| Collective { waited_for, begun, kind: kind.to_owned() });
            assert_eq!(collective(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_root_cause_of_torchruns_report_is_a_rank_and_how_it_ended() {
        let report = |end: &str| {
            format!(
                "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n{ruler}\ntrain.py FAILED\n{thin}\n\
                 Failures:\n[1]:\n  time      : 2026-11-24_05:44:23\n  host      : node-1\n  rank      : 5 (local_rank: 1)\n\
                   exitcode  : 1 (pid: 43)\n{thin}\nRoot Cause (first observed failure):\n[0]:\n  time      : \
                 2026-11-24_05:44:23\n  host      : node-1\n  rank      : 7 (local_rank: 3)\n  {end}\n{ruler}",
                ruler = "=".repeat(60),
                thin = "-".repeat(60),
            )
        };
        let cases = [
            (
                "exitcode  : -9 (pid: 42)\n  error_file: <N/A>\n  traceback : Signal 9 (SIGKILL) received by PID 42",
                Cause::Other,
            ),
            (
                "exitcode  : -6 (pid: 42)\n  error_file: <N/A>\n  traceback : Signal 6 (SIGABRT) received by PID 42",
                Cause::Ended,
            ),
            (
                "exitcode  : 1 (pid: 42)\n  traceback : Traceback (most recent call last):\n    KeyError: 'x'",
                Cause::Exception,
            ),
            ("exitcode  : 1 (pid: 42)\n  traceback : torch.OutOfMemoryError: CUDA out of memory.", Cause::OutOfMemory),
        ];
        for (end, cause) in cases {
            let text = report(end);
            let expected = RootCause { rank: 7, local_rank: Some(3), text: end.as_bytes(), cause };
            assert_eq!(root_cause(text.as_bytes()), Some(expected), "{end}");
        }
        for text in ["", "Root Cause (first observed failure):", "Root Cause (first observed failure):\n  rank : x"] {
            assert_eq!(root_cause(text.as_bytes()), None, "{text}");
        }
    }
}
