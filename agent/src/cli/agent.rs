//! `runlog agent`: collects until it is stopped.

use std::{sync::Arc, thread};

use anyhow::anyhow;
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tracing::{error, info, warn};

use crate::{
    config::{Input, Settings, Switch},
    pipeline::{AgentVitals, Pipeline, adopt_left_behind},
    record::{Clock, SystemClock},
    run,
    serve::{Parts, Server},
    source::{docker, file, otlp},
    telemetry,
};

use super::{
    exit::{Exit, Failure},
    setup::{self, Run, State},
};

/// Runs the agent to its end.
pub async fn run(settings: &Settings, input: &Input) -> Result<Exit, Failure> {
    let started = SystemClock.now();
    // Caught before anything can be lost.
    let mut signals = Signals::catch()?;
    let state = State::open(settings)?;
    let run = Run::find(settings, input);
    let destinations = state.destinations(settings)?;
    let reader = destinations.store.as_ref().map(|store| store.reader());
    let left_behind = destinations.clone();
    let pipeline = setup::start(settings, state.queue_dir(), destinations)?;
    let own_metrics = own_metrics(settings, &pipeline)?;

    let (health_sender, health) = docker::health();
    let (trouble_sender, trouble) = watch::channel(otlp::Trouble::new());
    let vitals = Arc::new(AgentVitals::new(started, &pipeline, Some(health), Some(trouble)));
    let server = serve(settings, &state, Parts { store: reader, vitals, receiver: None }).await?;
    let page = server.as_ref().map(|server| server.address.clone());
    let sources = start_sources(settings, &state, &run, &pipeline, health_sender, trouble_sender)?;
    let (queue, linger, exec_dir) = (settings.queue.clone(), settings.batch.linger, state.exec_dir());
    let adopting = tokio::spawn(async move { adopt_left_behind(&exec_dir, &queue, &left_behind, linger, None).await });

    info!(
        run_id = %run.id,
        collect_level = %settings.level,
        files = settings.file.paths.join(","),
        destinations = pipeline.destinations().iter().map(|told| told.address.as_str()).collect::<Vec<_>>().join(","),
        page,
        "collecting"
    );
    signals.stop().await;
    info!("stopping: reading to the end and delivering what is left");
    let drain = pipeline.drain(settings.grace);
    let drained = tokio::select! {
        drained = drain => drained,
        () = signals.stop() => {
            warn!("told to stop twice, leaving at once; what is left is delivered at the next start");
            return Ok(Exit::Undelivered);
        }
    };
    adopting.abort();
    sources.join().await;
    drop(own_metrics);
    if let Some(server) = server {
        server.stop(&state).await;
    }
    let drained =
        drained.map_err(|error| Failure::new(Exit::State, anyhow!(error).context("the last lines are not durable")))?;
    if drained.batches_left > 0 {
        warn!(
            batches = drained.batches_left,
            "stopped with records in the queue, they are delivered at the next start"
        );
        return Ok(Exit::Undelivered);
    }
    info!("all delivered");
    Ok(Exit::Ok)
}

/// The sources at work. They end by themselves once the pipeline's stop is thrown.
struct Sources {
    files: Option<thread::JoinHandle<()>>,
    docker: Option<JoinHandle<()>>,
    otlp: Option<JoinHandle<()>>,
}

impl Sources {
    async fn join(self) {
        if let Some(docker) = self.docker
            && let Err(failure) = docker.await
        {
            error!(error = %failure, "the Docker source failed");
        }
        if let Some(otlp) = self.otlp
            && let Err(failure) = otlp.await
        {
            error!(error = %failure, "the OTLP source failed");
        }
        let files = tokio::task::spawn_blocking(move || self.files.map(thread::JoinHandle::join));
        if let Ok(Some(Err(_))) = files.await {
            error!("the file source failed");
        }
    }
}

fn start_sources(
    settings: &Settings,
    state: &State,
    run: &Run,
    pipeline: &Pipeline,
    health: watch::Sender<docker::Health>,
    trouble: watch::Sender<otlp::Trouble>,
) -> Result<Sources, Failure> {
    let mut sources = Sources { files: None, docker: None, otlp: None };
    let is_receiving = !settings.otlp.listen.is_empty();
    if settings.file.paths.is_empty() && settings.docker.collect == Switch::Off && !is_receiving {
        warn!("there is nothing to collect; set RUNLOG_FILES to paths or globs, or RUNLOG_DOCKER_COLLECT=auto");
    }
    let containers = docker::Tagging {
        run_id: run.id.clone(),
        identity: run.identity.clone(),
        facts: run.facts.clone(),
        level: settings.level,
    };
    let collects = settings.docker.collect != Switch::Off;
    let positions = &pipeline.context().positions;
    let logs = docker::Files::new(&settings.docker, containers.clone(), positions).filter(|_| collects);
    if !settings.file.paths.is_empty() || logs.is_some() {
        let tagging = file::Tagging {
            resource: run::resource(&run.id, &run.identity, &run.facts),
            attributes: run::record_attributes(&run.identity),
            level: settings.level,
            state_dir: state.dir().to_owned(),
            agent_id: pipeline.queue().id(),
        };
        let mut source = file::FileSource::new(
            settings.file.clone(),
            pipeline.context().clone(),
            tagging,
            Arc::new(file::RealDisk),
            Handle::current(),
        );
        if let Some(logs) = logs {
            source = source.with_containers(logs);
        }
        let thread = thread::Builder::new().name("runlog-files".into()).spawn(move || source.run());
        sources.files = Some(thread.map_err(|error| Failure::new(Exit::Bug, error))?);
    }
    if collects {
        let collecting = docker::collect(settings.docker.clone(), pipeline.context().clone(), containers, health);
        sources.docker = Some(tokio::spawn(collecting));
    }
    if is_receiving {
        let tagging =
            otlp::Tagging { resource: run::resource(&run.id, &run.identity, &run.facts), level: settings.level };
        let collecting = otlp::collect(settings.otlp.clone(), pipeline.context().clone(), tagging, trouble);
        sources.otlp = Some(tokio::spawn(collecting));
    }
    Ok(sources)
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
}

impl Serving {
    /// Ends it, and takes its address back.
    pub async fn stop(self, state: &State) {
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
    let server = Server::bind(listen, parts).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let remedy = "stop what uses it, or set RUNLOG_SERVE_LISTEN to another address (127.0.0.1:0 takes a free port)";
        Failure::new(Exit::Settings, anyhow!("serve.listen={listen} cannot be used: {cause}\n{remedy}"))
    })?;
    let address = format!("http://{}", server.address());
    state.announce(&address);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async {
        // A dropped sender is a stop as well.
        let _ = stopped.await;
    }));
    Ok(Some(Serving { address, stop, task }))
}

/// SIGTERM and SIGINT.
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Catches from now on.
    pub fn catch() -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(|error| Failure::new(Exit::Bug, error));
        Ok(Self { term: catch(SignalKind::terminate())?, int: catch(SignalKind::interrupt())? })
    }

    /// Waits for the next.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
