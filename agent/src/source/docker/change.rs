//! What the engine tells of its containers as it happens.

use std::collections::HashMap;

use bollard::models::EventMessage;

use super::tagging::Container;
use crate::record::UnixNanos;

/// The events that are asked for. With `health_status` among them the engine compares beginnings. Podman has other names
/// for two of them in its filter, and tells of the first of those by Docker's.
///
/// Source: moby `daemon/events/filter.go`; podman `libpod/events/config.go`.
pub(super) const WANTED: [&str; 8] = ["create", "start", "die", "destroy", "oom", "health_status", "died", "remove"];

/// A change of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub id: String,
    pub kind: ChangeKind,
    pub time: UnixNanos,
    /// As much of the container as the event says: not its environment. `None` if it says nothing.
    pub container: Option<Box<Container>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Created,
    Started,
    Ended {
        exit_code: Option<i64>,
    },
    Removed,
    /// The kernel ended a process of it for want of memory.
    OutOfMemory,
    /// Its health check said so, and had said something else before.
    Health(Condition),
}

/// What a container's health check finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Healthy,
    Unhealthy,
}

impl Change {
    /// What an event means, if it means anything here.
    pub(super) fn of(message: EventMessage) -> Option<Self> {
        let actor = message.actor?;
        let attributes = actor.attributes.unwrap_or_default();
        let kind = match message.action.as_deref()? {
            "create" => ChangeKind::Created,
            "start" => ChangeKind::Started,
            "die" => ChangeKind::Ended { exit_code: attributes.get("exitCode").and_then(|code| code.parse().ok()) },
            "destroy" | "remove" => ChangeKind::Removed,
            "oom" => ChangeKind::OutOfMemory,
            "health_status: healthy" => ChangeKind::Health(Condition::Healthy),
            "health_status: unhealthy" => ChangeKind::Health(Condition::Unhealthy),
            _ => return None,
        };
        let time = message.time_nano.and_then(|time| u64::try_from(time).ok()).unwrap_or(0);
        let id = actor.id?;
        let container = container(&id, attributes).map(Box::new);
        Some(Self { id, kind, time, container })
    }
}

/// The container as an event's attributes tell of it: its labels, and among them its name and its image.
fn container(id: &str, labels: HashMap<String, String>) -> Option<Container> {
    let name = labels.get("name")?.clone();
    let image = labels.get("image").cloned().unwrap_or_default();
    Some(Container::mentioned(id, name, image, labels))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_tells_what_happened_and_as_much_of_the_container_as_it_says() {
        let event = |action: &str| {
            let attributes = json!({"name": "trainer", "image": "train:1", "exitCode": "137", "team": "nlp"});
            let event = json!({"Action": action, "Actor": {"ID": "a", "Attributes": attributes}, "timeNano": 7});
            Change::of(serde_json::from_value(event).unwrap())
        };
        let cases = [
            ("create", Some(ChangeKind::Created)),
            ("start", Some(ChangeKind::Started)),
            ("die", Some(ChangeKind::Ended { exit_code: Some(137) })),
            ("destroy", Some(ChangeKind::Removed)),
            ("remove", Some(ChangeKind::Removed)),
            ("oom", Some(ChangeKind::OutOfMemory)),
            ("health_status: healthy", Some(ChangeKind::Health(Condition::Healthy))),
            ("health_status: unhealthy", Some(ChangeKind::Health(Condition::Unhealthy))),
            ("health_status: starting", None),
            ("kill", None),
        ];
        for (action, kind) in cases {
            assert_eq!(event(action).map(|change| change.kind), kind, "{action}");
        }
        let Change { id, time, container, .. } = event("die").unwrap();
        let container = container.unwrap();
        assert_eq!((id.as_str(), time), ("a", 7));
        assert_eq!((container.name.as_str(), container.image.as_str()), ("trainer", "train:1"));
        assert_eq!(container.labels["team"], "nlp");
    }
}
