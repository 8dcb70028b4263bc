//! ClickHouse's engine, as `tests/tools/clickhouse` brings it, behind the part of its HTTP interface that is in
//! `clickhouse.py`: the server itself cannot be had as a package.

use std::process::{Command, Stdio};

use runlog_tests::{Port, eventually, root, tool};
use serde_json::Value;

use crate::{
    http::{encoded, get},
    process::Running,
};

/// It keeps what it has in a folder of its own. Killed when dropped.
pub struct ClickHouse {
    _process: Running,
    port: Port,
    _folder: tempfile::TempDir,
}

impl ClickHouse {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = Port::new();
        let child = Command::new(tool("RUNLOG_TEST_CLICKHOUSE", "clickhouse"))
            .arg(root().join("tests/backends/clickhouse.py"))
            .arg(folder.path())
            .arg(port.number().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let backend = Self { _process: Running(child), port, _folder: folder };
        eventually("ClickHouse answers", || get(backend.port.number(), "/?query=SELECT%201"));
        backend
    }

    /// Where an exporter sends to. What is in front of the engine knows no compression.
    pub fn address(&self) -> String {
        format!("{}?compress=none", self.port.endpoint())
    }

    /// The rows of a query.
    pub fn ask(&self, query: &str) -> Vec<Value> {
        let answer = get(self.port.number(), &format!("/?query={}", encoded(query))).unwrap();
        answer.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{answer}"))).collect()
    }

    /// The number `n` of a query.
    pub fn count(&self, query: &str) -> usize {
        self.ask(query)[0]["n"].as_u64().unwrap().try_into().unwrap()
    }
}
