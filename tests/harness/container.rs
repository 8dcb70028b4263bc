//! Containers of a real Docker engine.

use std::{
    process::{Command, Output},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

use crate::{Agent, AgentBuilder, tool, tools::root};

/// `DOCKER_HOST` of a running engine with the test image.
#[must_use]
pub fn docker_host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let host = tool("DOCKER_HOST", "docker-engine up").trim_start_matches("DOCKER_HOST=").to_owned();
        give_image(&host);
        host
    })
}

/// Gives an engine the test image.
pub(crate) fn give_image(host: &str) {
    let script = root().join("tests/tools/test-image");
    let status = Command::new(script).arg(image()).env("DOCKER_HOST", host).status().unwrap();
    assert!(status.success(), "the test image cannot be built");
}

fn image() -> String {
    std::env::var("RUNLOG_TEST_IMAGE").unwrap_or_else(|_| "runlog-test:1".to_owned())
}

/// The containers of one test. A label tells them apart from those of other tests on the same engine.
#[derive(Debug)]
pub struct Containers {
    host: String,
    label: String,
}

impl Containers {
    /// Those of a new test on the engine that all share.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts an engine")]
    pub fn new() -> Self {
        Self::on(docker_host())
    }

    /// Those of a new test on that engine.
    #[must_use]
    pub fn on(host: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let time = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let label = format!("runlog-test={time}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { host: host.to_owned(), label }
    }

    /// The label that they have, as `key=value`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// An agent that collects these containers and nothing else, through their engine.
    #[must_use]
    pub fn agent(&self) -> AgentBuilder {
        Agent::builder()
            .set("RUNLOG_DOCKER_FILES", "off")
            .set("RUNLOG_DOCKER_COLLECT", "on")
            .set("RUNLOG_DOCKER_HOST", &self.host)
            .set("RUNLOG_DOCKER_INCLUDE", format!("label={}", self.label()))
            .set("RUNLOG_FILES", "")
    }

    /// The folder where the engine keeps its containers.
    #[must_use]
    pub fn folder(&self) -> String {
        let output = docker(&self.host, &["info", "--format", "{{.DockerRootDir}}/containers"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs `sh -c script` in a container, in the background, with these further flags of `docker run`.
    #[must_use]
    pub fn run(&self, flags: &[&str], script: &str) -> Container {
        let image = image();
        let mut arguments = vec!["run", "--detach", "--label", self.label()];
        arguments.extend(flags);
        arguments.extend([image.as_str(), "sh", "-c", script]);
        let output = docker(&self.host, &arguments);
        Container { id: String::from_utf8(output.stdout).unwrap().trim().to_owned(), host: self.host.clone() }
    }

    /// Runs a container to its end.
    #[must_use]
    pub fn run_to_end(&self, flags: &[&str], script: &str) -> Container {
        let container = self.run(flags, script);
        assert_eq!(container.wait(), 0, "{script}");
        container
    }
}

/// A container; removed when dropped.
#[derive(Debug)]
pub struct Container {
    /// Its id.
    pub id: String,
    host: String,
}

impl Container {
    /// Waits for its end and gives its exit code.
    #[must_use]
    pub fn wait(&self) -> i32 {
        let output = docker(&self.host, &["wait", &self.id]);
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    /// `docker start`, once it has ended.
    pub fn start(&self) {
        self.docker(&["start"]);
    }

    /// `docker restart`, without patience for its process.
    pub fn restart(&self) {
        self.docker(&["restart", "--time", "0"]);
    }

    /// `docker rename`.
    pub fn rename(&self, name: &str) {
        docker(&self.host, &["rename", &self.id, name]);
    }

    /// What the engine has kept of its stdout and its stderr.
    #[must_use]
    pub fn logs(&self) -> (String, String) {
        let output = docker(&self.host, &["logs", &self.id]);
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Whether the engine has it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        command(&self.host, &["inspect", &self.id]).output().unwrap().status.success()
    }

    /// `docker rm --force`.
    pub fn remove(&self) {
        self.docker(&["rm", "--force"]);
    }

    /// `docker exec` with that shell script. Where the script lets the container end, the end may kill the script before it
    /// has returned: that is no failure.
    pub fn shell(&self, script: &str) {
        const KILLED: i32 = 128 + 9;
        let output = command(&self.host, &["exec", &self.id, "sh", "-c", script]).output().unwrap();
        let went = output.status.success() || output.status.code() == Some(KILLED);
        assert!(went, "docker exec {script:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }

    fn docker(&self, arguments: &[&str]) {
        docker(&self.host, &[arguments, &[&self.id]].concat());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = command(&self.host, &["rm", "--force", &self.id]).output();
    }
}

fn docker(host: &str, arguments: &[&str]) -> Output {
    let mut output = command(host, arguments).output().unwrap();
    // Podman was seen not to know its image for a moment, on a busy machine.
    if String::from_utf8_lossy(&output.stderr).contains("Unable to find image") {
        output = command(host, arguments).output().unwrap();
    }
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn command(host: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments).env("DOCKER_HOST", host);
    command
}
