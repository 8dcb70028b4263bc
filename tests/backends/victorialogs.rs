//! VictoriaLogs, as it is built by `tests/tools/victorialogs`.

use std::process::{Command, Stdio};

use runlog_tests::{Port, eventually, tool};
use serde_json::Value;

use crate::{
    http::{encoded, get, results},
    process::Running,
};

/// It keeps what it has in a folder of its own. Killed when dropped.
pub struct VictoriaLogs {
    _process: Running,
    port: Port,
    _folder: tempfile::TempDir,
}

impl VictoriaLogs {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = Port::new();
        let child = Command::new(tool("RUNLOG_TEST_VICTORIALOGS", "victorialogs"))
            .arg(format!("-storageDataPath={}", folder.path().display()))
            .arg(format!("-httpListenAddr={}", port.address()))
            // The lines are from a day of their own.
            .arg("-retentionPeriod=100y")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let backend = Self { _process: Running(child), port, _folder: folder };
        eventually("VictoriaLogs answers", || get(backend.port.number(), "/health").filter(|answer| answer == "OK"));
        backend
    }

    pub fn address(&self) -> String {
        self.port.endpoint()
    }

    /// The rows of a query.
    pub fn ask(&self, query: &str) -> Vec<Value> {
        let answer = self.answer("query", query, "");
        answer.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{answer}"))).collect()
    }

    /// The results of a query for numbers, by one of the paths that answer as Prometheus does.
    pub fn results(&self, path: &str, query: &str, more: &str) -> Vec<Value> {
        let answer = self.answer(path, query, more);
        results(query, &answer)
    }

    fn answer(&self, path: &str, query: &str, more: &str) -> String {
        get(self.port.number(), &format!("/select/logsql/{path}?query={}{more}", encoded(query))).unwrap()
    }

    /// The number `n` of a query.
    pub fn count(&self, query: &str) -> usize {
        let rows = self.ask(query);
        rows.first().map_or(0, |row| row["n"].as_str().unwrap().parse().unwrap())
    }
}
