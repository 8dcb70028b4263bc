//! The OpenTelemetry Collector with its filelog receiver.
//!
//! Source: the README of `filelogreceiver`, `batchprocessor`, `exporterhelper` and `filestorage`, and stanza's
//! `container` operator, at 0.160. No operator but that one where lines are wrapped, so neither level nor time of a
//! line is found: the cheapest that it can do.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Input, Invocation, Job, Peer};
use crate::format::Format;

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
        let (exporter, extension, enabled) = match self.queue {
            Queue::Memory => ("", String::new(), "[]"),
            Queue::Disk => (
                "\n      storage: file_storage",
                format!(
                    "extensions:\n  file_storage:\n    directory: {}\n    create_directory: true\n",
                    job.folder.join("state").display()
                ),
                "[file_storage]",
            ),
        };
        let (name, receiver) = self.receiver(&job.input);
        // `block_on_overflow` keeps lines where they are when there is no room for them.
        format!(
            "{extension}receivers:
  {receiver}
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
      receivers: [{name}]
      processors: [batch]
      exporters: [otlp_http]
",
            sink = job.sink,
        )
    }

    /// The receiver's name and its settings.
    fn receiver(&self, input: &Input<'_>) -> (&'static str, String) {
        let (files, is_wrapped) = match input {
            Input::Otlp(address) => {
                return ("otlp", format!("otlp:\n    protocols:\n      http:\n        endpoint: {address}"));
            }
            Input::Files(logs, format) => {
                (format!("{}/*.log", logs.display()), matches!(format, Format::Docker | Format::Cri))
            }
            // It asks no engine for logs, and reads those of all containers.
            Input::Containers(engine) => (format!("{}/*/*-json.log", engine.folder.display()), true),
        };
        let storage = if self.queue == Queue::Disk { "\n    storage: file_storage" } else { "" };
        // Paths here are not those of pods.
        let container = "\n    operators:\n      - type: container\n        add_metadata_from_filepath: false";
        let operators = if is_wrapped { container } else { "" };
        // `retry_on_failure` reads no further while the next stage takes nothing.
        let settings = format!(
            "file_log:\n    include: [{files}]\n    start_at: beginning\n    retry_on_failure:\n      \
             enabled: true{storage}{operators}"
        );
        ("file_log", settings)
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
            Queue::Memory => "filelog without operators, positions and queue in memory, zstd",
            Queue::Disk => "the same, positions and queue in file_storage",
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
