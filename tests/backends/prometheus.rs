//! Prometheus, as `tests/tools/prometheus` brings it.

use std::{
    fs,
    process::{Command, Stdio},
};

use runlog_tests::{Port, eventually, tool};
use serde_json::Value;

use crate::{
    http::{encoded, get, results},
    process::Running,
};

/// It asks one agent for its numbers every three seconds, and has as much patience. Killed when dropped.
pub struct Prometheus {
    _process: Running,
    port: Port,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// The address is such as `127.0.0.1:4319`.
    pub fn start(agent: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("prometheus.yml");
        let job = format!("scrape_configs: [{{job_name: runlog, static_configs: [{{targets: ['{agent}']}}]}}]");
        fs::write(&settings, format!("global: {{scrape_interval: 3s, scrape_timeout: 3s}}\n{job}\n")).unwrap();
        let port = Port::new();
        let child = Command::new(tool("RUNLOG_TEST_PROMETHEUS", "prometheus"))
            .arg(format!("--config.file={}", settings.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={}", port.address()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { _process: Running(child), port, _folder: folder };
        eventually("Prometheus answers", || {
            get(prometheus.port.number(), "/-/ready").filter(|answer| answer.contains("Ready"))
        });
        prometheus
    }

    /// The results of a query for now.
    pub fn ask(&self, query: &str) -> Vec<Value> {
        let answer = get(self.port.number(), &format!("/api/v1/query?query={}", encoded(query))).unwrap();
        results(query, &answer)
    }
}
