//! The image, run by a real engine with as few rights as a careful operator gives it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use runlog_tests::{docker, docker_host, eventually, runlog_image};

/// A container of the image, without a network, removed when dropped.
struct Contained(String);

impl Contained {
    /// Starts one that follows the files of a folder as run `r`.
    fn start(folder: &Path) -> Self {
        let logs = format!("{}:/logs:ro", folder.display());
        let mut arguments = vec!["run", "--detach", "--network", "none", "--read-only", "--cap-drop", "ALL"];
        arguments.extend(["--security-opt", "no-new-privileges:true", "--health-interval", "1s", "--volume", &logs]);
        arguments.extend(["--env", "RUNLOG_RUN_ID=r", "--env", "RUNLOG_FILES=/logs/*.log", runlog_image()]);
        Self(printed(&arguments))
    }

    fn inspect(&self, format: &str) -> String {
        printed(&["inspect", "--format", format, &self.0])
    }

    /// What a command of the program in it prints, if it ends well.
    fn runlog(&self, arguments: &[&str]) -> Option<String> {
        let output = docker(&[&["exec", &self.0, "/runlog"], arguments].concat());
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

fn printed(arguments: &[&str]) -> String {
    let output = docker(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A folder that anybody may read, as logs in a volume are.
fn logs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_container_without_rights_collects_is_healthy_and_reads_to_the_end_when_it_is_stopped() {
    let folder = logs();
    let contained = Contained::start(folder.path());
    fs::write(folder.path().join("train.log"), "epoch 1\n").unwrap();
    eventually("the line is collected", || contained.runlog(&["logs", "r"]).filter(|lines| lines == "epoch 1\n"));
    eventually("it is healthy", || (contained.inspect("{{.State.Health.Status}}") == "healthy").then_some(()));
    assert_eq!(contained.inspect("{{.Config.User}}"), "65532:65532");

    fs::write(folder.path().join("last.log"), "the end").unwrap();
    printed(&["stop", "--time", "30", &contained.0]);
    assert_eq!(contained.inspect("{{.State.ExitCode}}"), "0");
    printed(&["start", &contained.0]);
    eventually("the last line is there", || contained.runlog(&["logs", "r"]).filter(|lines| lines.contains("the end")));
}

#[test]
fn the_image_holds_the_program_and_its_state_directory_alone() {
    let container = printed(&["create", runlog_image()]);
    let mut command = Command::new("sh");
    command.args(["-c", "docker export \"$1\" | tar --list", "sh", &container]).env("DOCKER_HOST", docker_host());
    let output = command.output().unwrap();
    let _ = docker(&["rm", "--volumes", &container]);
    let listed = String::from_utf8(output.stdout).unwrap();
    // What an engine puts into every container.
    let of_engine = ["dev/", "etc/", "proc/", "sys/", ".dockerenv"];
    let own = listed.lines().filter(|path| !of_engine.iter().any(|start| path.starts_with(start)));
    assert_eq!(own.collect::<Vec<_>>(), ["runlog", "var/", "var/lib/", "var/lib/runlog/"]);
}
