//! Which container of which pod runlog runs in, so that it never reads itself.

use std::fs;

use super::{PodLog, Scope};

/// The container's name in our own examples, where the kernel does not tell another.
const USUAL_NAME: &str = "runlog";

/// The pod and the container of this process, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    uid: Option<String>,
    container: Option<String>,
}

impl Own {
    /// What the environment or else the kernel says.
    pub(super) fn find(uid: &str) -> Self {
        let found = Self::of_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        let told = Some(uid.to_owned()).filter(|uid| !uid.is_empty());
        Self { uid: told.or(found.uid), ..found }
    }

    /// The kubelet mounts `.../pods/UID/etc-hosts` and `.../pods/UID/containers/NAME/HASH` into each container.
    ///
    /// Source: kubernetes `pkg/kubelet/kubelet_pods.go` (`makeHostsMount`), `pkg/kubelet/kuberuntime` (`makeMounts`).
    fn of_mounts(mountinfo: &str) -> Self {
        let root_of = |mounted: &str| {
            mountinfo.lines().find_map(|line| {
                let mut fields = line.split(' ').skip(3);
                let (root, target) = (fields.next()?, fields.next()?);
                (target == mounted).then_some(root)
            })
        };
        let below_pods = |root: &str| {
            let mut rest = root.rsplit_once("/pods/")?.1.split('/').map(str::to_owned);
            Some((rest.next()?, rest.next()?, rest.next()))
        };
        let hosts = root_of("/etc/hosts").and_then(below_pods).filter(|(_, name, _)| name == "etc-hosts");
        let messages = root_of("/dev/termination-log").and_then(below_pods);
        let messages = messages.filter(|(_, folder, _)| folder == "containers");
        let uid = hosts.map(|(uid, ..)| uid).or_else(|| messages.clone().map(|(uid, ..)| uid));
        Self { uid, container: messages.and_then(|(_, _, container)| container) }
    }

    /// The pod's uid.
    pub(super) fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// Whether a log is of this container.
    pub(super) fn is(&self, log: &PodLog<'_>) -> bool {
        self.uid() == Some(log.uid) && log.container == self.container.as_deref().unwrap_or(USUAL_NAME)
    }

    /// Whether a log is of a pod that is to be looked at.
    pub(super) fn is_near(&self, log: &PodLog<'_>, scope: Scope) -> bool {
        scope == Scope::Node || self.uid() == Some(log.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "12345678-1234-1234-1234-123456789abc";

    fn log(uid: &'static str, container: &'static str) -> PodLog<'static> {
        PodLog { namespace: "ml", name: "train", uid, container, restarts: 0 }
    }

    #[test]
    fn s17_the_own_container_of_a_pod_is_known_by_what_the_kubelet_mounts_into_it() {
        let root = format!("/var/lib/kubelet/pods/{UID}");
        let mounts = format!(
            "1 2 8:1 / / rw - overlay overlay rw\n\
             3 1 8:1 {root}/etc-hosts /etc/hosts rw - ext4 /dev/sda rw\n\
             4 1 8:1 {root}/containers/collector/0f3c /dev/termination-log rw - ext4 /dev/sda rw\n\
             5 1 8:1 /var/log/pods /var/log/pods ro - ext4 /dev/sda rw\n"
        );
        let own = Own::of_mounts(&mounts);
        assert_eq!(own, Own { uid: Some(UID.into()), container: Some("collector".into()) });
        assert!(own.is(&log(UID, "collector")));
        assert!(!own.is(&log(UID, "trainer")) && !own.is(&log("another", "collector")));
        assert!(own.is_near(&log(UID, "trainer"), Scope::Pod) && !own.is_near(&log("another", "x"), Scope::Pod));
        assert!(own.is_near(&log("another", "x"), Scope::Node));
    }

    #[test]
    fn outside_of_a_pod_nothing_is_ours() {
        let mounts = "1 2 8:1 / / rw - ext4 /dev/sda rw\n3 1 8:1 /srv/pods/u/hosts /etc/hosts rw - ext4 /dev/sda rw\n";
        let own = Own::of_mounts(mounts);
        assert_eq!(own, Own::default());
        assert!(!own.is(&log(UID, "runlog")));
        let told = Own { uid: Some(UID.to_owned()), ..own };
        assert!(told.is(&log(UID, "runlog")) && !told.is(&log(UID, "trainer")));
    }
}
