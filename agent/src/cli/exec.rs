//! `runlog exec`: one command, collected from start to end.

use std::{
    future,
    io::ErrorKind,
    sync::{Arc, atomic::Ordering},
};

use anyhow::anyhow;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    config::{Input, Settings},
    pipeline::{Drained, adopt_left_behind, remove},
    record::Ledger,
    run,
    source::process::{self, Program, Tagging},
};

use super::{
    args::ExecArgs,
    exit::{Exit, Failure},
    setup::{self, Run, State},
    signals::Signals,
};

/// Runs the command and collects what it prints. Ends as the command does.
pub async fn run(settings: &Settings, input: &Input, arguments: &ExecArgs) -> Result<Exit, Failure> {
    let state = State::open(settings)?;
    let run = Run::find(settings, input);
    let destinations = state.destinations(settings)?;
    let is_stored = destinations.store.is_some();
    let left_behind = destinations.clone();
    let queue_dir = state.exec_dir().join(uuid::Uuid::now_v7().to_string());
    let pipeline = setup::start(settings, queue_dir.clone(), destinations)?;

    let [name, rest @ ..] = arguments.command.as_slice() else {
        return Err(Failure::new(Exit::Settings, anyhow!("there is no command to run")));
    };
    let tagging = Tagging {
        resource: run::resource(&run.id, &run.identity, &run.facts),
        attributes: run::record_attributes(&run.identity),
        level: settings.level,
    };
    let program = Program { name: name.clone(), arguments: rest.to_vec(), environment: variables(&run, input) };
    let exit = process::run(&program, &settings.process, pipeline.context(), &tagging).await;
    let exit = match exit {
        Ok(exit) => exit,
        Err(error) => {
            let queue = pipeline.queue().clone();
            // Nothing was read, so nothing can be left.
            let _ = pipeline.drain(settings.grace, future::pending()).await;
            remove(&queue_dir, queue);
            // As shells have it: 127 is not found, 126 cannot be run.
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            let text = format!("{} cannot be started: {error}", name.to_string_lossy());
            return Err(Failure::new(Exit::Process(code), anyhow!(text)));
        }
    };

    let ledger = Arc::clone(pipeline.ledger());
    let queue = pipeline.queue().clone();
    let deadline = Instant::now() + settings.grace;
    // The process has ended, so signals are for us now: whoever sends one does not want to wait for the destination.
    let mut signals = Signals::catch()?;
    let drained = pipeline.drain(settings.grace, signals.stop()).await;
    let is_delivered = drained.map(Drained::is_complete).unwrap_or_else(|error| {
        warn!(error = %error, "not all lines are durable");
        false
    });
    if is_delivered {
        remove(&queue_dir, queue);
        let dir = state.exec_dir();
        tokio::select! {
            () = adopt_left_behind(&dir, &settings.queue, &left_behind, settings.batch.linger, Some(deadline)) => {}
            () = signals.stop() => {}
        }
    }
    if !arguments.quiet {
        // The last lines are counted on their way into the queue, so not before the drain.
        eprintln!("{}", Summary::of(&ledger).tell(&run, settings, is_delivered, is_stored));
    }
    Ok(Exit::Process(exit.code))
}

/// What the command's environment says beside what it inherits.
fn variables(run: &Run, input: &Input) -> Vec<(String, String)> {
    let mut variables = vec![("RUNLOG_RUN_ID".to_owned(), run.id.to_string())];
    if let Some(experiment) = &run.identity.experiment {
        variables.push(("RUNLOG_EXPERIMENT".to_owned(), experiment.clone()));
    }
    // Python keeps 8 KiB back when it writes to a pipe: nothing would be seen for an hour, and lost at a kill.
    if !input.environment.contains_key("PYTHONUNBUFFERED") {
        variables.push(("PYTHONUNBUFFERED".to_owned(), "1".to_owned()));
    }
    variables
}

struct Summary {
    kept: u64,
    filtered: u64,
    lost: u64,
}

impl Summary {
    fn of(ledger: &Ledger) -> Self {
        let mut summary = Self { kept: 0, filtered: 0, lost: ledger.records_refused.load(Ordering::Relaxed) };
        for counts in ledger.sums().values() {
            summary.kept += counts.records_kept;
            summary.filtered += counts.filtered();
            summary.lost += counts.lines_lost;
        }
        summary
    }

    fn tell(&self, run: &Run, settings: &Settings, is_delivered: bool, is_stored: bool) -> String {
        let lines = if self.kept == 1 { "line" } else { "lines" };
        let mut text = format!("runlog: run {}: {} {lines} kept", run.id, self.kept);
        if self.filtered > 0 {
            text += &format!(", {} below {} left out (RUNLOG_LEVEL)", self.filtered, settings.level);
        }
        if self.lost > 0 {
            text += &format!(", {} LOST for want of room", self.lost);
        }
        if !is_delivered {
            text += "; not all is delivered yet, the rest waits for the next runlog";
        } else if is_stored {
            text += &format!("; runlog logs {}", run.id);
        }
        text
    }
}
