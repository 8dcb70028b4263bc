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
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde::Deserialize;
use tracing::{debug, warn};

use super::{
    Config, Fates,
    frame::{Framing, Stdio},
    life::{self, Exit, Life},
    log::key,
    own::OwnContainer,
    stamp,
    tagging::{Container, Tags},
};
use crate::{
    record::Input,
    source::{Context, Tagging},
};

const CONFIG: &str = "config.v2.json";
const LOG_END: &str = "-json.log";

/// The folder of the engine's containers, and which of them are wanted.
pub struct Files {
    folder: PathBuf,
    config: Config,
    tagging: Tagging,
    context: Context,
    fates: Arc<Fates>,
    own: OwnContainer,
    /// Those that were begun through the engine.
    begun: HashSet<String>,
    /// Those of which a file was read before this process.
    read_before: HashSet<String>,
    /// Those that had ended before the first look.
    ended_before: HashSet<String>,
    is_first_look: bool,
    has_complained: bool,
    known: HashMap<String, Known>,
    /// What is to be told next.
    news: Vec<Input>,
}

/// A container with a log.
struct Known {
    /// When what the engine knows of it was last written.
    written: SystemTime,
    running: bool,
    exit: Option<Exit>,
    /// If it is wanted. Kept as they were first, whatever it is called since.
    read: Option<(Tags, Life)>,
    /// Whether a log of it was opened.
    is_opened: bool,
    is_removed: bool,
}

impl Files {
    /// Reads the containers of `config` from its folder. `None` if they are all to be read through the engine.
    #[must_use]
    pub fn new(config: &Config, tagging: Tagging, context: Context, fates: Arc<Fates>) -> Option<Self> {
        let begun = |key: &String| Some(key.strip_prefix("docker/")?.split_once("/std")?.0.to_owned());
        Some(Self {
            folder: config.files.clone()?,
            config: config.clone(),
            tagging,
            fates,
            own: OwnContainer::find(),
            begun: context.positions.keys().filter_map(begun).collect(),
            context,
            read_before: HashSet::new(),
            ended_before: HashSet::new(),
            is_first_look: true,
            has_complained: false,
            known: HashMap::new(),
            news: Vec::new(),
        })
    }

    /// Globs of the logs, those that were rotated included. Compressed ones are not read.
    #[must_use]
    pub fn patterns(&self) -> [String; 2] {
        ["", ".[0-9]"].map(|end| format!("{}/*/*{LOG_END}{end}", self.folder.display()))
    }

