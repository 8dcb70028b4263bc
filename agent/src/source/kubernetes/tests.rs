use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;

use super::*;
use crate::{
    record::{
        Severity,
        wire::{Value, attributes},
    },
    run::{Facts, Identity, Pod, RunId},
    source::file::{Claim, Owners},
};

/// The field number of a record's attributes, and that of a resource's.
const ATTRIBUTES: u32 = 6;
const OF_RESOURCE: u32 = 1;
const UID: &str = "12345678-1234-1234-1234-123456789abc";

fn config() -> Config {
    Config {
        logs: Some("/var/log/pods".into()),
        scope: Scope::Node,
        include: Vec::new(),
        exclude: vec![Choice::new("kube-system").unwrap()],
        only_enabled: false,
        metadata: None,
        credentials: PathBuf::new(),
    }
}

fn pods(config: &Config, metadata: Option<Metadata>) -> Pods {
    let own = Pod { namespace: "ops".into(), name: "runlog-abcde".into(), node: "n1".into(), ..Pod::default() };
    let mut facts = Facts(vec![("k8s.cluster.name".into(), "c".into())]);
    own.tell(&mut facts);
    let (run_id, identity) = (RunId::new("agent-run").unwrap(), Identity::default());
    Pods::new(config, crate::source::Tagging { run_id, identity, facts, level: Severity::INFO }, Some(own), metadata)
        .unwrap()
}

fn path(namespace: &str, name: &str, file: &str) -> PathBuf {
    Path::new("/var/log/pods").join(format!("{namespace}_{name}_{UID}")).join(file)
}

fn known(labels: &serde_json::Value, env: &serde_json::Value) -> Metadata {
    let metadata = Metadata::default();
    let item = json!({
        "metadata": { "name": "train-x7k2p", "namespace": "ml", "uid": UID, "labels": labels },
        "spec": { "nodeName": "n2", "containers": [{ "name": "trainer", "env": env }] },
    });
    metadata.learn(json!({ "items": [item] }).to_string().as_bytes()).unwrap();
    metadata
}

fn told(encoded: &[u8], field: u32) -> HashMap<String, String> {
    let show = |found: Result<(&str, Value<'_>), _>| {
        let (key, value) = found.unwrap();
        let text = if let Value::String(text) = value { text.to_owned() } else { format!("{value:?}") };
        (key.to_owned(), text)
    };
    attributes(encoded, field).map(show).collect()
}

#[test]
fn a_logs_path_is_enough_to_file_its_lines() {
    let mut pods = pods(&config(), None);
    let log = path("ml", "train-x7k2p", "trainer/2.log");
    assert!(pods.has(&log) && pods.claim(&log) == Claim::Wanted);
    let tags = pods.tags(&log).unwrap();
    assert_eq!((tags.name.as_str(), tags.resource.run_id.as_str()), ("ml/train-x7k2p/trainer", "ml/train"));
    let resource = told(&tags.resource.encoded, OF_RESOURCE);
    for (key, value) in [
        ("k8s.namespace.name", "ml"),
        ("k8s.pod.name", "train-x7k2p"),
        ("k8s.pod.uid", UID),
        ("k8s.container.name", "trainer"),
        ("k8s.node.name", "n1"),
        ("k8s.cluster.name", "c"),
        ("ml.platform", "kubernetes"),
        ("service.name", "trainer"),
    ] {
        assert_eq!(resource[key], value, "{key}");
    }
    assert_eq!(told(&tags.attributes, ATTRIBUTES)["k8s.container.restart_count"], "Int(2)");
}

#[test]
fn what_is_left_out_is_not_read() {
    let config = Config { include: vec![Choice::new("m*/train-*").unwrap()], ..config() };
    let mut pods = pods(&config, None);
    for (namespace, name, claim) in [
        ("ml", "train-x7k2p", Claim::Wanted),
        ("ml", "web", Claim::Unwanted),
        ("kube-system", "train-x7k2p", Claim::Unwanted),
    ] {
        assert_eq!(pods.claim(&path(namespace, name, "trainer/0.log")), claim, "{namespace}/{name}");
    }
    assert!(!pods.has(Path::new("/var/log/pods/notes/trainer/0.log")));
    assert!(!pods.has(Path::new("/srv").join(path("ml", "train", "a/0.log").strip_prefix("/var").unwrap()).as_path()));
}

