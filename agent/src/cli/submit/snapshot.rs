//! The copy of a folder that a submitted script runs in, so that it may be edited meanwhile.
//!
//! Left out is what the first of `.runlogignore`, `.amlignore` and `.gitignore` names, a glob on each line: one without
//! a slash in it stands for that name in every folder, one with a slash for a path from the top; a slash at the end is for
//! folders alone. Also left out is `.git`.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use glob::{MatchOptions, Pattern};

use crate::record::{UnixNanos, system_time};

const IGNORE_FILES: [&str; 3] = [".runlogignore", ".amlignore", ".gitignore"];

/// What a snapshot may occupy: Azure ML's limit.
pub const MAX_BYTES: u64 = 300 << 20;

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Copies a folder, and tells how many bytes that are.
///
/// # Errors
/// If it is too large, or cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<u64> {
    let ignored = Ignored::read(from)?;
    let mut bytes = 0;
    let mut largest: Vec<(u64, PathBuf)> = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let at = from.join(&folder);
        fs::create_dir_all(to.join(&folder)).with_context(|| format!("{} cannot be made", to.display()))?;
        let unreadable = || format!("{} cannot be read", at.display());
        for entry in at.read_dir().with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().with_context(unreadable)?;
            // A state directory in the folder that is copied would be copied into itself.
            if ignored.is_ignored(&path, kind.is_dir()) || to.starts_with(from.join(&path)) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let size = entry.metadata().with_context(unreadable)?.len();
            bytes += size;
            largest.push((size, path.clone()));
            if bytes > MAX_BYTES {
                largest.sort_by(|one, other| other.cmp(one));
                let named = largest.iter().take(3).map(|(size, path)| format!("{} ({size} bytes)", path.display()));
                let named = named.collect::<Vec<_>>().join(", ");
                bail!(
                    "{} has more than {} MiB: {named}\nname what the script does not need in .runlogignore",
                    from.display(),
                    MAX_BYTES >> 20
                );
            }
            take(&from.join(&path), &to.join(&path)).with_context(|| format!("{} cannot be copied", path.display()))?;
        }
    }
    Ok(bytes)
}

fn take(from: &Path, to: &Path) -> io::Result<()> {
    let found = from.symlink_metadata()?;
    if found.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    // Sockets and the like are no part of a program.
    if found.is_file() { fs::copy(from, to).map(drop) } else { Ok(()) }
}

struct Ignored(Vec<Rule>);

struct Rule {
    pattern: Pattern,
    is_path: bool,
    is_for_folders: bool,
}

impl Ignored {
    fn read(folder: &Path) -> Result<Self> {
        let found = IGNORE_FILES.into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let text = match &found {
            Some(path) => fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
            None => String::new(),
        };
        let mut rules = Vec::new();
        for line in
            text.lines().chain([".git/"]).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let name = found.as_deref().unwrap_or(folder).display();
            if line.starts_with('!') {
                bail!(
                    "{name}: {line} takes back what another line leaves out, which is not understood\nname what is to be left out alone"
                );
            }
            let (is_for_folders, glob) = (line.ends_with('/'), line.trim_end_matches('/'));
            let (is_path, glob) = (glob.contains('/'), glob.trim_start_matches('/'));
            let pattern = Pattern::new(glob).with_context(|| format!("{name}: {line} is no glob"))?;
            rules.push(Rule { pattern, is_path, is_for_folders });
        }
        Ok(Self(rules))
    }

    fn is_ignored(&self, path: &Path, is_folder: bool) -> bool {
        self.0.iter().filter(|rule| is_folder || !rule.is_for_folders).any(|rule| {
            let subject = if rule.is_path { Some(path.as_os_str()) } else { path.file_name() };
            subject.and_then(|subject| subject.to_str()).is_some_and(|text| rule.pattern.matches_with(text, OPTIONS))
        })
    }
}

/// Whether a copy has files that it did not have when it was complete, or others in their place. What Python has
/// compiled is not counted.
///
/// # Errors
/// If it cannot be read.
pub fn has_grown(folder: &Path, copied: UnixNanos) -> io::Result<bool> {
    let copied = system_time(copied);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let entry = entry?;
            let found = entry.metadata()?;
            if found.is_dir() {
                folders.extend((entry.file_name() != "__pycache__").then(|| entry.path()));
            } else if found.modified()? > copied {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::record::{Clock, SystemClock};

    fn written(paths: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        dir
    }

    #[test]
    fn a_snapshot_has_all_but_what_is_ignored() {
        let paths =
            ["train.py", "lib/a.py", "lib/a.pyc", "raw/big.csv", "lib/raw/kept", "out", ".git/config", "notes/raw/x"];
        let from = written(&paths);
        fs::write(from.path().join(".runlogignore"), "# not these\n*.pyc\n/raw/\nout\nnotes/raw\n").unwrap();
        fs::write(from.path().join(".gitignore"), "train.py\n").unwrap();
        let to = from.path().join("state/snapshots/1");
        copy(from.path(), &to).unwrap();
        let kept: Vec<_> = paths.into_iter().filter(|path| to.join(path).exists()).collect();
        assert_eq!(kept, ["train.py", "lib/a.py", "lib/raw/kept"]);
        assert!(!to.join("state/snapshots/1").exists(), "it is not copied into itself");
    }

    #[test]
    fn a_copy_that_has_more_than_was_copied_is_told_from_one_that_python_has_compiled() {
        let from = written(&["train.py", "lib/a.py"]);
        let to = from.path().join("copy");
        copy(from.path(), &to).unwrap();
        let copied = SystemClock.now();
        let later = SystemTime::now() + Duration::from_secs(1);
        let left = |path: &str| {
            fs::create_dir_all(to.join(path).parent().unwrap()).unwrap();
            fs::File::create(to.join(path)).unwrap().set_modified(later).unwrap();
            has_grown(&to, copied).unwrap()
        };
        assert!(!has_grown(&to, copied).unwrap() && !left("lib/__pycache__/a.pyc"));
        assert!(left("outputs/model.pkl"));
    }

    #[test]
    fn a_folder_that_is_too_large_is_refused_with_what_is_large() {
        let from = written(&["train.py"]);
        let file = fs::File::create(from.path().join("weights.bin")).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        let to = tempfile::tempdir().unwrap();
        let error = copy(from.path(), to.path()).unwrap_err().to_string();
        assert!(error.contains("weights.bin") && error.contains(".runlogignore"), "{error}");
    }

    #[test]
    fn a_line_that_is_not_understood_is_said() {
        let from = written(&["a"]);
        let to = tempfile::tempdir().unwrap();
        for line in ["!kept", "[", "a***b"] {
            fs::write(from.path().join(".amlignore"), line).unwrap();
            let error = format!("{:#}", copy(from.path(), to.path()).unwrap_err());
            assert!(error.contains(".amlignore") && error.contains(line), "{error}");
        }
    }
}
