//! What pods say of themselves beyond the paths of their logs: labels, annotations, and the run in their environment.
//!
//! Of the environment the identity of the run is kept and nothing else, since secrets stand there as well.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;
use tokio::sync::Notify;

use crate::{
    record::{
        UnixNanos,
        wire::{Value, record_attribute},
    },
    run::{self, Identity, Pod},
    source::exit::Exit,
};

/// Written on a pod, as annotations or labels; the same as the labels of a Docker container.
const RUN_ID: &str = "runlog.run-id";
const EXPERIMENT: &str = "runlog.experiment";
const LEVEL: &str = "runlog.level";
const ENABLED: &str = "runlog.enabled";

/// Where a program that was started by `runlog exec` sends what it prints.
const ENDPOINT: &str = "RUNLOG_EXPORT_ENDPOINT";

/// The run of a Kubeflow pipeline, and the word for it.
const PIPELINE_RUN: (&str, &str) = ("pipeline/runid", "kfp");

/// Labels with the name of what the pod was made for, the outermost first.
///
/// Source: kubernetes-sigs `jobset/api`, kubeflow `common_v1.JobNameLabel`, kubernetes `batch/v1`.
const JOBS: [&str; 4] =
    ["jobset.sigs.k8s.io/jobset-name", "training.kubeflow.org/job-name", "batch.kubernetes.io/job-name", "job-name"];
/// Labels or annotations with the number of the pod in its job.
const INDEXES: [&str; 2] = ["batch.kubernetes.io/job-completion-index", "training.kubeflow.org/replica-index"];

/// The uid in the path of a static pod's logs, which the API server knows under another one.
///
/// Source: kubernetes `pkg/kubelet/types`, `ConfigHashAnnotationKey`.
const STATIC_UID: &str = "kubernetes.io/config.hash";

/// What is known of the node's pods so far, for those who read their logs and those who ask for it.
#[derive(Debug, Clone, Default)]
pub struct Metadata(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By the uid in the path.
    pods: Mutex<HashMap<String, Arc<Described>>>,
    is_missed: Notify,
    trouble: Mutex<Option<String>>,
}

/// What is kept of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub pod: Pod,
    pub run_id: Option<String>,
    pub experiment: Option<String>,
    pub level: Option<String>,
    pub enabled: Option<bool>,
    /// The run in the environment of each container.
    pub identities: HashMap<String, Identity>,
    /// The containers that send what they print by themselves.
    pub sending: HashSet<String>,
    /// Whether none of its containers will run again.
    pub is_over: bool,
    /// What is known of each container.
    pub states: HashMap<String, State>,
}

/// What is known of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Whether the pod is there for it, and it does not only prepare what it needs.
    pub is_main: bool,
    /// Which life the present one is.
    pub restarts: i64,
    /// How it ended, if it does not run.
    pub now: Option<Reasoned>,
    /// How the life before has ended.
    pub last: Option<Reasoned>,
}

/// How a container ended, as the kubelet tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reasoned {
    pub exit: Exit,
    /// The kubelet's word for why.
    pub reason: String,
}

impl Reasoned {
    /// Appends what a record says of it.
    pub(super) fn describe(&self, attributes: &mut Vec<u8>) {
        record_attribute(attributes, "process.exit.code", Value::Int(self.exit.code));
        if !self.reason.is_empty() {
            record_attribute(attributes, "k8s.container.status.reason", Value::String(&self.reason));
        }
        if self.exit.is_oom_killed {
            record_attribute(attributes, "runlog.oom_killed", Value::Bool(true));
        }
    }
}

impl Metadata {
    /// What is known of the pod of that uid.
    pub(super) fn of(&self, uid: &str) -> Option<Arc<Described>> {
        self.pods().get(uid).cloned()
    }

    /// Has the pods asked for, since one of them is not known.
    pub(super) fn miss(&self) {
        self.0.is_missed.notify_one();
    }

    /// Waits until a pod is missed. Nothing is forgotten if this is dropped.
    pub(super) async fn missed(&self) {
        self.0.is_missed.notified().await;
    }

    /// Takes a list of all pods, as the API server and the kubelet write it.
    pub(super) fn learn(&self, list: &[u8]) -> Result<(), serde_json::Error> {
        let PodList { items } = serde_json::from_slice(list)?;
        let described = items.unwrap_or_default().into_iter().map(Item::describe);
        *self.pods() = described.map(|(uid, described)| (uid, Arc::new(described))).collect();
        Ok(())
    }

