//! The agent's sources, each started again if it panics.

use std::sync::Arc;

use tokio::{
    runtime::Handle,
    sync::watch,
    task::{self, JoinHandle},
};
use tracing::{error, warn};

use crate::{
    config::{Settings, Switch},
    pipeline::Pipeline,
    run,
    source::{docker, file, journal, otlp},
};

use super::setup::{Run, State};

/// The sources at work. They end by themselves once the pipeline's stop is thrown.
pub struct Sources(Vec<JoinHandle<()>>);

impl Sources {
    /// Waits for all.
    pub async fn join(self) {
        for source in self.0 {
            if let Err(failure) = source.await {
                error!(error = %failure, "a source failed");
            }
        }
    }
}

/// Starts what the settings ask for. Must be called inside the runtime.
pub fn start(
    settings: &Settings,
    state: &State,
    run: &Run,
    pipeline: &Pipeline,
    health: watch::Sender<docker::Health>,
    trouble: watch::Sender<otlp::Trouble>,
    invocation_id: Option<String>,
) -> Sources {
    let mut sources = Vec::new();
    let is_receiving = !settings.otlp.listen.is_empty();
    let has_journal = !settings.journal.units.is_empty();
    if settings.file.paths.is_empty() && settings.docker.collect == Switch::Off && !is_receiving && !has_journal {
        warn!("there is nothing to collect; set RUNLOG_FILES to paths or globs, or RUNLOG_DOCKER_COLLECT=auto");
    }
    let containers = docker::Tagging {
        run_id: run.id.clone(),
        identity: run.identity.clone(),
        facts: run.facts.clone(),
        level: settings.level,
    };
    let fates = Arc::new(docker::Fates::default());
    let collects = settings.docker.collect != Switch::Off;
    let resource = run::resource(&run.id, &run.identity, &run.facts);
    if !settings.file.paths.is_empty() || collects && settings.docker.files.is_some() {
        let tagging = file::Tagging {
            resource: Arc::clone(&resource),
            attributes: run::record_attributes(&run.identity),
            level: settings.level,
            state_dir: state.dir().to_owned(),
            agent_id: pipeline.queue().id(),
        };
        let (config, docker, containers) = (settings.file.clone(), settings.docker.clone(), containers.clone());
        let fates = Arc::clone(&fates);
        sources.push(tokio::spawn(pipeline.keeper().keep("source.file", move |context| {
            let logs = docker::Files::new(&docker, containers.clone(), context.clone(), Arc::clone(&fates));
            let logs = logs.filter(|_| collects);
            let disk = Arc::new(file::RealDisk);
            let mut source = file::FileSource::new(config.clone(), context, tagging.clone(), disk, Handle::current());
            source = source.without_own_output();
            if let Some(logs) = logs {
                source = source.with_containers(logs);
            }
            // It works for as long as the agent does, on a thread that nobody else needs.
            task::spawn_blocking(move || source.run())
        })));
    }
    if collects {
        let (config, health) = (settings.docker.clone(), health);
        sources.push(tokio::spawn(pipeline.keeper().keep("source.docker", move |context| {
            let (containers, fates, health) = (containers.clone(), Arc::clone(&fates), health.clone());
            tokio::spawn(docker::collect(config.clone(), context, containers, fates, health))
        })));
    }
    if is_receiving {
        let config = settings.otlp.clone();
        let tagging = otlp::Tagging { resource, level: settings.level };
        sources.push(tokio::spawn(pipeline.keeper().keep("source.otlp", move |context| {
            tokio::spawn(otlp::collect(config.clone(), context, tagging.clone(), trouble.clone()))
        })));
    }
    if has_journal {
        let config = settings.journal.clone();
        let tagging = journal::Tagging {
            run_id: run.id.clone(),
            identity: run.identity.clone(),
            facts: run.facts.clone(),
            level: settings.level,
        };
        let others = journal::Others { invocation_id, are_containers_read: collects };
        sources.push(tokio::spawn(pipeline.keeper().keep("source.journal", move |context| {
            tokio::spawn(journal::collect(config.clone(), context, tagging.clone(), others.clone()))
        })));
    }
    Sources(sources)
}
