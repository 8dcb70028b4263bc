//! Which containers there are: one reader for each, as long as it has something to read.

use std::{
    collections::{HashMap, HashSet},
    fs,
    panic::resume_unwind,
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{debug, error, info, warn};

use super::{
    Folder, Health, State,
    backoff::Backoff,
    change::{Change, ChangeKind, Condition},
    engine::{Absent, Activity, Engine, Failure, Listed, Make},
    frame::Stdio,
    life,
    log::key,
    reader::{Ended, Outcome, Reader, Remains, Shared},
    ways::Way,
};
use crate::{
    config::Switch,
    record::{Chunk, Input, SourceKind, UnixNanos},
    source::Stop,
};

/// How often all containers are listed: the engine's events may be lost.
pub(super) const LIST_EVERY: Duration = Duration::from_secs(10);

/// How far back events are asked for when they are asked for the first time.
const OVERLAP: UnixNanos = 1_000_000_000;

/// How long the engine may take to tell its last events. Docker ends them by itself, on a busy machine after a while;
/// Podman was seen not to end them.
const fn last_events(make: Make) -> Duration {
    match make {
        Make::Docker => Duration::from_secs(10),
        Make::Podman => Duration::from_secs(2),
    }
}

/// All containers that were seen and still exist.
pub(super) struct Fleet {
    shared: Arc<Shared>,
    health: watch::Sender<Health>,
    vessels: HashMap<String, Vessel>,
    readers: JoinSet<Outcome>,
    by_task: HashMap<Id, String>,
    /// Containers with a position in the queue that no list has shown yet.
    unseen: HashSet<String>,
    /// Time of the newest event.
    newest_change: UnixNanos,
    /// When the engine answered first.
    began: UnixNanos,
    /// Whether the containers were listed once.
    listed: bool,
    reported: Option<String>,
}

/// A container.
enum Vessel {
    /// It has a reader. `again` if it was started since, `gone` if it was removed since.
    Read { again: bool, gone: bool },
    /// It was read to its end.
    Done(Remains),
    /// It is read from its file, by somebody else.
    Filed,
    /// It is not to be read. `ever` if that cannot change.
    Skipped { ever: bool },
}

impl Fleet {
    pub(super) fn new(shared: Shared, health: watch::Sender<Health>) -> Self {
        let id = |key: &String| Some(key.strip_prefix("docker/")?.split('/').next()?.to_owned());
        Self {
            unseen: shared.context.positions.keys().filter_map(id).collect(),
            shared: Arc::new(shared),
            health,
            vessels: HashMap::new(),
            readers: JoinSet::new(),
            by_task: HashMap::new(),
            newest_change: 0,
            began: 0,
            listed: false,
            reported: None,
        }
    }

    /// Reads all containers until the stop is thrown, and then to their ends.
    pub(super) async fn run(mut self) {
        let mut stop = self.shared.context.stop.clone();
        let shared = Arc::clone(&self.shared);
        let socket = shared.config.socket.as_path();
        let mut backoff = Backoff::new();
        while !stop.is_thrown() {
            let absent = match Engine::connect(socket).await {
                Ok(engine) => match self.session(&engine, &mut stop).await {
                    Ok(()) => break,
                    Err(failure) => {
                        if self.health.borrow().state == State::Collecting {
                            backoff.reset();
                        }
                        Absent::Failure(failure)
                    }
                },
                Err(absent) => absent,
            };
            let waits = matches!(absent, Absent::NoSocket) && shared.config.collect == Switch::Auto;
            self.report(socket, &absent);
            if waits {
                // Nobody asked for an engine, so that it is looked for now and then is enough.
                let _ = timeout(LIST_EVERY, stop.thrown()).await;
            } else {
                backoff.pause(&mut stop).await;
            }
        }
        self.finish(socket).await;
    }

    /// Follows the engine's containers until the stop is thrown.
    async fn session(&mut self, engine: &Engine, stop: &mut Stop) -> Result<(), Failure> {
        let now = self.shared.context.clock.now();
        let since = if self.newest_change > 0 { self.newest_change } else { now.saturating_sub(OVERLAP) };
        if self.began == 0 {
            self.began = now;
        }
        self.find_folder(engine).await?;
        // Asked for before the list, so that no container starts between the two unseen.
        let changes = engine.changes(since, None);
        tokio::pin!(changes);
        let mut tick = interval(self.shared.list_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.thrown() => return Ok(()),
                Some(joined) = self.readers.join_next_with_id(), if !self.readers.is_empty() => {
                    self.joined(engine, joined).await;
                }
                change = changes.next() => self.changed(engine, ended_is_failure(change)?).await,
                _ = tick.tick() => self.look(engine).await?,
            }
        }
    }

    /// Finds out where the engine's files are, if they are wanted.
    async fn find_folder(&self, engine: &Engine) -> Result<(), Failure> {
        let Shared { config, own, ways, .. } = &*self.shared;
        if config.files != Folder::OfEngine {
            return Ok(());
        }
        let seen = engine.folder(own).await?;
        let folder = seen.as_ref().map(|seen| seen.path.clone());
        match folder.filter(|_| ways.found(seen)) {
            Some(folder) if fs::read_dir(&folder).is_ok() => {
                info!(folder = %folder.display(), "containers are read from the engine's files");
            }
            Some(folder) => debug!(folder = %folder.display(), "containers are read through the engine"),
            None => {}
        }
        Ok(())
    }

    /// Lists all containers and reads those that have something to be read.
    async fn look(&mut self, engine: &Engine) -> Result<(), Failure> {
        let list = engine.list().await?;
        self.found();
        self.shared.ways.list(list.iter().map(|listed| listed.container.id.as_str()));
        let ended = if self.listed { Ended::Read } else { self.ended_before() };
        for Listed { activity, container } in &list {
            let has_news = match (self.vessels.get(&container.id), activity) {
                (_, Activity::None)
                | (Some(Vessel::Read { .. } | Vessel::Filed | Vessel::Skipped { ever: true }), _) => false,
                (None, _) | (Some(_), Activity::Running) => true,
                (Some(_), Activity::Ended) => false,
            };
            if has_news {
                self.shared.fates.listed(container);
                self.read(engine, &container.id, ended);
            }
        }
        self.listed = true;
        let there: HashSet<&str> = list.iter().map(|listed| listed.container.id.as_str()).collect();
        for (id, vessel) in &mut self.vessels {
            if let Vessel::Read { gone, .. } = vessel {
                *gone |= !there.contains(id.as_str());
            }
        }
        self.unseen.retain(|id| !there.contains(id.as_str()));
        let idle = self.vessels.iter().filter(|(_, vessel)| !matches!(vessel, Vessel::Read { .. }));
        let missing = idle.map(|(id, _)| id).filter(|id| !there.contains(id.as_str()));
        let missing: Vec<String> = missing.chain(&self.unseen).cloned().collect();
        for id in missing {
            match engine.inspect(&id).await {
                Ok(None) if matches!(self.vessels.get(&id), Some(Vessel::Filed)) => {
                    self.read(engine, &id, Ended::Read);
                }
                Ok(None) => self.forget(&id).await,
                // It is there after all, or cannot be told: the next list will show.
                Ok(Some(_)) | Err(_) => debug!(container = id, "container is missing in the list"),
            }
        }
        Ok(())
    }

    fn ended_before(&self) -> Ended {
        if self.shared.config.read_exited { Ended::Read } else { Ended::Leave }
    }

    async fn changed(&mut self, engine: &Engine, change: Change) {
        self.newest_change = self.newest_change.max(change.time);
        self.shared.fates.hear(&change);
        match change.kind {
            ChangeKind::Removed => self.shared.ways.removed(&change.id),
            _ => self.shared.ways.name(&change.id),
        }
        // The first events reach back to before we looked: what they tell of may have ended before as well.
        let is_old = change.time < self.began && self.ended_before() == Ended::Leave;
        match (self.vessels.get_mut(&change.id), change.kind) {
            (_, ChangeKind::Health(condition)) => self.tell_health(engine, &change, condition).await,
            (_, ChangeKind::Created | ChangeKind::OutOfMemory) => {}
            (None, ChangeKind::Started | ChangeKind::Ended { .. }) if is_old => {
                self.read(engine, &change.id, Ended::Leave);
            }
            (Some(_), ChangeKind::Started) if is_old => {}
            (Some(Vessel::Read { again, .. }), ChangeKind::Started) => *again = true,
            // Its reader finds out by itself, unless it has just left it to its file.
            (Some(Vessel::Read { gone, .. }), ChangeKind::Removed) => *gone = true,
            (Some(Vessel::Read { .. }), _) | (Some(Vessel::Skipped { ever: true }), ChangeKind::Started) => {}
            // If nobody had its file in time, that is told.
            (Some(Vessel::Filed), ChangeKind::Removed) => self.read(engine, &change.id, Ended::Read),
            (Some(Vessel::Filed), _) => {}
            (_, ChangeKind::Removed) => self.forget(&change.id).await,
            (None, ChangeKind::Started | ChangeKind::Ended { .. }) | (Some(_), ChangeKind::Started) => {
                self.read(engine, &change.id, Ended::Read);
            }
            (Some(Vessel::Done(_) | Vessel::Skipped { .. }), ChangeKind::Ended { .. }) => {}
        }
    }

    /// Tells the run of a container what its health check has found.
    async fn tell_health(&self, engine: &Engine, change: &Change, condition: Condition) {
        let Shared { config, context, tagger, own, run_id, .. } = &*self.shared;
        // The event does not say the environment, which may name the run.
        let Ok(Some((container, _))) = engine.inspect(&change.id).await else { return };
        if !container.is_wanted(config, own) {
            return;
        }
        let tags = tagger(&container);
        if tags.resource.run_id != run_id.as_str() {
            // If the pipeline has ended there is nobody left to tell.
            let _ = context.intake.send(life::health(&tags, condition, change.time)).await;
        }
    }

    /// Gives a container its reader.
    fn read(&mut self, engine: &Engine, id: &str, ended: Ended) {
        // Whether it is there its reader sees.
        self.unseen.remove(id);
        let before = match self.vessels.insert(id.to_owned(), Vessel::Read { again: false, gone: false }) {
            Some(Vessel::Done(remains)) => Some(remains),
            _ => None,
        };
        let shared = Arc::clone(&self.shared);
        let reader = Reader { id: id.to_owned(), engine: engine.clone(), shared, ended, before };
        let task = self.readers.spawn(reader.run());
        self.by_task.insert(task.id(), id.to_owned());
        self.count();
    }

    async fn joined(&mut self, engine: &Engine, joined: Result<(Id, Outcome), JoinError>) {
        let (task, outcome) = match joined {
            Ok(joined) => joined,
            // All readers are started again, behind what they have handed over.
            Err(failed) if failed.is_panic() => resume_unwind(failed.into_panic()),
            Err(failed) => (failed.id(), Outcome::Stopped),
        };
        let Some(id) = self.by_task.remove(&task) else { return };
        let (again, gone) = match self.vessels.get(&id) {
            Some(Vessel::Read { again, gone }) => (*again, *gone),
            _ => (false, false),
        };
        let vessel = match outcome {
            Outcome::Read(remains) => Vessel::Done(remains),
            Outcome::LeftOut | Outcome::Stopped => Vessel::Skipped { ever: true },
            Outcome::Filed if gone => return self.read(engine, &id, Ended::Read),
            Outcome::Filed => Vessel::Filed,
            Outcome::Skipped => Vessel::Skipped { ever: false },
            Outcome::Removed => {
                self.forget(&id).await;
                self.count();
                return;
            }
        };
        let ever = matches!(vessel, Vessel::Filed | Vessel::Skipped { ever: true });
        self.vessels.insert(id.clone(), vessel);
        if again && !ever {
            self.read(engine, &id, Ended::Read);
        }
        self.count();
    }

    /// Lets the queue drop the positions of a container that does not exist any more.
    async fn forget(&mut self, id: &str) {
        let context = &self.shared.context;
        let left_behind = self.shared.left_behind(id);
        // Who reads files may still have to tell of one that an agent before has begun.
        if self.shared.ways.of(id) == Some(Way::Engine) || !context.positions.contains_key(&life::key(id)) {
            self.shared.ways.forget(id);
        }
        if let Some(Vessel::Done(mut remains)) = self.vessels.remove(id) {
            // If the pipeline has ended, the positions are kept a while longer.
            let _ = remains.forget(context).await;
            return;
        }
        for key in Stdio::BOTH.map(|stdio| key(id, stdio)) {
            if !context.positions.contains_key(&key) {
                continue;
            }
            let chunk = Chunk::forgetting(key, SourceKind::Docker, context.clock.now());
            let _ = context.intake.send(Input::Chunk(chunk)).await;
        }
        // It was removed while no agent looked, so nobody has told its end.
        let was_begun = !context.positions.contains_key(&life::key(id));
        if self.unseen.remove(id) && (left_behind.is_some() || was_begun) && self.shared.fates.is_mine_to_tell(id) {
            let (exit, now) = (self.shared.fates.exit(id), context.clock.now());
            let told = match left_behind {
                Some(life) => life.vanished(exit.as_ref(), now),
                // An older agent has kept no more of it than how far it was read.
                None => life::cut_short(&self.shared.unknown(id), exit.as_ref(), now).into(),
            };
            for input in told {
                let _ = context.intake.send(input).await;
            }
        }
    }

    /// Waits for all readers; containers that were not seen yet get one as well.
    async fn finish(&mut self, socket: &Path) {
        let engine = match Engine::connect(socket).await {
            Ok(engine) => {
                self.catch_up(&engine).await;
                if let Err(failure) = self.look(&engine).await {
                    warn!(error = %failure, "containers could not be listed a last time");
                }
                Some(engine)
            }
            Err(absent) => {
                debug!(error = %absent, "the engine is not there at the end");
                None
            }
        };
        while let Some(joined) = self.readers.join_next_with_id().await {
            match (joined, &engine) {
                (Err(failed), _) => error!(error = %failed, "a container's reader failed"),
                // Of one that it has left to its file and that is gone, there is something to be told.
                (joined, Some(engine)) => self.joined(engine, joined).await,
                (Ok(_), None) => {}
            }
        }
        self.health.send_modify(|health| health.containers = 0);
    }

    /// Hears the events that the stop came before: of a container that came and went they are all that is left.
    async fn catch_up(&mut self, engine: &Engine) {
        if self.began == 0 {
            return;
        }
        let since = if self.newest_change > 0 { self.newest_change } else { self.began };
        let changes = engine.changes(since, Some(self.shared.context.clock.now()));
        tokio::pin!(changes);
        let heard = async {
            while let Some(change) = changes.next().await {
                self.changed(engine, change?).await;
            }
            Ok::<_, Failure>(())
        };
        match timeout(last_events(engine.make()), heard).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => warn!(error = %failure, "the engine's last events could not be heard"),
            Err(_elapsed) => debug!("the engine does not end its events"),
        }
    }

    fn count(&self) {
        self.health.send_modify(|health| health.containers = self.readers.len());
    }

    fn found(&mut self) {
        let collecting = |health: &mut Health| {
            let news = health.state != State::Collecting;
            health.state = State::Collecting;
            news
        };
        if self.health.send_if_modified(collecting) {
            info!(socket = %self.shared.config.socket.display(), "collecting from the Docker engine");
        }
        self.reported = None;
    }

    /// Says once what keeps the containers from being read, and what to do about it.
    fn report(&mut self, socket: &Path, absent: &Absent) {
        let socket = socket.display();
        let (text, waiting) = match absent {
            Absent::NoSocket if self.shared.config.collect == Switch::Auto => {
                (format!("no Docker engine at {socket}; containers are collected when one appears"), true)
            }
            Absent::NoSocket => (
                format!(
                    "no Docker engine at {socket} (docker.host); start it, mount the socket, \
                     or set RUNLOG_DOCKER_COLLECT=off"
                ),
                false,
            ),
            Absent::Denied => (
                format!(
                    "not allowed to use the Docker engine at {socket} (docker.host); \
                     give runlog the socket's group, usually docker, or set RUNLOG_DOCKER_COLLECT=off"
                ),
                false,
            ),
            Absent::Failure(failure) => {
                (format!("the Docker engine at {socket} (docker.host) does not answer: {}", chain(failure)), false)
            }
        };
        let state = if waiting { State::Waiting } else { State::Degraded(text.clone()) };
        self.health.send_modify(|health| health.state = state);
        if self.reported.as_ref() != Some(&text) {
            if waiting {
                info!("{text}");
            } else {
                warn!("{text}; trying again");
            }
            self.reported = Some(text);
        }
    }
}

/// The engine never ends its events by itself.
fn ended_is_failure(change: Option<Result<Change, Failure>>) -> Result<Change, Failure> {
    change.unwrap_or_else(|| {
        Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the engine's events ended").into())
    })
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
