//! The image of runlog, as `deploy/docker` makes it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    process::{Command, Output},
    sync::OnceLock,
};

use crate::{docker_host, root, tool};

/// The name of an image of this tree's program, in the engine that all share. Another tree's has another.
#[must_use]
pub fn runlog_image() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let mut tree = DefaultHasher::new();
        root().hash(&mut tree);
        let name = format!("runlog-under-test:{:x}", tree.finish());
        let program = tool("RUNLOG_TEST_STATIC", "static-runlog");
        let mut command = Command::new(root().join("deploy/docker/image"));
        let output = command.args([&name, &program]).env("DOCKER_HOST", docker_host()).output().unwrap();
        assert!(output.status.success(), "no image: {}", String::from_utf8_lossy(&output.stderr));
        name
    })
}

/// Runs the docker command on the engine that all share.
#[must_use]
pub fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).env("DOCKER_HOST", docker_host()).output().unwrap()
}
