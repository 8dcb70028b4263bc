//! What an error tells of, for the order of the errors of a run's ranks.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::record::Cause;

use super::prefix;

/// How much of a long text is looked through, at its start and at its end.
const LOOKED_AT: usize = 4 << 10;
/// How far into a line PyTorch's C++ names its rank.
const RANK_WITHIN: usize = 160;

/// What is said of memory that is used up.
const MEMORY: [&[u8]; 7] = [
    b"out of memory",
    b"OutOfMemoryError",
    b"MemoryError",
    b"RESOURCE_EXHAUSTED",
    b"std::bad_alloc",
    b"oom-kill",
    b"OOM when allocating",
];
/// What launchers say when they end ranks, and of ranks that have ended.
const ENDED: [&[u8]; 7] = [
    b"ChildFailedError",
    b"SignalException",
    b"death signal",
    b"closing signal",
    b"failed (exitcode:",
    b"CANCELLED AT",
    b"KeyboardInterrupt",
];
/// What is said of a device.
const DEVICE: [&[u8]; 9] = [
    b"CUDA error",
    b"Cuda failure",
    b"device-side assert",
    b"illegal memory access",
    b"CUBLAS_STATUS",
    b"CUDNN_STATUS",
    b"HIP error",
    b"uncorrectable ECC",
    b"Xid (",
];
/// What is said of another rank that does not answer.
const PEER: [&[u8]; 13] = [
    b"Watchdog caught",
    b"collective operation timeout",
    b"ProcessGroupNCCL",
    b"DistBackendError",
    b"NCCL error",
    b"ncclRemoteError",
    b"gloo/transport",
    b"Connection closed by",
    b"Connection reset by peer",
    b"ConnectionResetError",
    b"BrokenPipeError",
    b"Socket Timeout",
    b"RendezvousTimeoutError",
];

/// What is looked for, in its order: why a peer is gone is told in the same text at times, so what caused it is first.
///
/// Searches are prepared once. To prepare them for each error took 35,000 instructions of a line that has none of them.
static CAUSES: LazyLock<[(Cause, Vec<Finder<'static>>); 4]> = LazyLock::new(|| {
    let causes: [(Cause, &[&'static [u8]]); 4] =
        [(Cause::OutOfMemory, &MEMORY), (Cause::Ended, &ENDED), (Cause::Device, &DEVICE), (Cause::Peer, &PEER)];
    causes.map(|(cause, texts)| (cause, texts.iter().map(|text| Finder::new(*text)).collect()))
});
static TRACEBACK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"Traceback (most recent call last)"));
static RANKS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| [Finder::new(b"[Rank "), Finder::new(b"[rank ")]);

/// What a text of level error tells of.
#[must_use]
pub fn cause(text: &[u8]) -> Cause {
    let head = &text[..text.len().min(LOOKED_AT)];
    let tail = &text[text.len().saturating_sub(LOOKED_AT).max(head.len())..];
    let is_in = |finder: &Finder<'_>| finder.find(head).is_some() || !tail.is_empty() && finder.find(tail).is_some();
    match CAUSES.iter().find(|(_, finders)| finders.iter().any(is_in)) {
        Some((cause, _)) => *cause,
        None if is_exception(text) => Cause::Exception,
        None => Cause::Other,
    }
}

/// The line that says most: of a traceback the one with the exception.
#[must_use]
pub fn headline(text: &[u8]) -> &[u8] {
    if TRACEBACK.find(&text[..text.len().min(LOOKED_AT)]).is_none() {
        return text;
    }
    let is_outermost = |line: &&[u8]| line.first().is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'|' | b'+'));
    let lines = text.rsplit(|byte| *byte == b'\n').map(|line| prefix(line).after(line));
    // The message may have further lines; the exception's own begins with its name.
    let mut outermost = lines.filter(is_outermost).take_while(|line| !line.starts_with(b"Traceback "));
    let last = outermost.next();
    outermost.chain(last).find(|line| is_exception(line)).or(last).unwrap_or(text)
}

/// `[Rank 3]`, as PyTorch's C++ names its rank in the line.
#[must_use]
pub fn named_rank(line: &[u8]) -> Option<u32> {
    let head = &line[..line.len().min(RANK_WITHIN)];
    let at = RANKS.iter().find_map(|finder| finder.find(head))?;
    prefix(&head[at..]).rank
}

/// `torch.OutOfMemoryError: …`, `KeyError`, or a traceback.
fn is_exception(text: &[u8]) -> bool {
    if text.starts_with(b"Traceback (most recent call last)") {
        return true;
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    let (name, rest) = text.split_at(text.iter().take_while(|byte| is_name(byte)).count());
    matches!(rest.first(), None | Some(b':'))
        && [b"Error".as_slice(), b"Exception", b"Interrupt", b"Exit"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_of_what_caused_it_or_of_what_followed() {
        let cases = [
            ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", Cause::OutOfMemory),
            ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0.", Cause::OutOfMemory),
            ("RuntimeError: CUDA error: device-side assert triggered", Cause::Device),
            (
                "Process group watchdog thread terminated with exception: CUDA error: unspecified launch failure",
                Cause::Device,
            ),
            ("Traceback (most recent call last):\n  File \"a.py\", line 3\nKeyError: 'x'", Cause::Exception),
            ("ValueError: bad", Cause::Exception),
            ("ERROR could not read image 12", Cause::Other),
            (
                "[E918 19:29:24.436 ProcessGroupNCCL.cpp:689] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7219",
                Cause::Peer,
            ),
            (
                "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.7]",
                Cause::Peer,
            ),
            ("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ", Cause::Ended),
            ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-24T05:44:23 ***", Cause::Ended),
        ];
        for (text, expected) in cases {
            assert_eq!(cause(text.as_bytes()), expected, "{text}");
        }
        let long =
            format!("Traceback (most recent call last):\n{}KeyError: 'x' out of memory", "  File\n".repeat(9000));
        assert_eq!(cause(long.as_bytes()), Cause::OutOfMemory);
    }

    #[test]
    fn of_a_traceback_the_exception_is_shown() {
        let text = "Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    x\nKeyError: 'x'";
        let cases = [
            (text, "KeyError: 'x'"),
            (
                "ERROR failed\nTraceback (most recent call last):\n  File \"a.py\"\nValueError: two\nlines",
                "ValueError: two",
            ),
            ("Traceback (most recent call last):", "Traceback (most recent call last):"),
            ("ERROR plain", "ERROR plain"),
        ];
        for (text, expected) in cases {
            assert_eq!(std::str::from_utf8(headline(text.as_bytes())).unwrap(), expected);
        }
    }

    #[test]
    fn a_rank_is_read_where_the_line_names_it() {
        assert_eq!(named_rank(b"[E918 19:29:24.436 ProcessGroupNCCL.cpp:689] [Rank 3] Watchdog"), Some(3));
        assert_eq!(named_rank(b"epoch [Rank x] 3"), None);
    }
}
