//! Samples for tests.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use super::{Outcome, Series};
use crate::{measure::Sample, scenario, sink::Totals};

/// An agent that took so long for so many of a million lines.
pub fn sample(cpu_millis: u64, unique: u64) -> Sample {
    Sample {
        read: 1_000_000,
        lines: 1_000_000,
        cpu: Duration::from_millis(cpu_millis),
        wall: Duration::from_secs(2),
        peak_rss_bytes: 30 << 20,
        rss_bytes: 20 << 20,
        sink_cpu: Duration::from_millis(300),
        engine_cpu: Duration::ZERO,
        latencies: Vec::new(),
        ready: None,
        totals: Totals { unique, wire_bytes: 40 * unique, ..Totals::default() },
        exit: ExitStatus::from_raw(0),
    }
}

/// Three rounds of a million lines.
pub fn series(name: &'static str, cpu_millis: [u64; 3]) -> Series {
    Series { name, samples: cpu_millis.map(|millis| sample(millis, 1_000_000)).into() }
}

/// What the scenario of that name brought.
pub fn outcome(name: &str, series: Vec<Series>) -> Outcome {
    let scenario = scenario::all(1_000_000).into_iter().find(|scenario| scenario.name == name).unwrap();
    Outcome { scenario, series }
}
