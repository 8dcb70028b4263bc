//! Containers whose logs are read from the engine's own files, by the file source.
//!
//! Beside each log of the `json-file` driver the engine keeps what it knows of the container, so that nothing has to
//! be asked: reading goes on while the engine is away, and costs it nothing. A container that was begun through the
//! engine is read to its end that way, since its place there is another one than in the file.
//! Source: moby `container/container.go`, which writes `config.v2.json`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    mem,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;
use tracing::{debug, warn};

use super::{
    Config, Label, Tagging,
    frame::{Framing, Stdio},
    log::key,
    own::OwnContainer,
    tagging::{Container, Tags},
};

const CONFIG: &str = "config.v2.json";
const LOG_END: &str = "-json.log";

/// The folder of the engine's containers, and which of them are wanted.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    labels: Vec<Label>,
    read_exited: bool,
    tagging: Tagging,
    own: OwnContainer,
    /// Those that were begun through the engine.
    begun: HashSet<String>,
    /// Those of which a file was read before this process.
    read_before: HashSet<String>,
    /// Those that had ended before the first look.
    ended_before: HashSet<String>,
    is_first_look: bool,
    has_complained: bool,
    /// When what the engine knows of a container was last written, and the tags if it is wanted.
    known: HashMap<String, (SystemTime, Option<Tags>)>,
}

impl Files {
    /// Reads the containers of `config` from its folder. `None` if they are all to be read through the engine.
    #[must_use]
    pub fn new(config: &Config, tagging: Tagging, positions: &BTreeMap<String, Vec<u8>>) -> Option<Self> {
        let id = |key: &String| Some(key.strip_prefix("docker/")?.split('/').next()?.to_owned());
        Some(Self {
            folder: config.files.clone()?,
            labels: config.labels.clone(),
            read_exited: config.read_exited,
            tagging,
            own: OwnContainer::find(),
            begun: positions.keys().filter_map(id).collect(),
            read_before: HashSet::new(),
            ended_before: HashSet::new(),
            is_first_look: true,
            has_complained: false,
            known: HashMap::new(),
        })
    }

    /// Globs of the logs, those that were rotated included. Compressed ones are not read.
    #[must_use]
    pub fn patterns(&self) -> [String; 2] {
        ["", ".[0-9]"].map(|end| format!("{}/*/*{LOG_END}{end}", self.folder.display()))
    }

    /// Begins a look at all containers: those that are gone are forgotten.
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
        self.known.retain(|id, _| there.contains(id));
        self.ended_before.retain(|id| there.contains(id));
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

