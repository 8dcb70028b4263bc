//! Each Rust file opens with a doc that says what it is for. `tests.rs` is explained by the file that it tests.

use crate::tree::{Fault, Tree};

/// Files without one.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let rust = tree.files.iter().filter(|file| file.extension() == "rs" && !file.path.ends_with("/tests.rs"));
    rust.filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| file.fault(1, "opens without a module doc; say in a //! sentence what this file is"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn file_without_a_doc_is_found() {
        let tree = Tree::with(&[
            ("agent/src/a.rs", "//! A.\nuse b;"),
            ("agent/src/b.rs", "use c;\n"),
            ("agent/src/b/tests.rs", "use super::*;"),
            ("tests/c/main.rs", "// C.\n"),
        ]);
        assert_eq!(places(&faults(&tree)), [("agent/src/b.rs", 1), ("tests/c/main.rs", 1)]);
    }
}
