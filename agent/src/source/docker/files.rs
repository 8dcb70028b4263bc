//! Containers whose logs are read from the engine's own files, by the file source.
//!
//! Beside each log of the `json-file` driver the engine keeps what it knows of the container, so that nothing has to
//! be asked: reading goes on while the engine is away, and costs it nothing. A container that was begun through the
//! engine is read to its end that way, since its place there is another one than in the file.
//! Source: moby `container/container.go`, which writes `config.v2.json`, and `daemon/monitor.go`, which writes it when a
//! container has ended and its log is complete.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fs, mem,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bollard::models::HostConfig;
use serde::Deserialize;
use tracing::{debug, warn};

use super::{
    Config, Fates, Folder, Ways,
    frame::Framing,
    keeping::Keeping,
    life::{self, Exit, Life},
    own::OwnContainer,
    stamp,
    tagging::{Container, Tags},
    ways::{self, LOG_END, Way},
};
use crate::{
    record::{Input, UnixNanos},
    source::{Context, Tagging, file::Claim},
};

const CONFIG: &str = "config.v2.json";
const HOST_CONFIG: &str = "hostconfig.json";

/// The folder of the engine's containers, and which of them are wanted.
pub struct Files {
    /// Where the containers are, as far as it is known, and where those were that an agent before has begun.
    folders: Vec<PathBuf>,
    config: Config,
    tagging: Tagging,
    context: Context,
    fates: Arc<Fates>,
    ways: Arc<Ways>,
    /// How much was known of the engine when its folder was last looked for, and when logs were last decided on.
    changes: [u64; 2],
    /// How often it had removed containers when that was last asked.
    removals: u64,
    own: OwnContainer,
    /// When it was begun to look for containers.
    began: UnixNanos,
    /// Those of which a file was read before this process.
    read_before: HashSet<String>,
    /// Those that had ended before the first look.
    ended_before: HashSet<String>,
    is_first_look: bool,
    /// Whether it was told what became of those that were removed before.
    has_told: bool,
    has_complained: bool,
    known: HashMap<String, Known>,
    /// What is to be told next.
    news: Vec<Input>,
}

/// When a file was written, and its inode: the engine replaces the file, and two that it writes within one tick of the file
/// system's clock have the same time.
type Version = (SystemTime, u64);

/// A container with a log.
struct Known {
    /// The folder that it is in.
    folder: PathBuf,
    /// Which version of what the engine knows of it was read.
    version: Version,
    running: bool,
    exit: Option<Exit>,
    /// If it is wanted. Kept as they were first, whatever it is called since.
    read: Option<(Tags, Life)>,
    /// Whether it is wanted and its log could not be opened.
    is_closed: bool,
    /// Whether a log of it was opened.
    is_opened: bool,
    is_removed: bool,
}

impl Files {
    /// Reads the containers of `config` from the engine's folder. `None` if they are all to be read through the engine.
    #[must_use]
    pub fn new(
        config: &Config,
        tagging: Tagging,
        context: Context,
        fates: Arc<Fates>,
        ways: Arc<Ways>,
    ) -> Option<Self> {
        ways.begin(&context.positions, &config.files);
        let mut folders = match &config.files {
            Folder::None => return None,
            Folder::At(folder) => vec![folder.clone()],
            // So that what was begun is read on while there is no engine to ask.
            Folder::OfEngine => ways::begun_files(&context.positions).map(|(folder, _)| folder).collect(),
        };
        folders.sort_unstable();
        folders.dedup();
        Some(Self {
            folders,
            config: config.clone(),
            tagging,
            fates,
            ways,
            changes: [0; 2],
            removals: 0,
            own: OwnContainer::find(),
            began: context.clock.now(),
            context,
            read_before: HashSet::new(),
            ended_before: HashSet::new(),
            is_first_look: true,
            has_told: false,
            has_complained: false,
            known: HashMap::new(),
            news: Vec::new(),
        })
    }

