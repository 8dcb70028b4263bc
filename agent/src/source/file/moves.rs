//! Where files have got to, told from the names that came and went.

use std::{collections::HashMap, path::PathBuf};

use super::{
    disk::path_in,
    watch::{ChangeKind, NameChange},
};

/// A file that one round of hints is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Where it was before these hints. `None` if it came with them.
    pub from: Option<PathBuf>,
    /// The first name that it had in these hints.
    pub first: PathBuf,
    /// Where it is now. `None` if it is gone, or went where nobody looks.
    pub to: Option<PathBuf>,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Follows each file through its renamings, so that one that came and was renamed at once is known by both names.
///
/// In the order of the hints: what stands at a path now need not be what stood there when the hint was written.
#[must_use]
pub fn follow(changes: &[NameChange]) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    let mut standing: HashMap<PathBuf, usize> = HashMap::new();
    // Those whose second name has not been told yet, by cookie.
    let mut under_way: HashMap<u32, usize> = HashMap::new();
    for change in changes {
        let path = path_in(&change.folder, &change.name);
        match change.kind {
            ChangeKind::Went => {
                let index = standing.remove(&path).unwrap_or_else(|| {
                    let (from, first) = (Some(path.clone()), path);
                    moves.push(Move { from, first, to: None, is_folder: change.is_folder });
                    moves.len() - 1
                });
                moves[index].to = None;
                if change.cookie != 0 {
                    under_way.insert(change.cookie, index);
                }
            }
            ChangeKind::Came => {
                let index = under_way.remove(&change.cookie).unwrap_or_else(|| {
                    moves.push(Move { from: None, first: path.clone(), to: None, is_folder: change.is_folder });
                    moves.len() - 1
                });
                moves[index].to = Some(path.clone());
                // A renaming over an existing name tells nothing of the file that had the name.
                if let Some(replaced) = standing.insert(path, index) {
                    moves[replaced].to = None;
                }
            }
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::Path, sync::Arc};

    use super::*;

    fn change(kind: ChangeKind, name: &str, cookie: u32) -> NameChange {
        let (folder, name) = (Arc::from(Path::new("/l")), OsStr::new(name).to_owned());
        NameChange { folder, name, kind, is_folder: false, cookie }
    }

    fn told(changes: &[(ChangeKind, &str, u32)]) -> Vec<(Option<String>, String, Option<String>)> {
        let changes: Vec<_> = changes.iter().map(|(kind, name, cookie)| change(*kind, name, *cookie)).collect();
        let text = |path: PathBuf| path.strip_prefix("/l").unwrap().display().to_string();
        follow(&changes).into_iter().map(|m| (m.from.map(text), text(m.first), m.to.map(text))).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_file_that_came_and_was_renamed_twice_is_known_by_its_first_and_its_last_name() {
        use ChangeKind::{Came, Went};
        let moves = told(&[
            (Went, "a.log", 1),
            (Came, "a.log.1", 1),
            (Came, "a.log", 0),
            (Went, "a.log.1", 2),
            (Came, "a.log.2", 2),
            (Went, "a.log", 3),
            (Came, "a.log.1", 3),
            (Came, "a.log", 0),
        ]);
        assert_eq!(
            moves,
            [
                (some("a.log"), "a.log".to_owned(), some("a.log.2")),
                (None, "a.log".to_owned(), some("a.log.1")),
                (None, "a.log".to_owned(), some("a.log")),
            ]
        );
    }

    #[test]
    fn a_file_that_was_deleted_or_replaced_or_left_is_nowhere() {
        use ChangeKind::{Came, Went};
        let moves = told(&[(Came, "a.log", 0), (Went, "a.log", 0), (Went, "b.log", 7)]);
        assert_eq!(moves, [(None, "a.log".to_owned(), None), (some("b.log"), "b.log".to_owned(), None)]);
        let moves = told(&[(Came, "a.log", 0), (Came, "b.log", 0), (Went, "b.log", 8), (Came, "a.log", 8)]);
        assert_eq!(moves, [(None, "a.log".to_owned(), None), (None, "b.log".to_owned(), some("a.log"))]);
    }
}
