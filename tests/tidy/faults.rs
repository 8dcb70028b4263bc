//! The fault matrix is proven: each row of `docs/faults.md` says what runlog does, and has a test with its id at the
//! beginning of its name, such as `f6_...`; a test may prove several, as `f1_f3_...` does.

use std::collections::BTreeSet;

use crate::tree::{Fault, Tree};

const MATRIX: &str = "docs/faults.md";

/// The rows that there are to be: the letter and the number of the last.
const ROWS: [(char, u32); 7] = [('F', 34), ('D', 25), ('J', 3), ('P', 5), ('Q', 22), ('X', 23), ('S', 22)];

/// Not yet said what runlog does.
const OPEN: &str = "open";

/// Rows without a test, without an answer, or missing.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let Some(matrix) = tree.file(MATRIX) else { return Vec::new() };
    let proven: BTreeSet<String> = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .flat_map(|file| file.text.lines().filter_map(function_of))
        .flat_map(ids)
        .collect();
    let mut missing: BTreeSet<String> =
        ROWS.iter().flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}"))).collect();
    let mut faults = Vec::new();
    for (at, line) in matrix.lines() {
        let Some((id, answer)) = row(line) else { continue };
        missing.remove(id);
        if answer == OPEN {
            faults.push(matrix.fault(at, format!("{id} does not say what runlog does")));
        }
        if !proven.contains(id) {
            let name = id.to_lowercase();
            faults.push(matrix.fault(at, format!("{id} has no test; write one whose name begins with {name}_")));
        }
    }
    faults.extend(missing.iter().map(|id| matrix.fault(1, format!("row {id} is missing"))));
    faults
}

/// The id and the last column of a row of the matrix.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut columns = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
    let id = columns.next()?.trim();
    let number = id.strip_prefix(|c: char| c.is_ascii_uppercase())?;
    number.parse::<u32>().ok()?;
    Some((id, columns.last()?.trim()))
}

/// The name of the function that a line begins.
fn function_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    name.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next()
}

/// The ids at the beginning of a name.
fn ids(name: &str) -> impl Iterator<Item = String> {
    let is_id = |word: &&str| {
        let number = word.strip_prefix(|c: char| c.is_ascii_lowercase());
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    name.split('_').take_while(is_id).map(str::to_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn row_without_a_test_or_an_answer_is_found_and_so_is_one_that_is_gone() {
        let rows: String = ROWS
            .iter()
            .flat_map(|(letter, last)| (1..=*last).map(move |number| (*letter, number)))
            .filter(|row| *row != ('X', 23))
            .map(|(letter, number)| match (letter, number) {
                ('F', 2) => "| F2 | a | b | open |\n".to_owned(),
                _ => format!("| {letter}{number} | what | is done |\n"),
            })
            .collect();
        let tests: String = ROWS
            .iter()
            .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{}{number}", letter.to_lowercase())))
            .filter(|id| id != "f5" && id != "q1" && id != "q2")
            .map(|id| format!("    async fn {id}_a() {{}}\n"))
            .collect();
        let tree = Tree::with(&[(MATRIX, &rows), ("tests/a.rs", &tests), ("agent/src/b.rs", "fn q1_q2_b() {}")]);
        let lines: Vec<usize> = places(&faults(&tree)).iter().map(|(_, line)| *line).collect();
        assert_eq!(lines, [2, 5, 1], "F2 is open, F5 has no test, X23 is gone");
    }
}
