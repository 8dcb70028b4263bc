//! A journald of one's own.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{eventually, tool};

/// What journald sees in place of the machine's folders, mounted where only it is.
const MOUNTS: [(&str, &str); 3] = [("run", "/run"), ("log", "/var/log/journal"), ("etc", "/etc/systemd")];

/// A running journald with its files in a folder. Ended when dropped.
///
/// It needs mounts, and lets only root say which unit it is; a test that uses one fails for anybody else.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    journald: Child,
}

/// The standard output of a unit.
#[derive(Debug)]
pub struct UnitOutput(Child);

impl Journal {
    /// Starts one with its files below `folder` and with these settings beside its usual ones.
    #[must_use]
    pub fn start(folder: PathBuf, settings: &[&str]) -> Self {
        for (name, _) in MOUNTS {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let sockets = folder.join("run/systemd/journal");
        fs::create_dir_all(&sockets).unwrap();
        fs::create_dir_all(folder.join("run/systemd/units")).unwrap();
        // As after a boot: it writes to the disk at once.
        fs::write(sockets.join("flushed"), "").unwrap();
        // Nor does it remove anything because others have filled the machine's disk.
        let usual =
            ["Storage=persistent", "RateLimitIntervalSec=0", "ReadKMsg=no", "Audit=no", "Seal=no", "SystemKeepFree=1M"];
        let text = format!("[Journal]\n{}\n{}\n", usual.join("\n"), settings.join("\n"));
        fs::write(folder.join("etc/journald.conf"), text).unwrap();
        let mut command = within(&folder, tool("RUNLOG_TEST_JOURNALD", "journald"));
        let journald = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut journal = Self { folder, journald };
        eventually("journald takes entries", || {
            assert_eq!(journal.journald.try_wait().unwrap(), None, "journald has ended; are we root?");
            UnixStream::connect(journal.socket("stdout")).ok()?;
            UnixDatagram::unbound().unwrap().connect(journal.socket("socket")).ok()
        });
        journal
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// A command that finds this journal where programs look for the machine's.
    pub(crate) fn beside(&self, program: impl AsRef<OsStr>) -> Command {
        within(&self.folder, program)
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.join("run/systemd/journal").join(name)
    }

    /// Begins to print as a unit does.
    #[must_use]
    pub fn unit(&self, unit: &str) -> UnitOutput {
        // A process of its own: journald remembers of each to which unit it belongs.
        let connect = "socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un($ARGV[0])) \
                       && open(STDOUT, '>&', S) && exec('cat'); die $!";
        let mut command = Command::new("perl");
        command.args(["-MSocket", "-e", connect]).arg(self.socket("stdout")).stdin(Stdio::piped());
        let mut process = command.spawn().unwrap();
        // Identifier, unit, level, whether <3> at a line's start is a level, and three times not to be forwarded.
        write!(process.stdin.as_mut().unwrap(), "python\n{unit}\n6\n1\n0\n0\n0\n").unwrap();
        UnitOutput(process)
    }

    /// Says which start of a unit this is, as systemd does.
    pub fn set_invocation(&self, unit: &str, id: &str) {
        let link = self.folder.join("run/systemd/units").join(format!("invocation:{unit}"));
        std::os::unix::fs::symlink(id, link).unwrap();
    }

    /// Writes an entry with these fields.
    pub fn write(&self, fields: &[(&str, &[u8])]) {
        let mut entry = Vec::new();
        for (name, value) in fields {
            entry.extend_from_slice(name.as_bytes());
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
            entry.extend_from_slice(value);
            entry.push(b'\n');
        }
        UnixDatagram::unbound().unwrap().send_to(&entry, self.socket("socket")).unwrap();
    }

    /// Waits until that text is the journal's newest entries, one of each line, but for what journald has said of itself
    /// since.
    pub fn eventually_ends_with(&self, text: &str) {
        let expected: Vec<&str> = text.lines().collect();
        eventually(&format!("the journal ends with {text}"), || {
            let newest = self.journalctl(&["--lines=20", "--output=cat"]);
            let newest: Vec<&str> = newest.lines().map(str::trim_end).collect();
            newest.windows(expected.len()).any(|entries| entries == expected).then_some(())
        });
    }

    /// How many files it has.
    #[must_use]
    pub fn files(&self) -> usize {
        let folders = fs::read_dir(self.directory()).unwrap();
        folders.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    }

    /// Has journald begin a new file.
    pub fn rotate(&self) {
        let before = self.files();
        let pid = self.journald.id().to_string();
        assert!(Command::new("kill").args(["-USR2", &pid]).status().unwrap().success());
        eventually("the journal is rotated", || (self.files() != before).then_some(()));
    }

    /// Removes all files but the one that is written to.
    pub fn vacuum(&self) {
        self.journalctl(&["--vacuum-files=1"]);
        assert_eq!(self.files(), 1, "files are left");
    }

    fn journalctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("journalctl");
        command.arg(argument("--directory=", &self.directory())).args(arguments);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }
}

fn argument(name: &str, path: &Path) -> String {
    format!("{name}{}", path.display())
}

impl UnitOutput {
    /// Prints a line.
    pub fn print(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for UnitOutput {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.journald.kill();
        let _ = self.journald.wait();
    }
}

/// A command for which the folders below that one are mounted in place of the machine's.
fn within(folder: &Path, program: impl AsRef<OsStr>) -> Command {
    let mounts = MOUNTS.map(|(name, place)| format!("mount --bind {}/{name} {place}", folder.display()));
    let script = format!("{} && exec \"$0\" \"$@\"", mounts.join(" && "));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(program.as_ref());
    command
}
