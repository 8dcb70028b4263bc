//! Containers of a real Docker engine.

use std::{
    process::{Command, Output},
    sync::OnceLock,
};

use crate::tool;

/// `DOCKER_HOST` of a running engine with the test image.
#[must_use]
pub fn docker_host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let host = tool("DOCKER_HOST", "docker-engine up").trim_start_matches("DOCKER_HOST=").to_owned();
        let script = crate::tools::root().join("tests/tools/test-image");
        let status = Command::new(script).arg(image()).env("DOCKER_HOST", &host).status().unwrap();
        assert!(status.success(), "the test image cannot be built");
        host
    })
}

fn image() -> String {
    std::env::var("RUNLOG_TEST_IMAGE").unwrap_or_else(|_| "runlog-test:1".to_owned())
}

/// A container; removed when dropped.
#[derive(Debug)]
pub struct Container {
    /// Its id.
    pub id: String,
}

impl Container {
    /// Runs `sh -c script` in a container, in the background, with these further flags of `docker run`.
    #[must_use]
    pub fn run(flags: &[&str], script: &str) -> Self {
        let image = image();
        let mut arguments = vec!["run", "--detach"];
        arguments.extend(flags);
        arguments.extend([image.as_str(), "sh", "-c", script]);
        let id = String::from_utf8(docker(&arguments).stdout).unwrap().trim().to_owned();
        Self { id }
    }

    /// Waits for its end and gives its exit code.
    #[must_use]
    pub fn wait(&self) -> i32 {
        String::from_utf8(docker(&["wait", &self.id]).stdout).unwrap().trim().parse().unwrap()
    }

    /// `docker start`, once it has ended.
    pub fn start(&self) {
        docker(&["start", &self.id]);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = command(&["rm", "--force", &self.id]).output();
    }
}

fn docker(arguments: &[&str]) -> Output {
    let output = command(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments).env("DOCKER_HOST", docker_host());
    command
}
