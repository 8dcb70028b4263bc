//! Guides, done as they are written: what stands in a block of `sh` is run, in order, by one shell that stops at the first
//! command that fails.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use crate::{binary, root};

/// What a guide has people type.
///
/// # Panics
/// If there is nothing.
#[must_use]
pub fn commands_of(guide: &str) -> String {
    let text = fs::read_to_string(root().join("docs/guides").join(guide)).unwrap();
    let mut script = String::new();
    for block in text.split("```sh\n").skip(1) {
        script += block.split_once("```").expect("a block has an end").0;
    }
    assert!(!script.is_empty(), "{guide} has no commands");
    script
}

/// A folder with a training, in which commands are found that a machine of that kind has.
pub struct Desk(tempfile::TempDir);

impl Desk {
    /// One with `runlog` and `work/train.py`.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a folder is made")]
    pub fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::create_dir(desk.path().join("bin")).unwrap();
        fs::create_dir(desk.path().join("work")).unwrap();
        symlink(binary(), desk.path().join("bin/runlog")).unwrap();
        let training = "import sys\nprint('epoch 1 loss 0.31', *sys.argv[1:])\nprint('WARNING:train:late')\n";
        desk.write("train.py", training);
        desk
    }

    /// The folder above `bin` and `work`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a file where the commands are run.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join("work").join(name), text).unwrap();
    }

    /// Gives it a command.
    pub fn has(&self, name: &str, script: &str) {
        let path = self.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the commands of a guide print.
    #[must_use]
    pub fn follow(&self, guide: &str, variables: &[(&str, &str)]) -> String {
        self.run(&commands_of(guide), variables)
    }

    /// What these commands print.
    ///
    /// # Panics
    /// If one of them fails.
    #[must_use]
    pub fn run(&self, script: &str, variables: &[(&str, &str)]) -> String {
        let path = format!("{}:{}", self.path().join("bin").display(), env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-euxc", script]).current_dir(self.path().join("work")).env_clear();
        shell.env("PATH", path).env("HOME", self.path()).envs(variables.iter().copied());
        // The state is the desk's, also where the tests are run by root.
        let output = shell.env("RUNLOG_STATE_DIR", self.path().join("state")).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
        stdout
    }
}