    /// Begins a look at all containers. At the first one, what was told of those that are gone comes to its end.
    pub fn look(&mut self) {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) => {
                if !mem::replace(&mut self.has_complained, true) {
                    let folder = self.folder.display();
                    warn!(%folder, %error, "cannot read docker.files, containers are read through the engine");
                }
                return;
            }
        };
        let there: HashSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        if self.is_first_look {
            let now = self.context.clock.now();
            let left = life::left_behind(&self.context.positions)
                .filter(|(id, _)| !there.contains(*id) && !self.begun.contains(*id));
            self.news = left.flat_map(|(_, life)| life.vanished(None, now)).collect();
        }
        self.ended_before.retain(|id| there.contains(id));
        for (id, known) in &mut self.known {
            known.is_removed |= !there.contains(id);
        }
        self.known.retain(|_, known| !known.is_removed || known.read.is_some());
        let there: Vec<String> =
            self.known.iter().filter(|(_, known)| !known.is_removed).map(|it| it.0.clone()).collect();
        there.iter().for_each(|id| self.refresh(id));
    }

    /// Ends a look: what is found ended from now on has ended since.
    pub const fn looked(&mut self) {
        self.is_first_look = false;
    }

    /// Whether it is a path of a container's log.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        path.starts_with(&self.folder)
    }

    /// Whether it is a path of a container's log, and the container has been removed.
    #[must_use]
    pub fn is_removed(&self, path: &Path) -> bool {
        self.has(path) && self.folder.is_dir() && path.parent().is_some_and(|folder| !folder.exists())
    }

    /// Notes that the log at that path was read before this process, so that it is wanted to its end.
    pub fn was_read(&mut self, path: &Path) {
        self.read_before.extend(path.parent().and_then(name).map(str::to_owned));
    }

    /// What stands at that path has been written. If that is what the engine knows of a container, it is read again.
    pub fn written(&mut self, path: &Path) {
        if self.has(path)
            && path.file_name().is_some_and(|name| name == CONFIG)
            && let Some(id) = path.parent().and_then(name)
            && self.known.contains_key(id)
        {
            self.refresh(id);
        }
    }

    /// A folder came to that path and was gone before anybody could look.
    pub fn came_and_went(&self, path: &Path) {
        if path.parent() == Some(&self.folder) {
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

    /// What the lines of that log are tagged with. `None` if it is not wanted, or cannot be told yet.
    pub fn tags(&mut self, path: &Path) -> Option<Tags> {
        let id = name(path.parent()?)?;
        if self.begun.contains(id) {
            return None;
        }
        self.refresh(id);
        let (tags, _) = self.known.get(id)?.read.as_ref()?;
        Some(tags.clone())
    }

    /// What is to be told of starts and ends that were noticed.
    pub fn news(&mut self) -> Vec<Input> {
        mem::take(&mut self.news)
    }

    /// The containers that have ended, or are not there any more, of which that was not told yet.
    #[must_use]
    pub fn ending(&self) -> Vec<String> {
        let is_ending = |known: &Known| {
            known.is_removed || known.read.as_ref().is_some_and(|(_, life)| life.is_open() && !known.running)
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
        let mut told = life.gone(exit.as_ref(), now);
        // Of one that was not opened in time nothing was read. An engine that is heard is asked for it.
        if !known.is_opened && self.fates.container(id).is_none() {
            told.extend(life::cut_short(tags, exit.as_ref(), now));
        }
        self.known.remove(id);
        told
    }

    /// Reads what the engine knows of a container, if it was written since.
    fn refresh(&mut self, id: &str) {
        let config = self.folder.join(id).join(CONFIG);
        let Ok(written) = fs::metadata(&config).and_then(|metadata| metadata.modified()) else { return };
        if self.known.get(id).is_some_and(|known| known.written == written) {
            return;
        }
        let container = match fs::read(&config).map_err(|error| error.to_string()).and_then(|bytes| read(&bytes)) {
            Ok(container) => container,
            Err(error) => {
                // It is replaced as a whole, so this is another form of it, and the next look tries again.
                debug!(path = %config.display(), error, "what the engine knows of a container cannot be read");
                return;
            }
        };
        if container.running {
            self.ended_before.remove(id);
        } else if self.is_first_look && !self.config.read_exited && !self.read_before.contains(id) {
            self.ended_before.insert(id.to_owned());
        }
        let former = self.known.remove(id);
        let is_opened = former.as_ref().is_some_and(|known| known.is_opened);
        let mut read = former.and_then(|known| known.read);
        if read.is_none() && container.is_wanted(&self.config, &self.own) && !self.ended_before.contains(id) {
            let tags = self.tagging.tags(&container);
            let told = self.context.positions.get(&life::key(id)).map(Vec::as_slice);
            let life = Life::new(id, tags.clone(), &self.tagging.run_id, told);
            read = Some((tags, life));
        }
        if let Some((_, life)) = &mut read {
            let told = life.seen(&container, self.fates.exit(id), self.context.clock.now());
            self.news.extend(told);
        }
        let Container { running, exit, .. } = container;
        self.known.insert(id.to_owned(), Known { written, running, exit, read, is_opened, is_removed: false });
    }
}

/// Whether the file source reads that container, so that it is not to be asked for.
pub(super) fn are_read(config: &Config, id: &str, positions: &BTreeMap<String, Vec<u8>>) -> bool {
    let is_begun = Stdio::BOTH.iter().any(|stdio| positions.contains_key(&key(id, *stdio)));
    let log = |folder: &PathBuf| folder.join(id).join(format!("{id}{LOG_END}"));
    !is_begun && config.files.as_ref().is_some_and(|folder| File::open(log(folder)).is_ok())
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
