//! Words that say nothing about a thing are not part of its name: files, folders, types, functions.

use std::collections::BTreeSet;

use crate::{
    code,
    tree::{Fault, Tree},
};

const NOWHERE: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "handler", "handlers", "v2"];

/// Not in types and files; as a function it is a level.
const NOT_FOR_THINGS: &str = "info";

/// Not alone as a file.
const NOT_FOR_FILES: &str = "data";

/// Names that somebody else gave.
const GIVEN: [(&str, &str); 1] = [("RetryInfo", "google.rpc.RetryInfo, which says how long to wait")];

const ADVICE: &str = "call it by what it is in the life of a log line";

/// Names with such a word.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = file_faults(tree);
    for file in tree.files.iter().filter(|file| file.extension() == "rs") {
        let code = code::bare(&file.text);
        let mut before = "";
        for (at, word) in code::words(&code) {
            let is_thing = matches!(before, "struct" | "enum" | "union" | "trait" | "type" | "mod");
            let given = GIVEN.iter().any(|(name, _)| *name == word);
            if (is_thing || before == "fn") && !given {
                let bad = parts(word).into_iter().find(|part| is_bad(part, is_thing));
                faults.extend(bad.map(|bad| fault_of(&file.path, code::line(&code, at), word, &bad)));
            }
            before = word;
        }
    }
    faults
}

fn file_faults(tree: &Tree) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for file in &tree.files {
        let ends = file.path.match_indices('/').map(|(at, _)| at).chain([file.path.len()]);
        for path in ends.map(|end| &file.path[..end]).filter(|path| seen.insert(*path)) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let is_alone = name.split('.').next() == Some(NOT_FOR_FILES);
            let bad = parts(name).into_iter().find(|part| is_bad(part, true) || (is_alone && part == NOT_FOR_FILES));
            faults.extend(bad.map(|bad| fault_of(path, 1, name, &bad)));
        }
    }
    faults
}

fn is_bad(part: &str, is_thing: bool) -> bool {
    NOWHERE.contains(&part) || (is_thing && part == NOT_FOR_THINGS)
}

fn fault_of(path: &str, line: usize, name: &str, bad: &str) -> Fault {
    Fault { path: path.into(), line, what: format!("\"{bad}\" in {name} says nothing; {ADVICE}") }
}

/// `RetryInfo`, `retry_info` and `retry-info.rs` are made of retry, info (and rs).
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut after_small = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && after_small) {
            parts.push(String::new());
        }
        after_small = character.is_lowercase();
        if let Some(part) = parts.last_mut().filter(|_| character.is_alphanumeric()) {
            part.extend(character.to_lowercase());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn empty_words_are_found_in_types_functions_files_and_folders() {
        let tree = Tree::with(&[
            ("agent/src/a.rs", "struct LineManager;\nfn parse_v2() {}\nenum RunInfo {}\nmod helper;"),
            ("agent/src/utils/b.rs", ""),
            ("agent/src/utils/c.rs", ""),
            ("agent/ui/log-handler.js", ""),
            ("docs/data.md", ""),
        ]);
        let expected = [
            ("agent/src/utils", 1),
            ("agent/ui/log-handler.js", 1),
            ("docs/data.md", 1),
            ("agent/src/a.rs", 1),
            ("agent/src/a.rs", 2),
            ("agent/src/a.rs", 3),
            ("agent/src/a.rs", 4),
        ];
        assert_eq!(places(&faults(&tree)), expected);
    }

    #[test]
    fn words_that_only_contain_them_and_names_that_were_given_are_fine() {
        let tree = Tree::with(&[(
            "agent/src/database.rs",
            "fn info() { info!(\"common helper\"); }\nstruct RetryInfo;\nstruct Commonly;\n// struct Helper\nfn utility() {}",
        )]);
        assert_eq!(faults(&tree), []);
    }
}
