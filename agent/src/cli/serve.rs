//! `runlog serve`: the embedded store alone.

use std::sync::Arc;

use anyhow::anyhow;
use tracing::info;

use crate::{
    config::Settings,
    record::{Clock, SystemClock, UnixNanos},
    serve::{Parts, Receiver, Snapshot, Vitals},
};

use super::{
    agent,
    exit::{Exit, Failure},
    retain,
    setup::State,
    signals::Signals,
};

/// Serves until stopped.
pub async fn run(settings: &Settings) -> Result<Exit, Failure> {
    let mut signals = Signals::catch()?;
    let state = State::open(settings)?;
    let store = state.open_store()?;
    let vitals = Arc::new(StoreVitals { started: SystemClock.now() });
    let receiver = Receiver::new(Arc::clone(&store));
    let api = receiver.run_api();
    let parts = Parts { store: Some(store.reader()), vitals, receiver: Some(receiver), api, control: None };
    let Some(serving) = agent::serve(settings, &state, parts).await? else {
        let text =
            "serve.listen is empty, so there is nothing to serve\nset RUNLOG_SERVE_LISTEN, such as 127.0.0.1:4319";
        return Err(Failure::new(Exit::Settings, anyhow!(text)));
    };
    let retaining = retain::keep_within(&settings.retention, Some(&store), state.dir());
    info!(page = serving.address, otlp = format!("{}/v1/logs", serving.address), "serving");
    signals.stop().await;
    retaining.abort();
    serving.stop(&state).await;
    Ok(Exit::Ok)
}

/// Of a process that serves what is in the store, and says nothing else of itself.
pub struct StoreVitals {
    /// When it started.
    pub started: UnixNanos,
}

impl Vitals for StoreVitals {
    fn snapshot(&self) -> Snapshot {
        Snapshot { started: self.started, ..Snapshot::default() }
    }
}