    /// Globs of the logs, those that were rotated included. Compressed ones are not read.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        let of = |folder: &PathBuf| ["", ".[0-9]"].map(|end| format!("{}/*/*{LOG_END}{end}", folder.display()));
        self.folders.iter().flat_map(of).collect()
    }

    /// Whether the engine has told of another folder since it was last asked so, or has removed containers.
    pub fn has_moved(&mut self) -> bool {
        if self.config.files != Folder::OfEngine || !self.is_changed(0) {
            return false;
        }
        let removals = self.ways.removals();
        let has_removed = mem::replace(&mut self.removals, removals) != removals;
        let new = self.ways.folder().filter(|seen| !self.folders.contains(&seen.path));
        let is_new = new.is_some();
        if let Some(seen) = new {
            self.folders.push(seen.path);
            self.has_complained = false;
        }
        is_new || has_removed || !self.has_told && self.ways.is_listed()
    }

    /// Whether a container that is not in its folder was removed.
    fn is_missed(&self, id: &str) -> bool {
        self.config.files != Folder::OfEngine || self.ways.is_gone(id)
    }

    /// Whether the engine has told of containers since it was last asked so.
    pub fn may_have_decided(&mut self) -> bool {
        self.is_changed(1)
    }

    fn is_changed(&mut self, which: usize) -> bool {
        let now = self.ways.changes();
        mem::replace(&mut self.changes[which], now) != now
    }

    /// Rings that bell when one of these two may be.
    pub fn ring(&self, bell: Arc<OwnedFd>) {
        self.ways.ring(bell);
    }

    /// Begins a look at all containers. At the first one, what was told of those that are gone comes to its end.
    pub fn look(&mut self) {
        let mut there = HashSet::new();
        let mut unseen = Vec::new();
        for folder in &self.folders {
            match fs::read_dir(folder) {
                Ok(entries) => there.extend(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())),
                Err(error) => unseen.push((folder.clone(), error)),
            }
        }
        for (folder, error) in &unseen {
            self.complain(folder, error);
        }
        let may_tell = self.config.files != Folder::OfEngine || self.ways.is_listed();
        if unseen.is_empty() && !self.has_told && may_tell && !self.folders.is_empty() {
            self.has_told = true;
            let now = self.context.clock.now();
            let left = life::left_behind(&self.context.positions)
                .filter(|(id, _)| !there.contains(*id) && self.is_mine(id) && self.is_missed(id));
            self.news = left.flat_map(|(_, life)| life.vanished(None, now)).collect();
        }
        let is_seen = |folder: &PathBuf| !unseen.iter().any(|(unseen, _)| unseen == folder);
        self.ended_before.retain(|id| there.contains(id));
        let is_missing = |(id, known): (&String, &Known)| {
            let is_missing = is_seen(&known.folder) && !there.contains(id) && self.is_missed(id);
            is_missing.then(|| id.clone())
        };
        let missing: Vec<String> = self.known.iter().filter_map(is_missing).collect();
        for id in missing {
            self.known.entry(id).and_modify(|known| known.is_removed = true);
        }
        self.known.retain(|_, known| !known.is_removed || known.read.is_some());
        let there: Vec<String> =
            self.known.iter().filter(|(_, known)| !known.is_removed).map(|it| it.0.clone()).collect();
        there.iter().for_each(|id| self.refresh(id));
    }

    /// Says once that a folder cannot be read. Who asked for none misses only containers that were begun there.
    fn complain(&mut self, folder: &Path, error: &std::io::Error) {
        let is_missed = match &self.config.files {
            Folder::None => false,
            Folder::At(_) => true,
            Folder::OfEngine => ways::begun_files(&self.context.positions).any(|(begun, _)| begun == folder),
        };
        if is_missed && !mem::replace(&mut self.has_complained, true) {
            let folder = folder.display();
            warn!(%folder, %error, "cannot read the engine's folder of containers; those that were begun there wait");
        }
    }

    /// Whether it is told here what became of a container that was removed while nobody looked.
    fn is_mine(&self, id: &str) -> bool {
        self.ways.of(id).map_or_else(|| matches!(self.config.files, Folder::At(_)), |way| way == Way::File)
    }

    /// Ends a look: what is found ended from now on has ended since.
    pub const fn looked(&mut self) {
        if !self.folders.is_empty() {
            self.is_first_look = false;
        }
    }

    /// The folder and the id of the container whose log, or what else is known of it, stands at that path.
    fn of(&self, path: &Path) -> Option<(&Path, String)> {
        let own = path.parent()?;
        let folder = self.folders.iter().find(|folder| own.parent() == Some(folder))?;
        Some((folder, own.file_name()?.to_str()?.to_owned()))
    }

    /// Whether it is a path of a container's log.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.folders.iter().any(|folder| path.starts_with(folder))
    }

    /// Whether it is a path of a container's log, and the container has been removed.
    #[must_use]
    pub fn is_removed(&self, path: &Path) -> bool {
        let is_gone =
            |(folder, id): (&Path, String)| folder.is_dir() && !folder.join(&id).exists() && self.is_missed(&id);
        self.of(path).is_some_and(is_gone)
    }

    /// Notes that the log at that path was read before this process, so that it is wanted to its end.
    pub fn was_read(&mut self, path: &Path) {
        self.read_before.extend(path.parent().and_then(name).map(str::to_owned));
    }

    /// What stands at that path has been written. If that is what the engine knows of a container, it is read again.
    pub fn written(&mut self, path: &Path) {
        if path.file_name().is_some_and(|name| name == CONFIG)
            && let Some((_, id)) = self.of(path)
            && self.known.contains_key(&id)
        {
            self.refresh(&id);
        }
    }

    /// A folder came to that path and was gone before anybody could look.
    pub fn came_and_went(&self, path: &Path) {
        if self.folders.iter().any(|folder| path.parent() == Some(folder)) {
            // Where the engine can be asked, its events have told.
            warn!(path = %path.display(), "a container came and went before its log could be opened");
        }
    }

    /// The log at that path is open: all that it has will be read.
    pub fn opened(&mut self, path: &Path) {
        if let Some(id) = path.parent().and_then(name)
            && let Some(known) = self.known.get_mut(id)
        {
            known.is_opened = true;
            self.fates.read_from_files(id);
        }
    }

    /// Whether the log at that path is read. What the engine knows of a container may be written after its log was made,
    /// and the engine may speak of it after that.
    pub fn claim(&mut self, path: &Path) -> Claim {
        let Some((_, id)) = self.of(path) else { return Claim::Unwanted };
        match self.ways.of(&id) {
            Some(Way::Engine) => return Claim::Unwanted,
            Some(Way::File) => {}
            // A folder at the same path may have belonged to another engine.
            None if self.config.files == Folder::OfEngine && !self.ways.is_named(&id) => return Claim::Undecided,
            None => {}
        }
        self.refresh(&id);
        if self.known.get(&id).is_some_and(|known| known.read.is_some()) { Claim::Wanted } else { Claim::NotNow }
    }

    /// What the lines of that log are tagged with. `None` if it is not wanted, or cannot be told yet.
    #[must_use]
    pub fn tags(&self, path: &Path) -> Option<Tags> {
        let (tags, _) = self.known.get(name(path.parent()?)?)?.read.as_ref()?;
        Some(tags.clone())
    }

    /// What is to be told of starts and ends that were noticed.
    pub fn news(&mut self) -> Vec<Input> {
        mem::take(&mut self.news)
    }

    /// The containers that have ended, or are not there any more, of which that was not told yet.
    #[must_use]
    pub fn ending(&self) -> Vec<String> {
        let now = self.context.clock.now();
        let is_ending = |known: &Known| {
            let is_known = known.exit.as_ref().is_none_or(|exit| !exit.may_be_killed_for_memory(now));
            known.is_removed
                || known.read.as_ref().is_some_and(|(_, life)| life.is_open() && !known.running && is_known)
        };
        self.known.iter().filter(|(_, known)| is_ending(known)).map(|(id, _)| id.clone()).collect()
    }

    /// Whether that container was removed.
    #[must_use]
    pub fn is_gone(&self, id: &str) -> bool {
        self.known.get(id).is_some_and(|known| known.is_removed)
    }

    /// Whether it is a path of that container's log.
    #[must_use]
    pub fn is_of(&self, path: &Path, id: &str) -> bool {
        self.has(path) && path.parent().and_then(name) == Some(id)
    }

    /// All that such a container has printed was handed over: what is told then.
    pub fn ended(&mut self, id: &str) -> Vec<Input> {
        let now = self.context.clock.now();
        let Some(known) = self.known.get_mut(id) else { return Vec::new() };
        let exit = known.exit.clone().or_else(|| self.fates.exit(id));
        let Some((tags, life)) = &mut known.read else { return Vec::new() };
        if !known.is_removed {
            return life.ended(exit.as_ref(), now);
        }
        let mut told = Vec::new();
        // Of one that was not opened in time nothing was read. An engine that is heard is asked for it.
        if !known.is_opened && self.fates.container(id).is_none() {
            told.extend(life::cut_short(tags, exit.as_ref(), now));
        }
        told.extend(life.gone(exit.as_ref(), now));
        self.known.remove(id);
        self.ways.forget(id);
        told
    }

    /// Reads what the engine knows of a container, if it was written since.
    fn refresh(&mut self, id: &str) {
        let Some(folder) = self.folders.iter().find(|folder| folder.join(id).is_dir()).cloned() else { return };
        let config = folder.join(id).join(CONFIG);
        let version = fs::metadata(&config).and_then(|metadata| Ok((metadata.modified()?, metadata.ino())));
        let Ok(version) = version else { return };
        if self.known.get(id).is_some_and(|known| known.version == version && !known.is_closed) {
            return;
        }
        let container = match fs::read(&config).map_err(|error| error.to_string()).and_then(|bytes| read(&bytes)) {
            Ok(container) if container.id == id => container,
            Ok(_) => return,
            Err(error) => {
                // It is replaced as a whole, so this is another form of it, and the next look tries again.
                debug!(path = %config.display(), error, "what the engine knows of a container cannot be read");
                return;
            }
        };
        let finished = container.exit.as_ref().and_then(|exit| exit.finished);
        let is_old = self.is_first_look || finished.is_some_and(|finished| finished < self.began);
        if container.running {
            self.ended_before.remove(id);
        } else if is_old && !self.config.read_exited && !self.read_before.contains(id) {
            self.ended_before.insert(id.to_owned());
        }
        let former = self.known.remove(id);
        let is_opened = former.as_ref().is_some_and(|known| known.is_opened);
        let mut read = former.and_then(|known| known.read);
        let is_wanted = container.is_wanted(&self.config, &self.own) && !self.ended_before.contains(id);
        let mut is_closed = false;
        if read.is_none() && is_wanted {
            let way = self.choose(&folder, id);
            is_closed = way.is_none();
            if way.is_some_and(|way| way == Way::File) {
                let mut tags = self.tagging.tags(&container);
                keeping(&folder, id).tell(&container, &mut tags);
                let told = self.context.positions.get(&life::key(id)).map(Vec::as_slice);
                let life = Life::new(id, tags.clone(), &self.tagging.run_id, told);
                read = Some((tags, life));
            }
        }
        if let Some((_, life)) = &mut read {
            let told = life.seen(&container, self.fates.exit(id), self.context.clock.now());
            self.news.extend(told);
        }
        let Container { running, exit, .. } = container;
        let known = Known { folder, version, running, exit, read, is_closed, is_opened, is_removed: false };
        self.known.insert(id.to_owned(), known);
    }

    /// How a wanted container is read. `None` if its log cannot be opened, and nobody has chosen another way.
    fn choose(&self, folder: &Path, id: &str) -> Option<Way> {
        if let Some(way) = self.ways.of(id) {
            return Some(way);
        }
        if !ways::is_readable(folder, id) {
            return None;
        }
        let is_whole = matches!(self.config.files, Folder::At(_)) || !ways::is_compressed(folder, id);
        Some(self.ways.choose(id, if is_whole { Way::File } else { Way::Engine }))
    }
}

