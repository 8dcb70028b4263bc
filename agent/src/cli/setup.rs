//! What the commands that collect have in common, from settings to a pipeline.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use tokio::time::sleep;
use tracing::warn;
use uuid::Uuid;

use crate::{
    config::{self, Input, Loaded, Settings, Switch},
    pipeline::{Destinations, Pipeline, Plan, StartError},
    queue::{self, OpenError, Volume},
    run::{self, Facts, Identity, Pod, RunId},
    store::Store,
    telemetry,
};

use super::{
    args::SettingsArgs,
    exit::{Exit, Failure},
};

/// The store's folder in the state directory.
const STORE: &str = "store";
/// The agent's queue.
const QUEUE: &str = "queue";
/// Queues of wrapped processes, a folder each.
const EXEC: &str = "exec";
/// How often a new queue is begun that others take for one that was left behind.
const MOST_TRIES: u32 = 100;
const DEAD_LETTERS: &str = "dead-letter";
/// Holds the address of whoever serves from this state directory.
const ADDRESS: &str = "address";
/// Holds the process id of an agent that is about to end.
const STOPPING: &str = "stopping";

/// With less than this the store's index cannot be opened.
const LEAST_BYTES: u64 = 64 << 10;

/// How long an agent that is stopping is waited for. With a shorter grace period it has ended by then.
const HANDOVER: Duration = Duration::from_secs(10);
/// How often it is tried.
const HANDOVER_LOOK: Duration = Duration::from_millis(100);

/// How often it is looked whether the address stands there.
const ANNOUNCE_LOOK: Duration = Duration::from_secs(2);

/// Folders in the state directory.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

/// The run that everything belongs to whose source does not say otherwise.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whether the id was made up for want of one.
    pub is_generated: bool,
    /// What the environment says about it.
    pub identity: Identity,
    /// What is known about this machine.
    pub facts: Facts,
    /// The pod that this process runs in, if it runs in one.
    pub pod: Option<Pod>,
}

/// Where settings come from: flags before and after the command.
pub fn input(arguments: &[&SettingsArgs]) -> Result<Input, Failure> {
    let file = arguments.iter().rev().find_map(|arguments| arguments.config.clone());
    let mut flags = Vec::new();
    for arguments in arguments {
        let given = arguments.flags().map_err(|pair| {
            Failure::new(
                Exit::Settings,
                anyhow!("--set {pair} has no value\nwrite --set key=value, such as --set batch.linger=1s"),
            )
        })?;
        flags.extend(given);
    }
    Ok(Input::of_this_process(file, flags))
}

/// Loads the settings.
pub fn load(input: &Input) -> Result<Loaded, Failure> {
    config::load(input).map_err(|faults| Failure::new(Exit::Settings, faults))
}

/// Loads the settings and begins to speak as they say.
pub fn begin(input: &Input) -> Result<Settings, Failure> {
    let loaded = load(input)?;
    telemetry::start_messages(&loaded.settings.log);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    Ok(loaded.settings)
}

impl State {
    /// Makes the state directory, for its owner's eyes only.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let dir = &settings.state_dir;
        let unusable = |error: io::Error| {
            let remedy = "set RUNLOG_STATE_DIR to a directory that runlog may write, or change the owner of this one";
            let text = match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "it is not a directory".to_owned(),
                _ => error.to_string(),
            };
            let text = format!("the state directory {} cannot be used: {text}\n{remedy}", dir.display());
            Failure::new(Exit::State, anyhow!(text))
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
        let probe = dir.join(format!(".probe-{}", std::process::id()));
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).map_err(unusable)?;
        Ok(Self(dir.clone()))
    }

    /// The state directory of these settings, whether it exists or not.
    pub fn of(settings: &Settings) -> Self {
        Self(settings.state_dir.clone())
    }

    /// The state directory itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Where the store is.
    pub fn store_dir(&self) -> PathBuf {
        self.0.join(STORE)
    }

    /// Where the agent's queue is.
    pub fn queue_dir(&self) -> PathBuf {
        self.0.join(QUEUE)
    }

    /// Where queues of wrapped processes are.
    pub fn exec_dir(&self) -> PathBuf {
        self.0.join(EXEC)
    }

    /// Opens the store.
    pub fn open_store(&self) -> Result<Arc<Store>, Failure> {
        let store = Store::open(&self.store_dir()).map_err(|error| self.full().unwrap_or_else(|| error.into()));
        let store = store.context("the embedded store cannot be opened");
        Ok(Arc::new(store.map_err(|error| Failure::new(Exit::State, error))?))
    }

    /// Why nothing can be done with the store if its disk is full, which SQLite does not say so. Not even read: its index
    /// has files that who reads makes anew.
    pub fn full(&self) -> Option<anyhow::Error> {
        let free_bytes = Volume::of(&self.0).ok()?.free_bytes;
        let remedy = "make room, or set RUNLOG_STATE_DIR to a directory on another disk";
        (free_bytes < LEAST_BYTES).then(|| anyhow!("the disk of {} is full\n{remedy}", self.0.display()))
    }

    /// Where batches go, as the settings say: to the store, if it is kept or if there is no other place. Settings
    /// that leave no place are refused when they are loaded.
    pub fn destinations(&self, settings: &Settings) -> Result<Destinations, Failure> {
        let otlp: Vec<_> = settings.export.iter().cloned().collect();
        let is_kept = match settings.store_kept {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => otlp.is_empty(),
        };
        let store = is_kept.then(|| self.open_store()).transpose()?;
        Ok(Destinations { otlp, store, dead_letter_dir: self.0.join(DEAD_LETTERS) })
    }

    /// The address that a running agent or `runlog serve` has, as it last said.
    pub fn address(&self) -> Option<String> {
        fs::read_to_string(self.0.join(ADDRESS)).ok().map(|text| text.trim().to_owned())
    }

    /// Tells other commands where this process serves, and again whenever nobody does: for want of room, or since the
    /// state directory was removed. Never ends.
    pub async fn announce(&self, address: &str) {
        let path = self.0.join(ADDRESS);
        let draft = self.0.join(format!("{ADDRESS}.{}", std::process::id()));
        let write = || fs::write(&draft, format!("{address}\n")).and_then(|()| fs::rename(&draft, &path));
        let mut has_failed = false;
        loop {
            match write() {
                Err(error) if !has_failed => {
                    warn!(path = %path.display(), error = %error, "cannot write down the address, `runlog status` does not find it; trying again");
                    has_failed = true;
                }
                Err(_) => {}
                Ok(()) => has_failed = false,
            }
            loop {
                sleep(ANNOUNCE_LOOK).await;
                if self.address().is_none() {
                    break;
                }
            }
        }
    }

    /// Tells the next agent that this one is about to end. It does without if that fails.
    pub fn say_stopping(&self) {
        let _ = fs::write(self.0.join(STOPPING), std::process::id().to_string());
    }

    /// Whether the agent of that process id is about to end.
    fn is_stopping(&self, pid: Option<u32>) -> bool {
        let told = fs::read_to_string(self.0.join(STOPPING)).ok().and_then(|text| text.trim().parse().ok());
        told.is_some() && told == pid
    }

    /// Takes the address back.
    pub fn withdraw(&self, address: &str) {
        if self.address().as_deref() == Some(address) {
            // It is gone already if the state directory is.
            let _ = fs::remove_file(self.0.join(ADDRESS));
        }
    }
}

