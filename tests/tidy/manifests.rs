//! Where versions of dependencies stand: in the workspace's manifest alone, and only those that a member uses.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::tree::{Fault, File, Tree};

const ROOT: &str = "Cargo.toml";
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Members that bring a version of their own, and versions that no member uses.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let Some(root) = tree.file(ROOT) else { return Vec::new() };
    let workspace = match parsed(root) {
        Ok(manifest) => manifest.get("workspace").and_then(Value::as_table).cloned().unwrap_or_default(),
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    let members = workspace.get("members").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for file in members.filter_map(|member| tree.file(&format!("{member}/Cargo.toml"))) {
        let manifest = match parsed(file) {
            Ok(manifest) => manifest,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        for (name, dependency) in dependencies(&manifest) {
            used.insert(name.clone());
            if dependency.get("workspace").and_then(Value::as_bool) != Some(true) {
                let what =
                    format!("{name} has a version of its own; write {name}.workspace = true and put it into {ROOT}");
                faults.push(file.fault(line_of(file, name), what));
            }
        }
    }
    let offered = workspace.get("dependencies").and_then(Value::as_table);
    for name in offered.into_iter().flat_map(Table::keys).filter(|name| !used.contains(*name)) {
        faults.push(root.fault(line_of(root, name), format!("{name} is used by no member; take it out")));
    }
    faults
}

/// Every dependency of a member, those for some targets too.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let sections = tables.flat_map(|table| SECTIONS.iter().filter_map(|section| table.get(*section)?.as_table()));
    sections.flatten()
}

fn parsed(file: &File) -> Result<Table, Fault> {
    file.text.parse().map_err(|error: toml::de::Error| file.fault(1, format!("is not TOML: {}", error.message())))
}

/// The line that begins with that key.
fn line_of(file: &File, key: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with([' ', '=', '.', '"']))
    };
    file.lines().find(|(_, line)| begins(line)).map_or(1, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn version_in_a_member_and_version_that_nobody_uses_are_found() {
        let tree = Tree::with(&[
            (
                ROOT,
                "[workspace]\nmembers = [\"a\", \"b\"]\n[workspace.dependencies]\nbytes = \"1\"\nhttp = \"1\"\nserde = \"1\"\n",
            ),
            (
                "a/Cargo.toml",
                "[dependencies]\nbytes.workspace = true\nmemchr = \"2\"\n[dev-dependencies]\n\
                 serde = { workspace = true, features = [\"derive\"] }\n",
            ),
            ("b/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nbytes = { version = \"1\" }\n"),
        ]);
        assert_eq!(places(&faults(&tree)), [("a/Cargo.toml", 3), ("b/Cargo.toml", 2), (ROOT, 5)]);
    }

    #[test]
    fn manifest_that_is_none_is_a_fault() {
        assert_eq!(places(&faults(&Tree::with(&[(ROOT, "[workspace")]))), [(ROOT, 1)]);
    }
}
