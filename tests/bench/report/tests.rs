use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::*;
use crate::sink::Totals;

fn sample(cpu_millis: u64, unique: u64) -> Sample {
    Sample {
        lines: 1_000_000,
        cpu: Duration::from_millis(cpu_millis),
        wall: Duration::from_secs(2),
        peak_rss_bytes: 30 << 20,
        sink_cpu: Duration::from_millis(300),
        totals: Totals { unique, wire_bytes: 40 * unique, ..Totals::default() },
        exit: ExitStatus::from_raw(0),
    }
}

fn series(name: &'static str, cpu_millis: [u64; 3]) -> Series {
    let samples = cpu_millis.map(|millis| sample(millis, 1_000_000)).into();
    Series { name, settings: "", version: String::new(), samples }
}

#[test]
fn median_is_the_middle_whatever_the_order() {
    assert_eq!(Spread::of([9.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 9.0 });
    assert_eq!(Spread::of([9.0, 1.0, 2.0, 4.0]).median, 3.0);
    assert_eq!(Spread::of([]).median, 0.0);
}

#[test]
fn ratio_is_taken_within_each_round() {
    // The second round was disturbed, and both took twice as long.
    let (ours, theirs) = (series("ours", [500, 1000, 500]), series("theirs", [2000, 4000, 2000]));
    assert_eq!(ours.ratio_to(&theirs), Spread { median: 4.0, least: 4.0, most: 4.0 });
}

#[test]
fn table_shows_each_agent_with_its_ratio() {
    let all = [series("runlog", [500, 400, 625]), series("collector", [2000, 2000, 2500])];
    let expected = "\
agent      lines/CPU-s      least       most  ratio  % of a core  peak RSS MiB  wall s  B/line  sink CPU s  missing  repeated
runlog       2,000,000  1,600,000  2,500,000   4.00         25.0          30.0    2.00    40.0        0.30        0         0
collector      500,000    400,000    500,000   1.00        100.0          30.0    2.00    40.0        0.30        0         0
";
    assert_eq!(table(&all, "collector"), expected);
}

#[test]
fn series_with_a_missing_line_is_not_exact() {
    let mut lossy = series("lossy", [500; 3]);
    assert!(lossy.is_exact());
    lossy.samples[1] = sample(500, 999_999);
    assert!(!lossy.is_exact());
    assert_eq!(json(&Place::here(None), &[lossy], "collector")["peers"][0]["samples"][1]["missing"], 1);
}
