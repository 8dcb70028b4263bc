//! The chart: what it renders, what it refuses, and that its sidecar is the one of `runlog inject`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use insta::assert_snapshot;
use runlog_tests::{State, binary, root, tool};

const ENDPOINT: &str = "endpoint=http://collector.monitoring:4318";

/// What helm answers about the chart.
fn helm(command: &[&str], settings: &[&str]) -> Output {
    let home = State::new();
    let mut helm = Command::new(tool("RUNLOG_TEST_HELM", "helm"));
    helm.args(command).arg("--kube-version=1.33.0");
    // Nothing of this machine's own configuration, and no cluster.
    for folder in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
        helm.env(folder, home.dir());
    }
    helm.env("KUBECONFIG", home.path("none")).current_dir(root());
    for setting in settings {
        helm.args(["--set", setting]);
    }
    helm.output().unwrap()
}

/// The manifests of a release that is called `ridge`.
fn rendered(settings: &[&str]) -> String {
    let output = helm(&["template", "ridge", "helm/runlog", "--namespace", "ml"], settings);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Why nothing is rendered.
fn refused(settings: &[&str]) -> String {
    let output = helm(&["template", "ridge", "helm/runlog"], settings);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// What `runlog inject` makes of manifests.
fn inject(manifests: &str, arguments: &[&str]) -> String {
    let mut inject = Command::new(binary());
    inject.arg("inject").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut inject = inject.spawn().unwrap();
    inject.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
    let output = inject.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_rendered_is_as_it_was_read_and_approved() {
    let everything = [
        "mode=daemonset",
        ENDPOINT,
        "headersSecret.name=otlp",
        "experiment=nightly",
        "image.tag=nightly",
        "image.pullSecrets={registry}",
        "daemonset.include={ml,team-*/train-*}",
        "daemonset.onlyEnabled=true",
        "daemonset.priorityClassName=system-node-critical",
        "daemonset.nodeSelector.gpu=a100",
        "daemonset.env[0].name=RUNLOG_QUEUE_MAX_BYTES",
        "daemonset.env[0].value=4GiB",
        "serviceAccount.annotations.owner=ml",
        "podMonitor.enabled=true",
        "networkPolicy.enabled=true",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=watch",
    ];
    let cases: [(&str, &[&str]); 6] = [
        ("sidecar-job", &[ENDPOINT]),
        ("sidecar-deployment", &["example.kind=Deployment", ENDPOINT, "headersSecret.name=otlp"]),
        ("daemonset", &["mode=daemonset", ENDPOINT]),
        ("daemonset-everything", &everything),
        (
            "daemonset-least",
            &[
                "mode=daemonset",
                ENDPOINT,
                "daemonset.metadata=false",
                "serviceAccount.name=mine",
                "daemonset.stateHostPath=",
            ],
        ),
        ("none", &["mode=none"]),
    ];
    let mut golden = insta::Settings::clone_current();
    golden.set_snapshot_path("golden");
    golden.set_prepend_module_to_snapshot(false);
    golden.bind(|| {
        for (name, settings) in cases {
            assert_snapshot!(name, rendered(settings));
        }
    });
}

#[test]
fn the_sidecar_is_the_one_that_inject_adds() {
    for kind in ["example.kind=Job", "example.kind=Deployment"] {
        let chart = rendered(&[kind, ENDPOINT, "headersSecret.name=otlp", "level=debug"]);
        // The check is a pod that is not to be collected.
        let chart = chart.split("---\n").find(|document| document.contains("name: training")).unwrap();
        let without = inject(chart, &["--remove"]);
        assert!(without.contains("name: training") && !without.contains("/mnt/runlog"), "{without}");
        let endpoint = ENDPOINT.strip_prefix("endpoint=").unwrap();
        let wanted = ["--endpoint", endpoint, "--headers-secret", "otlp/headers", "--level", "debug"];
        assert_eq!(inject(&without, &wanted), chart);
    }
}

#[test]
fn the_chart_is_without_fault_for_helm() {
    for mode in ["sidecar", "daemonset"] {
        let output = helm(&["lint", "--strict", "helm/runlog"], &[&format!("mode={mode}"), ENDPOINT]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn an_empty_list_of_exclusions_excludes_nothing_and_is_not_the_default() {
    let excluded = |setting: &str| {
        let manifests = rendered(&["mode=daemonset", ENDPOINT, setting]);
        let (_, variable) = manifests.split_once("- name: RUNLOG_KUBERNETES_EXCLUDE\n")?;
        let value = variable.lines().map(str::trim).find_map(|line| line.strip_prefix("value: "));
        Some(value.unwrap().trim_matches('"').to_owned())
    };
    assert_eq!(excluded("level=info").as_deref(), Some("kube-system"));
    assert_eq!(excluded("daemonset.exclude={a,b/c-*}").as_deref(), Some("a,b/c-*"));
    // runlog takes an empty variable for one that is not set; `-` is the name of no namespace.
    assert_eq!(excluded("daemonset.exclude={}").as_deref(), Some("-"));
    assert_eq!(excluded("daemonset.exclude=null"), None);
}

#[test]
fn wrong_values_are_refused_with_their_names() {
    let cases = [
        ("level=info", "set endpoint, such as http://collector.monitoring:4318"),
        ("endpoint=collector:4318", "endpoint"),
        ("level=verbose", "level"),
        ("mode=operator", "mode"),
        ("exportEndpoint=http://collector:4318", "exportEndpoint"),
        ("daemonset.stateHostPath=state", "stateHostPath"),
    ];
    for (setting, told) in cases {
        let settings: &[&str] = if told.starts_with("set endpoint") { &[setting] } else { &[ENDPOINT, setting] };
        let refused = refused(settings);
        assert!(refused.contains(told), "{setting}: {refused}");
    }
}

#[test]
fn images_are_of_the_version_that_is_built_here() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(rendered(&[ENDPOINT]).contains(&format!("image: \"runlog:{version}\"")));
}
