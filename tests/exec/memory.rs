//! A program that takes more memory than there is.

use std::{fs, path::PathBuf, process::Command};

use runlog_tests::State;

/// A control group with a limit of memory, removed when dropped. Making one is root's right.
struct Group(PathBuf);

impl Group {
    fn limited_to(bytes: u64) -> Self {
        let name = format!("runlog-test-{}", std::process::id());
        let old = PathBuf::from("/sys/fs/cgroup/memory");
        let (path, limit) = if old.is_dir() {
            (old.join(name), "memory.limit_in_bytes")
        } else {
            (PathBuf::from("/sys/fs/cgroup").join(name), "memory.max")
        };
        fs::create_dir(&path).unwrap();
        fs::write(path.join(limit), bytes.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn s5_that_the_kernel_killed_a_process_for_want_of_memory_is_told() {
    let group = Group::limited_to(96 << 20);
    let state = State::new();
    for (run, script, code) in [("itself", "exec tail /dev/zero", 137), ("its-worker", "tail /dev/zero; exit 3", 3)] {
        let inner = state.command(&["exec", "--run-id", run, "--", "sh", "-c", script]);
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&group.0);
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let end = state.lines(run).into_iter().find(|line| line.text("event_name") == "ml.run.end").unwrap();
        assert_eq!(end.attribute("runlog.oom_killed"), "true", "{end:?}");
        assert!(end.body().ends_with("; the kernel killed a process for want of memory"), "{}", end.body());
    }
}
