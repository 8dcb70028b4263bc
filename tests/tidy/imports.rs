//! Who may import whom.
//!
//! A stage that names only what it needs can be understood, tested and replaced alone. What decides is the name
//! behind `crate::`, in `use` lines and elsewhere; a path of `super::` that leaves the stage counts as well.

mod paths;

use std::collections::{BTreeMap, BTreeSet};

use paths::From;

use crate::{
    code,
    tree::{Fault, File, Tree},
};

/// Each stage and the others that its code may name. `docs/ARCHITECTURE.md` shows this table.
const MAY_IMPORT: [(&str, &[&str]); 16] = [
    ("record", &[]),
    ("receive", &["record"]),
    ("api", &["receive", "record", "run", "store"]),
    ("run", &["record"]),
    ("source", &["receive", "record", "run"]),
    ("parse", &["record", "run"]),
    ("enrich", &["parse", "record", "run"]),
    ("batch", &["record"]),
    ("queue", &[]),
    ("export", &["record", "queue", "store"]),
    ("store", &["record"]),
    ("serve", &["receive", "store", "record", "api"]),
    (
        "config",
        &["source", "parse", "enrich", "batch", "queue", "export", "store", "serve", "telemetry", "record", "run"],
    ),
    ("telemetry", &["record", "export"]),
    ("pipeline", &["source", "parse", "enrich", "batch", "queue", "export", "store", "serve", "record", "run"]),
    (
        "cli",
        &["config", "pipeline", "source", "queue", "store", "serve", "api", "telemetry", "export", "record", "run"],
    ),
];

/// What one folder may name beyond its stage's row.
struct Exception {
    within: &'static str,
    path: &'static str,
    /// Why this is no broken row.
    reason: &'static str,
}

impl Exception {
    fn covers(&self, file: &File, path: &str) -> bool {
        let rest = path.strip_prefix(self.path);
        file.path.starts_with(self.within) && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

const EXCEPTIONS: [Exception; 1] = [Exception {
    within: "agent/src/source/docker/",
    path: "config::Switch",
    reason: "collecting containers is on, off or left to runlog; a plain value that says nothing of other stages",
}];

/// Plain synchronous code is easy to test, fuzz and measure.
const WITHOUT_RUNTIME: [&str; 3] = ["parse", "enrich", "batch"];

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const HEADING: &str = "## Who may import whom";

/// Broken rows of the table, stages that have none, and exceptions that nobody needs any more.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut needed = BTreeSet::new();
    let mut missing = BTreeSet::new();
    for (file, code) in tree.product() {
        let Some(stage) = stage(file) else { continue };
        let Some(allowed) = allowed(stage) else {
            if missing.insert(stage.to_owned()) {
                faults.push(file.fault(1, format!("{stage} has no row in tests/tidy/imports.rs; add it there")));
            }
            continue;
        };
        for path in paths::from_root(&code.text, depth(file)) {
            let named = path.segments[0].as_str();
            // In a module inside of a file, as many `super::` end below the root.
            let is_inside = path.from == From::Super && self::allowed(named).is_none();
            if is_inside || named == stage || allowed.contains(&named) {
                continue;
            }
            let full = path.segments.join("::");
            if let Some(exception) = EXCEPTIONS.iter().find(|exception| exception.covers(file, &full)) {
                needed.insert(exception.within);
                continue;
            }
            let allowed = if allowed.is_empty() { "nothing".into() } else { allowed.join(", ") };
            let what = format!(
                "{stage} may import {allowed}, not {full}; take what is needed as a value or a trait of its own"
            );
            faults.push(file.fault(path.line, what));
        }
    }
    faults.extend(EXCEPTIONS.iter().filter(|exception| !needed.contains(exception.within)).filter_map(|exception| {
        let file = tree.files.iter().find(|file| file.path.starts_with(exception.within))?;
        let what = format!(
            "nothing in {} names {} any more; take the exception out of tests/tidy/imports.rs ({})",
            exception.within, exception.path, exception.reason
        );
        Some(file.fault(1, what))
    }));
    faults
}

/// Rows of stages that are gone.
pub fn stale_faults(tree: &Tree) -> Vec<Fault> {
    let product = tree.product();
    let present: BTreeSet<&str> = product.iter().filter_map(|(file, _)| stage(file)).collect();
    let stale = MAY_IMPORT.iter().filter(|(stage, _)| !present.contains(stage));
    stale
        .map(|(stage, _)| {
            let what = format!("{stage} is no stage any more; take its row out of tests/tidy/imports.rs");
            Fault { path: format!("agent/src/{stage}"), line: 1, what }
        })
        .collect()
}

/// Where stages that are to stay synchronous name a runtime.
pub fn runtime_faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, code) in tree.product() {
        let Some(stage) = stage(file).filter(|stage| WITHOUT_RUNTIME.contains(stage)) else { continue };
        for (at, word) in code::words(&code.text) {
            if word.split('_').next() == Some("tokio") {
                let what = format!("{stage} is plain synchronous code; what needs {word} belongs to the pipeline");
                faults.push(file.fault(code::line(&code.text, at), what));
            }
        }
    }
    faults
}

