//! runlog as a sidecar, with each way to send.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Input, Invocation, Job, Peer};
use crate::{
    containers,
    measure::{Task, answers_ok},
};

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
    /// HTTP and zstd, containers read from the engine's own files.
    EngineFiles,
}

impl Peer for Runlog {
    fn name(&self) -> &'static str {
        match self.wire {
            Wire::Zstd => "runlog",
            Wire::Gzip => "runlog-gzip",
            Wire::Grpc => "runlog-grpc",
            Wire::EngineFiles => "runlog-files",
        }
    }

    fn settings(&self) -> &'static str {
        match self.wire {
            Wire::Zstd => "level, time and logger found, run tags, uid per record, queue on disk, zstd",
            Wire::Gzip => "the same, gzip on the wire",
            Wire::Grpc => "the same, gRPC",
            Wire::EngineFiles => "the same, containers from the engine's files",
        }
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn takes(&self, task: Task) -> bool {
        self.wire != Wire::EngineFiles || matches!(task, Task::Containers { .. })
    }

    fn is_ready(&self, folder: &Path) -> Option<bool> {
        let announced = fs::read_to_string(folder.join("state/address")).unwrap_or_default();
        let address = announced.trim().strip_prefix("http://");
        Some(address.is_some_and(|address| answers_ok(address, "/readyz")))
    }

    fn prepare(&self, job: &Job<'_>) -> io::Result<Invocation> {
        let (protocol, compression) = match self.wire {
            Wire::Zstd | Wire::EngineFiles => ("http/protobuf", "zstd"),
            Wire::Gzip => ("http/protobuf", "gzip"),
            Wire::Grpc => ("grpc", "zstd"),
        };
        let mut environment = match &job.input {
            // The format is found by itself.
            Input::Files(logs, _) => vec![("RUNLOG_FILES", logs.join("*.log").into())],
            Input::Otlp(address) => vec![("RUNLOG_OTLP_LISTEN", address.to_string().into())],
            Input::Containers(engine) => {
                let mut settings = vec![("RUNLOG_DOCKER_HOST", engine.host.clone().into())];
                settings.push(("RUNLOG_DOCKER_INCLUDE", format!("label={}", containers::LABEL).into()));
                let files = if self.wire == Wire::EngineFiles { engine.folder.as_os_str() } else { "off".as_ref() };
                settings.push(("RUNLOG_DOCKER_FILES", files.to_owned()));
                settings
            }
        };
        let collect = if let Input::Containers(_) = job.input { "on" } else { "off" };
        environment.extend([
            ("RUNLOG_CONFIG", "/dev/null".into()),
            ("RUNLOG_LEVEL", "TRACE".into()),
            ("RUNLOG_RUN_ID", "bench".into()),
            ("RUNLOG_STATE_DIR", job.folder.join("state").into()),
            ("RUNLOG_EXPORT_ENDPOINT", format!("http://{}", job.sink).into()),
            ("RUNLOG_EXPORT_PROTOCOL", protocol.into()),
            ("RUNLOG_EXPORT_COMPRESSION", compression.into()),
            ("RUNLOG_EXPORT_MAX_REQUEST_BYTES", "4MiB".into()),
            ("RUNLOG_DOCKER_COLLECT", collect.into()),
            ("RUNLOG_SERVE_LISTEN", "127.0.0.1:0".into()),
        ]);
        Ok(Invocation { program: self.program.clone(), arguments: Vec::new(), environment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{containers::Engine, format::Format};

    fn environment(wire: Wire, input: Input<'_>) -> Vec<(&'static str, String)> {
        let folder = tempfile::tempdir().unwrap();
        let job = Job { input, sink: "127.0.0.1:4318".parse().unwrap(), folder: folder.path() };
        let invocation = Runlog { program: PathBuf::from("runlog"), wire }.prepare(&job).unwrap();
        invocation.environment.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect()
    }

    fn value(environment: &[(&'static str, String)], wanted: &str) -> Option<String> {
        environment.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone())
    }

    #[test]
    fn containers_are_read_through_the_engine_or_from_its_files_and_else_not_at_all() {
        let engine = || Engine { host: "unix:///engine.sock".to_owned(), folder: PathBuf::from("/engine/containers") };
        for (wire, files) in [(Wire::Zstd, "off"), (Wire::EngineFiles, "/engine/containers")] {
            let environment = environment(wire, Input::Containers(engine()));
            assert_eq!(value(&environment, "RUNLOG_DOCKER_COLLECT").as_deref(), Some("on"));
            assert_eq!(value(&environment, "RUNLOG_DOCKER_HOST").as_deref(), Some("unix:///engine.sock"));
            assert_eq!(value(&environment, "RUNLOG_DOCKER_FILES").as_deref(), Some(files), "{wire:?}");
        }
        let files = environment(Wire::Zstd, Input::Files(Path::new("/logs"), Format::Python));
        assert_eq!(value(&files, "RUNLOG_DOCKER_COLLECT").as_deref(), Some("off"));
        assert_eq!(value(&files, "RUNLOG_FILES").as_deref(), Some("/logs/*.log"));
    }

    #[test]
    fn reading_the_engines_files_is_compared_where_there_is_an_engine() {
        let takes = |wire, task| Runlog { program: PathBuf::new(), wire }.takes(task);
        let containers = Task::Containers { containers: 1, lines: 1 };
        assert!(takes(Wire::EngineFiles, containers) && takes(Wire::Zstd, containers));
        assert!(!takes(Wire::EngineFiles, Task::Wake) && takes(Wire::Zstd, Task::Wake));
    }
}
