//! Containers that have printed a file each: what is read through a Docker engine, or from its own files.
//!
//! The engine is that of `DOCKER_HOST`, with the image that `tests/tools/test-image` makes; `tests/bench/run` sees to both.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::{feed, measure::agent::cpu_of};

/// The label that only these containers have.
pub const LABEL: &str = "runlog.bench=1";
const IMAGE: &str = "runlog-test:1";
const ENGINE: &str = "dockerd";

/// Containers that have ended. Removed when dropped.
#[derive(Debug)]
pub struct Containers {
    ids: Vec<String>,
}

/// Where an engine is.
#[derive(Debug, Clone)]
pub struct Engine {
    /// As in `DOCKER_HOST`.
    pub host: String,
    /// The folder of its containers.
    pub folder: PathBuf,
}

impl Containers {
    /// Prints the file of each stream in `logs` in a container of its own, one after the other.
    ///
    /// # Errors
    /// If the engine or its image is not there.
    pub fn print(logs: &Path, streams: u16) -> anyhow::Result<Self> {
        let mut containers = Self { ids: Vec::new() };
        for stream in 0..streams {
            let file = feed::path_of(logs, stream);
            let mount = format!("{}:/lines:ro", file.display());
            let run =
                ["run", "--detach", "--log-driver", "json-file", "--label", LABEL, "--network", "none", "--volume"];
            containers.ids.push(docker(&[&run[..], &[&mount, IMAGE, "cat", "/lines"]].concat())?);
        }
        for id in &containers.ids {
            ensure!(docker(&["wait", id])? == "0", "a container could not print its lines");
        }
        Ok(containers)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        let ids = self.ids.iter().map(String::as_str);
        // What cannot be removed now is named by its label.
        let _ = docker(&["rm", "--force"].into_iter().chain(ids).collect::<Vec<_>>());
    }
}

impl Engine {
    /// The engine that is asked.
    ///
    /// # Errors
    /// If there is none.
    pub fn find() -> anyhow::Result<Self> {
        let host = env::var("DOCKER_HOST").context("containers need DOCKER_HOST; tests/bench/run sets it")?;
        let root = docker(&["info", "--format", "{{.DockerRootDir}}"])?;
        Ok(Self { host, folder: Path::new(&root).join("containers") })
    }

    /// The CPU time of all engines of this machine: there is one.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn cpu() -> anyhow::Result<Duration> {
        let mut cpu = Duration::ZERO;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
                continue;
            };
            // It may end while it is looked at.
            if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == ENGINE) {
                cpu += cpu_of(pid).unwrap_or_default();
            }
        }
        Ok(cpu)
    }
}

fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker").args(arguments).output().context("cannot run docker")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {}", arguments.first().copied().unwrap_or_default(), said.trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
