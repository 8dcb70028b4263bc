//! What the lines of a container are tagged with, and which containers are read at all.

#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;

use super::{Config, filter::COMPOSE_LABELS, frame::Framing, life::Exit, own::OwnContainer};
use crate::{
    record::severity::UnknownLevel,
    run::{self, Facts, Identity, RunId},
};

pub(super) use crate::source::{Tagging, Tags};

const RUN_ID: &str = "runlog.run-id";
const EXPERIMENT: &str = "runlog.experiment";
const LEVEL: &str = "runlog.level";
const MULTILINE: &str = "runlog.multiline";
const ENABLED: &str = "runlog.enabled";
const OURSELVES: &str = "runlog.self";

/// Tells where the run id of a container's lines comes from: whoever starts a container may name any run.
const RUN_ID_FROM: &str = "runlog.run_id.from";

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
    /// How it ended. A container that has one and runs is about to be started again by its engine.
    pub exit: Option<Exit>,
}

impl Container {
    /// As much of a container as a list or an event says.
    pub(super) fn mentioned(id: &str, name: String, image: String, labels: HashMap<String, String>) -> Self {
        Self {
            id: id.to_owned(),
            name,
            image,
            labels,
            environment: Vec::new(),
            framing: Framing::Multiplexed,
            running: false,
            started_at: String::new(),
            exit: None,
        }
    }

    /// Whether its logs are wanted. What its own label says comes before the settings.
    pub(super) fn is_wanted(&self, config: &Config, own: &OwnContainer) -> bool {
        if self.labels.contains_key(OURSELVES) || own.is(&self.id) {
            return false;
        }
        label(self, ENABLED, truth).unwrap_or_else(|| {
            let is_included = config.include.is_empty() || config.include.iter().any(|filter| filter.is_met_by(self));
            is_included && !config.exclude.iter().any(|filter| filter.is_met_by(self))
        })
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
        let (run_id, identity, from) = self.identity(container);
        let mut facts = self.facts(container);
        facts.0.push((RUN_ID_FROM.to_owned(), from.to_owned()));
        Tags {
            name: container.name.clone(),
            resource: run::resource(&run_id, &identity, &facts),
            attributes: run::record_attributes(&identity),
            level: label(container, LEVEL, |text| text.parse().map_err(|error: UnknownLevel| error.to_string()))
                .unwrap_or(self.level),
            is_joined: label(container, MULTILINE, truth).unwrap_or(true),
        }
    }

    /// The run, what is known about it, and where its id was found.
    fn identity(&self, container: &Container) -> (RunId, Identity, &'static str) {
        let mut found = run::identify(&|name| container.variable(name));
        let run_id = label(container, RUN_ID, |text| RunId::new(text).map_err(|error| error.to_string()));
        let experiment = label(container, EXPERIMENT, named);
        let from = if run_id.is_some() { "container.label" } else { "container.environment" };
        found.choose(run_id, experiment);
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
            return (self.run_id.clone(), merged, "agent");
        };
        if found.experiment.is_none() {
            found.experiment.clone_from(&self.identity.experiment);
        }
        (run_id, found, from)
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
        // So that the containers of a service are found together.
        for key in COMPOSE_LABELS {
            if let Some(value) = container.labels.get(key) {
                facts.0.push((format!("container.label.{key}"), value.clone()));
            }
        }
        facts
    }
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn named(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is no name"))
}

/// A label's value without white space around it, if it is there and can be read.
fn label<T>(container: &Container, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let text = container.labels.get(key)?;
    read(text.trim())
        .inspect_err(|error| tracing::warn!(container = %container.name, label = key, %error, "label cannot be used"))
        .ok()
}
