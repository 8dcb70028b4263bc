//! Jobs into whose manifest `runlog inject` put the sidecar.

use runlog_tests::eventually_within;

use crate::kube::{Namespace, PATIENCE};

const LINES: usize = 10_000;

/// A job whose shell does that, in a namespace that is for *restricted* pods alone.
fn job(name: &str, script: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: trainer
          image: runlog-train:test
          command: [sh, -c]
          args: ['{script}']   # What it prints.
          resources: {{limits: {{memory: 160Mi}}}}
          securityContext:
            runAsNonRoot: true
            runAsUser: 1000
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
            seccompProfile: {{type: RuntimeDefault}}
"
    )
}

/// Runs a job to that end, and tells what the store says of its run, in which each line is once.
fn run(namespace: &Namespace, name: &str, script: &str, condition: &str) -> String {
    namespace.apply(&namespace.injected(&job(name, script)));
    let ended = format!("{{.status.conditions[?(@.type==\"{condition}\")].status}}");
    namespace.wait_for(&format!("job/{name}"), &ended, "True");
    // The sidecar has ended as well, and had nothing left.
    let sidecar = "{.items[0].status.initContainerStatuses[?(@.name==\"runlog\")].state.terminated.exitCode}";
    namespace.wait_for(&format!("pods --selector=job-name={name}"), sidecar, "0");
    let run = format!("{}/{name}", namespace.name);
    let lines = namespace.lines(&run);
    let expected: Vec<String> = (1..=LINES).map(|number| format!("line {number}")).collect();
    assert!(lines == expected, "{} lines of {LINES}, the last one {:?}", lines.len(), lines.last());
    namespace.shown(&run)
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn a_job_that_exits_at_once_has_every_line_and_completes() {
    let namespace = Namespace::new("runlog-ends", "restricted");
    let script = format!("seq 1 {LINES} | sed \"s/^/line /\"");
    let shown = run(&namespace, "train", &script, "Complete");
    assert!(shown.contains("complete: 10000 lines read, 10000 kept") && !shown.contains("NOT"), "{shown}");
    // It is printed as without runlog.
    let printed = namespace.printed("train", "trainer");
    assert_eq!((printed.len(), &*printed[LINES - 1]), (LINES, "line 10000"));
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn a_job_that_fails_has_every_line_and_its_exit_code() {
    let namespace = Namespace::new("runlog-fails", "restricted");
    let script = format!("seq 1 {LINES} | sed \"s/^/line /\"; exit 1");
    let shown = run(&namespace, "train", &script, "Failed");
    assert!(shown.contains("failed (1)") && !shown.contains("NOT"), "{shown}");
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn a_job_whose_memory_is_not_enough_has_every_line_and_the_reason() {
    let namespace = Namespace::new("runlog-memory", "restricted");
    let script = format!("seq 1 {LINES} | sed \"s/^/line /\"; exec tail /dev/zero");
    let shown = run(&namespace, "train", &script, "Failed");
    assert!(shown.contains("memory") && !shown.contains("NOT"), "{shown}");
}

#[test]
#[ignore = "needs a cluster: make test-k8s"]
fn a_job_that_is_deleted_has_what_training_said_last() {
    let namespace = Namespace::new("runlog-deleted", "restricted");
    let script = "trap \"echo bye; exit 0\" TERM; i=0; while true; do i=$((i + 1)); echo \"line $i\"; sleep 0.1; done";
    namespace.apply(&namespace.injected(&job("train", script)));
    let run = format!("{}/train", namespace.name);
    eventually_within(PATIENCE, "it prints", || (namespace.lines(&run).len() > 10).then_some(()));
    let _ = namespace.ask(&["delete", "job/train", "--cascade=foreground"]);
    let lines = namespace.lines(&run);
    let expected = (1..lines.len()).map(|number| format!("line {number}")).chain(["bye".to_owned()]);
    assert!(expected.eq(lines.iter().cloned()), "{} lines, the last one {:?}", lines.len(), lines.last());
    let shown = namespace.shown(&run);
    assert!(shown.contains("complete: ") && !shown.contains("NOT"), "{shown}");
}
