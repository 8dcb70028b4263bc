//! Whether a script can be started, before there is a run of it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use rustix::fs::Access;

use crate::cli::exec::no_flag;

/// Where a program is looked for if there is no `PATH`.
///
/// Source: glibc, `execvp(3)`.
const USUAL: &str = "/bin:/usr/bin";

/// Looks for a program as `execvp(3)` does in that folder.
///
/// # Errors
/// If it is not there, or may not be executed.
pub fn check(name: &str, folder: &Path, search: Option<&OsStr>) -> Result<()> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![folder.join(name)]
    } else {
        let folders = std::env::split_paths(search.unwrap_or(OsStr::new(USUAL)));
        folders.map(|one| folder.join(one).join(name)).collect()
    };
    let mut files = candidates.iter().filter(|path| path.is_file()).peekable();
    let is_there = files.peek().is_some();
    if files.any(|path| rustix::fs::access(path, Access::EXEC_OK).is_ok()) {
        return Ok(());
    }
    match (is_there, name.contains('/')) {
        _ if name.starts_with('-') => Err(no_flag("submit", name)),
        (true, _) => {
            bail!("{name} cannot be started: it may not be executed\nmake it executable, or name what runs it")
        }
        (false, true) => bail!("{name} cannot be started: there is no such file in the copy of the folder"),
        (false, false) => bail!("{name} cannot be started: there is no such program in PATH"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_program_is_found_where_it_would_be_started_and_else_it_is_said_why_not() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("bin/train", 0o755), ("own", 0o755), ("plain", 0o644)] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let search = dir.path().join("bin");
        let said = |name: &str| {
            let found = check(name, dir.path(), Some(search.as_os_str()));
            found.err().map(|error| error.to_string().lines().next().unwrap().to_owned()).unwrap_or_default()
        };
        let own = dir.path().join("own");
        for name in ["train", "./own", own.to_str().unwrap()] {
            assert_eq!(said(name), "", "{name}");
        }
        let not = |name: &str, why: &str| assert_eq!(said(name), format!("{name} cannot be started: {why}"));
        not("own", "there is no such program in PATH");
        not("./plain", "it may not be executed");
        not("./missing", "there is no such file in the copy of the folder");
        not("./bin", "there is no such file in the copy of the folder");
        assert_eq!(said("--sweeep"), "--sweeep is no flag of `runlog submit`, and no program");
        assert!(check("sh", dir.path(), None).is_ok());
    }
}
