//! Which containers, pods and units are read.

use std::path::PathBuf;

use config::Value;

use crate::source::{docker, journal, kubernetes};

use super::{Origin, Switch, fault::Rejected, reader::Reader, values};

/// Where Kubernetes mounts the credentials of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Which containers are read, and how.
pub(super) fn docker(reader: &mut Reader) -> docker::Config {
    let mut collect = reader.read("docker.collect", values::switch);
    let include = reader.read("docker.include", filters);
    let exclude = reader.read("docker.exclude", filters);
    let read_exited = reader.read("docker.read_exited", values::truth);
    let files = reader.read("docker.files", folder);
    // DOCKER_HOST may be meant for the docker command; only who asked for containers gets a fault for it.
    let is_tolerated = reader.origin("docker.host") == Origin::Variable("DOCKER_HOST".to_owned());
    let is_tolerated = is_tolerated && collect != Switch::On;
    let socket = reader.read("docker.host", |value| socket(value, is_tolerated));
    if socket.is_none() && is_tolerated {
        if collect == Switch::Auto {
            let warning = "DOCKER_HOST is not a unix socket, so no containers are collected; \
                           set docker.host = \"unix:///path\" to collect those of another engine";
            reader.warnings.push(warning.to_owned());
        }
        collect = Switch::Off;
    }
    docker::Config { collect, socket: socket.unwrap_or_default(), include, exclude, read_exited, files }
}

fn socket(value: &Value, is_tolerated: bool) -> Result<Option<PathBuf>, Rejected> {
    let host = values::word(value)?;
    let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/')).map(PathBuf::from);
    if path.is_none() && !is_tolerated && !host.is_empty() {
        return Err(Rejected::new("is not a unix socket", "write unix:///path/to/docker.sock"));
    }
    Ok(path)
}

/// auto, off, or the path of a folder.
fn folder(value: &Value) -> Result<docker::Folder, Rejected> {
    match values::word(value)?.as_str() {
        "off" => Ok(docker::Folder::None),
        "auto" => Ok(docker::Folder::OfEngine),
        path if path.starts_with('/') => Ok(docker::Folder::At(path.into())),
        _ => Err(Rejected::new("is no folder", "write auto, off, or a path such as /var/lib/docker/containers")),
    }
}

fn filters(value: &Value) -> Result<Vec<docker::Filter>, Rejected> {
    let rejected = |error: docker::UnusableFilter| Rejected::new(format!("holds {error}"), docker::Filter::ACCEPTED);
    values::list(value)?.iter().map(|text| text.parse().map_err(rejected)).collect()
}

/// Which pods are read, and how.
pub(super) fn kubernetes(reader: &mut Reader) -> kubernetes::Config {
    let scopes = [("node", kubernetes::Scope::Node), ("pod", kubernetes::Scope::Pod)];
    let logs = reader.read("kubernetes.logs", values::path);
    let scope = reader.read("kubernetes.scope", |value| values::choice(value, "a scope", &scopes));
    let include = reader.read("kubernetes.include", pods);
    let exclude = reader.read("kubernetes.exclude", pods);
    let only_enabled = reader.read("kubernetes.only_enabled", values::truth);
    let metadata = reader.read("kubernetes.metadata", list_of_pods);
    let credentials = reader.read("kubernetes.credentials", values::path).unwrap_or_else(|| SERVICE_ACCOUNT.into());
    if only_enabled && metadata.is_none() {
        let remedy = "set kubernetes.metadata, or choose pods by kubernetes.include";
        reader.reject("kubernetes.only_enabled", Rejected::new("cannot be known without metadata", remedy));
    }
    if logs.is_some() && scope == kubernetes::Scope::Node && metadata.is_none() {
        let warning = "without kubernetes.metadata the commands of containers are not known, so lines that a sidecar sends \
                       are collected as well and are there twice; leave out such pods by kubernetes.exclude";
        reader.warnings.push(warning.to_owned());
    }
    kubernetes::Config { logs, scope, include, exclude, only_enabled, metadata, credentials }
}

fn pods(value: &Value) -> Result<Vec<kubernetes::Choice>, Rejected> {
    let choice = |text: String| {
        let rejected = |error: glob::PatternError| {
            let problem = format!("holds {text}, which names no containers: {}", error.msg);
            Rejected::new(problem, "write each as namespace/pod/container, with *, ? and [a-z]")
        };
        kubernetes::Choice::new(&text).map_err(rejected)
    };
    values::list(value)?.into_iter().map(choice).collect()
}

fn list_of_pods(value: &Value) -> Result<Option<url::Url>, Rejected> {
    let Some(text) = values::optional(value)? else { return Ok(None) };
    let url = text.parse().ok().filter(|url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let remedy =
        "write https://kubernetes.default.svc/api/v1/pods?fieldSelector=spec.nodeName=NAME or https://IP:10250/pods";
    url.map(Some).ok_or_else(|| Rejected::new("is not a URL", remedy))
}

/// Which units of the journal are read.
pub(super) fn units(value: &Value) -> Result<Vec<journal::Unit>, Rejected> {
    let unit = |name: String| {
        let rejected = |error| {
            Rejected::new(format!("holds {name}, which is not a glob: {error}"), "use names with *, ? and [a-z]")
        };
        journal::Unit::named(&name).map_err(rejected)
    };
    values::list(value)?.into_iter().map(unit).collect()
}
