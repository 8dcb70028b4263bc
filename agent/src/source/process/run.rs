//! From start to exit.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{stderr, stdout},
    process::Command,
    sync::watch,
    task::JoinHandle,
    time::Instant,
};
use tracing::{error, warn};

use crate::{
    record::{
        Event, Input, NoBookmark, Origin, Resource, Severity, SourceKind, Tally,
        origin::Stream,
        wire::{Value, record_attribute},
    },
    source::Context,
};

use super::{
    Config, Orphans, signals,
    stream::{Name, Output},
};

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
    let mut forwarder = signals::Forwarder::catch()?;
    let mut child = command.spawn()?;
    let _orphans = Orphans::of_container(child.id())?;
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

    let (exit_sender, exited) = watch::channel(None);
    let output = |name| Output::new(name, tagging, context, config.max_wait);
    let copies = [
        child.stdout.take().map(|pipe| tokio::spawn(output(Name::Stdout).copy(pipe, stdout(), exited.clone()))),
        child.stderr.take().map(|pipe| tokio::spawn(output(Name::Stderr).copy(pipe, stderr(), exited.clone()))),
    ];
    let status = {
        let pid = child.id();
        tokio::select! {
            status = child.wait() => status?,
            () = forwarder.forward_to(pid) => child.wait().await?,
        }
    };
    exit_sender.send_replace(Some(Instant::now()));
    copied(copies, &mut forwarder).await;
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

/// Waits until both outputs are copied. Who reads them may take its time, unless we are told to end.
async fn copied(copies: [Option<JoinHandle<()>>; 2], forwarder: &mut signals::Forwarder) {
    let aborts: Vec<_> = copies.iter().flatten().map(JoinHandle::abort_handle).collect();
    let all = async {
        for copy in copies.into_iter().flatten() {
            if let Err(failure) = copy.await {
                error!(error = %failure, "copying the process's output failed");
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = forwarder.told_to_end() => {
            warn!("told to end before all output was read, the rest is neither shown nor kept");
            for abort in aborts {
                abort.abort();
            }
        }
    }
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
