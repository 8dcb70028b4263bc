//! Whether a program can be started, and if not, why.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow, bail};
use rustix::fs::Access;

/// Where a program is looked for if there is no `PATH`.
///
/// Source: glibc, `execvp(3)`.
const USUAL: &str = "/bin:/usr/bin";

/// So much of a script is looked at by Linux for the program that reads it.
///
/// Source: Linux, `execve(2)`, "Interpreter scripts".
const FIRST_LINE: u64 = 256;

/// Where a program is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// From there.
    pub folder: &'a Path,
    /// What a user calls the folder.
    pub called: &'a str,
    /// The value of `PATH`.
    pub search: Option<&'a OsStr>,
}

/// Looks for a program as `execvp(3)` does.
///
/// # Errors
/// If it is not there, may not be executed, or is a script whose interpreter cannot be started.
pub fn check(name: &OsStr, place: &Place) -> Result<()> {
    let has_folder = name.as_bytes().contains(&b'/');
    let candidates: Vec<PathBuf> = if has_folder {
        vec![place.folder.join(name)]
    } else {
        let folders = std::env::split_paths(place.search.unwrap_or(OsStr::new(USUAL)));
        folders.map(|one| place.folder.join(one).join(name)).collect()
    };
    let mut files = candidates.iter().filter(|path| path.is_file()).peekable();
    let is_there = files.peek().is_some();
    let shown = name.to_string_lossy();
    if let Some(path) = files.find(|path| may_execute(path)) {
        return fault_of_script(path, place.folder)
            .map_or(Ok(()), |why| Err(anyhow!("{shown} cannot be started: {why}")));
    }
    match (is_there, has_folder) {
        (true, _) => {
            bail!("{shown} cannot be started: it may not be executed\nmake it executable, or name what runs it")
        }
        (false, true) => bail!("{shown} cannot be started: there is no such file in {}", place.called),
        (false, false) => bail!("{shown} cannot be started: there is no such program in PATH"),
    }
}

fn may_execute(path: &Path) -> bool {
    rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

/// What is wrong with the first line of a script, which names what reads it.
fn fault_of_script(path: &Path, folder: &Path) -> Option<String> {
    let interpreter = interpreter(path)?;
    let found = folder.join(&interpreter);
    // Shown with escapes, since what is wrong may be what is not seen.
    match (found.is_file(), may_execute(&found)) {
        (true, true) => None,
        (true, false) => Some(format!("its first line asks for {interpreter:?}, which may not be executed")),
        (false, _) if interpreter.as_bytes().ends_with(b"\r") => {
            Some(format!("its first line asks for {interpreter:?}: the file has the line ends of Windows"))
        }
        (false, _) => Some(format!("its first line asks for {interpreter:?}, which is not there")),
    }
}

/// The program that Linux starts for a script; nothing if it is no script, or may not be read.
fn interpreter(path: &Path) -> Option<OsString> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(FIRST_LINE).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let word = line.split(is_blank).find(|word| !word.is_empty())?;
    Some(OsString::from_vec(word.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_program_is_found_where_it_would_be_started_and_else_it_is_said_why_not() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode, text) in [
            ("bin/train", 0o755, ""),
            ("own", 0o755, "#!/bin/sh -e\n"),
            ("beside", 0o755, "#! bin/train\n"),
            ("plain", 0o644, ""),
            ("gone", 0o755, "#!/no/such/python -u\n"),
            ("closed", 0o755, "#!plain\n"),
            ("windows", 0o755, "#!/bin/sh\r\n"),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let search = dir.path().join("bin");
        let place = Place { folder: dir.path(), called: "the copy", search: Some(search.as_os_str()) };
        let said = |name: &str| {
            let found = check(OsStr::new(name), &place);
            found.err().map(|error| error.to_string().lines().next().unwrap().to_owned()).unwrap_or_default()
        };
        let own = dir.path().join("own");
        for name in ["train", "./own", own.to_str().unwrap(), "./beside"] {
            assert_eq!(said(name), "", "{name}");
        }
        let not = |name: &str, why: &str| assert_eq!(said(name), format!("{name} cannot be started: {why}"));
        not("own", "there is no such program in PATH");
        not("./plain", "it may not be executed");
        not("./missing", "there is no such file in the copy");
        not("./bin", "there is no such file in the copy");
        not("./gone", "its first line asks for \"/no/such/python\", which is not there");
        not("./closed", "its first line asks for \"plain\", which may not be executed");
        not("./windows", "its first line asks for \"/bin/sh\\r\": the file has the line ends of Windows");
        assert!(check(OsStr::new("sh"), &Place { search: None, ..place }).is_ok());
    }
}
