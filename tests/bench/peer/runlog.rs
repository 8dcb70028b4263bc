//! runlog as a sidecar, with each way to send.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Input, Invocation, Job, Peer};
use crate::{
    containers,
    format::Format,
    measure::{Task, answers_ok},
};

/// `runlog`, its queue on disk, every level kept.
#[derive(Debug)]
pub struct Runlog {
    /// The program.
    pub program: PathBuf,
    /// How it sends.
    pub wire: Wire,
    /// What it does with lines that it need not.
    pub features: Features,
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

/// What is switched off or on, to see what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// Nothing.
    All,
    /// Lines of a traceback stay lines.
    NoJoin,
    /// Progress bars and escape sequences stay as they are.
    NoTerminal,
    /// Secrets stay.
    NoRedact,
    /// Prefixes of launchers stay in the lines.
    NoPrefix,
    /// All four.
    None,
    /// Numbers in lines become metrics as well.
    Scalars,
    /// Lines below the level info are left out.
    Level,
    /// The same, and the flight recorder keeps them.
    Recorder,
}

impl Features {
    /// The settings beside the defaults.
    const fn settings(self) -> &'static [(&'static str, &'static str)] {
        const OFF: [(&str, &str); 4] = [
            ("RUNLOG_PARSE_JOIN", "false"),
            ("RUNLOG_PARSE_TERMINAL", "false"),
            ("RUNLOG_REDACT_BUILTIN", "false"),
            ("RUNLOG_PARSE_RANK_PREFIX", "off"),
        ];
        let [join, terminal, redact, prefix] = &OFF;
        match self {
            Self::All => &[],
            Self::NoJoin => std::slice::from_ref(join),
            Self::NoTerminal => std::slice::from_ref(terminal),
            Self::NoRedact => std::slice::from_ref(redact),
            Self::NoPrefix => std::slice::from_ref(prefix),
            Self::None => &OFF,
            Self::Scalars => &[("RUNLOG_PARSE_SCALARS", "loss,lr,eval_*")],
            Self::Level => &[("RUNLOG_LEVEL", "INFO")],
            Self::Recorder => &[("RUNLOG_LEVEL", "INFO"), ("RUNLOG_RECORDER_ON", "true")],
        }
    }
}

impl Peer for Runlog {
    fn name(&self) -> &'static str {
        match self.features {
            Features::All => {}
            Features::NoJoin => return "runlog-no-join",
            Features::NoTerminal => return "runlog-no-terminal",
            Features::NoRedact => return "runlog-no-redact",
            Features::NoPrefix => return "runlog-no-prefix",
            Features::None => return "runlog-bare",
            Features::Scalars => return "runlog-scalars",
            Features::Level => return "runlog-level",
            Features::Recorder => return "runlog-recorder",
        }
        match self.wire {
            Wire::Zstd => "runlog",
            Wire::Gzip => "runlog-gzip",
            Wire::Grpc => "runlog-grpc",
            Wire::EngineFiles => "runlog-files",
        }
    }

    fn settings(&self) -> &'static str {
        match self.features {
            Features::All => {}
            Features::NoJoin => return "the same, tracebacks are not joined",
            Features::NoTerminal => return "the same, progress bars are not folded",
            Features::NoRedact => return "the same, secrets are not masked",
            Features::NoPrefix => return "the same, prefixes of launchers are not taken off",
            Features::None => return "the same, without these four",
            Features::Scalars => return "the same, loss, lr and eval_* in lines become metrics",
            Features::Level => return "the same, lines below info are left out",
            Features::Recorder => return "lines below info are left out, and kept by the flight recorder",
        }
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
        // An error would call for what is recorded.
        let is_calm = matches!(task, Task::Files { format: Format::Calm, .. });
        (self.wire != Wire::EngineFiles || matches!(task, Task::Containers { .. })) && (is_calm || !self.leaves_out())
    }

    fn leaves_out(&self) -> bool {
        matches!(self.features, Features::Level | Features::Recorder)
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
        environment.extend(self.features.settings().iter().map(|(name, value)| (*name, value.into())));
        Ok(Invocation { program: self.program.clone(), arguments: Vec::new(), environment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::Engine;

    fn environment(wire: Wire, input: Input<'_>) -> Vec<(&'static str, String)> {
        let folder = tempfile::tempdir().unwrap();
        let job = Job { input, sink: "127.0.0.1:4318".parse().unwrap(), folder: folder.path() };
        let runlog = Runlog { program: PathBuf::from("runlog"), wire, features: Features::All };
        let invocation = runlog.prepare(&job).unwrap();
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
    fn what_is_switched_off_is_on_by_default() {
        let documented = include_str!("../../../docs/configuration.md");
        for (name, value) in Features::None.settings() {
            let default = if *value == "off" { "\"auto\"" } else { "true" };
            assert!(documented.contains(&format!("| `{name}` | `{default}` |")), "{name}");
        }
        assert_eq!(Features::NoRedact.settings(), [("RUNLOG_REDACT_BUILTIN", "false")]);
        assert!(Features::All.settings().is_empty());
    }

    #[test]
    fn reading_the_engines_files_is_compared_where_there_is_an_engine() {
        let takes = |wire, task| Runlog { program: PathBuf::new(), wire, features: Features::All }.takes(task);
        let containers = Task::Containers { containers: 1, lines: 1 };
        assert!(takes(Wire::EngineFiles, containers) && takes(Wire::Zstd, containers));
        assert!(!takes(Wire::EngineFiles, Task::Wake) && takes(Wire::Zstd, Task::Wake));
    }

    #[test]
    fn what_leaves_lines_out_is_compared_where_no_error_calls_for_them() {
        let takes = |features, format| {
            let runlog = Runlog { program: PathBuf::new(), wire: Wire::Zstd, features };
            runlog.takes(Task::Files { format, files: 1, lines: 1 })
        };
        for features in [Features::Level, Features::Recorder] {
            assert!(takes(features, Format::Calm) && !takes(features, Format::Python));
        }
        assert!(takes(Features::All, Format::Calm) && takes(Features::Scalars, Format::Python));
    }
}
