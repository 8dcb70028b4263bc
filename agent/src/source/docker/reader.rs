//! Reads the logs of one container to their end, over as many connections as it takes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{
    Config, Folder,
    backoff::Backoff,
    body::Body,
    engine::{Engine, Failure},
    fates::Fates,
    frame::{DecodeError, Decoder, Stdio},
    keeping::Keeping,
    life::{self, Exit, Life},
    log::{Log, Taken, key},
    own::OwnContainer,
    pace::Pace,
    stamp,
    tagging::{Container, Tags},
    ways::{self, Way, Ways},
};
use crate::{
    record::UnixNanos,
    run::RunId,
    source::{Closed, Context},
};

/// How long the engine may send nothing although more has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a running container may be silent before the engine is asked whether it is. Engines have stopped to send
/// what they still wrote down, around rotations (moby issues 23913, 35332, 37646, 39235).
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// How long the engine sends nothing once it has sent what there is.
const SETTLED: Duration = Duration::from_secs(1);

/// How long what the engine has just written may be on its way.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// So many digits of an id are enough for people: engines write no more where it is to be short.
pub(super) const SHORT_ID: usize = 12;

/// Gives a container its tags.
pub(super) type Tagger = dyn Fn(&Container) -> Tags + Send + Sync;

/// What all readers share.
pub(super) struct Shared {
    pub config: Config,
    pub context: Context,
    pub tagger: Box<Tagger>,
    pub own: OwnContainer,
    /// The agent's own run, which no container begins or ends.
    pub run_id: RunId,
    /// When it was begun to look for containers.
    pub began: UnixNanos,
    /// What became of containers that are not there any more.
    pub fates: Arc<Fates>,
    /// Which containers are read from their files instead.
    pub ways: Arc<Ways>,
    /// See [`SILENCE`].
    pub silence: Duration,
    /// See [`super::fleet::LIST_EVERY`].
    pub list_every: Duration,
}

impl Shared {
    /// What an earlier agent told of a container that is gone, if it is not the file source that has to end it.
    pub(super) fn left_behind(&self, id: &str) -> Option<Life> {
        let is_ours = match self.ways.of(id) {
            Some(way) => way == Way::Engine,
            None => !matches!(self.config.files, Folder::At(_)),
        };
        let positions = &self.context.positions;
        is_ours.then(|| life::left_behind(positions).find(|(known, _)| *known == id))?.map(|(_, life)| life)
    }

    /// What is told of a container is tagged so if nothing is known but its id.
    pub(super) fn unknown(&self, id: &str) -> Tags {
        let name = id.get(..SHORT_ID).unwrap_or(id).to_owned();
        (self.tagger)(&Container::mentioned(id, name, String::new(), HashMap::new()))
    }

    /// Says so if the file of a container cannot be read now that an agent before has begun there.
    fn look_for_file(&self, id: &str, container: &Container) {
        if !ways::begun_files(&self.context.positions).any(|(_, begun)| begun == id) {
            return;
        }
        let folder = match &self.config.files {
            Folder::None => return,
            Folder::At(folder) => Some(folder.clone()),
            Folder::OfEngine => self.ways.folder().map(|seen| seen.path),
        };
        if !folder.is_some_and(|folder| ways::is_readable(&folder, id)) {
            warn!(
                container = %container.name,
                "the container was begun from its file, which cannot be read now, and waits; let runlog read the \
                 engine's folder again, or set docker.files to off to read the container through the engine, from its start"
            );
        }
    }

    /// Chooses how a container is read of which nothing was read yet.
    fn choose(&self, id: &str, keeping: &Keeping) -> Way {
        let is_in_files = match &self.config.files {
            Folder::None => false,
            Folder::At(folder) => ways::is_readable(folder, id),
            Folder::OfEngine => self.ways.folder().is_some_and(|seen| {
                keeping.is_file(&ways::log(&seen.named, id))
                    && ways::is_readable(&seen.path, id)
                    && !ways::is_compressed(&seen.path, id)
            }),
        };
        self.ways.choose(id, if is_in_files { Way::File } else { Way::Engine })
    }
}

