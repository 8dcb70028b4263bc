//! Fewer rights, or other names of hosts, for processes that root starts.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::{Command, Stdio},
};

/// The user `nobody` and the group `nogroup`, by their numbers.
const NOBODY: u32 = 65534;

/// The same command, run by a user without rights if we are root. What else was set but program, arguments and
/// environment is as in a new command, with an empty stdin.
#[must_use]
pub fn unprivileged(command: &Command) -> Command {
    let mut other = if is_root() {
        let mut setpriv = Command::new("setpriv");
        setpriv.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", "--"]);
        setpriv.arg(command.get_program());
        setpriv
    } else {
        Command::new(command.get_program())
    };
    other.args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    other
}

/// The same command where the kernel lets it watch one folder.
#[must_use]
pub fn with_one_watch(command: &Command) -> Command {
    // The limit is that of a user namespace of its own: others keep theirs.
    let script = "echo 1 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let mut other = Command::new("unshare");
    other.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).arg(command.get_program());
    other.args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    other
}

/// The same command with another file in place of `/etc/hosts`, which it alone sees. Its content may change.
#[must_use]
pub fn with_hosts(command: &Command, hosts: &Path) -> Command {
    let mut other = Command::new("unshare");
    other.args(["--mount", "--", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
    other.arg(hosts).arg(command.get_program()).args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    other
}

/// Gives a folder to the user that [`unprivileged`] commands are run by.
pub fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
