//! Whether the kernel ended a process of ours for want of memory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// The count that the kernel keeps for the control group of this process.
#[derive(Debug)]
pub(super) struct OomKills {
    file: PathBuf,
    before: u64,
}

impl OomKills {
    /// Begins to look. `None` where it is not told, such as outside of any group.
    pub(super) fn watch() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let file = counters(Path::new(MOUNT), &own).into_iter().find(|file| count(file).is_ok())?;
        let before = count(&file).ok()?;
        Some(Self { file, before })
    }

    /// Whether a process of the group was killed since then.
    pub(super) fn are_more(&self) -> bool {
        count(&self.file).is_ok_and(|now| now > self.before)
    }
}

/// The files that may have the count, the best first: of version 2 and of version 1, in which a container that has no
/// names of its own sees its group at the mount, not where `/proc` says.
fn counters(mount: &Path, own: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        let (mount, name) = match controllers {
            "" => (mount.to_owned(), "memory.events"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (mount.join("memory"), "memory.oom_control")
            }
            _ => continue,
        };
        files.push(mount.join(path).join(name));
        files.push(mount.join(name));
    }
    files
}

fn count(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let number = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_both_versions_and_with_the_container_s_group_at_the_mount() {
        let mount = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = mount.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.events", "low 0\nhigh 0\nmax 7\noom 4\noom_kill 3\noom_group_kill 0\n");
        write("job/memory.events", "oom 2\noom_kill 2\n");
        write("memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
        let found = |own: &str| counters(mount.path(), own).iter().find_map(|file| count(file).ok());
        assert_eq!(found("0::/job\n"), Some(2));
        assert_eq!(found("0::/\n"), Some(3));
        assert_eq!(found("4:cpu:/\n3:hugetlb,memory:/job\n"), Some(5));
        assert_eq!(found("0::/docker/0123\n"), Some(3));
        assert_eq!(found("4:cpu:/\n"), None);
    }
}