/// Whether a container that has ended before is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Read,
    /// Unless reading it was begun.
    Leave,
}

/// A container to be read.
pub(super) struct Reader {
    pub id: String,
    pub engine: Engine,
    pub shared: Arc<Shared>,
    pub ended: Ended,
    /// What an earlier reader of the same container left.
    pub before: Option<Remains>,
}

/// A container's logs and how far they were read.
///
/// Kept after the end, in case the container is started again.
pub(super) struct Remains {
    log: Box<Log>,
    life: Box<Life>,
    started_at: String,
    progress: Progress,
    /// When the engine began to answer the last connection.
    opened: UnixNanos,
}

impl Remains {
    /// Closes the streams and lets the queue drop their positions: the container does not exist any more.
    pub(super) async fn forget(&mut self, context: &Context) -> Result<(), Closed> {
        self.log.close();
        self.log.forget();
        let told = self.life.gone(None, context.clock.now());
        self.log.outgoing().extend(told);
        hand_over(&mut self.log, context).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There may be more.
    Reading,
    /// The last connection told all that there was.
    CaughtUp,
    /// All was read after the end of the container.
    Complete,
}

/// How the reading of a container came to its end.
pub(super) enum Outcome {
    /// The container has ended, and all of its entries were handed over.
    Read(Remains),
    /// Its logs are not wanted, or cannot be read by anybody.
    LeftOut,
    /// It is read from its file.
    Filed,
    /// It ended before it was first seen, and is not to be read.
    Skipped,
    /// It does not exist any more.
    Removed,
    /// runlog is to finish. What could be read was handed over.
    Stopped,
}

/// How a connection ended.
enum Ending {
    /// The engine has sent all.
    Complete,
    /// The place where reading has to go on did not come.
    Lost,
    /// The engine has entries that it does not send.
    Stalled,
    Stopped,
    Broken(Trouble),
    /// The pipeline takes nothing more.
    Closed,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Reader {
    /// Reads until the container has ended or the stop is thrown, and then what is left.
    pub(super) async fn run(mut self) -> Outcome {
        let mut backoff = Backoff::new();
        let mut stop = self.shared.context.stop.clone();
        let mut current = self.before.take();
        let mut warned = String::new();
        loop {
            let last_chance = stop.is_thrown();
            let sent = current.as_ref().map_or(0, |remains| remains.log.sent());
            match self.step(&mut current, last_chance).await {
                Ok(Step::Again) => continue,
                Ok(Step::Later) => {}
                Ok(Step::End) => return current.map_or(Outcome::Stopped, Outcome::Read),
                Ok(Step::Leave(outcome)) => {
                    match (&outcome, current) {
                        (Outcome::Removed, Some(remains)) => self.removed(remains).await,
                        (Outcome::Removed, None) => self.missed().await,
                        _ => {}
                    }
                    return outcome;
                }
                Err(trouble) => {
                    if let Some(remains) = &current {
                        remains.log.lost_sight(&trouble);
                    }
                    self.report(&trouble, &mut warned);
                    if last_chance {
                        return Outcome::Stopped;
                    }
                }
            }
            if current.as_ref().is_some_and(|remains| remains.log.sent() > sent) {
                backoff.reset();
            }
            backoff.pause(&mut stop).await;
        }
    }

    /// One look at the container and one connection to its logs.
    async fn step(&self, current: &mut Option<Remains>, last_chance: bool) -> Result<Step, Trouble> {
        let Some((container, keeping)) = self.engine.inspect(&self.id).await? else {
            return Ok(Step::Leave(Outcome::Removed));
        };
        let Remains { log, life, started_at, progress, opened } = match current {
            Some(remains) => remains,
            None => match self.first_seen(&container, &keeping) {
                Ok(remains) => current.insert(remains),
                Err(outcome) => return Ok(Step::Leave(outcome)),
            },
        };
        if *started_at != container.started_at {
            // A line that the former process left unfinished does not go on in the next one.
            log.close();
            started_at.clone_from(&container.started_at);
        } else if *progress == Progress::Complete && !container.running {
            return Ok(Step::End);
        }
        if container.running || *progress == Progress::Complete {
            *progress = Progress::Reading;
        }
        let now = self.shared.context.clock.now();
        log.outgoing().extend(life.seen(&container, self.shared.fates.exit(&self.id), now));
        // Its first line may be long in coming.
        if hand_over(log, &self.shared.context).await.is_err() {
            return Ok(Step::Leave(Outcome::Stopped));
        }
        // Where its engine is about to start it again, what comes next is another life's, and would be followed as this one's.
        let is_between_lives = container.running && container.exit.is_some();
        let follow = container.running && !is_between_lives && !last_chance;
        let sent = log.sent();
        let ending = self.connection(&container, log, follow, opened).await;
        log.flush();
        if hand_over(log, &self.shared.context).await.is_err() {
            return Ok(Step::Leave(Outcome::Stopped));
        }
        match ending {
            Ending::Stopped => Ok(Step::Again),
            Ending::Stalled => {
                if log.sent() == sent {
                    log.mistrust_times();
                }
                log.lost_sight(&"the engine has stopped to send the container's lines");
                warn!(container = %container.name, "the engine has stopped to send the container's lines, asking again");
                Ok(Step::Again)
            }
            Ending::Closed => Ok(Step::Leave(Outcome::Stopped)),
            Ending::Lost => {
                log.lost();
                Ok(Step::Again)
            }
            Ending::Broken(Trouble::Failure(Failure::Gone)) => Ok(Step::Leave(Outcome::Removed)),
            Ending::Broken(Trouble::Failure(Failure::Unreadable)) => {
                tell_unreadable(&container, &keeping);
                Ok(Step::Leave(Outcome::LeftOut))
            }
            Ending::Broken(trouble) => Err(trouble),
            Ending::Complete => {
                log.read_through();
                log.caught_up();
                *progress = Progress::CaughtUp;
                // Only what was asked for after the container had ended is known to be all.
                if follow || is_between_lives && !last_chance {
                    return Ok(Step::Later);
                }
                if container.running {
                    return Ok(Step::Leave(Outcome::Stopped));
                }
                *progress = Progress::Complete;
                log.close();
                let exit = self.exit(&container).await;
                log.outgoing().extend(life.ended(exit.as_ref(), self.shared.context.clock.now()));
                Ok(if hand_over(log, &self.shared.context).await.is_err() {
                    Step::Leave(Outcome::Stopped)
                } else {
                    Step::End
                })
            }
        }
    }

    /// How the container ended. That it was killed for want of memory the engine may know a moment later.
    async fn exit(&self, container: &Container) -> Option<Exit> {
        let mut exit = container.exit.clone()?;
        if exit.may_be_killed_for_memory(self.shared.context.clock.now()) {
            exit.is_oom_killed = self.shared.fates.was_out_of_memory(&self.id).await;
        }
        Some(exit)
    }

    /// Tells what is known of a container that was removed while it was read.
    async fn removed(&self, mut remains: Remains) {
        let Shared { context, fates, .. } = &*self.shared;
        let started = stamp::parse(remains.started_at.as_bytes()).unwrap_or_default();
        let is_told = remains.progress == Progress::Complete && !remains.life.is_open();
        let exit = if is_told { None } else { fates.last_exit(&self.id, started).await };
        let now = context.clock.now();
        // Of a container that is being removed the engine may send nothing, as if there were nothing.
        let was_followed = exit.as_ref().and_then(|exit| exit.finished).is_some_and(|ended| ended > remains.opened);
        let is_read = match remains.progress {
            Progress::Reading => false,
            Progress::CaughtUp => was_followed,
            Progress::Complete => true,
        };
        if !is_read {
            warn!(container = %self.id, "container was removed before its logs were read to the end");
            let gap = life::cut_short(remains.log.tags(), exit.as_ref(), now);
            remains.log.outgoing().extend(gap);
        }
        let told = remains.life.ended(exit.as_ref(), now);
        remains.log.outgoing().extend(told);
        // If the pipeline has ended there is nobody left to tell.
        let _ = remains.forget(context).await;
    }

    /// Tells that a container was removed before anything of it could be read, by what is known of it all the same.
    async fn missed(&self) {
        let Shared { config, context, tagger, own, began, fates, .. } = &*self.shared;
        let exit = fates.last_exit(&self.id, 0).await;
        if fates.is_read_from_files(&self.id) || !fates.is_mine_to_tell(&self.id) {
            return;
        }
        let now = context.clock.now();
        let told = if let Some(life) = self.shared.left_behind(&self.id) {
            life.vanished(exit.as_ref(), now)
        } else if let Some(container) = fates.container(&self.id) {
            // One that ended before may have been read by the agent before.
            let is_old = match exit.as_ref().and_then(|exit| exit.finished) {
                Some(finished) => finished < *began,
                // Nobody has told of its end, which was before anybody listened.
                None => self.ended == Ended::Leave,
            };
            if is_old || !container.is_wanted(config, own) {
                return;
            }
            warn!(container = %container.name, "container was removed before it was read");
            life::cut_short(&tagger(&container), exit.as_ref(), now).into()
        } else {
            // Whether its lines were wanted nobody can tell any more.
            info!(container = %self.id, "container was removed before it was read");
            return;
        };
        for input in told {
            if context.intake.send(input).await.is_err() {
                return;
            }
        }
    }

    fn first_seen(&self, container: &Container, keeping: &Keeping) -> Result<Remains, Outcome> {
        let Shared { config, context, tagger, own, run_id, ways, fates, .. } = &*self.shared;
        if !container.is_wanted(config, own) {
            return Err(Outcome::LeftOut);
        }
        // Whose file is gone already the engine may still have for a moment.
        if ways.of(&self.id) == Some(Way::File) || fates.is_read_from_files(&self.id) {
            self.shared.look_for_file(&self.id, container);
            return Err(Outcome::Filed);
        }
        let stored = Stdio::BOTH.map(|stdio| context.positions.get(&key(&self.id, stdio)).map(Vec::as_slice));
        let mut tags = tagger(container);
        let told = context.positions.get(&life::key(&self.id)).map(Vec::as_slice);
        let life = |tags: &Tags| Life::new(&self.id, tags.clone(), run_id, told);
        let is_begun = stored.iter().any(Option::is_some) || life(&tags).is_open();
        if !is_begun && !container.running && (self.ended == Ended::Leave || container.started_at.is_empty()) {
            return Err(Outcome::Skipped);
        }
        if keeping.is_nothing() {
            tell_unreadable(container, keeping);
            return Err(Outcome::LeftOut);
        }
        if self.shared.choose(&self.id, keeping) == Way::File {
            return Err(Outcome::Filed);
        }
        keeping.tell(container, &mut tags);
        let life = life(&tags);
        let log = Log::new(&self.id, self.engine.make(), container.framing, tags, Arc::clone(&context.ledger), stored);
        let started_at = container.started_at.clone();
        Ok(Remains { log: Box::new(log), life: Box::new(life), started_at, progress: Progress::Reading, opened: 0 })
    }

    async fn connection(&self, container: &Container, log: &mut Log, follow: bool, opened: &mut UnixNanos) -> Ending {
        let context = &self.shared.context;
        let mut stop = context.stop.clone();
        let request = log.begin(follow, context.clock.now());
        let may_stop = request.follow;
        let mut body = match self.engine.logs(&self.id, &request).await {
            Ok(body) => body,
            Err(error) => return Ending::Broken(error.into()),
        };
        *opened = context.clock.now();
        let mut decoder = Decoder::new(container.framing, request.seams);
        let mut pace = Pace::new();
        loop {
            let silence = if !may_stop || log.is_seeking() { PATIENCE } else { self.shared.silence };
            let settled = SETTLED.min(silence);
            let received = tokio::select! {
                biased;
                () = stop.thrown(), if may_stop => return Ending::Stopped,
                received = async {
                    settle(&mut body, log, settled).await;
                    timeout(silence.saturating_sub(settled), body.next()).await
                } => received,
            };
            let taken = match received {
                Ok(Ok(Some(bytes))) => {
                    pace.read(bytes.len());
                    decoder.feed(bytes);
                    log.received(context.clock.now());
                    take(&mut decoder, log)
                }
                Ok(Ok(None)) => {
                    decoder.end();
                    return match take(&mut decoder, log) {
                        Ok(Taken::Fine) if !log.is_seeking() => Ending::Complete,
                        Ok(_) => Ending::Lost,
                        Err(error) => Ending::Broken(error.into()),
                    };
                }
                Ok(Err(broken)) => return Ending::Broken(Failure::Answer(broken).into()),
                Err(_elapsed) if may_stop && log.is_seeking() => return Ending::Lost,
                Err(_elapsed) if may_stop => match self.has_unsent(container, log, &mut body).await {
                    Ok(true) => return Ending::Stalled,
                    Ok(false) => continue,
                    Err(trouble) => return Ending::Broken(trouble),
                },
                Err(_elapsed) => return Ending::Broken(Failure::Silent.into()),
            };
            match taken {
                Ok(Taken::Fine) => {}
                Ok(Taken::Lost) => return Ending::Lost,
                Err(error) => return Ending::Broken(error.into()),
            }
            log.flush();
            if hand_over(log, &self.shared.context).await.is_err() {
                return Ending::Closed;
            }
            pace.pause().await;
        }
    }

    /// Whether the engine has a newer entry than the last that came on this connection, and nothing on its way.
    async fn has_unsent(&self, container: &Container, log: &Log, body: &mut Body) -> Result<bool, Trouble> {
        let mut newest = self.engine.newest(&self.id).await?;
        let mut decoder = Decoder::new(container.framing, Vec::new());
        while let Some(bytes) =
            timeout(PATIENCE, newest.next()).await.map_err(|_| Failure::Silent)?.map_err(Failure::Answer)?
        {
            decoder.feed(bytes);
        }
        decoder.end();
        let mut has_unsent = false;
        while let Some(entry) = decoder.next()? {
            has_unsent = !log.is_newest(&entry);
        }
        // What comes meanwhile is looked at by who waits for it.
        Ok(has_unsent && timeout(LAST_CHANCE, body.arrives()).await.is_err())
    }

    /// Says each trouble once until another one comes.
    fn report(&self, trouble: &Trouble, warned: &mut String) {
        let text = trouble.to_string();
        match trouble {
            // Where the engine is gone, it is so for all containers, and said once by the fleet. A removal that
            // comes too early is said when it is done.
            Trouble::Failure(
                Failure::Leaving
                | Failure::Silent
                | Failure::Io(_)
                | Failure::Answer(_)
                | Failure::TooLong
                | Failure::Malformed(_)
                | Failure::Engine(_),
            ) => {
                debug!(container = %self.id, error = text, "connection to the container's logs was lost");
            }
            _ if *warned == text => {}
            _ => {
                warn!(container = %self.id, error = text, "container's logs cannot be read, trying again");
                *warned = text;
            }
        }
    }
}

/// What comes after one connection.
enum Step {
    Again,
    /// After a pause.
    Later,
    /// All was read.
    End,
    Leave(Outcome),
}

fn tell_unreadable(container: &Container, keeping: &Keeping) {
    warn!(
        container = %container.name,
        driver = keeping.driver,
        "container is left out: its log driver keeps nothing that can be read; json-file, local and journald do"
    );
}

/// Notes that all is read if nothing more comes within that time. Cancel safe.
async fn settle(body: &mut Body, log: &Log, within: Duration) {
    // If the connection fails, the next reading of it fails as well.
    if timeout(within, body.arrives()).await.is_err() && !log.is_seeking() {
        log.caught_up();
    }
}

async fn hand_over(log: &mut Log, context: &Context) -> Result<(), Closed> {
    for input in log.outgoing().drain(..) {
        context.intake.send(input).await?;
    }
    Ok(())
}

/// Takes the complete entries that have arrived.
fn take(decoder: &mut Decoder, log: &mut Log) -> Result<Taken, DecodeError> {
    while let Some(entry) = decoder.next()? {
        if log.entry(entry) == Taken::Lost {
            return Ok(Taken::Lost);
        }
    }
    Ok(Taken::Fine)
}
