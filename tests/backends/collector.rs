//! The Collector with the configurations of `deploy/backends`.

use std::process::{Command, Stdio};

use runlog_tests::{Port, eventually, root, tool};

use crate::process::Running;

/// It sends on what it takes. Killed when dropped.
pub struct Collector {
    _process: Running,
    port: Port,
    _grpc: Port,
    _folder: tempfile::TempDir,
}

impl Collector {
    /// With that configuration, but for what `settings` say.
    pub fn start(configuration: &str, backend: &str, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (grpc, port) = (Port::new(), Port::new());
        let child = Command::new(tool("RUNLOG_TEST_COLLECTOR", "collector"))
            .arg("--config")
            .arg(root().join("deploy/backends").join(configuration))
            // Two at the same time would meet at the port of its own numbers.
            .arg("--set=service.telemetry.metrics.level=none")
            .args(settings.iter().map(|setting| format!("--set={setting}")))
            .env("BACKEND", backend)
            .env("STATE_DIR", folder.path())
            .env("LISTEN_GRPC", grpc.address())
            .env("LISTEN_HTTP", port.address())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let collector = Self { _process: Running(child), port, _grpc: grpc, _folder: folder };
        eventually("the Collector listens", || std::net::TcpStream::connect(collector.port.address()).ok());
        collector
    }

    pub fn address(&self) -> String {
        self.port.endpoint()
    }
}
