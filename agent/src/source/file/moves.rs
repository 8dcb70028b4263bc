//! Where files have got to, told from the names that came and went.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    disk::path_in,
    unpack::PACKED,
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
    /// Where it is packed, if it was removed under a name for which an archive had just come.
    pub packed: Option<PathBuf>,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Follows each file through its renamings, so that one that came and was renamed at once is known by both names.
///
/// In the order of the hints: what stands at a path now need not be what stood there when the hint was written.
/// `before` are files that came with earlier hints and may not have been found where those said that they were.
#[must_use]
pub fn follow(before: Vec<Move>, changes: &[NameChange]) -> Vec<Move> {
    let is_at = |(index, before): (usize, &Move)| Some((before.to.clone()?, index));
    let mut standing: HashMap<PathBuf, usize> = before.iter().enumerate().filter_map(is_at).collect();
    let mut moves = before;
    // Since which of these hints each has the name that it has, and which archive was made of it.
    let mut named: HashMap<usize, usize> = HashMap::new();
    let mut archives: HashMap<usize, usize> = HashMap::new();
    // Those whose second name has not been told yet, by cookie.
    let mut under_way: HashMap<u32, usize> = HashMap::new();
    for (time, change) in changes.iter().enumerate() {
        let path = path_in(&change.folder, &change.name);
        match change.kind {
            ChangeKind::Went => {
                let archive = packed_names(&path).into_iter().find_map(|name| standing.get(&name).copied());
                let index = standing.remove(&path).unwrap_or_else(|| {
                    let (from, first) = (Some(path.clone()), path);
                    moves.push(Move { from, first, to: None, packed: None, is_folder: change.is_folder });
                    moves.len() - 1
                });
                moves[index].to = None;
                // One that stood there before this file had the name is of another file.
                if let Some(archive) = archive
                    && moves[index].from.is_none()
                    && moves[archive].from.is_none()
                    && (named.get(&archive), archive) > (named.get(&index), index)
                {
                    archives.insert(index, archive);
                }
                if change.cookie != 0 {
                    under_way.insert(change.cookie, index);
                }
            }
            ChangeKind::Came => {
                let index = under_way.remove(&change.cookie).unwrap_or_else(|| {
                    let first = path.clone();
                    moves.push(Move { from: None, first, to: None, packed: None, is_folder: change.is_folder });
                    moves.len() - 1
                });
                moves[index].to = Some(path.clone());
                named.insert(index, time);
                // A renaming over an existing name tells nothing of the file that had the name.
                if let Some(replaced) = standing.insert(path, index) {
                    moves[replaced].to = None;
                }
            }
        }
    }
    for (index, archive) in archives {
        moves[index].packed = moves[archive].to.clone().filter(|_| moves[index].to.is_none());
    }
    moves
}

/// The names that a file of that name is packed under.
fn packed_names(path: &Path) -> [PathBuf; PACKED.len()] {
    PACKED.map(|ending| {
        let mut name = OsString::from(path);
        name.push(".");
        name.push(ending);
        name.into()
    })
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
        follow(Vec::new(), &changes).into_iter().map(|m| (m.from.map(text), text(m.first), m.to.map(text))).collect()
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

    fn packed(before: Vec<Move>, changes: &[(ChangeKind, &str, u32)]) -> (Vec<Option<PathBuf>>, Vec<Move>) {
        let changes: Vec<_> = changes.iter().map(|(kind, name, cookie)| change(*kind, name, *cookie)).collect();
        let moves = follow(before, &changes);
        (moves.iter().map(|told| told.packed.clone()).collect(), moves)
    }

    #[test]
    fn a_file_that_was_packed_before_it_went_is_known_by_its_archive() {
        use ChangeKind::{Came, Went};
        // As logrotate does, and does again at once.
        let gzip = [
            (Came, "a.log", 0),
            (Went, "a.log", 1),
            (Came, "a.log.1", 1),
            (Came, "a.log.1.gz", 0),
            (Went, "a.log.1", 0),
            (Went, "a.log.1.gz", 2),
            (Came, "a.log.2.gz", 2),
        ];
        assert_eq!(packed(Vec::new(), &gzip).0, [Some("/l/a.log.2.gz".into()), None]);
        // As the kubelet does.
        let kubelet = [
            (Came, "0.log", 0),
            (Went, "0.log", 1),
            (Came, "0.log.1", 1),
            (Came, "0.log.1.tmp", 0),
            (Went, "0.log.1.tmp", 2),
            (Came, "0.log.1.gz", 2),
            (Went, "0.log.1", 0),
        ];
        assert_eq!(packed(Vec::new(), &kubelet).0, [Some("/l/0.log.1.gz".into()), None]);
        // Told in two rounds of hints.
        for round in 3..5 {
            let (_, moves) = packed(Vec::new(), &gzip[..round]);
            assert_eq!(packed(moves, &gzip[round..]).0[0], Some("/l/a.log.2.gz".into()), "{round}");
        }
    }

    #[test]
    fn an_archive_of_another_file_is_not_taken_for_its_own() {
        use ChangeKind::{Came, Went};
        // It stood there before the file had the name.
        let earlier = [
            (Came, "a.log.1.gz", 0),
            (Came, "a.log", 0),
            (Went, "a.log", 1),
            (Came, "a.log.1", 1),
            (Went, "a.log.1", 0),
        ];
        assert_eq!(packed(Vec::new(), &earlier).0, [None, None]);
        // The file was there before these hints, so it has been opened.
        let known = [(Came, "a.log.1.gz", 0), (Went, "a.log.1", 0)];
        assert_eq!(packed(Vec::new(), &known).0, [None, None]);
    }
}