    /// Says why nothing more can be known for now, or that it can.
    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Why nothing more can be known for now, in words for people.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pods(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Described>>> {
        self.0.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is read of a `v1.PodList`.
#[derive(Deserialize)]
struct PodList {
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    metadata: About,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct About {
    name: String,
    namespace: String,
    uid: String,
    labels: HashMap<String, String>,
    annotations: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    restart_count: i64,
    state: ContainerState,
    last_state: ContainerState,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContainerState {
    terminated: Option<Terminated>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Terminated {
    exit_code: i64,
    reason: String,
    finished_at: Option<String>,
}

impl ContainerState {
    fn exit(self) -> Option<Reasoned> {
        let Terminated { exit_code: code, reason, finished_at } = self.terminated?;
        let finished = finished_at.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let finished =
            finished.and_then(|time| UnixNanos::try_from(time.as_nanosecond()).ok()).filter(|nanos| *nanos > 0);
        let exit = Exit { code, is_oom_killed: reason == "OOMKilled", finished };
        Some(Reasoned { exit, reason })
    }
}

#[derive(Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Variable>,
}

impl Container {
    /// Whether its command is started by `runlog exec`, as `runlog inject` has it, and that is told where to send to.
    fn sends(&self) -> bool {
        let mut words = self.command.iter().chain(&self.args);
        let program = words.next().and_then(|word| Path::new(word).file_name());
        program.is_some_and(|name| name == "runlog")
            && words.next().is_some_and(|word| word == "exec")
            && self.env.iter().any(|variable| variable.name == ENDPOINT)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
    value_from: Option<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    field_ref: Option<Field>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    field_path: String,
}

impl Item {
    /// What is kept of it, and under which uid.
    fn describe(self) -> (String, Described) {
        let Self { metadata: about, spec, status } = self;
        let pipeline_run = about.labels.get(PIPELINE_RUN.0);
        let identity = |container: &Container| {
            // The last one wins, as for the kubelet.
            let find = |name: &str| container.env.iter().rev().find(|variable| variable.name == name);
            let mut identity = run::identify(&|name| about.value_of(find(name)?, &spec));
            if let Some(id) = pipeline_run.filter(|_| identity.run_id.is_none()) {
                identity.run_id = run::RunId::new(id).ok();
                identity.platform = Some(PIPELINE_RUN.1);
            }
            (container.name.clone(), identity)
        };
        let containers = || spec.containers.iter().chain(&spec.init_containers);
        let described = Described {
            pod: Pod {
                namespace: about.namespace.clone(),
                name: about.name.clone(),
                uid: about.uid.clone(),
                node: spec.node_name.clone(),
                job: JOBS.iter().find_map(|key| about.labels.get(*key)).cloned().unwrap_or_default(),
                index: INDEXES.iter().find_map(|key| about.said(key)?.parse().ok()),
            },
            run_id: about.said(RUN_ID),
            experiment: about.said(EXPERIMENT),
            level: about.said(LEVEL),
            enabled: about.said(ENABLED).map(|text| text.eq_ignore_ascii_case("true")),
            identities: containers().map(identity).collect(),
            sending: containers()
                .filter(|container| container.sends())
                .map(|container| container.name.clone())
                .collect(),
            is_over: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            states: status.states(),
        };
        (about.annotations.get(STATIC_UID).cloned().unwrap_or(about.uid), described)
    }
}

impl Status {
    fn states(self) -> HashMap<String, State> {
        let of = |is_main| {
            move |of: ContainerStatus| {
                let ContainerStatus { name, restart_count: restarts, state, last_state } = of;
                (name, State { is_main, restarts, now: state.exit(), last: last_state.exit() })
            }
        };
        let prepared = self.init_container_statuses.into_iter().map(of(false));
        prepared.chain(self.container_statuses.into_iter().map(of(true))).collect()
    }
}

impl About {
    /// What an annotation says, or else the label of that name.
    fn said(&self, key: &str) -> Option<String> {
        let text = self.annotations.get(key).or_else(|| self.labels.get(key))?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A variable's value, if it stands in the pod's description.
    fn value_of(&self, variable: &Variable, spec: &Spec) -> Option<String> {
        let Some(source) = &variable.value_from else { return Some(variable.value.clone()) };
        let path = source.field_ref.as_ref()?.field_path.as_str();
        let key = |map: &str| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
        match path {
            "metadata.name" => Some(self.name.clone()),
            "metadata.namespace" => Some(self.namespace.clone()),
            "metadata.uid" => Some(self.uid.clone()),
            "spec.nodeName" => Some(spec.node_name.clone()),
            _ => match key("metadata.labels") {
                Some(key) => self.labels.get(key).cloned(),
                None => self.annotations.get(key("metadata.annotations")?).cloned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn described(item: &serde_json::Value) -> Described {
        let metadata = Metadata::default();
        metadata.learn(json!({ "items": [item] }).to_string().as_bytes()).unwrap();
        let uid = metadata.pods().keys().next().unwrap().clone();
        assert_eq!(uid, "u");
        metadata.of(&uid).unwrap().as_ref().clone()
    }

    #[test]
    fn annotations_come_before_labels_and_the_outermost_job_before_its_parts() {
        let found = described(&json!({
            "metadata": {
                "name": "set-workers-0-1-x7k2p", "namespace": "ml", "uid": "u",
                "labels": {
                    "runlog.run-id": "label", "runlog.enabled": "True", "batch.kubernetes.io/job-name": "set-workers-0",
                    "jobset.sigs.k8s.io/jobset-name": "set", "batch.kubernetes.io/job-completion-index": "1",
                },
                "annotations": { "runlog.run-id": " annotation ", "runlog.experiment": "" },
            },
            "spec": { "nodeName": "n1", "containers": [{ "name": "trainer" }] },
        }));
        assert_eq!((found.run_id.as_deref(), found.experiment, found.enabled), (Some("annotation"), None, Some(true)));
        let Pod { job, node, index, .. } = found.pod;
        assert_eq!((job.as_str(), node.as_str(), index), ("set", "n1", Some(1)));
    }

    #[test]
    fn the_run_is_found_in_what_is_written_of_the_environment() {
        let field = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
        let found = described(&json!({
            "metadata": { "name": "p", "namespace": "ml", "uid": "u", "annotations": { "exp/name": "lr" } },
            "spec": {
                "containers": [{ "name": "trainer", "env": [
                    { "name": "MLFLOW_RUN_ID", "value": "first" },
                    { "name": "MLFLOW_RUN_ID", "value": "m1" },
                    { "name": "MLFLOW_EXPERIMENT_NAME", "valueFrom": field("metadata.annotations['exp/name']") },
                    { "name": "WANDB_RUN_ID", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                ] }],
                "initContainers": [{ "name": "runlog", "env": [
                    { "name": "JOB_COMPLETION_INDEX", "valueFrom": field("metadata.labels['absent']") },
                ] }],
            },
        }));
        let trainer = &found.identities["trainer"];
        assert_eq!(trainer.run_id.as_ref().unwrap().as_str(), "m1");
        assert_eq!((trainer.experiment.as_deref(), trainer.aliases.len()), (Some("lr"), 0));
        assert_eq!(found.identities["runlog"], Identity::default());
    }

    #[test]
    fn a_pipelines_run_is_in_a_label() {
        let found = described(&json!({
            "metadata": { "name": "p", "namespace": "ml", "uid": "u", "labels": { "pipeline/runid": "k1" } },
            "spec": { "containers": [{ "name": "main" }] },
        }));
        let Identity { run_id, platform, .. } = &found.identities["main"];
        assert_eq!((run_id.as_ref().unwrap().as_str(), *platform), ("k1", Some("kfp")));
    }

    #[test]
    fn a_static_pod_is_known_by_the_uid_in_its_path() {
        let metadata = Metadata::default();
        let about = json!({ "uid": "mirror", "annotations": { "kubernetes.io/config.hash": "hash" } });
        metadata.learn(json!({ "items": [{ "metadata": about }] }).to_string().as_bytes()).unwrap();
        assert!(metadata.of("hash").is_some() && metadata.of("mirror").is_none());
    }

    #[test]
    fn no_pods_are_written_as_null_and_what_is_no_list_changes_nothing() {
        let metadata = Metadata::default();
        metadata.learn(br#"{"items":[{"metadata":{"uid":"u"}}]}"#).unwrap();
        assert!(metadata.learn(b"Unauthorized").is_err());
        assert!(metadata.of("u").is_some());
        metadata.learn(br#"{"kind":"PodList","items":null}"#).unwrap();
        assert!(metadata.of("u").is_none());
    }
}
