//! Adds the sidecar to a pod, and takes it out again.

use super::{
    Mode,
    edit::Edit,
    kinds::{Family, Pod, check, is_map},
    part::{Entry, Part},
    sidecar::{
        FIRST_VARIABLE, FOLDER, FURNISHER, LAST_VARIABLE, RAY_FOLDER, SHARED, SIDECAR, STATE, WRAP, Wanted, mount,
        volumes,
    },
    tree::{Fault, Node, Value},
};

/// Adds the sidecar to a pod that has none.
///
/// # Errors
/// Whatever it does not understand; nothing is to be made of the edit then.
pub fn add(pod: &Pod<'_>, wanted: &Wanted, edit: &mut Edit<'_>) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    let spec = pod.spec;
    let mut entries = Vec::new();
    check_pod(spec).unwrap_or_else(|fault| faults.push(fault));
    let first = wanted.first_containers(pod.job_label, pod.family).to_vec();
    for (key, items) in [("initContainers", first), ("volumes", volumes().to_vec())] {
        add_to(spec, key, items, &mut entries, edit).unwrap_or_else(|fault| faults.push(fault));
    }
    if !entries.is_empty() {
        edit.add_entries(spec, &entries).unwrap_or_else(|fault| faults.push(fault));
    }
    let containers = spec.get("containers").map(Node::items).unwrap_or_default();
    for container in containers {
        let name = container.word("name");
        if wanted.containers.is_empty() || wanted.containers.iter().any(|chosen| chosen == name) {
            add_to_container(container, pod, wanted, edit).unwrap_or_else(|fault| faults.push(fault));
        }
    }
    for name in &wanted.containers {
        if !containers.iter().any(|container| container.word("name") == name) {
            faults.push(spec.fault(format!("there is no container {name} in this pod")));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Takes out what [`add`] added. True if there was something.
///
/// # Errors
/// If it was moved so that its end is not certain.
pub fn remove(spec: &Node, edit: &mut Edit<'_>) -> Result<bool, Vec<Fault>> {
    let mut faults = Vec::new();
    let has_sidecar = ours(spec, "initContainers", is_sidecar).next().is_some();
    if !has_sidecar {
        return Ok(false);
    }
    cut(spec, "initContainers", |item| is_sidecar(item) || item.word("name") == FURNISHER, edit, &mut faults);
    cut(spec, "volumes", |volume| matches!(volume.word("name"), SHARED | STATE), edit, &mut faults);
    for container in spec.get("containers").map(Node::items).unwrap_or_default() {
        cut(container, "volumeMounts", |mount| mount.word("name") == SHARED, edit, &mut faults);
        // What stands between the first and the last of ours is ours.
        let variables = container.get("env").map(Node::items).unwrap_or_default();
        let is_first = |item: &Node| item.word("name") == FIRST_VARIABLE && item.word("value").starts_with(FOLDER);
        let first = variables.iter().position(is_first);
        let last = variables.iter().rposition(|item| item.word("name") == LAST_VARIABLE);
        if let (Some(first), Some(last)) = (first, last) {
            edit.cut_items(container, "env", first..last + 1).unwrap_or_else(|fault| faults.push(fault));
        }
        if is_wrapped(container) {
            edit.cut_items(container, "command", 0..WRAP.len()).unwrap_or_else(|fault| faults.push(fault));
        }
    }
    if faults.is_empty() { Ok(true) } else { Err(faults) }
}

fn check_pod(spec: &Node) -> Result<(), Fault> {
    if !is_map(spec) {
        return Err(spec.fault("this pod is empty"));
    }
    if let Some((key, value)) = spec.entry("hostNetwork")
        && value.text() == Some("true")
    {
        return Err(key.fault(
            "hostNetwork: the sidecar's ports would be those of the node, where other pods have theirs; use the DaemonSet",
        ));
    }
    let Some(containers) = spec.get("containers").filter(|containers| !containers.items().is_empty()) else {
        return Err(spec.fault("this pod has no list of containers"));
    };
    check(containers)?;
    let all = ["containers", "initContainers"].into_iter().filter_map(|key| spec.get(key)).flat_map(Node::items);
    let taken = all.into_iter().find(|item| matches!(item.word("name"), SIDECAR | FURNISHER));
    let taken = taken.or_else(|| ours(spec, "volumes", |volume| matches!(volume.word("name"), SHARED | STATE)).next());
    taken.map_or(Ok(()), |taken| {
        let name = taken.word("name");
        Err(taken.fault(format!("{name} is a name that the sidecar needs, and this one is not of `runlog inject`")))
    })
}

fn add_to_container(container: &Node, pod: &Pod<'_>, wanted: &Wanted, edit: &mut Edit<'_>) -> Result<(), Fault> {
    check(container)?;
    let name = container.word("name");
    if !is_map(container) || name.is_empty() {
        return Err(container.fault("this container has no name"));
    }
    let mut entries = Vec::new();
    if wanted.mode(pod.family) == Mode::Exec {
        container.get("command").map_or(Ok(()), check)?;
        let Some(command) = container.get("command").filter(|command| !command.items().is_empty()) else {
            return Err(container.fault(format!(
                "container {name} has no command: what its image starts is not known here, so it cannot be started by \
                 runlog; give it a `command`, or let it write files to {FOLDER}/logs and use --mode files"
            )));
        };
        edit.add_items(command, &WRAP.map(Part::text))?;
        let mut variables = Vec::new();
        for (variable, part) in wanted.variables(name, pod.job_label) {
            let present = container.get("env").map(Node::items).unwrap_or_default();
            match present.iter().find(|item| item.word("name") == variable) {
                Some(present) if matches!(variable, FIRST_VARIABLE | LAST_VARIABLE) => {
                    return Err(present.fault(format!(
                        "container {name} sets {variable}, which the sidecar needs; the backend is given by --endpoint"
                    )));
                }
                // Who wrote the manifest knows better.
                Some(_) => {}
                None => variables.push(part),
            }
        }
        add_to(container, "env", variables, &mut entries, edit)?;
    }
    let path = if pod.family == Family::Ray { RAY_FOLDER } else { FOLDER };
    let mounts = container.get("volumeMounts").map(Node::items).unwrap_or_default();
    if let Some(taken) = mounts.iter().find(|mount| mount.word("mountPath").trim_end_matches('/') == path) {
        return Err(taken.fault(format!("container {name} has {path} on a volume, which is where runlog's goes")));
    }
    add_to(container, "volumeMounts", vec![mount(SHARED, path)], &mut entries, edit)?;
    if entries.is_empty() { Ok(()) } else { edit.add_entries(container, &entries) }
}

/// Adds items to the list under a key, or to the entries that are to be added.
fn add_to(
    map: &Node,
    key: &'static str,
    items: Vec<Part>,
    entries: &mut Vec<Entry>,
    edit: &mut Edit<'_>,
) -> Result<(), Fault> {
    let Some((name, list)) = map.entry(key) else {
        entries.push((key, Part::List(items)));
        return Ok(());
    };
    check(list)?;
    if !matches!(list.value, Value::List(..)) {
        return Err(name.fault(format!("{key} is no list; take the line out if it is empty")));
    }
    edit.add_items(list, &items)
}

fn is_sidecar(container: &Node) -> bool {
    let mounts = container.get("volumeMounts").map(Node::items).unwrap_or_default();
    container.word("name") == SIDECAR && mounts.iter().any(|mount| mount.word("mountPath") == FOLDER)
}

fn is_wrapped(container: &Node) -> bool {
    let command = container.get("command").map(Node::items).unwrap_or_default();
    command.len() > WRAP.len() && command.iter().zip(WRAP).all(|(word, ours)| word.text() == Some(ours))
}

fn ours<'a>(map: &'a Node, key: &str, is_ours: impl Fn(&Node) -> bool) -> impl Iterator<Item = &'a Node> {
    map.get(key).map(Node::items).unwrap_or_default().iter().filter(move |item| is_ours(item))
}

/// Cuts those items out of a list, which may stand apart.
fn cut(map: &Node, key: &str, is_ours: impl Fn(&Node) -> bool, edit: &mut Edit<'_>, faults: &mut Vec<Fault>) {
    let items = map.get(key).map(Node::items).unwrap_or_default();
    let mut at = 0;
    while at < items.len() {
        let count = items[at..].iter().take_while(|item| is_ours(item)).count();
        if count > 0 {
            edit.cut_items(map, key, at..at + count).unwrap_or_else(|fault| faults.push(fault));
        }
        at += count + 1;
    }
}