impl Run {
    /// Finds the run in the settings and the environment, else names a new one.
    pub fn find(settings: &Settings, input: &Input) -> Self {
        let variable = |name: &str| input.environment.get(name).cloned();
        let pod = Pod::of_environment(&variable);
        let mut identity = run::identify(&variable);
        identity.choose(settings.run_id.clone(), settings.experiment.clone());
        if let Some(pod) = &pod {
            pod.complete(&mut identity);
        }
        let is_generated = identity.run_id.is_none();
        let id = identity.run_id.clone().unwrap_or_else(RunId::generate);
        let mut facts = Facts::default();
        if let Some(name) = run::host_name() {
            facts.0.push(("host.name".to_owned(), name));
        }
        if let Some(pod) = &pod {
            pod.tell(&mut facts);
        }
        facts.choose(&settings.resource_attributes, settings.service_name.as_deref());
        Self { id, is_generated, identity, facts, pod }
    }
}

/// The same as [`start`], once an agent that holds the queue and is stopping has let it go.
pub async fn start_after(
    state: &State,
    settings: &Settings,
    queue_dir: PathBuf,
    destinations: Destinations,
) -> Result<Pipeline, Failure> {
    let began = Instant::now();
    loop {
        match Pipeline::start(plan(settings, queue_dir.clone()), destinations.clone()) {
            Err(StartError::Queue { source: OpenError::Locked { pid, .. }, .. })
                if state.is_stopping(pid) && began.elapsed() < HANDOVER =>
            {
                sleep(HANDOVER_LOOK).await;
            }
            started => {
                let pipeline = started.map_err(failure)?;
                // What the one before has left says nothing about this one.
                let _ = fs::remove_file(state.0.join(STOPPING));
                return Ok(pipeline);
            }
        }
    }
}

/// Starts a pipeline whose queue is a new one in `folder`, and gives where it is. Must be called inside the runtime.
pub fn start_new(
    settings: &Settings,
    folder: &Path,
    destinations: &Destinations,
) -> Result<(PathBuf, Pipeline), Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let queue_dir = folder.join(Uuid::now_v7().to_string());
        match Pipeline::start(plan(settings, queue_dir.clone()), destinations.clone()) {
            // Who looks for queues that were left behind has found it before it was locked.
            Err(StartError::Queue { source: OpenError::Locked { .. }, .. }) if tries < MOST_TRIES => {}
            started => return Ok((queue_dir, started.map_err(failure)?)),
        }
    }
}

fn plan(settings: &Settings, queue_dir: PathBuf) -> Plan {
    Plan {
        queue_dir,
        queue: settings.queue.clone(),
        parse: settings.parse.clone(),
        redact: settings.redact.clone(),
        loggers: settings.logger_levels.clone(),
        recorder: settings.recorder,
        batch: settings.batch.clone(),
        memory_bytes: settings.memory_bytes,
    }
}

fn failure(error: StartError) -> Failure {
    match error {
        StartError::Queue { source: OpenError::Locked { dir, pid }, .. } => {
            let holder = queue::holder(pid);
            let remedy = "stop it, or give this one a state directory of its own with RUNLOG_STATE_DIR";
            Failure::new(Exit::State, anyhow!("{holder} collects with {} already\n{remedy}", dir.display()))
        }
        StartError::Queue { source: OpenError::Network { dir }, .. } => {
            let remedy = "set RUNLOG_STATE_DIR to a directory on a disk of this machine, or allow it with \
                          RUNLOG_QUEUE_ALLOW_NETWORK_FS=true";
            let problem = "is on a network file system, whose locks and syncs may be promised and not kept";
            Failure::new(Exit::State, anyhow!("the queue {} {problem}\n{remedy}", dir.display()))
        }
        error @ StartError::Destination(_) => Failure::new(Exit::Settings, error),
        error => Failure::new(Exit::State, error),
    }
}
