//! What parsers are given: real output, changed at random.

use std::{
    collections::HashSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::{Duration, Instant},
};

use fastrand::Rng;

/// Without a budget of its own.
const BUDGET: Duration = Duration::from_secs(2);
const MAX_BYTES: usize = 8 << 10;
/// Inputs that are kept to be changed further.
const MAX_KEPT: usize = 4_096;
/// Changes of one input.
const MAX_CHANGES: usize = 6;

/// What a target reads, which says what is put into its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Lines,
    Wrapped,
    Drawn,
    Json,
    Texts,
}

/// Pieces that mean something to a parser.
const WORDS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xe2\x96",
    "é".as_bytes(),
    b" ",
    b"\t",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"=",
    b",",
    b"Traceback (most recent call last):\n",
    b"  File \"a.py\", line 1, in f\n",
    b"KeyError: 'x'\n",
    b"    ~~~^^^\n",
    b"During handling of the above exception, another exception occurred:\n",
    b"  + Exception Group Traceback",
    b"  | ",
    b"panic: ",
    b"goroutine 1 [running]:\n",
    b"thread 'main' panicked at a.rs:1:2:\n",
    b"terminate called after throwing",
    b"\tat a.b.C(D.java:1)\n",
    b"Caused by: ",
    b"Exception in thread \"main\" ",
    b"torch.distributed.elastic.ChildFailedError: \n",
    b"============\n",
    b"[rank3]: ",
    b"[rank0]:",
    b"[default1]:",
    b"(train pid=12) ",
    b"[1,3]<stderr>:",
    b"[Rank 7] ",
    b"2026-11-24 05:44:23,123 ",
    b"2026-11-24T05:44:23.000000001Z ",
    b"ERROR ",
    b"INFO:a.b:",
    b"WARNING",
    b"level=error ",
    b"{\"level\":\"warn\"",
    b"[E918 19:29:24.436 ProcessGroupNCCL.cpp:632] ",
    b"I0918 19:29:24.436000 12 a.cc:1] ",
    b"loss=0.5",
    b"step: 3",
    b"nan",
    b"-inf",
    b"1e-4",
    b"SeqNum=",
];
const WRAPPED: &[&[u8]] = &[
    b"{\"log\":\"",
    b"\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T05:44:23.000000001Z\"}\n",
    b"\"stream\":\"stderr\"",
    b"\"attrs\":{\"a\":\"b\"}",
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"\\\\",
    b" stdout F ",
    b" stdout P ",
    b" stderr F ",
    b" stderr P ",
    b"2026-11-24T05:44:23.1+02:00 stdout P ",
];
const DRAWN: &[&[u8]] = &[
    b"\r",
    b"\x1b[A",
    b"\x1b[2K",
    b"\x1b[0m",
    b"\x1b[31;1m",
    b"\x1b]0;title\x07",
    b"\x1b[",
    b"\x1b",
    b"\x08",
    b"\x1b[1G",
    b"\x1b[?25l",
    b"41/100 [00:04<00:05,  9.9it/s, loss=0.12]",
    b"train:  41%|",
    "████▏     ".as_bytes(),
    b"| ",
    b"100%",
    b"10/10 ",
    b"Epoch 1/5\n",
    "━━━━━━━━━━━━━━━━━━━━ 0s 2ms/step - loss: 0.1".as_bytes(),
];
const JSON: &[&[u8]] = &[
    b"{\"resourceLogs\":[",
    b"{\"scopeLogs\":[",
    b"{\"logRecords\":[",
    b"{\"body\":{\"stringValue\":\"a\"}}",
    b"]}",
    b"null",
    b"true",
    b"\"timeUnixNano\":\"1\"",
    b"\"attributes\":[",
    b"{\"key\":\"a\",\"value\":{\"intValue\":\"7\"}}",
    b"\"traceId\":\"00ff\"",
    b"1e400",
    b"-0",
    b"\\u0000",
    b"\"severityNumber\":9",
];
const TEXTS: &[&[u8]] = &[
    b"password=",
    b"token: ",
    b"hf_",
    b"AKIA",
    b"ghp_",
    b"sk-ant-",
    b"Bearer ",
    b"Authorization: ",
    b"https://user:pass@host/",
    b"-----BEGIN PRIVATE KEY-----\n",
    b"-----END PRIVATE KEY-----",
    b"eyJhbGciOiJIUzI1NiJ9.",
    b"api_key=",
    b"?sig=",
    b"[redacted:jwt]",
    b"0123456789abcdefABCDEF0123456789",
];

/// Whole requests.
const REQUESTS: [&[u8]; 3] = [
    br#"{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":"b"}}]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1","severityNumber":9,"body":{"stringValue":"x"},"traceId":"00112233445566778899aabbccddeeff","attributes":[{"key":"k","value":{"arrayValue":{"values":[{"intValue":"7"},{"doubleValue":0.5},{"boolValue":true}]}}}]}]}]}]}"#,
    br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"1","asDouble":0.5},{"asInt":"7"}]}},{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"2","sum":1.5,"bucketCounts":["1","1"],"explicitBounds":[0.5]}]}}]}]}]}"#,
    br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00112233445566778899aabbccddeeff","spanId":"0011223344556677","name":"n","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":"2","events":[{"name":"e"}],"status":{"code":1}}]}]}]}"#,
];

