//! What the path of a container's log says about the container.
//!
//! `pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`, also with the time of its rotation behind, is written by the
//! kubelet; `containers/POD_NAMESPACE_CONTAINER-ID.log` leads there; `ID/ID-json.log` is Docker's. Source: kubernetes
//! `pkg/kubelet/kuberuntime/helpers.go` and `legacy.go`, moby `daemon/logger/jsonfilelog`.

use std::path::Path;

use crate::{
    record::wire::{Value, record_attribute},
    source::kubernetes::PodLog,
};

/// Appends the attributes of the container whose log stands at that path, of which `resolved` follows all links.
pub fn attributes(into: &mut Vec<u8>, path: &Path, resolved: &Path) {
    if let Some(pod) = PodLog::of(resolved).or_else(|| PodLog::of(path)) {
        record_attribute(into, "k8s.namespace.name", Value::String(pod.namespace));
        record_attribute(into, "k8s.pod.name", Value::String(pod.name));
        record_attribute(into, "k8s.pod.uid", Value::String(pod.uid));
        record_attribute(into, "k8s.container.name", Value::String(pod.container));
        record_attribute(into, "k8s.container.restart_count", Value::Int(pod.restarts));
    }
    if let Some(id) = container_id(resolved).or_else(|| container_id(path)) {
        record_attribute(into, "container.id", Value::String(id));
    }
}

fn container_id(path: &Path) -> Option<&str> {
    let stem = path.file_name()?.to_str()?.split_once(".log")?.0;
    let id = stem.strip_suffix("-json").or_else(|| stem.rsplit_once('-').map(|(_, id)| id))?;
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::wire;

    /// The field number of a record's attributes.
    const ATTRIBUTES: u32 = 6;
    const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    fn said(path: &str, resolved: &str) -> Vec<String> {
        let mut encoded = Vec::new();
        attributes(&mut encoded, Path::new(path), Path::new(resolved));
        let show = |found: Result<(&str, Value<'_>), _>| {
            let (key, value) = found.unwrap();
            format!("{key} {value:?}")
        };
        wire::attributes(&encoded, ATTRIBUTES).map(show).collect()
    }

    #[test]
    fn the_kubelets_paths_name_pod_and_container() {
        let pod = "/var/log/pods/ml_train-0_12345678-1234-1234-1234-123456789abc/trainer/2.log";
        let expected = [
            "k8s.namespace.name String(\"ml\")",
            "k8s.pod.name String(\"train-0\")",
            "k8s.pod.uid String(\"12345678-1234-1234-1234-123456789abc\")",
            "k8s.container.name String(\"trainer\")",
            "k8s.container.restart_count Int(2)",
        ];
        assert_eq!(said(pod, pod), expected);
        assert_eq!(said("/x", &format!("{pod}.20261124-054423")), expected);
        let link = format!("/var/log/containers/train-0_ml_trainer-{ID}.log");
        assert_eq!(said(&link, pod)[5], format!("container.id String({ID:?})"));
    }

    #[test]
    fn dockers_paths_name_the_container() {
        for end in ["", ".1"] {
            let path = format!("/var/lib/docker/containers/{ID}/{ID}-json.log{end}");
            assert_eq!(said(&path, &path), [format!("container.id String({ID:?})")]);
        }
    }

    #[test]
    fn other_paths_say_nothing() {
        for path in ["/logs/a_b_c/worker/0.log", "/logs/train.log", "/logs/run-0123-json.log", "/", "0.log"] {
            assert_eq!(said(path, path), [] as [String; 0], "{path}");
        }
    }
}
