//! How long a file may be. One that cannot be read in one go holds more than one idea.

use crate::tree::{Fault, File, Tree};

const LIMIT_LINES: usize = 600;
const QUESTION_LINES: usize = 400;

const EXTENSIONS: [&str; 6] = ["rs", "js", "css", "sh", "py", "toml"];

/// Files over the limit.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let too_long = sources(tree).filter(|(_, lines)| *lines > LIMIT_LINES);
    too_long
        .map(|(file, lines)| {
            file.fault(
                LIMIT_LINES + 1,
                format!("{lines} lines are over {LIMIT_LINES}; give its second idea its own file"),
            )
        })
        .collect()
}

/// A line for each file that is allowed and long, the longest first.
pub fn questions(tree: &Tree) -> Vec<String> {
    let mut long: Vec<_> =
        sources(tree).filter(|(_, lines)| (QUESTION_LINES + 1..=LIMIT_LINES).contains(lines)).collect();
    long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    long.iter().map(|(file, lines)| format!("{}: {lines} lines; more than one idea?", file.path)).collect()
}

fn sources(tree: &Tree) -> impl Iterator<Item = (&File, usize)> {
    let is_source = |file: &&File| EXTENSIONS.contains(&file.extension()) || file.text.starts_with("#!");
    tree.files.iter().filter(is_source).map(|file| (file, file.text.lines().count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn line_after_the_limit_is_found_in_every_source_and_nowhere_else() {
        let (at, over) = ("\n".repeat(LIMIT_LINES), "\n".repeat(LIMIT_LINES + 1));
        let script = format!("#!/bin/sh{over}");
        let tree = Tree::with(&[
            ("agent/src/a.rs", &at),
            ("agent/src/a/tests.rs", &over),
            ("agent/ui/a.js", &over),
            ("tests/tools/a", &script),
            ("Cargo.lock", &over),
            ("docs/a.md", &over),
        ]);
        let line = LIMIT_LINES + 1;
        assert_eq!(
            places(&faults(&tree)),
            [("agent/src/a/tests.rs", line), ("agent/ui/a.js", line), ("tests/tools/a", line)]
        );
        assert_eq!(questions(&tree), ["agent/src/a.rs: 600 lines; more than one idea?"]);
    }
}