#[test]
fn what_the_pod_says_comes_before_its_environment_and_that_before_its_name() {
    let env = json!([{ "name": "MLFLOW_RUN_ID", "value": "m1" }, { "name": "RANK", "value": "3" },
        { "name": "WORLD_SIZE", "value": "4" }]);
    let log = path("ml", "train-x7k2p", "trainer/0.log");
    let tags = |labels: serde_json::Value, env: &serde_json::Value| {
        pods(&config(), Some(known(&labels, env))).tags(&log).unwrap()
    };
    let said = tags(json!({ "runlog.run-id": "r", "runlog.level": "error", "job-name": "train" }), &env);
    assert_eq!((said.resource.run_id.as_str(), said.level), ("r", Severity::ERROR));
    let resource = told(&said.resource.encoded, OF_RESOURCE);
    assert_eq!((resource["ml.run.alias.mlflow"].as_str(), resource["k8s.node.name"].as_str()), ("m1", "n2"));
    assert_eq!(resource["ml.run.alias.kubernetes"], "ml/train");
    assert_eq!(told(&said.attributes, ATTRIBUTES)["ml.rank"], "Int(3)");

    assert_eq!(tags(json!({}), &env).resource.run_id, "m1");
    assert_eq!(tags(json!({ "job-name": "nightly" }), &json!([])).resource.run_id, "ml/nightly");
    let unusable = tags(json!({ "runlog.run-id": "a\u{1b}b", "runlog.level": "loud" }), &env);
    assert_eq!((unusable.resource.run_id.as_str(), unusable.level), ("m1", Severity::INFO));
}

#[test]
fn c10_a_pod_that_is_not_known_is_waited_for_a_little_and_no_longer() {
    let metadata = Metadata::default();
    let mut pods = pods(&config(), Some(metadata.clone()));
    let (log, start) = (path("ml", "train-x7k2p", "trainer/0.log"), Instant::now());
    let after = |seconds: u64| start + Duration::from_secs(seconds);
    assert_eq!(pods.claim_at(&log, start), Claim::Undecided);
    assert_eq!(pods.claim_at(&log, after(4)), Claim::Undecided);
    assert_eq!(pods.claim_at(&log, after(5)), Claim::Wanted);
    assert_eq!(pods.tags(&log).unwrap().resource.run_id, "ml/train", "as far as the path says");
    assert!(!pods.has_news(&log));

    metadata
        .learn(
            json!({ "items": [{ "metadata": { "uid": UID, "labels": { "runlog.run-id": "r" } } }] })
                .to_string()
                .as_bytes(),
        )
        .unwrap();
    assert!(pods.has_news(&log), "it is tagged anew");
    assert_eq!(pods.tags(&log).unwrap().resource.run_id, "r");
    assert!(!pods.has_news(&log), "and then it is as it should be");
}

#[test]
fn pods_that_have_to_ask_are_read_when_it_is_known_that_they_do() {
    let config = Config { only_enabled: true, ..config() };
    let log = path("ml", "train-x7k2p", "trainer/0.log");
    for (labels, claim) in [
        (json!({ "runlog.enabled": "true" }), Claim::Wanted),
        (json!({ "runlog.enabled": "false" }), Claim::Unwanted),
        (json!({}), Claim::Unwanted),
    ] {
        assert_eq!(pods(&config, Some(known(&labels, &json!([])))).claim(&log), claim, "{labels}");
    }
    let mut waiting = pods(&config, Some(Metadata::default()));
    let start = Instant::now();
    assert_eq!(waiting.claim_at(&log, start), Claim::Undecided);
    assert_eq!(waiting.claim_at(&log, start + Duration::from_secs(60)), Claim::NotNow);
    let asked_not_to = known(&json!({ "runlog.enabled": "false" }), &json!([]));
    assert_eq!(pods(&self::config(), Some(asked_not_to)).claim(&log), Claim::Unwanted);
}

#[test]
fn what_a_container_sends_by_itself_is_not_read_unless_its_pod_asks_for_it() {
    let wrapped = json!(["/mnt/runlog/bin/runlog", "exec", "--quiet", "--", "python"]);
    let endpoint = json!([{ "name": "RUNLOG_EXPORT_ENDPOINT", "value": "http://127.0.0.1:4318" }]);
    let none = json!([]);
    for (command, args, env, enabled, claim) in [
        (&wrapped, &none, &endpoint, None, Claim::Unwanted),
        (&json!(["runlog"]), &json!(["exec", "python"]), &endpoint, None, Claim::Unwanted),
        (&wrapped, &none, &endpoint, Some("true"), Claim::Wanted),
        // What it prints goes nowhere else.
        (&wrapped, &none, &none, None, Claim::Wanted),
        (&json!(["runlog", "agent"]), &none, &endpoint, None, Claim::Wanted),
        (&json!(["python", "exec"]), &none, &endpoint, None, Claim::Wanted),
        (&none, &none, &endpoint, None, Claim::Wanted),
    ] {
        let trainer = json!({ "name": "trainer", "command": command, "args": args, "env": env });
        let labels = enabled.map_or(json!({}), |said| json!({ "runlog.enabled": said }));
        let item = json!({ "metadata": { "uid": UID, "labels": labels },
            "spec": { "containers": [trainer, { "name": "web" }] } });
        let metadata = Metadata::default();
        metadata.learn(json!({ "items": [item] }).to_string().as_bytes()).unwrap();
        let mut pods = pods(&config(), Some(metadata));
        let mut claim_of = |container: &str| pods.claim(&path("ml", "train-x7k2p", &format!("{container}/0.log")));
        assert_eq!(claim_of("trainer"), claim, "{command} {args} {env} {enabled:?}");
        assert_eq!(claim_of("web"), Claim::Wanted, "another container of the pod");
    }
}
