//! Standard input, as a run of its own: `train | runlog stdin`.
//!
//! What the writer's process is nobody tells, so its exit code is not known, and the run ends when its end of the pipe is
//! closed. It is read as quickly as it comes, shown as it comes, and kept with the same bounds as a wrapped process.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncWrite, sink, stdin, stdout},
    sync::watch,
    time::Instant,
};
use tracing::{error, warn};

use crate::{
    record::{
        Event, Severity, SourceKind, Tally,
        wire::{Value, record_attribute},
    },
    source::Context,
};

use super::{
    Config, Tagging,
    run::{announce, origin},
    signals,
    stream::{Name, Output},
};

/// What becomes of the lines beside being kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// They go on to standard output.
    PassedOn,
    /// Nothing.
    Kept,
}

/// Reads standard input to its end, and records start and end of the run.
///
/// A signal that asks for an end is mostly sent to the writer as well, whose last words are still to come: it is waited
/// for. A second one ends the waiting.
///
/// # Errors
/// If signals cannot be caught.
pub async fn read_input(config: &Config, context: &Context, tagging: &Tagging, shown: Shown) -> io::Result<()> {
    let mut signals = signals::Forwarder::of_pipeline()?;
    let events = origin(tagging, tagging.attributes.clone(), "events", Tally::detached(SourceKind::Process, "events"));
    let (run_id, began) = (&tagging.resource.run_id, Instant::now());
    let event = |name, body, attributes| Event {
        origin: Arc::clone(&events),
        name,
        time: context.clock.now(),
        severity: Severity::INFO,
        body,
        attributes,
    };
    announce(context, event("ml.run.start", format!("run {run_id} started: standard input"), Vec::new())).await;
    let (give_up, given_up) = watch::channel(None);
    let output = Output::new(Name::Stdin, tagging, context, config.max_wait);
    let onward: Box<dyn AsyncWrite + Unpin + Send> = match shown {
        Shown::PassedOn => Box::new(stdout()),
        Shown::Kept => Box::new(sink()),
    };
    let copy = tokio::spawn(output.copy(stdin(), onward, given_up));
    let abort = copy.abort_handle();
    let told = async {
        signals.told_to_end().await;
        warn!("reading on until the writer has ended; a second signal ends runlog now");
        signals::asked_again(async || signals.told_to_end().await).await;
        give_up.send_replace(Some(Instant::now()));
        signals::asked_again(async || signals.told_to_end().await).await;
    };
    tokio::select! {
        copied = copy => {
            if let Err(failure) = copied {
                error!(error = %failure, "reading standard input failed");
            }
        }
        () = told => abort.abort(),
    }
    let mut attributes = Vec::new();
    record_attribute(&mut attributes, "ml.run.duration", Value::Double(began.elapsed().as_secs_f64()));
    announce(context, event("ml.run.end", format!("run {run_id} ended: standard input was closed"), attributes)).await;
    Ok(())
}
