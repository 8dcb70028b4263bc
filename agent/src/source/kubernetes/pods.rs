//! Which pods of a node are read, and what their lines are tagged with.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use glob::Pattern;
use tracing::warn;

use super::{
    Config, Metadata, PodLog, Scope,
    lives::{self, Lives},
    metadata::Described,
    own::Own,
};
use crate::{
    record::{
        Format, Input, Severity, SourceKind,
        severity::UnknownLevel,
        wire::{Value, record_attribute},
    },
    run::{self, Facts, Identity, Pod, RunId},
    source::{
        Context, Tagging, Tags,
        file::{Claim, Owners},
    },
};

/// How long lines of a new pod are left where they are until it is known what the pod says of itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The kubelet's folder of logs.
pub struct Pods {
    folder: PathBuf,
    /// Where the folder is, links followed.
    real_folder: PathBuf,
    config: Config,
    tagging: Tagging,
    /// The pod that the agent runs in.
    own_pod: Option<Pod>,
    own: Own,
    /// What pods say of themselves, if it may be asked for.
    metadata: Option<Metadata>,
    /// Since when pods have not been known.
    missed: HashMap<String, Instant>,
    /// Logs whose lines are tagged by their path alone, although the pod may say more.
    guessed: HashSet<PathBuf>,
    /// What becomes of containers, if that is to be told.
    lives: Option<Lives>,
}

impl Pods {
    /// The pods of `config`, of which more is known by `metadata`. `None` if none are read.
    #[must_use]
    pub fn new(
        config: &Config,
        mut tagging: Tagging,
        own_pod: Option<Pod>,
        metadata: Option<Metadata>,
    ) -> Option<Self> {
        let folder = config.logs.clone()?;
        let own = Own::find(own_pod.as_ref().map_or("", |pod| pod.uid.as_str()));
        if config.scope == Scope::Pod && own.uid().is_none() {
            warn!("kubernetes.scope is pod, and it is not known which pod this is: set POD_UID by the downward API");
            return None;
        }
        // What the agent knows of its pod is not true of others.
        if let Some(pod) = &own_pod {
            let mut own_names = Facts::default();
            pod.tell(&mut own_names);
            tagging.facts.0.retain(|fact| fact.0 == "k8s.node.name" || !own_names.0.contains(fact));
        }
        let (missed, guessed) = (HashMap::new(), HashSet::new());
        let real_folder = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
        let (config, lives) = (config.clone(), None);
        Some(Self { folder, real_folder, config, tagging, own_pod, own, metadata, missed, guessed, lives })
    }

    /// Tells runs what becomes of their containers, from where the queue has it.
    #[must_use]
    pub fn telling(self, context: &Context) -> Self {
        let lives = Lives::new(self.metadata.clone(), context);
        Self { lives: Some(lives), ..self }
    }

    /// Whether a log is wanted, as far as its path says.
    fn is_wanted(&self, log: &PodLog<'_>) -> bool {
        let Config { include, exclude, scope, .. } = &self.config;
        self.own.is_near(log, *scope)
            && !self.own.is(log)
            && (include.is_empty() || include.iter().any(|choice| choice.has(log)))
            && !exclude.iter().any(|choice| choice.has(log))
    }

    /// What a pod says of itself, if it is known.
    fn described(&self, uid: &str) -> Option<Arc<Described>> {
        self.metadata.as_ref()?.of(uid)
    }

    pub(super) fn claim_at(&mut self, path: &Path, now: Instant) -> Claim {
        let Some(log) = PodLog::of(path).filter(|log| self.is_wanted(log)) else { return Claim::Unwanted };
        let Some(metadata) = &self.metadata else { return Claim::Wanted };
        if let Some(described) = metadata.of(log.uid) {
            self.missed.remove(log.uid);
            // What a container sends by itself would be there twice.
            let by_itself = described.sending.contains(log.container);
            let is_wanted = described.enabled.unwrap_or(!self.config.only_enabled && !by_itself);
            return if is_wanted { Claim::Wanted } else { Claim::Unwanted };
        }
        metadata.miss();
        let since = *self.missed.entry(log.uid.to_owned()).or_insert(now);
        let is_over = now.saturating_duration_since(since) >= PATIENCE;
        match self.config.only_enabled {
            _ if !is_over => Claim::Undecided,
            // Not before it is known that the pod asks for it.
            true => Claim::NotNow,
            false => Claim::Wanted,
        }
    }

    fn tags_of(&self, log: &PodLog<'_>) -> Tags {
        let described = self.described(log.uid);
        let described = described.as_deref();
        let (pod, (run_id, identity)) = (self.pod(log, described), self.identity(log, described));
        let mut facts = self.tagging.facts.clone();
        pod.tell(&mut facts);
        facts.0.push(("k8s.container.name".to_owned(), log.container.to_owned()));
        let mut attributes = run::record_attributes(&identity);
        record_attribute(&mut attributes, "k8s.container.restart_count", Value::Int(log.restarts));
        attributes.shrink_to_fit();
        let asked = described.and_then(|described| described.level.as_deref());
        Tags {
            name: [log.namespace, log.name, log.container].join("/"),
            resource: run::resource(&run_id, &identity, &facts),
            attributes,
            level: asked.and_then(|text| level(log, text)).unwrap_or(self.tagging.level),
            is_joined: true,
        }
    }

    /// The agent's pod, if the log is of one beside it.
    fn neighbour(&self, log: &PodLog<'_>) -> Option<&Pod> {
        self.own_pod.as_ref().filter(|_| self.own.uid() == Some(log.uid))
    }

