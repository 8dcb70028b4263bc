//! Lines are found in bytes, and unwrapped, and folded.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fastrand::Rng;
use runlog::{
    parse::{self, Lines, TerminalConfig},
    record::{
        Chunk, Ending, Format, NoBookmark, Origin, ReadTo, Resource, Severity, SourceKind, Tally, origin::Stream,
    },
};

/// A line as it was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    at: u64,
    bytes: Vec<u8>,
    part: Option<(u64, u32, bool)>,
    time: u64,
    lane: usize,
    attributes: Vec<u8>,
    is_utf8: bool,
}

pub fn config(max_line_bytes: usize, terminal: Option<TerminalConfig>) -> parse::Config {
    parse::Config {
        max_line_bytes,
        rank_prefix: parse::Prefixes::Known,
        terminal,
        join: parse::join::Config { is_on: true, wait: Duration::from_secs(1), max_bytes: 2048 },
        scalars: Vec::new(),
        are_gauges_sent: false,
        alike: parse::AlikeConfig::default(),
        silent_rank_after: None,
        lines_per_second: None,
    }
}

fn origin(format: Format) -> Arc<Origin> {
    let stream = Stream {
        key: String::new(),
        kind: SourceKind::File,
        identity: &[],
        resource: Arc::new(Resource { run_id: String::new(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, ""),
        bookmark: Arc::new(NoBookmark),
    };
    Origin::wrapped(stream, format, ReadTo::default())
}

/// The lines of the input, which comes in pieces that end there. The stream ends with the last one.
fn told(config: &parse::Config, format: Format, input: &[u8], cuts: &BTreeSet<usize>) -> (Vec<Told>, u64, u64) {
    let origin = origin(format);
    let mut lines = Lines::new(config, &origin, 0);
    let (mut told, mut at) = (Vec::new(), 0);
    let ends: Vec<usize> = cuts.iter().copied().filter(|cut| *cut < input.len()).chain([input.len()]).collect();
    for end in ends {
        let ending = if end == input.len() { Ending::Closed } else { Ending::Open };
        let data = input[at..end].to_vec();
        let origin = Arc::clone(&origin);
        let chunk = Chunk { origin, at: at as u64, data, observed: 1, marks: Vec::new(), ending, permit: None };
        lines.feed(&chunk, |line| {
            told.push(Told {
                at: line.at,
                bytes: line.bytes.to_vec(),
                part: line.part.map(|part| (part.line_at, part.index, part.is_last)),
                time: line.time,
                lane: line.lane as usize,
                attributes: line.attributes.to_vec(),
                is_utf8: line.is_utf8,
            });
        });
        at = end;
    }
    (told, lines.take_folded(), lines.read_to().offset)
}

fn cuts(input: &[u8], random: &mut Rng) -> BTreeSet<usize> {
    // Now and then each byte by itself.
    if random.u8(..16) == 0 {
        return (0..input.len()).collect();
    }
    (0..random.usize(..8)).map(|_| random.usize(..=input.len())).collect()
}

fn max_line_bytes(random: &mut Rng) -> usize {
    [16, 64, 1024, 1 << 20][random.usize(..4)]
}

/// What tells one input from another: how many lines, and of which kinds.
fn features(told: &[Told]) -> impl std::hash::Hash + use<> {
    let kind =
        |told: &Told| (told.part.is_some(), told.lane, told.is_utf8, told.time != 0, told.bytes.len().ilog2_or_zero());
    let kinds: BTreeSet<_> = told.iter().map(kind).collect();
    (told.len().ilog2_or_zero(), kinds.into_iter().collect::<Vec<_>>())
}

/// A logarithm that is there for zero.
trait OrZero {
    fn ilog2_or_zero(self) -> u32;
}

impl OrZero for usize {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().unwrap_or(0)
    }
}

pub fn plain(input: &[u8], random: &mut Rng) -> impl std::hash::Hash + use<> {
    let config = config(max_line_bytes(random), None);
    let (whole, _, read_to) = told(&config, Format::Plain, input, &BTreeSet::new());
    let (cut, _, cut_read_to) = told(&config, Format::Plain, input, &cuts(input, random));
    assert_eq!((&whole, read_to), (&cut, cut_read_to), "cuts are seen in the lines");
    let mut at = 0;
    for line in &whole {
        let start = usize::try_from(line.at).unwrap();
        let between = &input[at..start];
        let is_end = matches!(between, b"" | b"\n" | b"\r\n");
        assert!(is_end, "bytes before {start} are in no line: {}", between.escape_ascii());
        assert_eq!(&input[start..start + line.bytes.len()], &line.bytes[..], "a line is not what stands there");
        assert!(line.bytes.len() <= config.max_line_bytes, "a line of {} bytes", line.bytes.len());
        assert!(!line.is_utf8 || std::str::from_utf8(&line.bytes).is_ok(), "a line is said to be UTF-8");
        at = start + line.bytes.len();
    }
    // A carriage return at the end of a stream counts as the line's end: its newline has not come.
    assert!(matches!(&input[at..], b"" | b"\n" | b"\r\n" | b"\r"), "the last bytes are in no line");
    features(&whole)
}

pub fn wrapped(input: &[u8], random: &mut Rng) -> impl std::hash::Hash + use<> {
    let terminal = random.bool().then_some(TerminalConfig { progress_every: Duration::from_secs(10) });
    let config = config(max_line_bytes(random), terminal);
    let format = [Format::Auto, Format::Docker, Format::Cri][random.usize(..3)];
    // Behind a bare line rows of bare lines are given out before their ends come, and behind a wrapped one they are not.
    let first = [&b""[..], b"bare\n", b"2026-11-24T05:44:23.5Z stdout F wrapped\n"][random.usize(..3)];
    let input = &[first, input].concat();
    let whole = told(&config, format, input, &BTreeSet::new());
    assert_eq!(whole, told(&config, format, input, &cuts(input, random)), "cuts are seen in the lines");
    for line in &whole.0 {
        // Up to three bytes more, so that no character is torn.
        assert!(line.bytes.len() <= config.max_line_bytes + 3, "a line of {} bytes", line.bytes.len());
        assert!(!line.is_utf8 || std::str::from_utf8(&line.bytes).is_ok(), "a line is said to be UTF-8");
    }
    features(&whole.0)
}

pub fn drawn(input: &[u8], random: &mut Rng) -> impl std::hash::Hash + use<> {
    let terminal = Some(TerminalConfig { progress_every: Duration::from_secs(10) });
    let config = config(max_line_bytes(random), terminal);
    let whole = told(&config, Format::Plain, input, &BTreeSet::new());
    assert_eq!(whole, told(&config, Format::Plain, input, &cuts(input, random)), "cuts are seen in the lines");
    let draws = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t');
    if !input.iter().any(draws) {
        let plain = parse::Config { terminal: None, ..config };
        // A bar that ends with its line is one all the same, and has its numbers beside it.
        let bytes = |told: &[Told]| told.iter().map(|line| (line.at, line.bytes.clone())).collect::<Vec<_>>();
        let (plain, ..) = told(&plain, Format::Plain, input, &BTreeSet::new());
        assert_eq!(bytes(&whole.0), bytes(&plain), "what draws nothing is changed");
        assert_eq!(whole.1, 0, "what draws nothing is folded");
    }
    (features(&whole.0), whole.1)
}
