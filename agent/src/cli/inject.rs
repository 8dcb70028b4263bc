//! `runlog inject`: adds the sidecar to the manifests of Kubernetes, and takes it out again.

mod edit;
mod furnish;
mod kinds;
mod part;
mod pod;
mod sidecar;
mod tree;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Read},
    path::PathBuf,
};

use anyhow::{Context, Result, anyhow};

use crate::config::{self, Flag, Input};

use edit::Edit;
use sidecar::Wanted;
use tree::Fault;

pub use furnish::furnish;

const EXAMPLES: &str = "\
Examples:
  runlog inject -f job.yaml --endpoint http://collector.monitoring:4318 | kubectl apply -f -
  kustomize build . | runlog inject --endpoint https://otlp.example --headers-secret otlp/headers > all.yaml
  runlog inject -f all.yaml --remove > as-before.yaml

What the containers print is collected by starting their commands with `runlog exec`, and sent to the sidecar; it is
still seen by `kubectl logs`. With --mode files, the sidecar reads what is written to /mnt/runlog/logs/*.log alone.
Only lines are added: comments and all else stay as they are. Done again, nothing changes.";

/// `runlog inject`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct InjectArgs {
    /// The manifests, in YAML or JSON; - is standard input
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub file: String,
    /// Where the sidecar sends what it collects, over OTLP
    #[arg(long, value_name = "URL", required_unless_present = "remove")]
    pub endpoint: Option<String>,
    /// runlog's image
    #[arg(long, value_name = "IMAGE", default_value = concat!("runlog:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// How output is found: exec (commands are started by runlog) or files; without it exec, for Ray files
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// Only this container of each pod; may be given several times
    #[arg(long, value_name = "NAME")]
    pub container: Vec<String>,
    /// Leave out lines below this level
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// The run; without it the name of the job
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// The experiment that the run belongs to
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,
    /// The Secret, and the key in it, with headers for the endpoint, such as authorization=Bearer …
    #[arg(long, value_name = "SECRET/KEY", value_parser = secret)]
    pub headers_secret: Option<(String, String)>,
    /// Take out what was added
    #[arg(long)]
    pub remove: bool,
}

/// How output is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    // Commands are started by `runlog exec`.
    Exec,
    // Files in the shared folder are read.
    Files,
}

fn secret(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((name, key)) if !name.is_empty() && !key.is_empty() => Ok((name.to_owned(), key.to_owned())),
        _ => Err("write the name of a Secret and a key in it, such as otlp/headers".to_owned()),
    }
}

/// Reads manifests, and tells what is made of them.
///
/// # Errors
/// If they cannot be read, or something in them is not understood: each fault with its file and line.
pub fn inject(args: &InjectArgs) -> Result<String> {
    let (name, text) = if args.file == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        ("standard input", text)
    } else {
        (&*args.file, fs::read_to_string(&args.file).with_context(|| format!("{} cannot be read", args.file))?)
    };
    if !args.remove {
        check(args)?;
    }
    let wanted = args.endpoint.as_ref().filter(|_| !args.remove).map(|endpoint| Wanted {
        image: args.image.clone(),
        endpoint: endpoint.clone(),
        headers: args.headers_secret.clone(),
        level: args.level.clone(),
        run_id: args.run_id.clone(),
        experiment: args.experiment.clone(),
        mode: args.mode,
        containers: args.container.clone(),
    });
    changed(&text, wanted.as_ref()).map_err(|faults| {
        let mut told = "nothing was changed".to_owned();
        for fault in faults {
            let _ = write!(told, "\n{name}:{fault}");
        }
        anyhow!(told)
    })
}

/// Checks what the pods' runlogs are told. One of them that cannot start keeps training from starting.
///
/// # Errors
/// All that cannot be used.
fn check(args: &InjectArgs) -> Result<()> {
    let given = [
        ("level", "--level", &args.level),
        ("run_id", "--run-id", &args.run_id),
        ("experiment", "--experiment", &args.experiment),
        ("export.endpoint", "--endpoint", &args.endpoint),
    ];
    let flag = |(key, name, value): (&str, &str, &Option<String>)| {
        // What Kubernetes puts in place of $(NAME) is known in the pod alone.
        let value = value.as_ref().filter(|value| !value.contains("$("))?;
        Some(Flag { key: key.to_owned(), value: value.clone(), name: name.to_owned() })
    };
    let flags = given.into_iter().filter_map(flag).collect();
    // Nothing of this machine counts there.
    let (system_file, environment) = (PathBuf::new(), BTreeMap::new());
    config::load(&Input { file: None, system_file, environment, flags, is_root: true })?;
    Ok(())
}

/// The text with the sidecar that is wanted, or without one.
fn changed(text: &str, wanted: Option<&Wanted>) -> Result<String, Vec<Fault>> {
    let without = edited(text, |pod, edit| pod::remove(pod.spec, edit).map(drop))?;
    match wanted {
        Some(wanted) => edited(&without, |pod, edit| pod::add(pod, wanted, edit)),
        None => Ok(without),
    }
}

/// The text after an edit of each of its pods.
fn edited(
    text: &str,
    mut change: impl FnMut(&kinds::Pod<'_>, &mut Edit<'_>) -> Result<(), Vec<Fault>>,
) -> Result<String, Vec<Fault>> {
    let documents = tree::read(text).map_err(|fault| vec![fault])?;
    let (mut edit, mut faults, mut count) = (Edit::new(text), Vec::new(), 0);
    for document in &documents {
        match kinds::pods(document) {
            Ok(pods) => {
                count += pods.len();
                for pod in &pods {
                    change(pod, &mut edit).unwrap_or_else(|more| faults.extend(more));
                }
            }
            Err(more) => faults.extend(more),
        }
    }
    if count == 0 && faults.is_empty() {
        faults.push(Fault { line: 1, what: "there is no pod in these manifests".to_owned() });
    }
    if faults.is_empty() { Ok(edit.apply()) } else { Err(faults) }
}

#[cfg(test)]
mod tests;