    fn pod(&self, log: &PodLog<'_>, described: Option<&Described>) -> Pod {
        let found = described.map(|described| &described.pod).or_else(|| self.neighbour(log));
        let mut pod = found.cloned().unwrap_or_default();
        (pod.namespace, pod.name, pod.uid) = (log.namespace.to_owned(), log.name.to_owned(), log.uid.to_owned());
        if let Some(own) = self.own_pod.as_ref().filter(|_| pod.node.is_empty()) {
            pod.node.clone_from(&own.node);
        }
        pod
    }

    /// The run of a container: what its pod says, else its environment, else the agent's if that is beside it, else the
    /// pod itself.
    fn identity(&self, log: &PodLog<'_>, described: Option<&Described>) -> (RunId, Identity) {
        let found = described.and_then(|described| described.identities.get(log.container));
        let mut identity = found.cloned().unwrap_or_default();
        if self.neighbour(log).is_some() && identity.run_id.is_none() {
            identity = Identity { run_id: Some(self.tagging.run_id.clone()), ..self.tagging.identity.clone() };
        }
        let said = described.and_then(|described| described.run_id.as_deref());
        let run_id = said.and_then(|text| {
            RunId::new(text).inspect_err(|error| warn!(pod = log.name, %error, "run id cannot be used")).ok()
        });
        identity.choose(run_id, described.and_then(|described| described.experiment.clone()));
        self.pod(log, described).complete(&mut identity);
        // A pod always has a name.
        let run_id = identity.run_id.clone().unwrap_or_else(RunId::generate);
        (run_id, identity)
    }
}

impl Owners for Pods {
    fn kind(&self) -> SourceKind {
        SourceKind::Kubernetes
    }

    /// Where Docker's engine is below, the paths lead to files of its form.
    fn format(&self) -> Format {
        Format::Auto
    }

    /// Those that were rotated included. What the kubelet is compressing, or has, is not read as text.
    fn patterns(&self) -> Vec<String> {
        let uid = match self.config.scope {
            Scope::Node => "*",
            // Known, or there would be nothing to read.
            Scope::Pod => self.own.uid().unwrap_or_default(),
        };
        let folder = Pattern::escape(&self.folder.to_string_lossy());
        ["", ".[0-9]*-*[0-9]"].map(|end| format!("{folder}/*_*_{uid}/*/*.log{end}")).to_vec()
    }

    fn look(&mut self) {
        if let Some(lives) = &mut self.lives {
            lives.look(&self.folder);
        }
        let Some(metadata) = &self.metadata else { return };
        let (folder_of, is_there) = (Path::parent, Path::is_dir);
        self.guessed.retain(|path| folder_of(path).is_some_and(is_there));
        self.missed.retain(|_, since| since.elapsed() < PATIENCE * 2);
        if !self.guessed.is_empty() {
            metadata.miss();
        }
    }

    fn has(&self, path: &Path) -> bool {
        (path.starts_with(&self.folder) || path.starts_with(&self.real_folder)) && PodLog::of(path).is_some()
    }

    fn is_removed(&self, path: &Path) -> bool {
        self.has(path) && self.folder.is_dir() && path.parent().is_some_and(|folder| !folder.exists())
    }

    fn opened(&mut self, path: &Path) {
        let Some(log) = PodLog::of(path) else { return };
        if self.lives.is_none() {
            return;
        }
        let tags = self.tags_of(&log);
        if let Some(lives) = &mut self.lives {
            lives.opened(&log, path, tags, Instant::now());
        }
    }

    fn news(&mut self) -> Vec<Input> {
        self.lives.as_mut().map(|lives| lives.news(Instant::now())).unwrap_or_default()
    }

    fn ending(&self) -> Vec<String> {
        self.lives.as_ref().map(Lives::ending).unwrap_or_default()
    }

    fn is_of(&self, path: &Path, id: &str) -> bool {
        self.has(path) && PodLog::of(path).is_some_and(|log| lives::id(&log) == id)
    }

    fn ended(&mut self, id: &str) -> Vec<Input> {
        self.lives.as_mut().map(|lives| lives.ended(id)).unwrap_or_default()
    }

    fn claim(&mut self, path: &Path) -> Claim {
        self.claim_at(path, Instant::now())
    }

    fn tags(&mut self, path: &Path) -> Option<Tags> {
        let log = PodLog::of(path)?;
        if self.metadata.is_some() && self.described(log.uid).is_none() {
            self.guessed.insert(path.to_owned());
        } else {
            self.guessed.remove(path);
        }
        Some(self.tags_of(&log))
    }

    fn has_news(&self, path: &Path) -> bool {
        self.guessed.contains(path) && PodLog::of(path).is_some_and(|log| self.described(log.uid).is_some())
    }

    /// The container's log was removed, and the kubelet has the runtime begin a new one at its next look: until then
    /// the runtime writes on where nobody else can read. Once the container has another life, this one is over.
    fn may_be_written(&self, path: &Path) -> bool {
        let (Some(log), Some(folder)) = (PodLog::of(path), path.parent()) else { return false };
        // One that was rotated is not written any more, and a folder that is gone took the container with it.
        let is_current = path.extension().is_some_and(|end| end == "log");
        let Ok(entries) = fs::read_dir(folder) else { return false };
        let is_later = |other: &Path| PodLog::of(other).is_some_and(|other| other.restarts > log.restarts);
        is_current && !entries.flatten().map(|entry| entry.path()).any(|other| other == path || is_later(&other))
    }
}

fn level(log: &PodLog<'_>, text: &str) -> Option<Severity> {
    let level = text.parse().map_err(|error: UnknownLevel| error.to_string());
    level.inspect_err(|error| warn!(pod = log.name, error, "runlog.level cannot be used")).ok()
}
