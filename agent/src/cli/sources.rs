//! The agent's sources, each started again if it panics.

use std::sync::Arc;

use axum::Router;
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
    source::{Tagging, docker, file, journal, kubernetes, otlp},
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

/// What sources write down of themselves for whoever asks.
pub struct Shown {
    /// How Docker is doing.
    pub health: watch::Sender<docker::Health>,
    /// Where OTLP cannot be received.
    pub trouble: watch::Sender<otlp::Trouble>,
    /// What pods say of themselves, if it may be asked for.
    pub metadata: Option<kubernetes::Metadata>,
}

/// Where what pods say of themselves is kept, if the settings let it be asked for.
pub fn metadata(settings: &Settings) -> Option<kubernetes::Metadata> {
    let kubernetes::Config { logs, metadata, .. } = &settings.kubernetes;
    logs.as_ref().and(metadata.as_ref()).map(|_url| kubernetes::Metadata::default())
}

/// Starts what the settings ask for. Must be called inside the runtime.
pub fn start(
    settings: &Settings,
    state: &State,
    run: &Run,
    pipeline: &Pipeline,
    shown: Shown,
    invocation_id: Option<String>,
    beside: Router,
) -> Sources {
    let Shown { health, trouble, metadata: known } = shown;
    let mut sources = Vec::new();
    let is_receiving = !settings.otlp.listen.is_empty();
    let has_files = !settings.file.paths.is_empty() || settings.kubernetes.logs.is_some();
    let has_journal = !settings.journal.units.is_empty();
    if !has_files && settings.docker.collect == Switch::Off && !is_receiving && !has_journal {
        warn!("there is nothing to collect; set RUNLOG_FILES to paths or globs, or RUNLOG_DOCKER_COLLECT=auto");
    }
    let owned = Tagging {
        run_id: run.id.clone(),
        identity: run.identity.clone(),
        facts: run.facts.clone(),
        level: settings.level,
    };
    let (fates, ways) = (Arc::new(docker::Fates::default()), Arc::new(docker::Ways::default()));
    let collects = settings.docker.collect != Switch::Off;
    let resource = run::resource(&run.id, &run.identity, &run.facts);
    let own_pod = run.pod.clone();
    if has_files || collects && settings.docker.files != docker::Folder::None {
        let tagging = file::Tagging {
            resource: Arc::clone(&resource),
            attributes: run::record_attributes(&run.identity),
            level: settings.level,
            state_dir: state.dir().to_owned(),
            agent_id: pipeline.queue().id(),
        };
        let (config, docker, tags) = (settings.file.clone(), settings.docker.clone(), owned.clone());
        let (kubernetes, known) = (settings.kubernetes.clone(), known.clone());
        let (fates, ways) = (Arc::clone(&fates), Arc::clone(&ways));
        sources.push(tokio::spawn(pipeline.keeper().keep("source.file", move |context| {
            let (fates, ways) = (Arc::clone(&fates), Arc::clone(&ways));
            let pods = kubernetes::Pods::new(&kubernetes, tags.clone(), own_pod.clone(), known.clone());
            let pods = pods.map(|pods| pods.telling(&context));
            let logs = docker::Files::new(&docker, tags.clone(), context.clone(), fates, ways);
            let logs = logs.filter(|_| collects);
            let disk = Arc::new(file::RealDisk);
            let mut source = file::FileSource::new(config.clone(), context, tagging.clone(), disk, Handle::current());
            source = source.without_own_output();
            if let Some(logs) = logs {
                source = source.with(Box::new(logs));
            }
            if let Some(pods) = pods {
                source = source.with(Box::new(pods));
            }
            // It works for as long as the agent does, on a thread that nobody else needs.
            task::spawn_blocking(move || source.run())
        })));
    }
    if collects {
        let (config, tags) = (settings.docker.clone(), owned.clone());
        sources.push(tokio::spawn(pipeline.keeper().keep("source.docker", move |context| {
            let (tags, health) = (tags.clone(), health.clone());
            let (fates, ways) = (Arc::clone(&fates), Arc::clone(&ways));
            tokio::spawn(docker::collect(config.clone(), context, tags, fates, ways, health))
        })));
    }
    if let Some(known) = known {
        let config = settings.kubernetes.clone();
        sources.push(tokio::spawn(pipeline.keeper().keep("source.kubernetes", move |context| {
            tokio::spawn(kubernetes::keep_asking(config.clone(), known.clone(), context.stop))
        })));
    }
    let config = settings.otlp.clone();
    let tagging = otlp::Tagging { resource, level: settings.level, passes_on: settings.export.is_some() };
    sources.push(tokio::spawn(pipeline.keeper().keep("source.otlp", move |context| {
        let beside = Some(beside.clone());
        tokio::spawn(otlp::collect(
            config.clone(),
            context,
            tagging.clone(),
            trouble.clone(),
            otlp::Announced::Yes,
            beside,
        ))
    })));
    if has_journal {
        let config = settings.journal.clone();
        let others = journal::Others { invocation_id, are_containers_read: collects };
        sources.push(tokio::spawn(pipeline.keeper().keep("source.journal", move |context| {
            tokio::spawn(journal::collect(config.clone(), context, owned.clone(), others.clone()))
        })));
    }
    Sources(sources)
}
