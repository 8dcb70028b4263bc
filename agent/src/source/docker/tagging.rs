//! What the lines of a container are tagged with, and which containers are read at all.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::{config::Label, frame::Framing, life::Exit, own::OwnContainer};
use crate::{
    record::Severity,
    run::{self, Facts, Identity, RunId},
};

pub(super) use crate::source::Tags;

const RUN_ID: &str = "runlog.run-id";
const EXPERIMENT: &str = "runlog.experiment";
const LEVEL: &str = "runlog.level";
const ENABLED: &str = "runlog.enabled";
const OURSELVES: &str = "runlog.self";

/// Labels that become `container.label.*`, so that a service's containers are found together.
const KEPT_LABELS: [&str; 2] = ["com.docker.compose.project", "com.docker.compose.service"];

/// What lines are tagged with whose container does not say otherwise.
#[derive(Debug, Clone)]
pub struct Tagging {
    /// The agent's own run.
    pub run_id: RunId,
    /// What the agent's own environment says about it.
    pub identity: Identity,
    /// What is known about the agent's host.
    pub facts: Facts,
    /// The configured level.
    pub level: Severity,
}

/// What the engine says about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub id: String,
    /// Without the slash that the engine puts before it.
    pub name: String,
    pub image: String,
    pub labels: HashMap<String, String>,
    /// As `NAME=value`.
    pub environment: Vec<String>,
    pub framing: Framing,
    pub running: bool,
    /// Differs from one start to the next; empty if it was never started.
    pub started_at: String,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
}

impl Container {
    /// Whether its logs are wanted.
    pub(super) fn is_wanted(&self, labels: &[Label], own: &OwnContainer) -> bool {
        let has = |label: &Label| {
            self.labels.get(&label.key).is_some_and(|value| label.value.as_ref().is_none_or(|wanted| wanted == value))
        };
        let disabled = self.labels.get(ENABLED).is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
        !disabled && !self.labels.contains_key(OURSELVES) && !own.is(&self.id) && labels.iter().all(has)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = |pair: &String| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        // The engine lets the last one win.
        self.environment.iter().rev().find_map(value)
    }
}

impl Tagging {
    /// The tags of a container: from its labels, else from its environment, else the agent's own.
    ///
    /// A label that cannot be used is reported, and treated as if it were not there.
    pub(super) fn tags(&self, container: &Container) -> Tags {
        let (run_id, identity) = self.identity(container);
        Tags {
            name: container.name.clone(),
            resource: run::resource(&run_id, &identity, &self.facts(container)),
            attributes: run::record_attributes(&identity),
            level: label(container, LEVEL, |text| {
                text.parse().map_err(|e: crate::record::severity::UnknownLevel| e.to_string())
            })
            .unwrap_or(self.level),
        }
    }

    fn identity(&self, container: &Container) -> (RunId, Identity) {
        let mut found = run::identify(&|name| container.variable(name));
        let run_id = label(container, RUN_ID, |text| RunId::new(text).map_err(|error| error.to_string()));
        let experiment = container.labels.get(EXPERIMENT).map(|text| text.trim()).filter(|text| !text.is_empty());
        found.choose(run_id, experiment.map(str::to_owned));
        let Some(run_id) = found.run_id.clone() else {
            // A rank is the container's own also where the run is the agent's.
            let ours = self.identity.clone();
            let merged = Identity {
                experiment: found.experiment.or(ours.experiment),
                rank: found.rank.or(ours.rank),
                local_rank: found.local_rank.or(ours.local_rank),
                world_size: found.world_size.or(ours.world_size),
                node_rank: found.node_rank.or(ours.node_rank),
                restart: found.restart.or(ours.restart),
                ..ours
            };
            return (self.run_id.clone(), merged);
        };
        if found.experiment.is_none() {
            found.experiment.clone_from(&self.identity.experiment);
        }
        (run_id, found)
    }

    fn facts(&self, container: &Container) -> Facts {
        let mut facts = self.facts.clone();
        let own = [
            ("container.id", &container.id),
            ("container.name", &container.name),
            ("container.image.name", &container.image),
        ];
        facts.0.extend(own.map(|(key, value)| (key.to_owned(), value.clone())));
        facts.0.push(("container.runtime.name".to_owned(), "docker".to_owned()));
        for key in KEPT_LABELS {
            if let Some(value) = container.labels.get(key) {
                facts.0.push((format!("container.label.{key}"), value.clone()));
            }
        }
        facts
    }
}

/// A label's value, if it is there and can be read.
fn label<T>(container: &Container, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let text = container.labels.get(key)?;
    read(text)
        .inspect_err(|error| tracing::warn!(container = %container.name, label = key, %error, "label cannot be used"))
        .ok()
}