/// Draws inputs for one target.
pub struct Inputs {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: Vec<&'static [u8]>,
    budget: Duration,
    seed: u64,
}

impl Inputs {
    pub fn new(name: &'static str, target: Target) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let budget = variable("RUNLOG_FUZZ").map(|text| humantime::parse_duration(&text).expect("a duration"));
        let seed = variable("RUNLOG_FUZZ_SEED").map(|text| text.parse().expect("a number"));
        // Of a short run the same inputs each time, so that who changed something else is not stopped by it.
        let seed = seed.unwrap_or_else(|| if budget.is_some() { fastrand::u64(..) } else { 1 });
        let own = match target {
            Target::Lines => &[][..],
            Target::Wrapped => WRAPPED,
            Target::Drawn => DRAWN,
            Target::Json => JSON,
            Target::Texts => TEXTS,
        };
        // A target's own words come as often as all others.
        let repeated = own.iter().copied().cycle().take(if own.is_empty() { 0 } else { WORDS.len() });
        let words = WORDS.iter().copied().chain(repeated).collect();
        // Of a form that random changes seldom hit, whole ones come first.
        let mut seeds = if target == Target::Json { REQUESTS.map(|text| text.to_vec()).to_vec() } else { corpus() };
        seeds.extend(own.iter().map(|word| word.to_vec()));
        Self { name, seeds, words, budget: budget.unwrap_or(BUDGET), seed }
    }

    /// Tries inputs for as long as there is time. What a check gives back says what the parser did.
    pub fn each<F: Hash>(self, check: fn(&[u8], &mut Rng) -> F) {
        let mut random = Rng::with_seed(self.seed);
        let until = Instant::now() + self.budget;
        let (mut kept, mut seen) = (self.seeds.clone(), HashSet::new());
        let (mut tried, mut bytes) = (0_u64, 0_u64);
        while Instant::now() < until {
            let at = random.usize(..kept.len());
            let input = if tried < self.seeds.len() as u64 {
                self.seeds[usize::try_from(tried).unwrap_or(0)].clone()
            } else {
                self.changed(&kept[at], &kept[random.usize(..kept.len())], &mut random)
            };
            let mut drawn = random.fork();
            let features = match catch_unwind(AssertUnwindSafe(|| check(&input, &mut drawn))) {
                Ok(features) => features,
                Err(panic) => {
                    let (name, seed) = (self.name, self.seed);
                    eprintln!("{name}: input {tried} of RUNLOG_FUZZ_SEED={seed} fails: b\"{}\"", input.escape_ascii());
                    resume_unwind(panic);
                }
            };
            (tried, bytes) = (tried + 1, bytes + input.len() as u64);
            let mut hasher = DefaultHasher::new();
            features.hash(&mut hasher);
            if kept.len() < MAX_KEPT && seen.insert(hasher.finish()) {
                kept.push(input);
            }
        }
        let (name, seed, found) = (self.name, self.seed, seen.len());
        println!("{name}: {tried} inputs, {bytes} bytes, {found} ways to behave, RUNLOG_FUZZ_SEED={seed}");
    }

    fn changed(&self, input: &[u8], other: &[u8], random: &mut Rng) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..random.usize(1..=MAX_CHANGES) {
            let at = random.usize(..=bytes.len());
            let length = random.usize(..=16).min(bytes.len() - at);
            match random.u8(..7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
                1 => bytes.insert(at, random.u8(..)),
                2 => drop(bytes.drain(at..at + length)),
                3 => {
                    let piece = bytes[at..at + length].to_vec();
                    let times = random.usize(1..=4);
                    bytes.splice(at..at, piece.repeat(times));
                }
                4 => {
                    let from = random.usize(..=other.len());
                    let to = random.usize(from..=other.len().min(from + 512));
                    bytes.splice(at..at, other[from..to].iter().copied());
                }
                _ => {
                    let word = self.words[random.usize(..self.words.len())];
                    bytes.splice(at..at, word.iter().copied());
                }
            }
            bytes.truncate(MAX_BYTES);
        }
        bytes
    }
}

/// Real output: of what is joined and drawn each program's, of lines and secrets some together.
fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = Vec::new();
    for folder in ["corpus/joins", "corpus/terminal", "corpus/levels", "../agent/src/enrich/redact/corpus"] {
        let entries = fs::read_dir(root.join(folder)).expect("the corpus is in the tree");
        let mut paths: Vec<_> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
        paths.sort();
        for path in paths {
            let Ok(bytes) = fs::read(&path) else { continue };
            let is_list = path.extension().is_some_and(|end| end == "tsv");
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let lines = lines.iter().map(|line| match line.iter().rposition(|byte| *byte == b'\t') {
                Some(tab) if is_list => &line[tab + 1..],
                _ => line,
            });
            let lines: Vec<&[u8]> = lines.collect();
            inputs.extend(lines.chunks(24).take(64).map(|lines| {
                let mut input = lines.concat();
                input.truncate(MAX_BYTES);
                input
            }));
        }
    }
    inputs
}
