use super::*;
use crate::tree::places;

fn architecture(rows: &str) -> Tree {
    Tree::with(&[(
        DOCUMENT,
        &format!("# Map\n\n{HEADING}\n\n| folder | may import | why |\n|---|---|---|\n{rows}\n## Next\n| x | y |\n"),
    )])
}

#[test]
fn import_outside_its_row_is_found_wherever_it_is_written() {
    let tree = Tree::with(&[
        ("agent/src/queue/mod.rs", "//! Q.\nuse crate::{\n    queue::Seq,\n    record::Batch,\n};\n"),
        ("agent/src/source/file/tail.rs", "use crate::{record::Chunk, run};\nfn f() { crate::batch::close() }\n"),
        ("agent/src/store/mod.rs", "use super::export::Otlp;\n"),
        ("agent/src/serve/mod.rs", "use crate::pipeline;\nuse crate::*;\n"),
        ("agent/src/pipeline/mod.rs", "use crate::{cli, queue, source};\n"),
        ("agent/src/cli/mod.rs", "use crate::pipeline;\n"),
        ("agent/src/main.rs", "fn main() { crate::cli::main() }\n"),
    ]);
    let expected = [
        ("agent/src/queue/mod.rs", 4),
        ("agent/src/source/file/tail.rs", 2),
        ("agent/src/store/mod.rs", 1),
        ("agent/src/serve/mod.rs", 1),
        ("agent/src/serve/mod.rs", 2),
        ("agent/src/pipeline/mod.rs", 1),
    ];
    assert_eq!(places(&faults(&tree)), expected);
}

#[test]
fn tests_and_docs_may_name_anything() {
    let tree = Tree::with(&[
        (
            "agent/src/batch/mod.rs",
            "//! For [`crate::queue`].\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::queue;",
        ),
        ("agent/src/batch/tests.rs", "use crate::queue;"),
    ]);
    assert_eq!(faults(&tree), []);
}

#[test]
fn new_stage_needs_a_row() {
    let tree = Tree::with(&[("agent/src/alert/mod.rs", "use crate::queue;"), ("agent/src/alert/page.rs", "")]);
    assert_eq!(places(&faults(&tree)), [("agent/src/alert/mod.rs", 1)]);
}

#[test]
fn module_inside_of_a_file_may_name_what_is_around_it() {
    let telemetry = "struct Config;\nmod text { use super::Config; }\nmod json { use super::super::store; }";
    let tree = Tree::with(&[("agent/src/telemetry.rs", telemetry)]);
    assert_eq!(places(&faults(&tree)), [("agent/src/telemetry.rs", 3)]);
}

#[test]
fn row_of_a_stage_that_is_gone_is_found() {
    let tree = Tree::with(&[("agent/src/telemetry.rs", ""), ("agent/src/queue/mod.rs", "")]);
    let gone = stale_faults(&tree);
    assert_eq!(gone.len(), MAY_IMPORT.len() - 2, "{gone:?}");
}

#[test]
fn exception_holds_for_its_folder_and_name_alone_and_has_to_be_needed() {
    let docker = "agent/src/source/docker/mod.rs";
    let tree = Tree::with(&[
        (docker, "use crate::config::Switch;\nuse crate::config::Switches;"),
        ("agent/src/source/file/mod.rs", "use crate::config::Switch;"),
    ]);
    assert_eq!(places(&faults(&tree)), [(docker, 2), ("agent/src/source/file/mod.rs", 1)]);

    let unneeded = faults(&Tree::with(&[(docker, "")]));
    assert_eq!(places(&unneeded), [(docker, 1)]);
}

#[test]
fn runtime_is_found_in_synchronous_stages_alone() {
    let tree = Tree::with(&[
        ("agent/src/parse/mod.rs", "// tokio is not used.\nuse tokio::time;\nuse tokio_util::codec;"),
        ("agent/src/export/mod.rs", "use tokio::time;"),
    ]);
    assert_eq!(places(&runtime_faults(&tree)), [("agent/src/parse/mod.rs", 2), ("agent/src/parse/mod.rs", 3)]);
}

#[test]
fn table_as_it_is_printed_is_accepted_in_the_document() {
    let rows = table().lines().skip(2).map(|row| format!("{row}\n")).collect::<String>();
    assert_eq!(document_faults(&architecture(&rows)), []);
}

#[test]
fn document_with_another_table_is_found() {
    let complete = table().lines().skip(2).map(|row| format!("{row}\n")).collect::<String>();
    let wider = complete.replace("| queue |  |", "| `queue` | record | why |");
    assert_eq!(places(&document_faults(&architecture(&wider))), [(DOCUMENT, 15)]);
    let shorter = complete.replace("| store | record |\n", "");
    assert_eq!(places(&document_faults(&architecture(&shorter))), [(DOCUMENT, 3)]);
    let longer = format!("{complete}| alert | record |\n");
    assert_eq!(places(&document_faults(&architecture(&longer))), [(DOCUMENT, 23)]);
    assert_eq!(places(&document_faults(&architecture(""))), [(DOCUMENT, 3)]);
    assert_eq!(places(&document_faults(&Tree::default())), [(DOCUMENT, 1)]);
}
