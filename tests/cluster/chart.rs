//! The chart, installed.

use runlog_tests::eventually_within;

use crate::kube::{Namespace, PATIENCE, kubectl};

const LINES: usize = 12_000;

fn settings<'a>(endpoint: &'a str, mode: &'a str, level: &'a str) -> Vec<&'a str> {
    vec!["--set", "image.tag=test", "--set", endpoint, "--set", mode, "--set", level]
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn the_daemonset_has_each_line_once_through_rotations_and_an_upgrade_and_leaves_nothing() {
    let namespace = Namespace::new("runlog-nodes", "privileged");
    let endpoint = format!("endpoint={}", namespace.endpoint);
    // This machine is the node.
    let folder = tempfile::tempdir().unwrap();
    let state = format!("daemonset.stateHostPath={}", folder.path().display());
    let chart = |verb: &'static str, level| {
        let words = [
            verb,
            "agent",
            "helm/runlog",
            "--wait",
            "--set",
            "daemonset.include={runlog-nodes/train-*}",
            "--set",
            &state,
        ];
        namespace.helm(&[&words[..], &settings(&endpoint, "mode=daemonset", level)].concat())
    };
    let told = chart("install", "level=info");
    assert!(told.contains("rollout status daemonset/agent-runlog"), "{told}");
    assert!(namespace.helm(&["test", "agent"]).contains("Succeeded"));

    // The kubelet may still have logs of the last time, which are another run's.
    let job = format!("train-{}", std::process::id());
    // So many bytes that the kubelet rotates the log several times while it is written.
    namespace.apply(&format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: {job}}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: trainer
          image: runlog-train:test
          command: [sh, -c]
          args:
            - 'i=0; while [ $i -lt {LINES} ]; do i=$((i + 1)); echo \"line $i of a training that prints a lot and is rotated\";
              [ $((i % 500)) = 0 ] && sleep 1; done; sleep 15'
"
    ));
    let run = format!("{}/{job}", namespace.name);
    eventually_within(PATIENCE, "the first lines are there", || (namespace.lines(&run).len() > 1_000).then_some(()));
    let _ = chart("upgrade", "level=debug");
    let lines = eventually_within(PATIENCE * 2, "all lines are there", || {
        let lines = namespace.lines(&run);
        (lines.len() >= LINES).then_some(lines)
    });
    let number = |line: &String| line.split(' ').nth(1)?.parse::<usize>().ok();
    let mut numbers: Vec<usize> = lines.iter().filter_map(number).collect();
    // An agent that is behind reads a rotated file beside the next one.
    numbers.sort_unstable();
    let faults: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(numbers.len() == LINES && faults.is_empty(), "{} lines, not once each: {faults:?}", numbers.len());
    let rotated = std::fs::read_dir("/var/log/pods").unwrap().flatten();
    let of_train = rotated.filter(|pod| pod.file_name().to_string_lossy().starts_with(&format!("runlog-nodes_{job}")));
    let files: Vec<_> = of_train.flat_map(|pod| std::fs::read_dir(pod.path().join("trainer")).unwrap()).collect();
    assert!(files.len() > 2, "the kubelet has not rotated: {files:?}");

    let _ = namespace.helm(&["uninstall", "agent", "--wait"]);
    let of_release = "--selector=app.kubernetes.io/instance=agent";
    let kinds = "daemonsets,pods,serviceaccounts,clusterroles,clusterrolebindings";
    // helm waits for what it made itself, not for the pods.
    eventually_within(PATIENCE, "nothing is left", || {
        let left = kubectl(&["get", kinds, "--all-namespaces", of_release, "--output=name"], "");
        (left.status.success() && left.stdout.is_empty()).then_some(())
    });
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn the_example_of_the_chart_runs_and_its_lines_arrive() {
    let namespace = Namespace::new("runlog-example", "baseline");
    let endpoint = format!("endpoint={}", namespace.endpoint);
    let words =
        ["install", "ridge", "helm/runlog", "--wait", "--wait-for-jobs", "--set", "example.image=runlog-train:test"];
    let told = namespace.helm(&[&words[..], &settings(&endpoint, "mode=sidecar", "level=info")].concat());
    assert!(told.contains("The run is runlog-example/ridge-1"), "{told}");
    let lines = eventually_within(PATIENCE, "the lines are there", || {
        Some(namespace.lines("runlog-example/ridge-1")).filter(|lines| lines.len() >= 3)
    });
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(namespace.helm(&["test", "ridge"]).contains("Succeeded"));
    let _ = namespace.helm(&["uninstall", "ridge", "--wait"]);
}
