//! Finds a run's identity in an environment.

use serde_json::Value;

use super::{
    RunId,
    id::unquoted,
    platform::{Id, LAUNCHERS, NODE_RANKS, OWN, PLATFORMS, Platform},
};

/// What an environment says about a run. Empty where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The id that the most trusted platform gives the run.
    pub run_id: Option<RunId>,
    /// The most trusted platform that gives an id, such as `slurm`.
    pub platform: Option<&'static str>,
    /// Other platforms' ids of the same run: (platform, id).
    pub aliases: Vec<(&'static str, String)>,
    /// The id of the run that this one is a child of.
    pub parent_id: Option<String>,
    /// The id of the topmost run above this one, which may be itself.
    pub root_id: Option<String>,
    /// The run's name for people.
    pub name: Option<String>,
    /// The name of the experiment.
    pub experiment: Option<String>,
    /// The id that the experiment's platform gives it.
    pub experiment_id: Option<String>,
    /// The project, workspace or team around the experiment.
    pub project: Option<String>,
    /// Which attempt of the scheduler this is, as the scheduler counts.
    pub attempt: Option<String>,
    /// The global rank of the process.
    pub rank: Option<u32>,
    /// Its rank on its node.
    pub local_rank: Option<u32>,
    /// How many ranks there are.
    pub world_size: Option<u32>,
    /// The number of its node.
    pub node_rank: Option<u32>,
    /// How often torchrun has restarted its workers.
    pub restart: Option<u32>,
}

/// Reads the identity from the variables of a trainer's environment.
///
/// Asks for the variables of `docs/attributes.md` and no others. The first platform in our order of trust gives
/// the run id, the others give aliases. Values that say nothing (`none`, templates that were not filled in) count
/// as not set.
#[must_use]
pub fn identify(variable: &dyn Fn(&str) -> Option<String>) -> Identity {
    let environment = Environment(variable);
    let rows: Vec<&Platform> = PLATFORMS.iter().filter(|row| environment.has_any(row.markers)).collect();
    let mut identity = Identity::default();

    for row in &rows {
        let Some(id) = environment.run_id(row.run_id) else { continue };
        if identity.platform.is_none() && row.name != OWN {
            identity.platform = Some(row.name);
        }
        match &identity.run_id {
            None => {
                // What is above the run, and what it is called, is only known of the platform whose id is used.
                identity.parent_id = environment.first(row.parent);
                identity.root_id = environment.first(row.root);
                identity.name = environment.first(row.run_name);
                identity.run_id = Some(id);
            }
            Some(run_id) if *run_id == id => {}
            Some(_) => identity.aliases.push((row.name, id.as_str().to_owned())),
        }
    }
    // Name and id of an experiment have to be of the same one.
    let experiment = rows.iter().map(|row| (environment.first(row.experiment), environment.first(row.experiment_id)));
    (identity.experiment, identity.experiment_id) =
        experiment.into_iter().find(|(name, id)| name.is_some() || id.is_some()).unwrap_or_default();
    identity.project = rows.iter().find_map(|row| environment.first(row.project));
    identity.attempt = rows.iter().find_map(|row| environment.first(row.attempt));

    let is_there = |rank: &str, markers: &[&str]| environment.number(rank).is_some() && environment.has_any(markers);
    if let Some(launcher) = LAUNCHERS.iter().find(|launcher| is_there(launcher.rank, launcher.markers)) {
        identity.rank = environment.number(launcher.rank);
        identity.local_rank = launcher.local_rank.iter().find_map(|name| environment.number(name));
        identity.world_size = launcher.world_size.iter().find_map(|name| environment.number(name));
    }
    let node_rank = |(name, marker): &(&str, &str)| {
        environment.number(name).filter(|_| marker.is_empty() || environment.is_set(marker))
    };
    identity.node_rank = NODE_RANKS.iter().find_map(node_rank).or_else(|| environment.sagemaker_node());
    identity.restart = environment.number("TORCHELASTIC_RESTART_COUNT");
    identity
}

impl Identity {
    /// Lets what an operator chose win over what was found: `None` chooses nothing. A run id that was found
    /// becomes an alias, so that the run is still found by it.
    pub fn choose(&mut self, run_id: Option<RunId>, experiment: Option<String>) {
        if let Some(chosen) = run_id {
            if let Some(found) = self.run_id.replace(chosen.clone()).filter(|found| *found != chosen) {
                // If the platform has its alias already, the id that was found was our own variable's.
                let by = self.platform.filter(|platform| self.aliases.iter().all(|(name, _)| name != platform));
                self.aliases.insert(0, (by.unwrap_or(OWN), found.as_str().to_owned()));
                (self.parent_id, self.root_id, self.name) = (None, None, None);
            }
            self.aliases.retain(|(_, alias)| alias != chosen.as_str());
        }
        if let Some(chosen) = experiment
            && self.experiment.as_ref() != Some(&chosen)
        {
            (self.experiment, self.experiment_id) = (Some(chosen), None);
        }
    }
}

struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        says_something(&(self.0)(name)?)
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// True for no names at all.
    fn has_any(&self, names: &[&str]) -> bool {
        names.is_empty() || names.iter().any(|name| self.is_set(name))
    }

    /// Whether there is a value, even one that says nothing: torchrun is there although its id is "none".
    fn is_set(&self, name: &str) -> bool {
        (self.0)(name).is_some_and(|value| !value.trim().is_empty())
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    fn json(&self, name: &str) -> Option<Value> {
        serde_json::from_str(&(self.0)(name)?).ok()
    }

    fn run_id(&self, id: Id) -> Option<RunId> {
        let text = match id {
            Id::Of(names) => self.first(names),
            Id::Array { job, task, no_task, single } => {
                let joined = self.get(job).zip(self.get(task).filter(|task| task != no_task));
                joined.map(|(job, task)| format!("{job}_{task}")).or_else(|| self.get(single))
            }
            Id::Pair(first, second) => self.get(first).zip(self.get(second)).map(|(a, b)| format!("{a}/{b}")),
            Id::OrJson { variable, json, member } => {
                let member = || Some(self.json(json)?.get(member)?.as_str()?.to_owned());
                self.get(variable).or_else(member)
            }
        };
        RunId::new(&text?).ok()
    }

    /// SageMaker names the hosts and does not number them.
    fn sagemaker_node(&self) -> Option<u32> {
        let training = self.json("SM_TRAINING_ENV").unwrap_or_default();
        let hosts = self.json("SM_HOSTS").or_else(|| training.get("hosts").cloned())?;
        let current = || Some(training.get("current_host")?.as_str()?.to_owned());
        let host = self.get("SM_CURRENT_HOST").or_else(current)?;
        let at = hosts.as_array()?.iter().position(|name| name.as_str() == Some(&host))?;
        u32::try_from(at).ok()
    }
}

/// A variable's value without its quotes, if it says something.
pub(super) fn says_something(value: &str) -> Option<String> {
    let value = unquoted(value);
    // torchrun's rendezvous id is "none" by default; Kubernetes and templates leave $(NAME) and {{name}}
    // where they have nothing to put in.
    let says_nothing = value.is_empty()
        || value.eq_ignore_ascii_case("none")
        || ["$(", "${", "{{"].iter().any(|opening| value.contains(opening));
    (!says_nothing).then(|| value.to_owned())
}

#[cfg(test)]
mod tests;
