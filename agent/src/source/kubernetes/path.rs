//! What the path of a container's log says: `NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`, also with the time of its
//! rotation behind.
//!
//! Source: kubernetes `pkg/kubelet/kuberuntime/helpers.go` and `pkg/kubelet/logs/container_log_manager.go`.

use std::path::{Component, Path};

/// The log of one life of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodLog<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub name: &'a str,
    /// The pod's uid: a UUID, or the hash of a static pod.
    pub uid: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// How many lives it had before.
    pub restarts: i64,
}

impl<'a> PodLog<'a> {
    /// Takes a path apart. `None` if it is of another form.
    #[must_use]
    pub fn of(path: &'a Path) -> Option<Self> {
        let mut parts = path.components().rev().map(Component::as_os_str).map(std::ffi::OsStr::to_str);
        let (file, container, pod) = (parts.next()??, parts.next()??, parts.next()??);
        let restarts = file.split_once(".log")?.0.parse().ok()?;
        let mut names = pod.split('_');
        let (namespace, name, uid) = (names.next()?, names.next()?, names.next()?);
        // Other folders have two underscores as well, but no such id behind them.
        let is_uid = matches!(uid.len(), 32 | 36) && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        (is_uid && names.next().is_none()).then_some(Self { namespace, name, uid, container, restarts })
    }
}
