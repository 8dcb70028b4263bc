//! The Run API of this process.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep},
};
use tracing::{info, warn};

use crate::{
    api::{self, Api, Settle},
    config::Settings,
    pipeline::{Pipeline, STORE},
    record::{Severity, SystemClock},
    run,
    serve::{Control, Parts, Vitals, on_socket},
    source::otlp::{self, Tagging},
    store::Store,
};

use super::setup::Run;

/// How long a question waits at most until the store has what was answered before.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether the store has it, and how many times: in all two seconds, and longer on a machine that is so
/// busy that each look takes longer, as the store does.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS: u32 = 800;

/// In a spool: files that programs have left.
pub const FILES: &str = "files";

/// How often files are looked for that programs have left.
const LEFT_EVERY: Duration = Duration::from_secs(1);

/// The API of a pipeline. It has to be closed before a drain can end.
pub fn on_pipeline(settings: &Settings, run: &Run, pipeline: &Pipeline, store: Option<&Arc<Store>>) -> Api {
    let tagging = Tagging {
        resource: run::resource(&run.id, &run.identity, &run.facts),
        level: Severity::UNSPECIFIED,
        passes_on: settings.export.is_some(),
    };
    Api::new(api::Parts {
        sink: otlp::inlet(&settings.otlp, pipeline.context(), &tagging),
        store: store.cloned(),
        settle: settle(pipeline),
        own: Some(run.id.clone()),
        clock: Arc::new(SystemClock),
    })
}

/// Waits until the store has what is durable.
fn settle(pipeline: &Pipeline) -> Settle {
    let queue = pipeline.queue().clone();
    Arc::new(move || {
        let queue = queue.clone();
        Box::pin(async move {
            let (durable, since) = (queue.stats().durable, Instant::now());
            for _ in 0..LOOKS {
                if queue.has_acknowledged(STORE, durable) || since.elapsed() >= PATIENCE {
                    return;
                }
                sleep(LOOK).await;
            }
        })
    })
}

/// What answers on unix sockets.
pub fn beside(
    api: &Api,
    store: Option<&Arc<Store>>,
    vitals: Arc<dyn Vitals>,
    control: Arc<dyn Control>,
) -> (Router, watch::Sender<bool>) {
    let store = store.map(|store| store.reader());
    on_socket(Parts { store, vitals, receiver: None, api: api.clone(), control: Some(control) })
}

/// Takes the files that programs leave in the spool into the store, until it is aborted.
pub fn keep_taking_left(spool: PathBuf, store: Arc<Store>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut trouble = None;
        loop {
            let (folder, store) = (spool.join(FILES), Arc::clone(&store));
            match spawn_blocking(move || api::take_left(&folder, &store)).await {
                Ok(Ok(0)) => trouble = None,
                Ok(Ok(files)) => info!(files, "taken from the spool"),
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if trouble.as_ref() != Some(&error) {
                        warn!(error, "files in the spool cannot be taken into the store, trying again");
                    }
                    trouble = Some(error);
                }
                // The runtime is shutting down.
                Err(_) => return,
            }
            sleep(LEFT_EVERY).await;
        }
    })
}
