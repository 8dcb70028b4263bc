//! A machine in which systemd runs: a container with Debian and nothing of runlog's.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

use crate::{Line, agent::lines_in, binary, docker, docker_host, eventually, root, tool};

/// The versions of runlog's package that a machine finds.
pub const PACKAGE_VERSIONS: [&str; 2] = ["0.1.0-1", "0.1.0-2"];

/// The folder with a package of each version, made of the program that was built for the tests.
fn packages() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = binary().parent().unwrap().join("packages");
        // What an earlier build has left would be installed in place of this one.
        let _ = fs::remove_dir_all(&folder);
        for version in PACKAGE_VERSIONS {
            let mut command = Command::new(root().join("deploy/debian/package"));
            command.arg(binary()).arg(&folder).args(["--fast", "--compress-type", "gz", "--deb-version", version]);
            let output = command.output().unwrap();
            assert!(output.status.success(), "no package: {}", String::from_utf8_lossy(&output.stderr));
        }
        folder
    })
}

/// A running machine without a network. Removed when dropped.
#[derive(Debug)]
pub struct Machine {
    id: String,
}

impl Machine {
    /// Boots one in which runlog's packages are at `/packages`, and the engine's socket at `/docker.sock`.
    #[must_use]
    pub fn boot() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let image = tool("RUNLOG_TEST_SYSTEMD", "systemd-image");
        // One that a killed test has left may have had the same process id.
        let time = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let name = format!("runlog-machine-{time}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let packages = format!("{}:/packages:ro", packages().display());
        let socket = format!("{}:/docker.sock", docker_host().trim_start_matches("unix://"));
        // Its own cgroups, of the one kind that systemd finds in the same way everywhere. Credentials of units are mounts
        // that have to be seen by all, as they are where systemd has booted the machine.
        let boot = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup &&
            mount --make-rshared / && exec /sbin/init";
        let mut arguments =
            vec!["run", "--detach", "--name", &name, "--network", "none", "--label", "runlog.enabled=false"];
        arguments.extend(["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--cgroupns", "private"]);
        arguments.extend(["--security-opt", "apparmor=unconfined", "--hostname", "machine"]);
        arguments.extend(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"]);
        arguments.extend(["--volume", &packages, "--volume", &socket, &image, "sh", "-c", boot]);
        let output = docker(&arguments);
        assert!(output.status.success(), "no machine: {}", String::from_utf8_lossy(&output.stderr));
        let machine = Self { id: name };
        eventually("the machine has booted", || {
            let output = machine.output("systemctl is-system-running");
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert!(!state.starts_with("degraded"), "a unit of the machine has failed");
            (state == "running").then_some(())
        });
        machine
    }

    /// Runs a shell script in it as root.
    #[must_use]
    pub fn output(&self, script: &str) -> Output {
        docker(&["exec", &self.id, "sh", "-c", script])
    }

    /// What a shell script prints, which has to end well.
    pub fn run(&self, script: &str) -> String {
        let output = self.output(script);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script:?}: {}: {stdout}{stderr}", output.status);
        stdout.trim_end().to_owned()
    }

    /// A property of a unit, as `systemctl show` has it.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show --value --property {name} {unit}"))
    }

    /// The lines of a run in the store of runlog's service; none if the run is not known yet.
    #[must_use]
    pub fn lines(&self, run: &str) -> Vec<Line> {
        let lines = lines_in(&self.output(&format!("runlog logs {run} --json"))).unwrap_or_default();
        lines.into_iter().filter(Line::is_printed).collect()
    }

    /// Waits until a run has that line.
    pub fn eventually_has(&self, run: &str, body: &str) {
        eventually(&format!("run {run} has {body:?}"), || {
            self.lines(run).iter().any(|line| line.body() == body).then_some(())
        });
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.output("journalctl --no-pager --lines 40 --unit runlog");
            eprintln!("--- the unit's journal ---\n{}", String::from_utf8_lossy(&journal.stdout));
        }
        let _ = docker(&["rm", "--force", "--volumes", &self.id]);
    }
}
