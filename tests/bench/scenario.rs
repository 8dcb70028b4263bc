//! What can be measured, by name.

use std::time::Duration;

use crate::{
    feed::Rate,
    format::Format,
    measure::{Sample, Task},
};

const STEADY: u64 = 10_000;
const STEADY_SECONDS: u64 = 15;
const ROTATION: u64 = 50_000;
const ROTATION_SECONDS: u64 = 10;
const MANY_FILES: u16 = 64;
const MANY_CONTAINERS: u16 = 200;
const IDLE_FOR: Duration = Duration::from_secs(20);

/// A task with its name.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name on the command line and in tables.
    pub name: String,
    /// What agents are given.
    pub task: Task,
    /// How many of the rounds that were asked for, in which the task takes part: those that wait need few.
    pub most_rounds: u32,
    /// What is looked at.
    pub aspect: Aspect,
}

/// What a scenario is about: scenarios with the same aspect share a table and a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// CPU time of a line.
    Throughput,
    /// Lines that come at a rate.
    Rate,
    /// CPU time of a line that comes from a container.
    Containers,
    /// Doing nothing.
    Idle,
    /// The first line after a pause.
    Wake,
    /// Starting.
    Start,
}

/// A figure of a sample.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name, with the unit.
    pub name: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    /// The figure.
    pub of: fn(&Sample) -> f64,
}

/// All scenarios; those about throughput are of so many lines.
#[must_use]
pub fn all(lines: u64) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |name: &str, most_rounds, aspect, task| {
        all.push(Scenario { name: name.to_owned(), task, most_rounds, aspect });
    };
    for files in [1, MANY_FILES] {
        for (name, format) in Format::ALL {
            let name = if files == 1 { name.to_owned() } else { format!("{name}-{files}") };
            add(&name, u32::MAX, Aspect::Throughput, Task::Files { format, files, lines });
        }
    }
    add("otlp", u32::MAX, Aspect::Throughput, Task::Pass { lines });
    let steady = Rate { count: STEADY * STEADY_SECONDS, lines_per_second: STEADY, rotate_after: None };
    add("steady", 2, Aspect::Rate, Task::Pace(steady));
    let count = ROTATION * ROTATION_SECONDS;
    let rotation = Rate { count, lines_per_second: ROTATION, rotate_after: Some(ROTATION) };
    add("rotation", 1, Aspect::Rate, Task::Pace(rotation));
    for containers in [1, MANY_CONTAINERS] {
        add(&format!("containers-{containers}"), 3, Aspect::Containers, Task::Containers { containers, lines });
    }
    for files in [100, 10_000] {
        add(&format!("idle-{files}"), 1, Aspect::Idle, Task::Idle { files, watched: IDLE_FOR });
    }
    add("wake", 2, Aspect::Wake, Task::Wake);
    add("start", 5, Aspect::Start, Task::Start);
    all
}

impl Aspect {
    /// In the order of tables.
    pub const ALL: [Self; 6] = [Self::Throughput, Self::Containers, Self::Rate, Self::Idle, Self::Wake, Self::Start];

    /// A title for its table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Throughput => "Throughput",
            Self::Containers => "Containers",
            Self::Rate => "At a rate",
            Self::Idle => "Idle",
            Self::Wake => "The first line after a pause",
            Self::Start => "Start",
        }
    }

    /// Its chart's name without the ending.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Containers => "containers",
            Self::Rate => "rate",
            Self::Idle => "idle",
            Self::Wake => "wake",
            Self::Start => "start",
        }
    }

    /// The figure that agents are compared by.
    #[must_use]
    pub const fn main(self) -> Column {
        match self {
            Self::Throughput | Self::Containers => column("lines/CPU-s", 0, Sample::lines_per_cpu_second),
            Self::Rate => column("% of a core", 2, busy),
            Self::Idle => column("% of a core", 3, busy),
            Self::Wake => column("p50 ms", 1, |sample| latency(sample, 0.5)),
            Self::Start => column("first line ms", 0, |sample| sample.wall.as_secs_f64() * 1e3),
        }
    }

    /// The other figures.
    #[must_use]
    pub fn others(self) -> Vec<Column> {
        let peak_rss = column("peak RSS MiB", 1, |sample| mib(sample.peak_rss_bytes));
        let rss = column("RSS MiB", 1, |sample| mib(sample.rss_bytes));
        let wire = column("B/line", 1, |sample| per_line(sample, sample.totals.wire_bytes as f64));
        let p50 = column("p50 ms", 0, |sample| latency(sample, 0.5));
        let p99 = column("p99 ms", 0, |sample| latency(sample, 0.99));
        let max = column("max ms", 0, |sample| latency(sample, 1.0));
        let cpu = column("CPU ms", 0, |sample| sample.cpu.as_secs_f64() * 1e3);
        let ready = column("ready ms", 0, |sample| sample.ready.map_or(f64::NAN, |ready| ready.as_secs_f64() * 1e3));
        let wall = column("wall s", 2, |sample| sample.wall.as_secs_f64());
        let sink = column("sink us/line", 2, |sample| per_line(sample, sample.sink_cpu.as_secs_f64() * 1e6));
        let engine = column("engine us/line", 2, |sample| per_line(sample, sample.engine_cpu.as_secs_f64() * 1e6));
        match self {
            Self::Containers => vec![engine, peak_rss, wire, wall, sink],
            Self::Throughput => vec![peak_rss, wire, wall, sink],
            Self::Rate => vec![p50, p99, max, rss, peak_rss, wire],
            Self::Idle => vec![rss, peak_rss],
            Self::Wake => vec![max, rss],
            Self::Start => vec![ready, cpu, rss],
        }
    }
}

const fn column(name: &'static str, digits: usize, of: fn(&Sample) -> f64) -> Column {
    Column { name, digits, of }
}

fn busy(sample: &Sample) -> f64 {
    100.0 * sample.cpu.as_secs_f64() / sample.wall.as_secs_f64().max(f64::EPSILON)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn per_line(sample: &Sample, whole: f64) -> f64 {
    whole / sample.totals.unique.max(1) as f64
}

/// The latency that such a part of the lines does not exceed, in milliseconds.
fn latency(sample: &Sample, part: f64) -> f64 {
    let rank = (sample.latencies.len() as f64 * part).ceil() as usize;
    let at = sample.latencies.get(rank.saturating_sub(1));
    at.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::report::samples::sample;

    #[test]
    fn names_are_unique() {
        let all = all(1);
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn percentile_is_a_latency_that_was_seen() {
        let latencies = (1..=200).map(Duration::from_millis).collect();
        let sample = Sample { latencies, ..sample(1, 200) };
        assert_eq!([0.5, 0.99, 1.0].map(|part| latency(&sample, part)), [100.0, 198.0, 200.0]);
        assert!(latency(&Sample { latencies: Vec::new(), ..sample }, 0.5).is_nan());
    }
}
