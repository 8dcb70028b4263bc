//! Programs that tests need.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Runs that `runlog` program in what is started from now on.
///
/// # Panics
/// If one was started already.
pub fn use_binary(path: PathBuf) {
    BINARY.set(path).expect("no runlog was started yet");
}

/// The `runlog` program that was built from this workspace with the profile of this test, unless another is used.
#[must_use]
pub fn binary() -> &'static Path {
    BINARY.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let profile_dir = test.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == "deps")).unwrap();
        let binary = profile_dir.parent().unwrap().join("runlog");
        assert!(binary.exists(), "{} is missing, run `cargo build -p runlog` first", binary.display());
        binary
    })
}

/// A tool's path: from the variable if it is set, else from the last line that its script in `tests/tools` prints. A
/// script is run once, and no two at a time.
#[must_use]
pub fn tool(variable: &str, script: &str) -> String {
    if let Ok(path) = env::var(variable)
        && !path.is_empty()
    {
        return path;
    }
    static MADE: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    // After a panic as well: it was a script that has failed.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = made.get(script) {
        return path.clone();
    }
    let words: Vec<&str> = script.split(' ').collect();
    let path = root().join("tests/tools").join(words[0]);
    let output = Command::new(&path).args(&words[1..]).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} failed: {}", path.display(), output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let path = text.lines().last().unwrap_or_default().trim().to_owned();
    made.insert(script.to_owned(), path.clone());
    path
}
