//! A namespace of the cluster with a store in it, and questions to both.

use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use runlog_tests::{binary, eventually_within, root};
use serde_json::{Value, json};

/// How long something may take that a machine with many others at work does at once.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// `runlog serve`, where all that is sent arrives, also as `collector:4318`.
const STORE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: store, labels: {app: store}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: store
      image: runlog:test
      args: [serve, --listen, \"0.0.0.0:4319\"]
      env: [{name: RUNLOG_STATE_DIR, value: /state}, {name: RUNLOG_SERVE_TOKEN, value: none}]
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        seccompProfile: {type: RuntimeDefault}
      volumeMounts: [{name: state, mountPath: /state}]
  volumes: [{name: state, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: collector}
spec:
  selector: {app: store}
  ports: [{port: 4318, targetPort: 4319}]
";

/// A namespace of its own. It is removed at the end.
pub struct Namespace {
    pub name: &'static str,
    /// Where the store takes OTLP; empty without one.
    pub endpoint: String,
}

impl Namespace {
    /// Makes it, with what Pod Security lets pods do there.
    pub fn new(name: &'static str, security: &str) -> Self {
        let mut namespace = Self::bare(name, security);
        namespace.apply(STORE);
        let _ = namespace.ask(&["wait", "pod/store", "--for=condition=Ready", "--timeout=180s"]);
        let address = namespace.ask(&["get", "pod/store", "--output=jsonpath={.status.podIP}"]);
        namespace.endpoint = format!("http://{address}:4319");
        namespace
    }

    /// One without a store.
    pub fn bare(name: &'static str, security: &str) -> Self {
        let _ = kubectl(&["delete", "namespace", name, "--ignore-not-found", "--wait=true"], "");
        succeeds(kubectl(&["create", "namespace", name], ""));
        let label = format!("pod-security.kubernetes.io/enforce={security}");
        succeeds(kubectl(&["label", "namespace", name, &label], ""));
        Self { name, endpoint: String::new() }
    }

    /// Applies manifests.
    pub fn apply(&self, manifests: &str) {
        succeeds(kubectl(&["apply", "--namespace", self.name, "--filename=-"], manifests));
    }

    /// Runs a pod to its end, of all of its containers.
    pub fn run_pod(&self, name: &str, labels: &Value, mut spec: Value) {
        spec["restartPolicy"] = "Never".into();
        let metadata = json!({"name": name, "labels": labels});
        self.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string());
        self.wait_for(&format!("pod/{name}"), "{.status.phase}", "Succeeded");
    }

    /// What kubectl prints.
    pub fn ask(&self, arguments: &[&str]) -> String {
        succeeds(kubectl(&[&["--namespace", self.name], arguments].concat(), ""))
    }

    /// The manifests with the sidecar, which sends to the store.
    pub fn injected(&self, manifests: &str) -> String {
        let mut inject = Command::new(binary());
        inject.args(["inject", "--image", "runlog:test", "--endpoint", &self.endpoint, "--level", "debug"]);
        succeeds(piped(inject, manifests))
    }

    /// The lines that the store has of a run.
    pub fn lines(&self, run: &str) -> Vec<String> {
        let printed = kubectl(
            &["exec", "--namespace", self.name, "store", "--", "/runlog", "logs", run, "--json", "--level", "trace"],
            "",
        );
        let printed = String::from_utf8(printed.stdout).unwrap();
        let records = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines = records.filter(|record| record["event_name"].as_str().unwrap_or_default().is_empty());
        lines.filter_map(|record| Some(record["body"].as_str()?.to_owned())).collect()
    }

    /// The lines that the kubelet has of a container of the only pod whose name begins so. This machine is the node.
    pub fn printed(&self, pod: &str, container: &str) -> Vec<String> {
        // `kubectl logs` shows none of the files that were rotated.
        let pattern = format!("/var/log/pods/{}_{pod}*/{container}/*.log*", self.name);
        let mut files: Vec<PathBuf> = glob::glob(&pattern).unwrap().map(Result::unwrap).collect();
        files.sort_by_key(|file| (file.extension().is_some_and(|extension| extension == "log"), file.clone()));
        let texts = files.into_iter().map(|file| fs::read_to_string(file).unwrap());
        let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter_map(|line| Some(line.splitn(4, ' ').nth(3)?.to_owned())).collect()
    }

    /// What `runlog runs show` says of a run.
    pub fn shown(&self, run: &str) -> String {
        self.ask(&["exec", "store", "--", "/runlog", "runs", "show", run])
    }

    /// Waits until a field of an object has that value.
    pub fn wait_for(&self, object: &str, field: &str, value: &str) {
        eventually_within(PATIENCE, &format!("{object} has {field} = {value}"), || {
            let (output, object) = (format!("--output=jsonpath={field}"), object.split(' '));
            let arguments: Vec<_> = ["--namespace", self.name, "get", &output].into_iter().chain(object).collect();
            let output = kubectl(&arguments, "");
            (String::from_utf8(output.stdout).unwrap() == value).then_some(())
        });
    }

    /// What helm prints.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let mut helm = Command::new(env::var("RUNLOG_TEST_HELM").expect("make test-k8s sets it"));
        helm.args(arguments).args(["--namespace", self.name, "--timeout=180s"]).current_dir(root());
        succeeds(helm.stdin(Stdio::null()).output().unwrap())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = kubectl(&["delete", "namespace", self.name, "--wait=false"], "");
        }
    }
}

/// Runs kubectl with that input.
pub fn kubectl(arguments: &[&str], input: &str) -> Output {
    let mut kubectl = Command::new(env::var("RUNLOG_TEST_KUBECTL").expect("make test-k8s sets it"));
    kubectl.args(arguments);
    piped(kubectl, input)
}

fn piped(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What a command has printed that must not fail.
pub fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