/// Where the document's table is not the one above.
pub fn document_faults(tree: &Tree) -> Vec<Fault> {
    let Some(document) = tree.file(DOCUMENT) else {
        let what = format!("is missing; write it, with this table under \"{HEADING}\":\n{}", table());
        return vec![Fault { path: DOCUMENT.into(), line: 1, what }];
    };
    let (heading, rows) = shown(document);
    if rows.is_empty() {
        return vec![document.fault(heading, format!("shows no table under \"{HEADING}\"; put in\n{}", table()))];
    }
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (line, stage, others) in &rows {
        seen.insert(stage.as_str());
        let Some(allowed) = allowed(stage) else {
            faults.push(document.fault(*line, format!("{stage} has no row in tests/tidy/imports.rs; take it out")));
            continue;
        };
        if *others != allowed.iter().map(ToString::to_string).collect() {
            let what = format!("the test has {} instead; make both the same", row(stage, allowed));
            faults.push(document.fault(*line, what));
        }
    }
    for (stage, allowed) in MAY_IMPORT.iter().filter(|(stage, _)| !seen.contains(stage)) {
        faults.push(document.fault(heading, format!("has no row for {stage}; add {}", row(stage, allowed))));
    }
    faults
}

/// Rows of the document: line, stage, the others.
fn shown(document: &File) -> (usize, Vec<(usize, String, BTreeSet<String>)>) {
    let Some((heading, _)) = document.lines().find(|(_, line)| line.trim_end() == HEADING) else {
        return (1, Vec::new());
    };
    let section = document.lines().skip(heading).take_while(|(_, line)| !line.starts_with("## "));
    // The first two lines of a table name its columns.
    let rows = section.filter(|(_, line)| line.starts_with('|')).skip(2).map(|(at, line)| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.replace('`', ""));
        let stage = cells.next().unwrap_or_default().trim().to_owned();
        let others = cells.next().unwrap_or_default();
        let others = others.split(',').map(|name| name.trim().to_owned());
        (at, stage, others.filter(|name| !name.is_empty()).collect())
    });
    (heading, rows.collect())
}

/// As the document shows it.
fn table() -> String {
    let rows = MAY_IMPORT.iter().map(|(stage, others)| row(stage, others) + "\n");
    format!("| folder | may import |\n|---|---|\n{}", rows.collect::<String>())
}

fn row(stage: &str, others: &[&str]) -> String {
    format!("| {stage} | {} |", others.join(", "))
}

fn allowed(stage: &str) -> Option<&'static [&'static str]> {
    BTreeMap::from(MAY_IMPORT).get(stage).copied()
}

/// The folder or file right under `agent/src`; none for the two roots.
fn stage(file: &File) -> Option<&str> {
    let inside = file.path.strip_prefix("agent/src/")?;
    let first = inside.split('/').next()?;
    let stage = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(stage, "lib" | "line" | "main")).then_some(stage)
}

/// How many `super::` lead from the file's module to the root.
fn depth(file: &File) -> usize {
    let inside = file.path.trim_start_matches("agent/src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inside.split('/').count()
}

#[cfg(test)]
mod tests;
