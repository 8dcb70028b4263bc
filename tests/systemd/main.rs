//! Debian's package in a real systemd: installed, at work, upgraded and removed as an operator does it.
//!
//! Each test boots a machine of its own; the packages are made once, of the program that was built for the tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod package;
mod service;

use runlog_tests::{Machine, PACKAGE_VERSIONS};

/// The installed version, and the one that it is upgraded to.
const VERSIONS: [&str; 2] = PACKAGE_VERSIONS;

/// A machine with runlog, which follows `/srv/*.log` as run `r`.
fn machine_with_runlog() -> Machine {
    let machine = Machine::boot();
    machine.run(
        "mkdir -p /etc/systemd/system/runlog.service.d && cat >/etc/systemd/system/runlog.service.d/run.conf <<END
[Service]
Environment=RUNLOG_RUN_ID=r RUNLOG_FILES=/srv/*.log RUNLOG_DOCKER_COLLECT=off
END",
    );
    machine.run(&install(VERSIONS[0]));
    machine
}

/// The command that installs a version.
fn install(version: &str) -> String {
    format!("dpkg --install /packages/runlog_{version}_*.deb")
}
