//! From start to exit.

use std::{ffi::OsString, future, io, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

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
    Config, Exit, Orphans,
    error_file::ErrorFile,
    memory::OomKills,
    signals,
    stream::{Name, Output},
    terminal::Terminal,
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
    /// What its outputs are.
    pub prints_to: Prints,
    /// Where it leaves what it raised, if it does.
    pub error_file: Option<PathBuf>,
}

/// What a process prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prints {
    /// A pipe for each output.
    ToPipes,
    /// A terminal, which makes one of both.
    ToTerminal,
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

/// Starts the program, collects until it has ended and its output is read, and records start and end of the run.
///
/// # Errors
/// If the program cannot be started.
pub async fn run(program: &Program, config: &Config, context: &Context, tagging: &Tagging) -> io::Result<Exit> {
    let name = program.name.to_string_lossy();
    let tally = Tally::detached(SourceKind::Process, &name);
    let events = origin(tagging, tagging.attributes.clone(), "events", tally);
    // Signals are caught before the process exists, so that none is missed.
    let mut forwarder = signals::Forwarder::catch()?;
    let memory = OomKills::watch();
    let error_file = program.error_file.clone().map(ErrorFile::at);
    let (mut command, terminal) = program.command()?;
    command.envs(program.environment.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn()?;
    // It has our copies of the terminal's other end, which nobody may have once the process has ended.
    drop(command);
    let orphans = Orphans::of_container(child.id());
    if let Err(error) = &orphans {
        warn!(error = %error, "processes whose parents have ended stay as zombies");
    }
    let started = context.clock.now();
    let run_id = &tagging.resource.run_id;
    let event = |name, severity, body, attributes| Event {
        origin: Arc::clone(&events),
        name,
        time: context.clock.now(),
        severity,
        body,
        attributes,
    };
    let body = format!("run {run_id} started: {name}");
    announce(context, event("ml.run.start", Severity::INFO, body, Vec::new())).await;

    let (exit_sender, exited) = watch::channel(None);
    let output = |name| Output::new(name, tagging, context, config.max_wait);
    let copies = match &terminal {
        Some(terminal) => {
            [Some(tokio::spawn(output(Name::Stdout).copy(terminal.printed(), stdout(), exited.clone()))), None]
        }
        None => [
            child.stdout.take().map(|pipe| tokio::spawn(output(Name::Stdout).copy(pipe, stdout(), exited.clone()))),
            child.stderr.take().map(|pipe| tokio::spawn(output(Name::Stderr).copy(pipe, stderr(), exited.clone()))),
        ],
    };
    let status = {
        let pid = child.id();
        let passing_on = async {
            if let Some(terminal) = &terminal {
                terminal.pass_on().await;
            }
            future::pending::<()>().await;
        };
        tokio::select! {
            status = child.wait() => status?,
            () = forwarder.forward_to(pid, terminal.as_ref()) => child.wait().await?,
            () = passing_on => child.wait().await?,
        }
    };
    exit_sender.send_replace(Some(Instant::now()));
    copied(copies, &mut forwarder).await;
    if let Some(error_file) = error_file {
        error_file.collect(tagging, context).await;
    }
    // Before anything is told on our terminal.
    drop(terminal);
    let exit = Exit::new(status, memory.is_some_and(|memory| memory.are_more()));
    let mut attributes = Vec::new();
    exit.describe(&mut attributes);
    let seconds = Duration::from_nanos(context.clock.now().saturating_sub(started)).as_secs_f64();
    record_attribute(&mut attributes, "ml.run.duration", Value::Double(seconds));
    let severity = if exit.code == 0 { Severity::INFO } else { Severity::FATAL };
    announce(context, event("ml.run.end", severity, format!("run {run_id} {}", exit.tell()), attributes)).await;
    Ok(exit)
}

impl Program {
    /// How it is started, and its terminal if it has one of its own. Must be called inside the runtime.
    fn command(&self) -> io::Result<(Command, Option<Terminal>)> {
        match self.prints_to {
            Prints::ToPipes => {
                let mut command = Command::new(&self.name);
                command.args(&self.arguments).stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
                Ok((command, None))
            }
            Prints::ToTerminal => {
                let mut terminal = Terminal::open()?;
                Ok((terminal.command(&self.name, &self.arguments)?, Some(terminal)))
            }
        }
    }
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

pub(super) async fn announce(context: &Context, event: Event) {
    let name = event.name;
    if context.intake.send(Input::Event(event)).await.is_err() {
        warn!(event = name, "the pipeline has ended, the event is not recorded");
    }
}
