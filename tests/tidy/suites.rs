//! Each suite is declared: Cargo does not look for suites where ours are, and one that is left out of the manifest
//! fails nothing and proves nothing. And each is on the map, where who is new finds it.

use toml::{Table, Value};

use crate::tree::{Fault, Tree};

const FOLDER: &str = "tests/";
const MANIFEST: &str = "tests/Cargo.toml";
const MAP: &str = "docs/ARCHITECTURE.md";
/// What the table of suites begins with.
const TABLE: &str = "| suite | has |\n";

/// Programs of the tests' folder that its manifest does not name.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let Some(manifest) = tree.file(MANIFEST) else { return Vec::new() };
    // A manifest that is none is the rule of manifests.
    let manifest: Table = manifest.text.parse().unwrap_or_default();
    let targets = ["bin", "test"].into_iter().filter_map(|kind| manifest.get(kind)?.as_array()).flatten();
    let declared: Vec<&str> = targets.filter_map(|target| target.get("path").and_then(Value::as_str)).collect();
    let is_program = |path: &str| match path.split_once('/') {
        None => path.ends_with(".rs"),
        Some((_, name)) => name == "main.rs",
    };
    tree.files
        .iter()
        .filter(|file| file.path.strip_prefix(FOLDER).is_some_and(|path| is_program(path) && !declared.contains(&path)))
        .map(|file| file.fault(1, format!("is never run; declare it as a [[test]] in {MANIFEST}")))
        .collect()
}

/// Suites that no row of the map's table of suites names.
pub fn unmapped(tree: &Tree) -> Vec<Fault> {
    let rows = tree.file(MAP).map(|map| map.text.as_str()).unwrap_or_default();
    let rows = rows.split_once(TABLE).map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default());
    let named: Vec<&str> = rows
        .unwrap_or_default()
        .lines()
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|names| names.split(',').map(str::trim))
        .collect();
    let suite = |path: &str| path.strip_prefix(FOLDER)?.strip_suffix("/main.rs").map(str::to_owned);
    tree.files
        .iter()
        .filter(|file| suite(&file.path).is_some_and(|name| !named.contains(&&*name)))
        .map(|file| file.fault(1, format!("is in no row of the table of suites in {MAP}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn suite_that_is_not_declared_is_found() {
        let tree = Tree::with(&[
            (MANIFEST, "[[test]]\npath = \"a.rs\"\n[[test]]\npath = \"b/main.rs\"\n[[bin]]\npath = \"c/main.rs\"\n"),
            ("tests/a.rs", ""),
            ("tests/b/main.rs", ""),
            ("tests/b/part.rs", ""),
            ("tests/c/main.rs", ""),
            ("tests/d.rs", ""),
            ("tests/e/main.rs", ""),
            ("tests/harness/lib.rs", ""),
        ]);
        assert_eq!(places(&faults(&tree)), [("tests/d.rs", 1), ("tests/e/main.rs", 1)]);
    }

    #[test]
    fn suite_that_is_not_on_the_map_is_found() {
        let tree = Tree::with(&[
            (MAP, "c\n| suite | has |\n|---|---|\n| a, b | all |\n\n| d | no suite |\n"),
            ("tests/a/main.rs", ""),
            ("tests/b/main.rs", ""),
            ("tests/b/part.rs", ""),
            ("tests/c/main.rs", ""),
            ("tests/d/main.rs", ""),
        ]);
        assert_eq!(places(&unmapped(&tree)), [("tests/c/main.rs", 1), ("tests/d/main.rs", 1)]);
    }
}
