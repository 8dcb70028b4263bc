//! What is left to do is an issue: a note without its number is forgotten, and unwritten code is not delivered.

use crate::{
    code,
    tree::{Fault, Tree},
};

/// In parts, since this file may not hold them either.
const NOTES: [(&str, &str); 3] = [("TO", "DO"), ("FIX", "ME"), ("XX", "X")];

const UNWRITTEN: [&str; 2] = ["todo", "unimplemented"];

/// Notes without an issue, and code that only says that it is missing.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let notes = NOTES.map(|(first, second)| format!("{first}{second}"));
    let mut faults = Vec::new();
    for file in &tree.files {
        for note in notes.iter().filter(|note| file.text.contains(note.as_str())) {
            let left = file.lines().filter(|(_, line)| has_word(line, note) && !names_an_issue(line));
            faults.extend(left.map(|(at, _)| {
                file.fault(at, format!("{note} without an issue; write its number (#12) beside it, or do it"))
            }));
        }
    }
    for (file, code) in tree.product() {
        let unwritten = code::words(&code.text)
            .filter(|(at, word)| UNWRITTEN.contains(word) && code.text[at + word.len()..].starts_with('!'));
        faults.extend(unwritten.map(|(at, word)| {
            let line = code::line(&code.text, at);
            file.fault(line, format!("{word}! ends the daemon when it gets here; write it, or return an error"))
        }));
    }
    faults
}

fn has_word(line: &str, wanted: &str) -> bool {
    code::words(line).any(|(_, word)| word == wanted)
}

fn names_an_issue(line: &str) -> bool {
    line.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn note_without_an_issue_is_found_in_any_file() {
        for (first, second) in NOTES {
            let text = format!("a\n# {first}{second}: b\n# {first}{second}(#12): c\nmktemp {first}{second}{second}\n");
            let tree = Tree::with(&[("deploy/demo/run", &text)]);
            assert_eq!(places(&faults(&tree)), [("deploy/demo/run", 2)]);
        }
    }

    #[test]
    fn unwritten_code_is_found_outside_tests() {
        let tree = Tree::with(&[
            (
                "agent/src/a.rs",
                "fn a() {\n    unimplemented!()\n}\n// todo!\n#[cfg(test)]\nmod b { fn c() { todo!() } }",
            ),
            ("tests/harness/lib.rs", "fn a() { todo!() }"),
        ]);
        assert_eq!(places(&faults(&tree)), [("agent/src/a.rs", 2)]);
    }
}
