//! The OpenTelemetry Collector with its filelog receiver.
//!
//! Source: the README of `filelogreceiver`, `batchprocessor`, `exporterhelper` and `filestorage` at 0.160. No operator,
//! so neither level nor time is found: the cheapest that it can do.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Invocation, Job, Peer};

/// `otelcol`.
#[derive(Debug)]
pub struct Collector {
    /// The program, with `file_log`, `batch`, `otlp_http` and `file_storage`.
    pub program: PathBuf,
    /// Where it keeps positions and waiting batches.
    pub queue: Queue,
}

/// Where the Collector's positions and waiting batches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Lost with the process.
    Memory,
    /// In `file_storage`, as runlog's are in its queue; without `fsync`, which is the default there.
    Disk,
}

impl Collector {
    fn config(&self, job: &Job<'_>) -> String {
        let (receiver, exporter, extension, enabled) = match self.queue {
            Queue::Memory => ("", "", String::new(), "[]"),
            Queue::Disk => (
                "\n    storage: file_storage",
                "\n      storage: file_storage",
                format!(
                    "\n  file_storage:\n    directory: {}\n    create_directory: true",
                    job.folder.join("state").display()
                ),
                "[file_storage]",
            ),
        };
        let extensions = if extension.is_empty() { String::new() } else { format!("extensions:{extension}\n") };
        // `retry_on_failure` and `block_on_overflow` keep lines where they are when there is no room for them.
        format!(
            "{extensions}receivers:
  file_log:
    include: [{logs}/*.log]
    start_at: beginning
    retry_on_failure:
      enabled: true{receiver}
processors:
  batch:
exporters:
  otlp_http:
    endpoint: http://{sink}
    compression: zstd
    sending_queue:
      block_on_overflow: true{exporter}
service:
  extensions: {enabled}
  telemetry:
    metrics:
      level: none
    logs:
      level: warn
  pipelines:
    logs:
      receivers: [file_log]
      processors: [batch]
      exporters: [otlp_http]
",
            logs = job.logs.display(),
            sink = job.sink,
        )
    }
}

impl Peer for Collector {
    fn name(&self) -> &'static str {
        match self.queue {
            Queue::Memory => "collector",
            Queue::Disk => "collector-queue",
        }
    }

    fn settings(&self) -> &'static str {
        match self.queue {
            Queue::Memory => "filelog, no operators, positions and queue in memory, zstd",
            Queue::Disk => "filelog, no operators, positions and queue in file_storage, zstd",
        }
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn prepare(&self, job: &Job<'_>) -> io::Result<Invocation> {
        let config = job.folder.join("config.yaml");
        fs::write(&config, self.config(job))?;
        let arguments = vec!["--config".into(), config.into()];
        Ok(Invocation { program: self.program.clone(), arguments, environment: Vec::new() })
    }
}
