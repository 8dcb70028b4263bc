//! Settings: composes each stage's `Config` from `default.toml`, a file, the environment and flags.
//!
//! Each place is a layer of the `config` crate and is laid over the ones before it: `default.toml`, what the
//! system says (state directory, `DOCKER_HOST`), the file, OpenTelemetry's variables, `RUNLOG_` variables, flags.
//! Our own variable is the more specific one, so it wins over OpenTelemetry's. Each value remembers where it was
//! set; every fault is found before any is shown.

mod document;
mod endpoint;
mod fault;
mod layers;
mod options;
mod origin;
mod reader;
mod settings;
mod sources;
mod standard;
mod values;

pub use document::configuration_markdown;
pub use fault::{Fault, Faults};
pub use options::documented;
pub use origin::Origin;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{
    batch,
    enrich::{LoggerLevel, recorder, redact},
    export, parse, queue,
    record::Severity,
    run::{ExitWith, RunId},
    serve,
    source::{docker, file, journal, kubernetes, otlp, process},
    store, telemetry,
};

/// Where the configuration file of the system is.
pub const SYSTEM_FILE: &str = "/etc/runlog/runlog.toml";

/// What is written in place of a token where none is meant to be asked for.
const NO_TOKEN: &str = "none";

/// Something that can be left to runlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// runlog decides by what it finds.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Everything that can be set. Valid as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// runlog's own messages and metrics.
    pub log: telemetry::Config,
    /// Files that are followed.
    pub file: file::Config,
    /// Containers that are collected.
    pub docker: docker::Config,
    /// Pods whose containers are collected.
    pub kubernetes: kubernetes::Config,
    /// Programs that send OTLP.
    pub otlp: otlp::Config,
    /// The journal of systemd.
    pub journal: journal::Config,
    /// The process that `runlog exec` wraps.
    pub process: process::Config,
    /// How lines are cut.
    pub parse: parse::Config,
    /// What is recorded of what the level leaves out; `None` is nothing.
    pub recorder: Option<recorder::Config>,
    /// Secrets that are masked.
    pub redact: redact::Config,
    /// When batches close.
    pub batch: batch::Config,
    /// What may be on disk.
    pub queue: queue::Config,
    /// Where logs are sent; `None` if nowhere.
    pub export: Option<export::Config>,
    /// Where runlog listens.
    pub serve: serve::Config,
    /// Lines below are counted and left out.
    pub level: Severity,
    /// The levels of loggers, which come before it.
    pub logger_levels: Vec<LoggerLevel>,
    /// The run of sources that do not say otherwise; `None` to look for it in the environment.
    pub run_id: Option<RunId>,
    /// The experiment; `None` to look for it in the environment.
    pub experiment: Option<String>,
    /// Where the queue and the store are.
    pub state_dir: PathBuf,
    /// Bytes that may wait between the sources and the queue.
    pub memory_bytes: usize,
    /// Whether the embedded store is kept; `Auto` means when there is no export.
    pub store_kept: Switch,
    /// What may stay in the embedded store.
    pub retention: store::Retention,
    /// How long stopping may take.
    pub grace: Duration,
    /// What the agent ends after; `None` if it is stopped.
    pub exit_with: Option<ExitWith>,
    /// Resource attributes from `OTEL_RESOURCE_ATTRIBUTES`.
    pub resource_attributes: Vec<(String, String)>,
    /// The service's name from `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
}

/// A flag that sets an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The option's key, such as `export.endpoint`.
    pub key: String,
    /// The value, written as in the environment.
    pub value: String,
    /// The flag as it was typed, such as `--endpoint`.
    pub name: String,
}

/// Everything that settings are read from. [`load`] looks at nothing else but the files that are named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file given by `--config`, which has to exist.
    pub file: Option<PathBuf>,
    /// The file that is read if none is given, and may be missing: [`SYSTEM_FILE`].
    pub system_file: PathBuf,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The flags, in the order in which they were given.
    pub flags: Vec<Flag>,
    /// Whether runlog runs as root, which decides where its state is.
    pub is_root: bool,
}

impl Input {
    /// What this process was given. What is not UTF-8 in the environment is replaced.
    #[must_use]
    pub fn of_this_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self {
            file,
            system_file: SYSTEM_FILE.into(),
            environment: std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect(),
            flags,
            is_root: rustix::process::geteuid().is_root(),
        }
    }
}

/// One setting as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The option's key; the variable's name for a standard variable that is no option.
    pub key: String,
    /// The value as text, without secrets.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

/// Settings, and how they came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Each option with its origin.
    pub effective: Vec<Effective>,
    /// What is odd but can be used, one line each.
    pub warnings: Vec<String>,
}

/// Reads the settings.
///
/// # Errors
/// All settings that cannot be used, at once.
pub fn load(input: &Input) -> Result<Loaded, Faults> {
    let mut faults = Vec::new();
    let mut standard = standard::read(&input.environment);
    let merged = layers::merge([
        layers::defaults(),
        layers::surroundings(input),
        layers::file(input, &mut faults),
        std::mem::take(&mut standard.values),
        layers::environment(&input.environment, &mut faults),
        layers::flags(&input.flags, &mut faults),
    ]);
    let mut reader = reader::Reader::new(merged, faults, std::mem::take(&mut standard.warnings));
    let mut settings = settings::compose(&mut reader, &standard);
    if let (Some(export), Origin::VariableFile(name)) = (&mut settings.export, reader.origin("export.headers")) {
        export.headers_file = input.environment.get(&name).map(PathBuf::from);
    }
    if !reader.faults.is_empty() {
        return Err(Faults(reader.faults));
    }
    let mut effective = reader.effective();
    let foreign = |name: &str, value: String| Effective {
        key: name.to_owned(),
        value,
        origin: Origin::Variable(name.to_owned()),
    };
    effective.extend(settings.service_name.clone().map(|name| foreign("OTEL_SERVICE_NAME", name)));
    if !settings.resource_attributes.is_empty() {
        let pairs: Vec<_> = settings.resource_attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        effective.push(foreign("OTEL_RESOURCE_ATTRIBUTES", pairs.join(",")));
    }
    Ok(Loaded { settings, effective, warnings: reader.warnings })
}

#[cfg(test)]
mod tests;