    /// What the lines of that log are tagged with. `None` if it is not wanted, or cannot be told yet.
    pub fn tags(&mut self, path: &Path) -> Option<Tags> {
        let folder = path.parent()?;
        let id = name(folder)?;
        if self.begun.contains(id) {
            return None;
        }
        let config = folder.join(CONFIG);
        let written = fs::metadata(&config).and_then(|metadata| metadata.modified()).ok()?;
        if let Some((_, tags)) = self.known.get(id).filter(|(seen, _)| *seen == written) {
            return tags.clone();
        }
        let container = match fs::read(&config).map_err(|error| error.to_string()).and_then(|bytes| read(&bytes)) {
            Ok(container) => container,
            Err(error) => {
                // It is replaced as a whole, so this is another form of it, and the next look tries again.
                debug!(path = %config.display(), error, "what the engine knows of a container cannot be read");
                return None;
            }
        };
        if container.running {
            self.ended_before.remove(id);
        } else if self.is_first_look && !self.read_exited && !self.read_before.contains(id) {
            self.ended_before.insert(id.to_owned());
        }
        let is_wanted = container.is_wanted(&self.labels, &self.own) && !self.ended_before.contains(id);
        let tags = is_wanted.then(|| self.tagging.tags(&container));
        self.known.insert(id.to_owned(), (written, tags.clone()));
        tags
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
    Ok(Container {
        id: written.id,
        name: written.name.strip_prefix('/').unwrap_or(&written.name).to_owned(),
        image: written.config.image,
        labels: written.config.labels.unwrap_or_default(),
        environment: written.config.env.unwrap_or_default(),
        // Says how the engine sends the logs, and nothing of the file.
        framing: Framing::Multiplexed,
        running: written.state.running,
        started_at: String::new(),
        exit: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        config::Switch,
        record::Severity,
        run::{Facts, Identity, RunId},
    };

    fn config(folder: &Path, read_exited: bool) -> Config {
        let files = Some(folder.to_owned());
        Config { collect: Switch::On, socket: PathBuf::new(), labels: Vec::new(), read_exited, files }
    }

    fn files(config: &Config, positions: &BTreeMap<String, Vec<u8>>) -> Files {
        let tagging = Tagging {
            run_id: RunId::new("agent-run").unwrap(),
            identity: Identity::default(),
            facts: Facts::default(),
            level: Severity::INFO,
        };
        Files::new(config, tagging, positions).unwrap()
    }

    /// Writes what the engine writes for a container, and gives the path of its log.
    fn write(folder: &Path, id: &str, running: bool, labels: &serde_json::Value) -> PathBuf {
        let own = folder.join(id);
        fs::create_dir_all(&own).unwrap();
        let written = json!({
            "StreamConfig": {},
            "ID": id,
            "Name": format!("/name-of-{id}"),
            "State": { "Running": running, "StartedAt": "2026-11-24T05:44:23Z" },
            "Config": { "Image": "train:1", "Env": null, "Labels": labels, "Tty": false },
        });
        let file = own.join(CONFIG);
        fs::write(&file, written.to_string()).unwrap();
        // Two of these may be written within one tick of the file system's clock.
        let now = SystemTime::now() + std::time::Duration::from_secs(u64::from(running));
        File::options().write(true).open(&file).unwrap().set_modified(now).unwrap();
        let log = own.join(format!("{id}{LOG_END}"));
        File::create(&log).unwrap();
        log
    }

    #[test]
    fn a_log_is_tagged_as_its_container_says() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(&config(folder.path(), true), &BTreeMap::new());
        let log = write(folder.path(), "a", true, &json!({"runlog.run-id": "r", "runlog.level": "error"}));
        let tags = files.tags(&log).unwrap();
        assert_eq!(
            (tags.name.as_str(), tags.resource.run_id.as_str(), tags.level),
            ("name-of-a", "r", Severity::ERROR)
        );
        let unwanted = write(folder.path(), "b", true, &json!({"runlog.enabled": "false"}));
        assert!(files.tags(&unwanted).is_none());
        assert!(files.tags(&folder.path().join("c/c-json.log")).is_none(), "nothing is known of it");
    }

    #[test]
    fn what_had_ended_before_is_left_out_if_so_asked_until_it_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(&config(folder.path(), false), &BTreeMap::new());
        let log = write(folder.path(), "a", false, &json!({}));
        assert!(files.tags(&log).is_none());
        files.looked();
        assert!(files.tags(&log).is_none());
        let later = write(folder.path(), "b", false, &json!({}));
        assert!(files.tags(&later).is_some(), "it came and went since");
        write(folder.path(), "a", true, &json!({}));
        assert!(files.tags(&log).is_some());
    }

    // Its position is that of the file before a rotation, and what came after it was left out.
    #[test]
    fn what_was_begun_before_is_read_to_its_end_in_whichever_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(&config(folder.path(), false), &BTreeMap::new());
        let log = write(folder.path(), "a", false, &json!({}));
        files.was_read(&log.with_extension("log.1"));
        assert!(files.tags(&log).is_some());
        assert!(!files.is_removed(&log));
        fs::remove_dir_all(log.parent().unwrap()).unwrap();
        assert!(files.is_removed(&log));
        fs::remove_dir(folder.path()).unwrap();
        assert!(!files.is_removed(&log), "the folder of all is not there, as if it were not mounted");
    }

    #[test]
    fn a_container_is_read_by_exactly_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), true);
        let (begun, fresh) = (write(folder.path(), "a", true, &json!({})), write(folder.path(), "b", true, &json!({})));
        let positions = BTreeMap::from([(key("a", Stdio::Err), vec![1])]);
        let mut files = files(&config, &positions);
        assert!(files.tags(&begun).is_none() && !are_read(&config, "a", &positions));
        assert!(files.tags(&fresh).is_some() && are_read(&config, "b", &positions));
        assert!(!are_read(&config, "c", &positions), "there is no such file");
        assert!(!are_read(&Config { files: None, ..config }, "b", &positions));
    }
}
