//! What lies at the top of the repository. Newcomers read it first, so it stays short.

use crate::tree::{Fault, Tree};

const TOP: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "agent",
    "proto",
    "deploy",
    "helm",
    "tests",
    "docs",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "Makefile",
];

/// Entries that do not belong there. Those that begin with a dot are settings of tools.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let strange = tree.top.iter().filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()));
    strange
        .map(|name| Fault {
            path: name.clone(),
            line: 1,
            what: "does not belong at the top; put it into the folder whose part it is".into(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn strange_entry_is_found() {
        let top = ["agent", "scripts", ".ci", "Cargo.toml", "notes.md"].map(Into::into).to_vec();
        let tree = Tree { top, files: Vec::new() };
        assert_eq!(places(&faults(&tree)), [("scripts", 1), ("notes.md", 1)]);
    }
}
