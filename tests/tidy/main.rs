//! Keeps the house in order: who imports whom, how long files are, what things are called, where versions and
//! clocks stand.
//!
//! Every test reads the files of the repository and nothing else. A failure names file and line and says what to do.
//! One file a rule; each has its own tests, on a small tree that breaks it.

mod clock;
mod code;
mod documents;
mod faults;
mod hosts;
mod imports;
mod layout;
mod length;
mod manifests;
mod markers;
mod names;
mod suites;
mod tree;

use std::sync::LazyLock;

use tree::{Fault, Tree};

static HERE: LazyLock<Tree> = LazyLock::new(Tree::of_this_repository);

#[track_caller]
fn none(faults: &[Fault]) {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} to tidy up:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn each_stage_imports_only_those_that_the_table_allows() {
    none(&imports::faults(&HERE));
}

#[test]
fn table_of_imports_names_no_stage_that_is_gone() {
    none(&imports::stale_faults(&HERE));
}

#[test]
fn stages_without_a_runtime_name_none() {
    none(&imports::runtime_faults(&HERE));
}

#[test]
fn architecture_document_has_the_same_table() {
    none(&imports::document_faults(&HERE));
}

#[test]
fn no_file_is_longer_than_the_limit() {
    // Shown with --nocapture.
    for line in length::questions(&HERE) {
        eprintln!("{line}");
    }
    none(&length::faults(&HERE));
}

#[test]
fn each_rust_file_opens_with_its_doc() {
    none(&documents::faults(&HERE));
}

#[test]
fn no_name_is_of_a_word_that_says_nothing() {
    none(&names::faults(&HERE));
}

#[test]
fn no_file_names_a_package_registry() {
    none(&hosts::faults(&HERE));
}

#[test]
fn what_is_left_to_do_has_an_issue() {
    none(&markers::faults(&HERE));
}

#[test]
fn top_of_the_repository_holds_only_what_belongs_there() {
    none(&layout::faults(&HERE));
}

#[test]
fn dependency_versions_stand_in_the_workspace_alone_and_each_is_used() {
    none(&manifests::faults(&HERE));
}

#[test]
fn each_suite_is_declared_and_so_is_run() {
    none(&suites::faults(&HERE));
}

#[test]
fn each_suite_is_on_the_map() {
    none(&suites::unmapped(&HERE));
}

#[test]
fn time_of_day_is_asked_for_in_one_place() {
    none(&clock::faults(&HERE));
}

#[test]
fn each_row_of_the_fault_matrix_is_proven() {
    none(&faults::faults(&HERE));
}
