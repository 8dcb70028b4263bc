//! What runlog itself writes to the journal, so that it never reads itself.
//!
//! Process ids say nothing: another boot, or another container, has the same for others.

use std::fs;

use super::entry::JournalEntry;

/// Who we are for systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    invocation_id: Option<String>,
    unit: Option<String>,
}

impl Own {
    /// Looks at what the kernel says about this process; `invocation_id` is what systemd has said to it.
    pub(super) fn find(invocation_id: Option<String>) -> Self {
        let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { invocation_id, unit: service_in(&cgroup) }
    }

    /// Our unit, if it is a service.
    pub(super) fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Whether an entry is ours, or of an earlier start of our unit.
    pub(super) fn wrote(&self, entry: &JournalEntry) -> bool {
        let is_same = |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours == theirs;
        is_same(&self.invocation_id, &entry.invocation_id) || is_same(&self.unit, &entry.unit)
    }
}

/// The service that a process is in. Scopes, such as a user's session, hold others as well.
fn service_in(cgroup: &str) -> Option<String> {
    let last = |line: &str| line.rsplit('/').next().filter(|name| name.ends_with(".service")).map(str::to_owned);
    cgroup.lines().find_map(last).filter(|name| !name.starts_with("user@"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_service_is_the_innermost_and_a_session_is_none() {
        for (cgroup, service) in [
            ("0::/system.slice/runlog.service\n", Some("runlog.service")),
            ("1:name=systemd:/system.slice/runlog@7.service\n0::/\n", Some("runlog@7.service")),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/runlog.service\n", Some("runlog.service")),
            ("0::/user.slice/user-1000.slice/user@1000.service\n", None),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
            ("0::/\n", None),
        ] {
            assert_eq!(service_in(cgroup).as_deref(), service, "{cgroup}");
        }
    }
}
