//! From an identity to OTLP attributes. `docs/attributes.md` lists the names.

use std::sync::Arc;

use uuid::Uuid;

use crate::record::{
    Resource,
    wire::{Value, record_attribute, resource_attribute},
};

use super::{Identity, RunId};

/// The namespace of `service.instance.id`.
///
/// Source: OpenTelemetry semantic conventions, `service.instance.id`, which asks for a UUID version 5 in it.
const INSTANCE_NAMESPACE: Uuid = Uuid::from_u128(0x4d63_009a_8d0f_11ee_aad7_4c79_6ed8_e320);

/// The service's name where nothing gives a better one.
const SERVICE_NAME: &str = "runlog";

/// What is known beside the run's identity: pairs of attribute key and value, such as ("host.name", …).
///
/// Of pairs with the same key the last one counts; an empty value counts as unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub Vec<(String, String)>);

impl Facts {
    /// Adds what an operator chose by `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, so that it wins over
    /// what was found out before.
    pub fn choose(&mut self, attributes: &[(String, String)], service_name: Option<&str>) {
        self.0.extend_from_slice(attributes);
        self.0.extend(service_name.map(|name| ("service.name".to_owned(), name.to_owned())));
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, value)| known == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// The resource of a run on this agent.
///
/// `service.name` is never empty: what the facts say, else the experiment, else the container's name, else
/// `runlog`. What begins with `ml.` comes from the identity alone, so that no fact can move lines to another run.
#[must_use]
pub fn resource(run_id: &RunId, identity: &Identity, facts: &Facts) -> Arc<Resource> {
    let mut writer = ResourceWriter { encoded: Vec::with_capacity(512), written: Vec::new() };
    let experiment = identity.experiment.as_deref();
    let container = facts.get("container.name").or_else(|| facts.get("k8s.container.name"));
    let service = facts.get("service.name").or(experiment).or(container);
    writer.text("service.name", service.or(Some(SERVICE_NAME)));
    writer.text("service.namespace", facts.get("service.namespace").or(identity.project.as_deref()));
    let instance = instance_id(run_id, identity, facts.get("host.name").unwrap_or_default());
    writer.text("service.instance.id", facts.get("service.instance.id").or(Some(&instance)));

    writer.text("ml.run.id", Some(run_id.as_str()));
    writer.text("ml.run.name", identity.name.as_deref());
    writer.text("ml.run.parent.id", identity.parent_id.as_deref());
    writer.text("ml.run.root.id", identity.root_id.as_deref());
    writer.text("ml.experiment.name", experiment);
    writer.text("ml.experiment.id", identity.experiment_id.as_deref());
    writer.text("ml.platform", identity.platform);
    writer.text("ml.run.attempt", identity.attempt.as_deref());
    if let Some(node_rank) = identity.node_rank {
        writer.put("ml.node.rank", Value::Int(i64::from(node_rank)));
    }
    for (platform, alias) in &identity.aliases {
        writer.text(&format!("ml.run.alias.{platform}"), Some(alias));
    }
    for (key, _) in facts.0.iter().filter(|(key, _)| !key.is_empty() && !key.starts_with("ml.")) {
        writer.text(key, facts.get(key));
    }
    Arc::new(Resource { run_id: run_id.as_str().to_owned(), encoded: writer.encoded })
}

/// Record attributes that the identity gives each line (rank and the like), encoded.
///
/// They are not in the resource because one stream may carry several ranks, and ranks move at a restart.
#[must_use]
pub fn record_attributes(identity: &Identity) -> Vec<u8> {
    let mut encoded = Vec::new();
    let numbers = [
        ("ml.rank", identity.rank),
        ("ml.local_rank", identity.local_rank),
        ("ml.world_size", identity.world_size),
        ("ml.run.restart", identity.restart),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            record_attribute(&mut encoded, key, Value::Int(i64::from(number)));
        }
    }
    encoded
}

/// The name of this host, or of this container if it has its own.
#[must_use]
pub fn host_name() -> Option<String> {
    // Asked of the kernel rather than of /proc, most of which a hardened unit does not see.
    Some(rustix::system::uname().nodename().to_string_lossy().into_owned()).filter(|name| !name.is_empty())
}

/// The same for the same run, attempt and node, so that a restart of the agent does not make a new instance.
fn instance_id(run_id: &RunId, identity: &Identity, host: &str) -> String {
    let attempt = identity.attempt.as_deref().unwrap_or_default();
    let node = identity.node_rank.map(|rank| rank.to_string()).unwrap_or_default();
    let name = [run_id.as_str(), attempt, &node, host].join("\0");
    Uuid::new_v5(&INSTANCE_NAMESPACE, name.as_bytes()).to_string()
}

struct ResourceWriter {
    encoded: Vec<u8>,
    // OTLP asks for unique keys; a resource has some twenty.
    written: Vec<String>,
}

impl ResourceWriter {
    fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.put(key, Value::String(value));
        }
    }

    fn put(&mut self, key: &str, value: Value<'_>) {
        if self.written.iter().all(|written| written != key) {
            resource_attribute(&mut self.encoded, key, value);
            self.written.push(key.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
