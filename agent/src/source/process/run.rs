//! From start to exit.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, time::timeout};
use tracing::warn;

use crate::{
    record::{
        Event, Input, NoBookmark, Origin, Resource, Severity, SourceKind, Tally,
        origin::Stream,
        wire::{Value, record_attribute},
    },
    source::Context,
};

use super::{
    Config, signals,
    stream::{Name, Output},
};

/// How long a grandchild may keep the pipes open once the process has ended.
const AFTER_EXIT: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program, looked up in `PATH`.
    pub name: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables set beside the inherited ones.
    pub environment: Vec<(String, String)>,
}

/// What each line is tagged with.
#[derive(Debug, Clone)]
pub struct Tagging {
    /// The run.
    pub resource: Arc<Resource>,
    /// Record attributes, encoded.
    pub attributes: Vec<u8>,
    /// The level asked for.
    pub level: Severity,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// As a shell tells it: 128 and the signal's number if a signal ended it.
    pub code: u8,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// Starts the program, collects until it has ended and its output is read, and records start and end of the run.
///
/// # Errors
/// If the program cannot be started.
pub async fn run(program: &Program, config: &Config, context: &Context, tagging: &Tagging) -> io::Result<Exit> {
    let events = origin(tagging, tagging.attributes.clone(), "events", Tally::detached(SourceKind::Process, "events"));
    let mut command = Command::new(&program.name);
    command.args(&program.arguments).envs(program.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Signals are caught before the process exists, so that none is missed.
    let forwarder = signals::Forwarder::catch()?;
    let mut child = command.spawn()?;
    let started = context.clock.now();
    let name = program.name.to_string_lossy();
    announce(
        context,
        &events,
        "ml.run.start",
        Severity::INFO,
        format!("run {} started: {name}", tagging.resource.run_id),
        Vec::new(),
    )
    .await;

    let stdout =
        child.stdout.take().map(|pipe| Output::new(Name::Stdout, tagging, context, config.max_wait).copy(pipe));
    let stderr =
        child.stderr.take().map(|pipe| Output::new(Name::Stderr, tagging, context, config.max_wait).copy(pipe));
    let (mut stdout, mut stderr) = (stdout.map(tokio::spawn), stderr.map(tokio::spawn));
    let status = {
        let pid = child.id();
        tokio::select! {
            status = child.wait() => status?,
            () = forwarder.forward_to(pid) => child.wait().await?,
        }
    };
    // The pipes end with the process, unless it left a child of its own behind that holds them.
    for output in [&mut stdout, &mut stderr].into_iter().flatten() {
        if timeout(AFTER_EXIT, &mut *output).await.is_err() {
            warn!("a child of the process still holds its output open, not waiting for it");
            output.abort();
        }
    }
    let exit = Exit::from(status);
    let (severity, result) = if exit.code == 0 { (Severity::INFO, "success") } else { (Severity::FATAL, "failure") };
    let mut attributes = Vec::new();
    record_attribute(&mut attributes, "ml.run.result", Value::String(result));
    record_attribute(&mut attributes, "process.exit.code", Value::Int(exit.code.into()));
    let seconds = Duration::from_nanos(context.clock.now().saturating_sub(started)).as_secs_f64();
    record_attribute(&mut attributes, "ml.run.duration", Value::Double(seconds));
    let body = match exit.signal {
        Some(signal) => format!("run {} ended by signal {signal}", tagging.resource.run_id),
        None => format!("run {} ended with exit code {}", tagging.resource.run_id, exit.code),
    };
    announce(context, &events, "ml.run.end", severity, body, attributes).await;
    Ok(exit)
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let signal = status.signal();
        let code = signal.map_or_else(|| status.code().unwrap_or(1), |signal| 128 + signal);
        Self { code: u8::try_from(code & 0xff).unwrap_or(1), signal }
    }
}

/// A stream of the process that starts at its first byte.
pub(super) fn origin(tagging: &Tagging, attributes: Vec<u8>, name: &str, tally: Arc<Tally>) -> Arc<Origin> {
    // A pipe is read once, so its identity only has to be unlike any other.
    let unique = uuid::Uuid::new_v4();
    Origin::new(Stream {
        key: format!("process:{name}"),
        kind: SourceKind::Process,
        identity: &[unique.as_bytes(), name.as_bytes()],
        resource: Arc::clone(&tagging.resource),
        attributes,
        level: tagging.level,
        tally,
        bookmark: Arc::new(NoBookmark),
    })
}

async fn announce(
    context: &Context,
    origin: &Arc<Origin>,
    name: &'static str,
    severity: Severity,
    body: String,
    attributes: Vec<u8>,
) {
    let event = Event { origin: Arc::clone(origin), name, time: context.clock.now(), severity, body, attributes };
    if context.intake.send(Input::Event(event)).await.is_err() {
        warn!(event = name, "the pipeline has ended, the event is not recorded");
    }
}