/// How the engine keeps what that container prints.
fn keeping(folder: &Path, id: &str) -> Keeping {
    let written = fs::read(folder.join(id).join(HOST_CONFIG)).unwrap_or_default();
    Keeping::of(serde_json::from_slice::<HostConfig>(&written).ok(), None)
}

fn name(folder: &Path) -> Option<&str> {
    folder.file_name()?.to_str()
}

/// What is used of `config.v2.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    state: State,
    config: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    #[serde(default)]
    restarting: bool,
    #[serde(rename = "OOMKilled", default)]
    is_oom_killed: bool,
    #[serde(default)]
    exit_code: i64,
    started_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    image: String,
    env: Option<Vec<String>>,
    labels: Option<HashMap<String, String>>,
}

fn read(bytes: &[u8]) -> Result<Container, String> {
    let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let state = written.state;
    // What has not happened has the year 1.
    let moment = |text: Option<String>| text.filter(|text| !text.starts_with("0001-"));
    let finished = moment(state.finished_at).and_then(|text| stamp::parse(text.as_bytes()));
    let is_over = (!state.running || state.restarting) && finished.is_some();
    let exit = Exit { code: state.exit_code, is_oom_killed: state.is_oom_killed, finished };
    Ok(Container {
        id: written.id,
        name: written.name.strip_prefix('/').unwrap_or(&written.name).to_owned(),
        image: written.config.image,
        labels: written.config.labels.unwrap_or_default(),
        environment: written.config.env.unwrap_or_default(),
        // Says how the engine sends the logs, and nothing of the file.
        framing: Framing::Multiplexed,
        running: state.running,
        started_at: moment(state.started_at).unwrap_or_default(),
        exit: is_over.then_some(exit),
    })
}
