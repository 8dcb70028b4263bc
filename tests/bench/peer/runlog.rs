//! runlog as a sidecar that sends zstd.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Invocation, Job, Peer};

/// `runlog`, its queue on disk, every level kept.
#[derive(Debug)]
pub struct Runlog {
    /// The program.
    pub program: PathBuf,
}

impl Peer for Runlog {
    fn name(&self) -> &'static str {
        "runlog"
    }

    fn settings(&self) -> &'static str {
        "level, time and logger found, run tags, uid per record, queue on disk, zstd"
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn prepare(&self, job: &Job<'_>) -> io::Result<Invocation> {
        let environment = [
            ("RUNLOG_CONFIG", "/dev/null".into()),
            ("RUNLOG_FILES", job.logs.join("*.log").into()),
            ("RUNLOG_LEVEL", "TRACE".into()),
            ("RUNLOG_RUN_ID", "bench".into()),
            ("RUNLOG_STATE_DIR", job.folder.join("state").into()),
            ("RUNLOG_EXPORT_ENDPOINT", format!("http://{}", job.sink).into()),
            ("RUNLOG_EXPORT_COMPRESSION", "zstd".into()),
            ("RUNLOG_EXPORT_MAX_REQUEST_BYTES", "4MiB".into()),
            ("RUNLOG_DOCKER_COLLECT", "off".into()),
            ("RUNLOG_SERVE_LISTEN", "127.0.0.1:0".into()),
        ];
        Ok(Invocation { program: self.program.clone(), arguments: Vec::new(), environment: environment.into() })
    }
}
