//! VictoriaLogs, as it is built by `tests/tools/victorialogs`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use runlog_tests::{eventually, tool};
use serde_json::Value;

/// It keeps what it has in a folder of its own. Killed when dropped.
pub struct VictoriaLogs {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl VictoriaLogs {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(tool("RUNLOG_TEST_VICTORIALOGS", "victorialogs"))
            .arg(format!("-storageDataPath={}", folder.path().display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            // The lines are from a day of their own.
            .arg("-retentionPeriod=100y")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let backend = Self { child, port, _folder: folder };
        eventually("VictoriaLogs answers", || backend.get("/health").filter(|answer| answer == "OK"));
        backend
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The rows of a query.
    pub fn ask(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/select/logsql/query?query={encoded}")).unwrap();
        answer.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{answer}"))).collect()
    }

    /// The number `n` of a query.
    pub fn count(&self, query: &str) -> usize {
        let rows = self.ask(query);
        rows.first().map_or(0, |row| row["n"].as_str().unwrap().parse().unwrap())
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }
}

impl Drop for VictoriaLogs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
