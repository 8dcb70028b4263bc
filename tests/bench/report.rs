//! Many samples become a table for people and JSON for programs.

use std::{fmt::Write, fs, time::Duration};

use serde_json::{Value, json};

use crate::measure::{Sample, ending};

const MIB: f64 = 1024.0 * 1024.0;

/// The samples of one peer, one a round.
#[derive(Debug)]
pub struct Series {
    /// The peer's name.
    pub name: &'static str,
    /// What was measured, in a few words.
    pub settings: &'static str,
    /// What its program says of its version.
    pub version: String,
    /// In the order of the rounds; the same rounds for every peer.
    pub samples: Vec<Sample>,
}

/// The machine and the moment.
#[derive(Debug)]
pub struct Place {
    /// RFC 3339.
    pub started: String,
    /// The processor's name for itself.
    pub processor: String,
    /// Processors that this system has.
    pub cores: usize,
    /// The core that agents run on; the sink runs on others. `None`: anywhere.
    pub agent_core: Option<usize>,
    /// The kernel's release.
    pub kernel: String,
    /// The load average of one minute before the first agent: what else the machine was doing.
    pub load_before: f64,
}

impl Place {
    /// Looks at this machine.
    #[must_use]
    pub fn here(agent_core: Option<usize>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            started: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            agent_core,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// The middle of some values, with the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the values are not above it.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// The spread of at least one value; of none, zero.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (values.first(), values.last()) else {
            return Self { median: 0.0, least: 0.0, most: 0.0 };
        };
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Self { median, least: *least, most: *most }
    }

    fn json(self) -> Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}

impl Series {
    fn spread(&self, of: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(of))
    }

    fn speed(&self) -> Spread {
        self.spread(Sample::lines_per_cpu_second)
    }

    /// How many times the lines a CPU-second of `other`, round by round: what disturbs a round disturbs both.
    fn ratio_to(&self, other: &Self) -> Spread {
        let speed = Sample::lines_per_cpu_second;
        Spread::of(self.samples.iter().zip(&other.samples).map(|(ours, theirs)| speed(ours) / speed(theirs)))
    }

    fn sum(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.iter().map(of).sum()
    }

    fn wire_bytes_per_line(&self) -> f64 {
        self.sum(|sample| sample.totals.wire_bytes) as f64 / self.sum(|sample| sample.totals.unique).max(1) as f64
    }

    /// Whether every line arrived once and nothing else did.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.samples.iter().all(|sample| {
            sample.missing() == 0
                && sample.totals.repeated == 0
                && sample.totals.foreign == 0
                && sample.totals.refused == 0
        })
    }
}

/// A table of all peers. Ratios are to the peer of the name `reference`, if it was measured.
#[must_use]
pub fn table(all: &[Series], reference: &str) -> String {
    let against = all.iter().find(|series| series.name == reference);
    let head = [
        "agent",
        "lines/CPU-s",
        "least",
        "most",
        "ratio",
        "% of a core",
        "peak RSS MiB",
        "wall s",
        "B/line",
        "sink CPU s",
        "missing",
        "repeated",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for series in all {
        let speed = series.speed();
        let busy = series.spread(|sample| 100.0 * seconds(sample.cpu) / seconds(sample.wall).max(f64::EPSILON));
        rows.push([
            series.name.to_owned(),
            grouped(speed.median),
            grouped(speed.least),
            grouped(speed.most),
            against.map_or_else(String::new, |against| format!("{:.2}", series.ratio_to(against).median)),
            format!("{:.1}", busy.median),
            format!("{:.1}", series.spread(|sample| sample.peak_rss_bytes as f64 / MIB).median),
            format!("{:.2}", series.spread(|sample| seconds(sample.wall)).median),
            format!("{:.1}", series.wire_bytes_per_line()),
            format!("{:.2}", series.spread(|sample| seconds(sample.sink_cpu)).median),
            series.sum(Sample::missing).to_string(),
            series.sum(|sample| sample.totals.repeated).to_string(),
        ]);
    }
    aligned(&rows)
}

/// Everything that was measured.
#[must_use]
pub fn json(place: &Place, all: &[Series], reference: &str) -> Value {
    let against = all.iter().find(|series| series.name == reference);
    let peer = |series: &Series| {
        json!({
            "name": series.name,
            "settings": series.settings,
            "version": series.version,
            "lines_per_cpu_second": series.speed().json(),
            "ratio": against.map(|against| series.ratio_to(against).json()),
            "peak_rss_bytes": series.spread(|sample| sample.peak_rss_bytes as f64).json(),
            "wall_seconds": series.spread(|sample| seconds(sample.wall)).json(),
            "wire_bytes_per_line": series.wire_bytes_per_line(),
            "is_exact": series.is_exact(),
            "samples": series.samples.iter().map(sample).collect::<Vec<_>>(),
        })
    };
    json!({
        "started": place.started,
        "processor": place.processor,
        "cores": place.cores,
        "agent_core": place.agent_core,
        "kernel": place.kernel,
        "load_before": place.load_before,
        "ratio_to": against.map(|against| against.name),
        "peers": all.iter().map(peer).collect::<Vec<_>>(),
    })
}

fn sample(sample: &Sample) -> Value {
    json!({
        "lines": sample.lines,
        "cpu_seconds": seconds(sample.cpu),
        "wall_seconds": seconds(sample.wall),
        "peak_rss_bytes": sample.peak_rss_bytes,
        "sink_cpu_seconds": seconds(sample.sink_cpu),
        "exit": ending(sample.exit),
        "unique": sample.totals.unique,
        "missing": sample.missing(),
        "repeated": sample.totals.repeated,
        "foreign": sample.totals.foreign,
        "requests": sample.totals.requests,
        "refused": sample.totals.refused,
        "wire_bytes": sample.totals.wire_bytes,
        "decoded_bytes": sample.totals.decoded_bytes,
    })
}

const fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A whole number in groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns, the first to the left and the others to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate();
        let line = cells.fold(String::new(), |mut line, (i, (cell, width))| {
            let written = if i == 0 { write!(line, "{cell:width$}") } else { write!(line, "  {cell:>width$}") };
            written.expect("a String takes all text");
            line
        });
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
