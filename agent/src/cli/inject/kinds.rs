//! Where the pods of a manifest are, for each kind.

use super::tree::{Fault, Form, Node, Value};

/// Where a kind has its pods, and what they are labelled with.
struct Kind {
    names: &'static [&'static str],
    /// Keys down to the pod's `spec`; `*` is each entry or item.
    paths: &'static [&'static [&'static str]],
    /// The label that names the job.
    job_label: Option<&'static str>,
    family: Family,
}

/// What decides how output is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Each container prints what its command prints.
    Plain,
    /// Ray starts the programs and keeps what they print in files.
    Ray,
}

/// A pod in a manifest.
#[derive(Debug)]
pub struct Pod<'a> {
    /// Its `spec`.
    pub spec: &'a Node,
    /// The label that names the job that it is of.
    pub job_label: Option<&'static str>,
    /// What decides how output is found.
    pub family: Family,
}

const TEMPLATE: &[&str] = &["spec", "template", "spec"];

const KINDS: [Kind; 8] = [
    Kind { names: &["Pod"], paths: &[&["spec"]], job_label: None, family: Family::Plain },
    Kind {
        names: &["Job"],
        paths: &[TEMPLATE],
        job_label: Some("batch.kubernetes.io/job-name"),
        family: Family::Plain,
    },
    Kind {
        names: &["CronJob"],
        paths: &[&["spec", "jobTemplate", "spec", "template", "spec"]],
        job_label: Some("batch.kubernetes.io/job-name"),
        family: Family::Plain,
    },
    Kind {
        names: &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"],
        paths: &[TEMPLATE],
        job_label: None,
        family: Family::Plain,
    },
    Kind {
        names: &["PyTorchJob"],
        paths: &[&["spec", "pytorchReplicaSpecs", "*", "template", "spec"]],
        job_label: Some("training.kubeflow.org/job-name"),
        family: Family::Plain,
    },
    Kind {
        names: &["JobSet"],
        paths: &[&["spec", "replicatedJobs", "*", "template", "spec", "template", "spec"]],
        job_label: Some("jobset.sigs.k8s.io/jobset-name"),
        family: Family::Plain,
    },
    Kind {
        names: &["RayCluster"],
        paths: &[
            &["spec", "headGroupSpec", "template", "spec"],
            &["spec", "workerGroupSpecs", "*", "template", "spec"],
        ],
        job_label: Some("ray.io/cluster"),
        family: Family::Ray,
    },
    Kind {
        names: &["RayJob"],
        paths: &[
            &["spec", "rayClusterSpec", "headGroupSpec", "template", "spec"],
            &["spec", "rayClusterSpec", "workerGroupSpecs", "*", "template", "spec"],
        ],
        job_label: Some("ray.io/cluster"),
        family: Family::Ray,
    },
];

/// The pods of a document. A document that has none, such as a Service, is left as it is.
///
/// # Errors
/// If there are containers in it, and it is not known what becomes of them.
pub fn pods(document: &Node) -> Result<Vec<Pod<'_>>, Vec<Fault>> {
    let (mut pods, mut faults) = (Vec::new(), Vec::new());
    match &document.value {
        // A document of comments alone.
        Value::Text(text, _) if text.is_empty() => return Ok(pods),
        Value::Map(..) => {}
        _ => return Err(vec![document.fault("this is no manifest")]),
    }
    let name = document.word("kind");
    if name == "List" {
        for item in document.get("items").map(Node::items).unwrap_or_default() {
            match self::pods(item) {
                Ok(more) => pods.extend(more),
                Err(more) => faults.extend(more),
            }
        }
        return if faults.is_empty() { Ok(pods) } else { Err(faults) };
    }
    let Some(kind) = KINDS.iter().find(|kind| kind.names.contains(&name)) else {
        let Some(containers) = containers(document) else { return Ok(pods) };
        let known = KINDS.iter().flat_map(|kind| kind.names).copied().collect::<Vec<_>>().join(", ");
        let name = if name.is_empty() { "a manifest without a kind" } else { name };
        return Err(vec![containers.fault(format!(
            "{name} has containers, and runlog does not know what is made of them; it knows {known} and List"
        ))]);
    };
    for path in kind.paths {
        descend(document, path, &mut |spec| pods.push(Pod { spec, job_label: kind.job_label, family: kind.family }))
            .unwrap_or_else(|fault| faults.push(fault));
    }
    if pods.is_empty() && faults.is_empty() {
        faults.push(document.fault(format!("this {name} has no {}", kind.paths[0].join("."))));
    }
    if faults.is_empty() { Ok(pods) } else { Err(faults) }
}

fn descend<'a>(node: &'a Node, path: &[&str], found: &mut impl FnMut(&'a Node)) -> Result<(), Fault> {
    check(node)?;
    let Some((key, rest)) = path.split_first() else {
        found(node);
        return Ok(());
    };
    match &node.value {
        Value::List(items, _) if *key == "*" => items.iter().try_for_each(|item| descend(item, rest, found)),
        Value::Map(entries, _) if *key == "*" => entries.iter().try_for_each(|(_, value)| descend(value, rest, found)),
        // Some have no workers, for instance.
        _ => node.get(key).map_or(Ok(()), |value| descend(value, rest, found)),
    }
}

/// Checks that what stands in a mapping is what it says.
///
/// # Errors
/// If it stands elsewhere.
pub fn check(node: &Node) -> Result<(), Fault> {
    match &node.value {
        Value::Alias => Err(node.fault("this stands elsewhere (*), and would change there as well; write it out here")),
        Value::Map(..) if node.get("<<").is_some() => {
            Err(node.fault("a part of this stands elsewhere (<<); write it out here"))
        }
        _ => Ok(()),
    }
}

/// The first list of containers, however deep.
fn containers(node: &Node) -> Option<&Node> {
    match &node.value {
        Value::Map(entries, _) => entries.iter().find_map(|(key, value)| match (key.text(), &value.value) {
            (Some("containers"), Value::List(items, _)) if !items.is_empty() => Some(key),
            _ => containers(value),
        }),
        Value::List(items, _) => items.iter().find_map(containers),
        _ => None,
    }
}

/// Whether entries can be added to a mapping, which takes one.
pub fn is_map(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries, form) if *form == Form::Brackets || !entries.is_empty())
}
