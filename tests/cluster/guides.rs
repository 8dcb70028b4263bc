//! The guides that need a Kubernetes, done as they are written.

use std::{env, os::unix::fs::symlink};

use runlog_tests::{Desk, commands_of, eventually_within, root};
use serde_json::{Value, json};

use crate::kube::{Namespace, PATIENCE, kubectl};

/// Where the guides' collector is.
fn monitoring() -> Namespace {
    Namespace::new("monitoring", "restricted")
}

/// A desk whose `kubectl` and `helm` are those of the cluster, with `kubectl` in a namespace if none is said.
fn desk(namespace: &str) -> Desk {
    let desk = Desk::new();
    let program = |name: &str| env::var(name).expect("make test-k8s sets it");
    let kubectl = program("RUNLOG_TEST_KUBECTL");
    let namespace = if namespace.is_empty() { String::new() } else { format!("--namespace {namespace}") };
    desk.has("kubectl", &format!("#!/bin/sh\nexec {kubectl} {namespace} \"$@\"\n"));
    desk.has("helm", &format!("#!/bin/sh\nexec {} \"$@\"\n", program("RUNLOG_TEST_HELM")));
    symlink(root().join("helm"), desk.path().join("work/helm")).unwrap();
    desk
}

fn job(name: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: trainer   # The only one.
          image: runlog-train:test
          command: [sh, -c, 'echo epoch 1 loss 0.31; echo WARNING:train:late']
"
    )
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn what_the_guide_for_a_sidecar_says_works() {
    let (store, namespace) = (monitoring(), Namespace::bare("ml", "baseline"));
    let desk = desk(namespace.name);
    desk.write("job.yaml", &job("ridge"));
    let printed = desk.follow("sidecar.md", &[]);
    assert!(printed.contains("epoch 1 loss 0.31\nWARNING:train:late\n"), "{printed}");
    assert!(printed.ends_with(&job("ridge")), "{printed}");
    assert_eq!(store.lines("ml/ridge"), ["epoch 1 loss 0.31", "WARNING:train:late"]);
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn what_the_guide_for_a_daemonset_says_works() {
    let store = monitoring();
    let desk = desk("");
    let forget = || {
        let _ = kubectl(&["delete", "namespace", "runlog", "--ignore-not-found", "--wait=true"], "");
        let _ =
            kubectl(&["delete", "clusterrole,clusterrolebinding", "runlog-runlog-runlog", "--ignore-not-found"], "");
    };
    forget();
    // This machine is the node, and may have a runlog of its own.
    let state = format!("mode=daemonset,daemonset.stateHostPath={}", desk.path().join("node").display());
    let guide = commands_of("daemonset.md").replace("REGISTRY/", "").replace("mode=daemonset", &state);
    let printed = desk.run(&guide, &[]);
    assert!(printed.contains("successfully rolled out") && printed.contains("Succeeded"), "{printed}");
    let namespace = Namespace::bare("ml", "baseline");
    // The kubelet may still have logs of the last time, which are another run's.
    let name = format!("ridge-{}", std::process::id());
    namespace.apply(&job(&name));
    eventually_within(PATIENCE, "the lines are there", || {
        (store.lines(&format!("ml/{name}")) == ["epoch 1 loss 0.31", "WARNING:train:late"]).then_some(())
    });
    let _ = desk.run("helm uninstall runlog --namespace runlog --wait", &[]);
    forget();
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn what_the_guide_for_torchrun_and_ray_says_works() {
    let (store, namespace) = (monitoring(), Namespace::bare("ml", "baseline"));
    let desk = desk(namespace.name);
    desk.has("torchrun", "#!/bin/sh\necho '[default0]:epoch 1 loss 0.31'\necho '[default1]:epoch 1 loss 0.32'\n");
    // Nobody acts on these kinds here: the pods are made as their operators would.
    namespace.apply(&[kind("kubeflow.org", "PyTorchJob", "v1"), kind("ray.io", "RayJob", "v1")].concat());
    let resources = ["crd/pytorchjobs.kubeflow.org", "crd/rayjobs.ray.io"];
    let _ = namespace.ask(&[&["wait", "--for=condition=Established", "--timeout=60s"], &resources[..]].concat());
    desk.write("pytorchjob.yaml", PYTORCH_JOB);
    desk.write("rayjob.yaml", RAY_JOB);
    let printed = desk.follow("ray-torchrun.md", &[]);
    assert!(printed.contains("[default1]:epoch 1 loss 0.32"), "{printed}");

    let spec = |object: &str, path: &str| -> Value {
        let template = namespace.ask(&["get", object, &format!("--output=jsonpath={{.spec.{path}.template.spec}}")]);
        serde_json::from_str(&template).unwrap()
    };
    for replica in ["Master", "Worker"] {
        let labels = json!({"training.kubeflow.org/job-name": "llama"});
        let spec = spec("pytorchjob/llama", &format!("pytorchReplicaSpecs.{replica}"));
        namespace.run_pod(&format!("llama-{}-0", replica.to_lowercase()), &labels, spec);
    }
    let mut head = spec("rayjob/tune", "rayClusterSpec.headGroupSpec");
    // Instead of the command of KubeRay, which has no `command` in the manifest either.
    head["containers"][0]["command"] = json!(["sh", "-c", RAY]);
    namespace.run_pod("tune-head", &json!({"ray.io/cluster": "tune-x1"}), head);

    let mut ranks = store.lines("ml/llama");
    ranks.sort();
    assert_eq!(ranks, ["epoch 1 loss 0.31", "epoch 1 loss 0.31"]);
    let mut of_ray = store.lines("ml/tune-x1");
    of_ray.sort();
    assert_eq!(of_ray, ["of a worker", "of the driver"]);
}

/// A kind of objects that are kept as they come.
fn kind(group: &str, kind: &str, version: &str) -> String {
    let singular = kind.to_lowercase();
    format!(
        "
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {singular}s.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: {kind}, plural: {singular}s, singular: {singular}}}
  versions:
    - name: {version}
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    )
}

const PYTORCH_JOB: &str = "
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: llama}
spec:
  pytorchReplicaSpecs:
    Master:
      replicas: 1
      template:
        spec:
          containers:
            - name: pytorch
              image: runlog-train:test
              command: [sh, -c, 'echo \"[default0]:epoch 1 loss 0.31\"']
    Worker:
      replicas: 1
      template:
        spec:
          containers:
            - name: pytorch
              image: runlog-train:test
              command: [sh, -c, 'echo \"[default0]:epoch 1 loss 0.31\"']
";

const RAY_JOB: &str = "
apiVersion: ray.io/v1
kind: RayJob
metadata: {name: tune}
spec:
  entrypoint: python tune.py
  rayClusterSpec:
    headGroupSpec:
      rayStartParams: {}
      template:
        spec:
          containers:
            - name: ray-head
              image: runlog-train:test
";

/// As Ray keeps what programs print.
const RAY: &str = "
mkdir -p /tmp/ray/session_2026-11-30_00-00-00/logs && cd /tmp/ray/session_2026-11-30_00-00-00/logs
echo of the driver >job-driver-tune-x1.log
echo of a worker >worker-1-01000000-12.out
echo of nobody >raylet.out
";
