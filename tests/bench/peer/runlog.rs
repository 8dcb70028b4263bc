//! runlog as a sidecar, with each way to send.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Input, Invocation, Job, Peer};
use crate::measure::answers_ok;

/// `runlog`, its queue on disk, every level kept.
#[derive(Debug)]
pub struct Runlog {
    /// The program.
    pub program: PathBuf,
    /// How it sends.
    pub wire: Wire,
}

/// How runlog sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP and zstd, in which the queue keeps batches already.
    Zstd,
    /// HTTP and gzip, the default.
    Gzip,
    /// gRPC and zstd.
    Grpc,
}

impl Peer for Runlog {
    fn name(&self) -> &'static str {
        match self.wire {
            Wire::Zstd => "runlog",
            Wire::Gzip => "runlog-gzip",
            Wire::Grpc => "runlog-grpc",
        }
    }

    fn settings(&self) -> &'static str {
        match self.wire {
            Wire::Zstd => "level, time and logger found, run tags, uid per record, queue on disk, zstd",
            Wire::Gzip => "the same, gzip on the wire",
            Wire::Grpc => "the same, gRPC",
        }
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn is_ready(&self, folder: &Path) -> Option<bool> {
        let announced = fs::read_to_string(folder.join("state/address")).unwrap_or_default();
        let address = announced.trim().strip_prefix("http://");
        Some(address.is_some_and(|address| answers_ok(address, "/readyz")))
    }

    fn prepare(&self, job: &Job<'_>) -> io::Result<Invocation> {
        let (protocol, compression) = match self.wire {
            Wire::Zstd => ("http/protobuf", "zstd"),
            Wire::Gzip => ("http/protobuf", "gzip"),
            Wire::Grpc => ("grpc", "zstd"),
        };
        let input = match job.input {
            // The format is found by itself.
            Input::Files(logs, _) => ("RUNLOG_FILES", logs.join("*.log").into()),
            Input::Otlp(address) => ("RUNLOG_OTLP_LISTEN", address.to_string().into()),
        };
        let environment = [
            input,
            ("RUNLOG_CONFIG", "/dev/null".into()),
            ("RUNLOG_LEVEL", "TRACE".into()),
            ("RUNLOG_RUN_ID", "bench".into()),
            ("RUNLOG_STATE_DIR", job.folder.join("state").into()),
            ("RUNLOG_EXPORT_ENDPOINT", format!("http://{}", job.sink).into()),
            ("RUNLOG_EXPORT_PROTOCOL", protocol.into()),
            ("RUNLOG_EXPORT_COMPRESSION", compression.into()),
            ("RUNLOG_EXPORT_MAX_REQUEST_BYTES", "4MiB".into()),
            ("RUNLOG_DOCKER_COLLECT", "off".into()),
            ("RUNLOG_SERVE_LISTEN", "127.0.0.1:0".into()),
        ];
        Ok(Invocation { program: self.program.clone(), arguments: Vec::new(), environment: environment.into() })
    }
}
