//! `runlog agent`: collects until it is stopped.

use std::{os::unix::process::CommandExt, process::Command, sync::Arc, time::Duration};

use anyhow::anyhow;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{error, info, warn};

use crate::{
    config::{Input, Settings},
    pipeline::{AgentControl, AgentVitals, DrainError, Pipeline, adopt_left_behind},
    record::{Clock, SystemClock},
    run,
    serve::{Parts, Server, Vitals},
    source::{
        docker, otlp,
        process::{Orphans, asked_again},
    },
    telemetry,
};

use super::{
    exit::{Exit, Failure},
    exit_with,
    notify::Notify,
    retain, run_api,
    setup::{self, Run, State},
    signals::{Signals, Told},
    sources::{self, Shown},
};

/// How long a source that hangs in the system is waited for once all else has ended.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Why collecting ends.
enum End {
    /// It was asked for.
    Stop,
    /// The settings have changed.
    Reload,
    /// A part that nothing goes on without has failed.
    Failure,
}

/// Runs the agent to its end.
pub async fn run(settings: &Settings, input: &Input) -> Result<Exit, Failure> {
    let started = SystemClock.now();
    let notify = Notify::of(&input.environment);
    // Caught before anything can be lost.
    let mut signals = Signals::catch()?;
    let _orphans = Orphans::of_container(None).map_err(|error| Failure::new(Exit::Bug, error))?;
    let state = State::open(settings)?;
    let run = Run::find(settings, input);
    let destinations = state.destinations(settings)?;
    let store = destinations.store.clone();
    let left_behind = destinations.clone();
    let mut pipeline = setup::start_after(&state, settings, state.queue_dir(), destinations).await?;
    let own_metrics = own_metrics(settings, &pipeline)?;
    // Twice as often as is asked for, so that one late round does no harm.
    let round = notify.watchdog.map_or(Duration::MAX, |period| period / 2);
    let well = notify.clone();
    let watchdog = pipeline.watch(round, move || well.well()).map_err(|error| Failure::new(Exit::Bug, error))?;

    let (health_sender, health) = docker::health();
    let (trouble_sender, trouble) = watch::channel(otlp::Trouble::new());
    let metadata = sources::metadata(settings);
    let control = Arc::new(AgentControl::new(&pipeline, settings.level, run.id.as_str()));
    let vitals: Arc<dyn Vitals> = Arc::new(AgentVitals::new(
        started,
        &pipeline,
        Some(health),
        Some(trouble),
        metadata.clone(),
        watchdog.verdict().clone(),
        Arc::clone(&control),
    ));
    let api = run_api::on_pipeline(settings, &run, &pipeline, store.as_ref());
    let (beside, socket_stop) = run_api::beside(&api, store.as_ref(), Arc::clone(&vitals), control.clone());
    let ending = Arc::clone(&control);
    let reader = store.as_ref().map(|store| store.reader());
    let parts = Parts { store: reader, vitals, receiver: None, api: api.clone(), control: Some(control) };
    let server = serve(settings, &state, parts).await?;
    let retaining = retain::keep_within(&settings.retention, store.as_ref(), state.dir());
    let taking_left = store.map(|store| run_api::keep_taking_left(settings.otlp.spool.clone(), store));
    let page = server.as_ref().map(|server| server.address.clone());
    // What systemd calls this start of its unit, if it has started us.
    let invocation_id = input.environment.get("INVOCATION_ID").cloned();
    let shown = Shown { health: health_sender, trouble: trouble_sender, metadata };
    let sources = sources::start(settings, &state, &run, &pipeline, shown, invocation_id, beside);
    let (queue, linger, exec_dir) = (settings.queue.clone(), settings.batch.linger, state.exec_dir());
    let spool = settings.otlp.spool.clone();
    let adopting =
        tokio::spawn(async move { adopt_left_behind(&exec_dir, &spool, &queue, &left_behind, linger, None).await });

    info!(
        run_id = %run.id,
        collect_level = %settings.level,
        files = settings.file.paths.join(","),
        pods = settings.kubernetes.logs.as_ref().map(|folder| folder.display().to_string()),
        destinations = pipeline.destinations().iter().map(|told| told.address.as_str()).collect::<Vec<_>>().join(","),
        page,
        "collecting"
    );
    notify.ready();
    let end = tokio::select! {
        end = until_end(&mut signals, &mut pipeline, input, &notify) => Ok(end),
        ended = exit_with::ended(settings, started) => ended.map(|()| End::Stop),
    };
    // Whoever ends does not move as one who works.
    drop(watchdog);
    let grace = match end {
        Ok(End::Stop) => {
            info!("stopping: reading to the end and delivering what is left");
            settings.grace
        }
        Ok(End::Reload) => return Err(again(&pipeline, &run)),
        Ok(End::Failure) | Err(_) => Duration::ZERO,
    };
    notify.stopping();
    state.say_stopping();
    api.close();
    ending.close();
    socket_stop.send_replace(true);
    for task in [taking_left, Some(retaining)].into_iter().flatten() {
        task.abort();
    }
    let drained = pipeline.drain(grace, asked_again(async || signals.stop().await)).await;
    adopting.abort();
    if timeout(LAST_MOMENT, sources.join()).await.is_err() {
        warn!("a source does not end, it is left behind");
    }
    drop(own_metrics);
    if let Some(server) = server {
        server.stop(&state).await;
    }
    let drained = drained.map_err(|error| match error {
        DrainError::NotDurable(_) => Failure::new(Exit::State, error),
        DrainError::Panicked => Failure::new(Exit::Bug, error),
    })?;
    if matches!(end?, End::Failure) {
        return Err(Failure::new(Exit::Bug, anyhow!("a part of runlog has failed, which is a bug")));
    }
    if !drained.is_complete() {
        warn!(
            batches = drained.batches_left,
            "stopped with records in the queue or unread, they are delivered after the next start"
        );
        return Ok(Exit::Undelivered);
    }
    info!("all delivered");
    Ok(Exit::Ok)
}

