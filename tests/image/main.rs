//! The image, run by a real engine with as few rights as a careful operator gives it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use runlog_tests::{docker, docker_host, eventually, root, runlog_image, tool};
use serde_json::Value;

/// What an image of the release may take.
const MAX_BYTES: u64 = 15_000_000;
/// What the program is made of.
const BILL: &str = "usr/share/doc/runlog/runlog.cdx.json";

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

/// Names and versions of the crates that a program has paths of: `…/registry/src/INDEX/tokio-1.50.0/src/…`.
fn crates_in(program: &str) -> BTreeSet<String> {
    let folders = program.split("/registry/src/").skip(1).filter_map(|rest| rest.split('/').nth(1));
    let named = folders.filter_map(|folder| {
        let at =
            folder.match_indices('-').find(|(at, _)| folder[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?.0;
        Some(format!("{} {}", &folder[..at], &folder[at + 1..]))
    });
    named.collect()
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
fn the_image_holds_the_program_what_it_is_made_of_and_its_state_directory_alone() {
    let container = printed(&["create", runlog_image()]);
    let mut command = Command::new("sh");
    command.args(["-c", "docker export \"$1\" | tar --list", "sh", &container]).env("DOCKER_HOST", docker_host());
    let output = command.output().unwrap();
    let _ = docker(&["rm", "--volumes", &container]);
    let listed = String::from_utf8(output.stdout).unwrap();
    // What an engine puts into every container.
    let of_engine = ["dev/", "etc/", "proc/", "sys/", ".dockerenv"];
    let own = listed.lines().filter(|path| !of_engine.iter().any(|start| path.starts_with(start)));
    let folders = ["usr/", "usr/share/", "usr/share/doc/", "usr/share/doc/runlog/", BILL];
    let expected = [&["runlog"][..], &folders, &["var/", "var/lib/", "var/lib/runlog/"]].concat();
    assert_eq!(own.collect::<Vec<_>>(), expected);
}

/// The bill of materials in the image that a container is created of by those arguments.
fn bill(create: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bill.json");
    let container = printed(create);
    printed(&["cp", &format!("{container}:/{BILL}"), path.to_str().unwrap()]);
    let _ = docker(&["rm", "--volumes", &container]);
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_image_names_the_crates_that_are_in_the_program_and_none_that_is_for_tests() {
    let text = bill(&["create", runlog_image()]);
    let bill: Value = serde_json::from_str(&text).unwrap();
    let of = |part: &Value| format!("{} {}", part["name"].as_str().unwrap(), part["version"].as_str().unwrap());
    assert_eq!(of(&bill["metadata"]["component"]), concat!("runlog ", env!("CARGO_PKG_VERSION")));
    let parts = bill["components"].as_array().unwrap();
    let named: BTreeSet<String> = parts.iter().map(of).collect();

    // A program has where its crates' panics stand in their sources.
    let program = fs::read(tool("RUNLOG_TEST_STATIC", "static-runlog")).unwrap();
    let linked = crates_in(&String::from_utf8_lossy(&program));
    assert!(linked.len() > 50, "{linked:?}");
    let missing: Vec<_> = linked.iter().filter(|name| !named.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let manifest: toml::Table = fs::read_to_string(root().join("agent/Cargo.toml")).unwrap().parse().unwrap();
    let names = |table: &str| manifest[table].as_table().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let (own, for_tests) = (names("dependencies"), names("dev-dependencies"));
    let has = |name: &String| parts.iter().any(|part| part["name"] == **name);
    assert!(own.iter().all(has), "{own:?}");
    assert!(for_tests.contains("proptest") && !for_tests.difference(&own).any(has), "{for_tests:?}");

    // Crates of our own come from no registry.
    for part in parts.iter().filter(|part| !part["name"].as_str().unwrap().starts_with("runlog-")) {
        assert!(part["hashes"][0]["content"].is_string() && part["licenses"][0].is_object(), "{part}");
    }
    assert!(
        !text.contains(root().to_str().unwrap()) && !text.contains("/tmp/"),
        "where it was made is nobody's business"
    );
}

#[test]
fn an_image_of_the_release_is_small() {
    let program = tool("RUNLOG_TEST_STATIC", "static-runlog");
    let bytes: u64 = printed(&["image", "inspect", "--format", "{{.Size}}", runlog_image()]).parse().unwrap();
    // One that was built for tests is ten times as large.
    let is_release = Path::new(&program).components().any(|part| part.as_os_str() == "release");
    assert!(!is_release || bytes <= MAX_BYTES, "{bytes} bytes");
}

#[test]
fn an_image_for_another_machine_says_so() {
    let (arch, machine) = if cfg!(target_arch = "x86_64") { ("arm64", "aarch64") } else { ("amd64", "x86_64") };
    let name = &format!("{}-{arch}", runlog_image());
    // Which program it holds does not matter.
    let program = tool("RUNLOG_TEST_STATIC", "static-runlog");
    let mut command = Command::new(root().join("deploy/docker/image"));
    let output = command.args([name, &program]).env("ARCH", arch).env("DOCKER_HOST", docker_host()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed(&["image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", name]), format!("linux/{arch}"));
    let text = bill(&["create", "--platform", &format!("linux/{arch}"), name]);
    let _ = docker(&["image", "rm", name]);
    assert!(text.contains(&format!("{machine}-unknown-linux-musl")));
}
