//! What each stage costs a line in instructions, compared with what it did cost: a clock would need a quiet machine.
//!
//! The figures are in `figures.toml`. A stage that needs more fails, and so does one that needs less: a figure that is
//! too high would hide the next one that needs more. Both say how the figures are written anew.
//!
//! Instructions are not time. They say nothing of caches, of vector units, or of the kernel, which valgrind does not
//! count; `docs/benchmarks.md` has the times.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests speak by panicking and printing")]

use std::{
    collections::BTreeMap,
    env,
    fmt::Write,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use runlog_tests::{root, tool};

/// How much more or less a stage may need, in percent.
const TOLERANCE: f64 = 5.0;
/// How often a stage is done in the two runs whose difference is counted, and over how many lines each time.
const ROUNDS: [u64; 2] = [2, 10];
const LINES: f64 = 1700.0;

/// In `line` and what follows are the stages before it, and what holds them together.
const STAGES: [&str; 19] = [
    "frame",
    "level",
    "cause",
    "time",
    "redact",
    "encode",
    "compress",
    "append",
    "line",
    "line-bare",
    "line-join",
    "line-terminal",
    "line-redact",
    "line-scalars",
    "line-repeats",
    "line-level",
    "line-recorder",
    "line-ranks",
    "line-collapse",
];
const WRITE: &str = "RUNLOG_WRITE_FIGURES";
const HEAD: &str = "\
# Instructions that a stage needs for one of 1,700 lines of Python's logging, counted by valgrind in a build of the
# profile `counted` on x86-64. Written by
#   RUNLOG_WRITE_FIGURES=1 cargo test -p runlog-tests --test instructions
";

type Figures = BTreeMap<String, f64>;

#[test]
fn each_stage_needs_as_many_instructions_as_before() {
    let program = built();
    let valgrind = tool("RUNLOG_TEST_VALGRIND", "valgrind");
    let measured: Figures =
        STAGES.iter().map(|stage| ((*stage).to_owned(), per_line(&valgrind, &program, stage))).collect();
    let path = root().join("tests/instructions/figures.toml");
    println!("{}", written(&measured));
    if env::var_os(WRITE).is_some() {
        fs::write(&path, written(&measured)).unwrap();
        return;
    }
    let committed: Figures = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let differences = differences(&committed, &measured);
    assert!(
        differences.is_empty(),
        "{}\nif it has to be so, write the new figures with {WRITE}=1 and commit them",
        differences.join("\n")
    );
}

#[test]
fn more_and_less_than_the_tolerance_are_both_said() {
    let figures = |figures: [f64; 3]| ["a", "b", "c"].map(ToOwned::to_owned).into_iter().zip(figures).collect();
    let differences = differences(&figures([100.0, 100.0, 100.0]), &figures([104.9, 105.1, 94.0]));
    let expected = ["b needs 5.1 % more: 105.1 instead of 100.0", "c needs 6.0 % less: 94.0 instead of 100.0"];
    assert_eq!(differences, expected);
}

#[test]
fn stage_that_is_new_or_gone_is_said() {
    let figures = |name: &str| Figures::from([(name.to_owned(), 1.0)]);
    assert_eq!(differences(&figures("old"), &figures("new")), ["new has no figure", "old is not measured"]);
}

fn differences(committed: &Figures, measured: &Figures) -> Vec<String> {
    let mut differences = Vec::new();
    for (stage, now) in measured {
        let Some(before) = committed.get(stage) else {
            differences.push(format!("{stage} has no figure"));
            continue;
        };
        let percent = (now / before - 1.0) * 100.0;
        if percent.abs() > TOLERANCE {
            let word = if percent > 0.0 { "more" } else { "less" };
            differences.push(format!("{stage} needs {:.1} % {word}: {now:.1} instead of {before:.1}", percent.abs()));
        }
    }
    let gone = committed.keys().filter(|stage| !measured.contains_key(*stage));
    differences.extend(gone.map(|stage| format!("{stage} is not measured")));
    differences
}

fn written(figures: &Figures) -> String {
    figures.iter().fold(HEAD.to_owned(), |mut text, (stage, figure)| {
        writeln!(text, "{stage} = {figure:.1}").unwrap();
        text
    })
}

fn per_line(valgrind: &str, program: &PathBuf, stage: &str) -> f64 {
    let [few, many] = ROUNDS.map(|rounds| instructions(valgrind, program, stage, rounds));
    (many - few) as f64 / ((ROUNDS[1] - ROUNDS[0]) as f64 * LINES)
}

/// The instructions of the program's first thread, in which the stage is: what others do, for the queue and the flight
/// recorder, is not the same each time. They are the `summary` of that thread's file (Callgrind Format Specification).
fn instructions(valgrind: &str, program: &PathBuf, stage: &str, rounds: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(valgrind);
    let told = format!("--callgrind-out-file={}", folder.path().join("told").display());
    command.args(["--tool=callgrind", "--separate-threads=yes", &told]).arg(program);
    let output = command.arg(stage).arg(rounds.to_string()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stage}: {}: {said}", output.status);
    let told = fs::read_to_string(folder.path().join("told-01")).unwrap();
    let count = told.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok());
    count.unwrap_or_else(|| panic!("{stage}: callgrind does not say how much it collected: {said}"))
}

/// The program, built from what lies here now: no figure is of other code.
fn built() -> PathBuf {
    let arguments = ["build", "--quiet", "--profile", "counted", "-p", "runlog-instructions"];
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(root());
    // What cargo tells this test about itself would make ring, and all that stands on it, be built again.
    let told = env::vars_os().map(|(name, _)| name).filter(|name| {
        ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    });
    told.for_each(|name| _ = command.env_remove(name));
    let status = command.status().unwrap();
    assert!(status.success(), "the stages cannot be built");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    target.join("counted/stages")
}