/// Waits until collecting is to end. Settings that cannot be used change nothing.
async fn until_end(signals: &mut Signals, pipeline: &mut Pipeline, input: &Input, notify: &Notify) -> End {
    loop {
        let told = tokio::select! {
            told = signals.next() => told,
            () = pipeline.failed() => return End::Failure,
        };
        if told == Told::Stop {
            return End::Stop;
        }
        match setup::load(input) {
            Ok(_) => {
                notify.reloading();
                return End::Reload;
            }
            Err(failure) => error!("the new settings are wrong, going on with the old ones: {}", failure.error),
        }
    }
}

/// Becomes a new runlog in the same process, with the settings that are there now. Returns only if that fails.
///
/// What is not in the queue yet is read again, as after a crash, but without the pause of one. No source is read to
/// its end, since that would cut the lines that are being written.
fn again(pipeline: &Pipeline, run: &Run) -> Failure {
    info!("the settings have changed, starting again with them");
    if let Err(error) = pipeline.queue().sync() {
        warn!(error = %error, "what is not durable is read again");
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(arguments.next().unwrap_or_else(|| "runlog".into())).args(arguments);
    if run.is_generated {
        // Still the same run.
        command.env("RUNLOG_RUN_ID", run.id.to_string());
    }
    let error = command.exec();
    Failure::new(Exit::Bug, anyhow!(error).context("cannot start again with the new settings"))
}

fn own_metrics(settings: &Settings, pipeline: &Pipeline) -> Result<Option<telemetry::OwnMetrics>, Failure> {
    let Some((interval, destination)) = settings.log.otlp_interval.zip(settings.export.as_ref()) else {
        return Ok(None);
    };
    telemetry::start_metrics(destination, interval, Arc::clone(pipeline.ledger()), run::host_name())
        .map(Some)
        .map_err(|error| Failure::new(Exit::Settings, error))
}

/// A server at work.
pub struct Serving {
    /// Where, as a URL.
    pub address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    announcing: JoinHandle<()>,
}

impl Serving {
    /// Ends it, and takes its address back.
    pub async fn stop(self, state: &State) {
        self.announcing.abort();
        // It ended by being aborted.
        let _ = self.announcing.await;
        state.withdraw(&self.address);
        // It has ended by itself if nobody listens.
        let _ = self.stop.send(());
        if let Err(failure) = self.task.await {
            error!(error = %failure, "the server failed");
        }
    }
}

/// Serves, if the settings say where.
pub async fn serve(settings: &Settings, state: &State, parts: Parts) -> Result<Option<Serving>, Failure> {
    let Some(listen) = settings.serve.listen else { return Ok(None) };
    let server = Server::bind(listen, settings.serve.access.clone(), parts).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let remedy = "stop what uses it, or set RUNLOG_SERVE_LISTEN to another address (127.0.0.1:0 takes a free port)";
        Failure::new(Exit::Settings, anyhow!("serve.listen={listen} cannot be used: {cause}\n{remedy}"))
    })?;
    let address = format!("http://{}", server.address());
    let (own, told) = (state.clone(), address.clone());
    // Ended by `Serving::stop`.
    let announcing = tokio::spawn(async move { own.announce(&told).await });
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async {
        // A dropped sender is a stop as well.
        let _ = stopped.await;
    }));
    Ok(Some(Serving { address, stop, task, announcing }))
}
