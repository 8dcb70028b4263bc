//! Which container is runlog's own, so that it never reads itself.

use std::fs;

/// The container that this process runs in, if it runs in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OwnContainer {
    ids: Vec<String>,
    /// The engine's default host name is the start of the id.
    host_name: Option<String>,
}

impl OwnContainer {
    /// Looks at what the kernel says about this process.
    pub(super) fn find() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let kernel = rustix::system::uname();
        let host_name = kernel.nodename().to_string_lossy();
        Self::from_texts(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), &host_name)
    }

    fn from_texts(cgroup: &str, mountinfo: &str, host_name: &str) -> Self {
        // Other mounts may lead to other containers: an agent may have all of their folders.
        let own_mounts = mountinfo.lines().filter(|line| {
            let target = line.split(' ').nth(4).unwrap_or_default();
            matches!(target, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf")
        });
        let ids = cgroup.lines().chain(own_mounts).filter_map(id_in).map(str::to_owned).collect();
        let host_name = host_name.trim();
        let is_short_id = host_name.len() == 12 && host_name.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self { ids, host_name: is_short_id.then(|| host_name.to_owned()) }
    }

    /// By which it may be asked for.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().chain(&self.host_name).map(String::as_str)
    }

    pub(super) fn is(&self, id: &str) -> bool {
        self.ids.iter().any(|own| own == id) || self.host_name.as_ref().is_some_and(|name| id.starts_with(name))
    }
}

/// The 64 hexadecimal digits of an id somewhere in a path.
fn id_in(line: &str) -> Option<&str> {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    line.split(|c: char| !c.is_ascii_alphanumeric()).find(is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c0a5e9b7d2486f0e1d2c3b4a5968778695a4b3c2d1e0f9a8b7c6d5e4f3021";
    const OTHER: &str = "00000a5e9b7d2486f0e1d2c3b4a5968778695a4b3c2d1e0f9a8b7c6d5e4f3021";

    #[test]
    fn s17_the_own_container_is_known_by_cgroup_or_mount_or_host_name() {
        let mount = format!("1 2 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda rw");
        let cases = [
            (format!("12:memory:/docker/{ID}\n0::/"), String::new(), "trainer\n"),
            (format!("0::/system.slice/docker-{ID}.scope"), String::new(), "trainer\n"),
            ("0::/".to_owned(), mount, "trainer\n"),
            ("0::/".to_owned(), String::new(), "3f1c0a5e9b7d\n"),
        ];
        for (cgroup, mountinfo, host_name) in cases {
            let own = OwnContainer::from_texts(&cgroup, &mountinfo, host_name);
            assert!(own.is(ID), "{cgroup} {mountinfo} {host_name}");
            assert!(!own.is(OTHER), "{cgroup} {mountinfo} {host_name}");
        }
    }

    #[test]
    fn a_mounted_folder_of_another_container_is_not_ours() {
        let mount = format!("1 2 8:1 /var/lib/docker/containers/{ID} /watched rw - ext4 /dev/sda rw");
        let own = OwnContainer::from_texts("0::/user.slice", &mount, "workstation");
        assert!(!own.is(ID));
    }
}
