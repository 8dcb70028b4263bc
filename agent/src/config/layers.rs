//! Where settings come from, one layer each, and how they are laid over one another.

use std::{collections::BTreeMap, fs, io::ErrorKind};

use config::{ConfigError, FileFormat, Format, Map, Source, Value, ValueKind};

use super::{
    Flag, Input, Origin,
    fault::{Fault, nearest},
    options::{self, DEFAULTS, OTHER_VARIABLES, RENAMED},
};

/// Values by key, of which each knows its origin.
pub(super) type Values = Vec<(String, Value)>;

/// What one place says. An option that it does not set is not in it.
#[derive(Debug, Clone)]
pub(super) struct Layer(pub Values);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.iter().cloned().collect())
    }
}

/// Lays each layer over those before it.
pub(super) fn merge(layers: [Values; 6]) -> BTreeMap<String, Value> {
    let merged = layers
        .into_iter()
        .fold(config::Config::builder(), |builder, layer| builder.add_source(Layer(layer)))
        .build()
        .and_then(|merged| merged.collect())
        .expect("a layer holds nothing but values by key, which cannot fail to be laid over others");
    flatten(merged).into_iter().collect()
}

/// The layer of `default.toml`.
pub(super) fn defaults() -> Values {
    let parsed = FileFormat::Toml
        .parse(Some(&Origin::Default.uri()), DEFAULTS)
        .expect("default.toml is part of the program, and tests read it");
    flatten(parsed)
}

/// What the system says where `default.toml` leaves an option empty.
pub(super) fn surroundings(input: &Input) -> Values {
    let variable = |name: &str| input.environment.get(name).filter(|value| !value.is_empty());
    let absolute = |name: &str| variable(name).filter(|path| path.starts_with('/'));
    let from = |name: &str, value: String| Value::new(Some(&Origin::Variable(name.to_owned()).uri()), value);
    let mut values = Vec::new();

    // systemd names several directories with colons between them (systemd.exec, StateDirectory=).
    let given = absolute("STATE_DIRECTORY").and_then(|paths| paths.split(':').next());
    let state = if let Some(path) = given {
        Some(from("STATE_DIRECTORY", path.to_owned()))
    } else if input.is_root {
        Some(Value::new(Some(&Origin::Default.uri()), "/var/lib/runlog"))
    } else if let Some(path) = absolute("XDG_STATE_HOME") {
        Some(from("XDG_STATE_HOME", format!("{path}/runlog")))
    } else {
        absolute("HOME").map(|path| from("HOME", format!("{path}/.local/state/runlog")))
    };
    values.extend(state.map(|value| ("state_dir".to_owned(), value)));

    let host = match variable("DOCKER_HOST") {
        Some(host) => from("DOCKER_HOST", host.clone()),
        None => Value::new(Some(&Origin::Default.uri()), "unix:///var/run/docker.sock"),
    };
    values.push(("docker.host".to_owned(), host));
    values
}

/// The layer of the configuration file.
pub(super) fn file(input: &Input, faults: &mut Vec<Fault>) -> Values {
    let variable = input.environment.get("RUNLOG_CONFIG").filter(|path| !path.is_empty());
    let (path, origin) = match (&input.file, variable) {
        (Some(path), _) => (path.clone(), Origin::Flag("--config".to_owned())),
        (None, Some(path)) => (path.into(), Origin::Variable("RUNLOG_CONFIG".to_owned())),
        (None, None) => (input.system_file.clone(), Origin::Default),
    };
    let shown = path.display().to_string();
    let fault = |value, origin, problem, remedy: &str| {
        let (key, remedy) = ("configuration file".to_owned(), remedy.to_owned());
        Fault { key, value, origin, problem, remedy }
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && origin == Origin::Default => return Vec::new(),
        Err(error) => {
            let remedy = "name a TOML file that runlog may read";
            faults.push(fault(Some(shown), origin, format!("cannot be read: {error}"), remedy));
            return Vec::new();
        }
    };
    let origin = Origin::File(shown);
    let parsed = match FileFormat::Toml.parse(Some(&origin.uri()), &text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let problem = toml_problem(&text, error.as_ref());
            faults.push(fault(None, origin, problem, "write it as docs/configuration.md shows"));
            return Vec::new();
        }
    };
    flatten(parsed).into_iter().filter(|(key, value)| is_known(key, value, &origin, faults) && is_set(value)).collect()
}

/// The layer of `RUNLOG_` variables.
pub(super) fn environment(variables: &BTreeMap<String, String>, faults: &mut Vec<Fault>) -> Values {
    let ours = || variables.iter().filter(|(name, value)| name.starts_with("RUNLOG_") && !value.is_empty());
    let mut values = Vec::new();
    for (name, text) in ours() {
        if let Some(option) = options::known().iter().find(|option| option.variable == *name) {
            values.push((option.key.clone(), value(&option.key, text, &Origin::Variable(name.clone()))));
        } else if let Some(option) = name
            .strip_suffix("_FILE")
            .and_then(|variable| options::known().iter().find(|option| option.variable == variable))
        {
            let fault = |problem, remedy: &str| Fault {
                key: option.key.clone(),
                value: Some(text.clone()),
                origin: Origin::Variable(name.clone()),
                problem,
                remedy: remedy.to_owned(),
            };
            if variables.get(&option.variable).is_some_and(|value| !value.is_empty()) {
                let problem = format!("is set beside {}", option.variable);
                faults.push(fault(problem, "set one of the two"));
            }
            match fs::read_to_string(text) {
                Ok(held) => {
                    let held = held.trim_end_matches(['\r', '\n']);
                    values.push((option.key.clone(), value(&option.key, held, &Origin::VariableFile(name.clone()))));
                }
                Err(error) => faults.push(fault(
                    format!("cannot be read: {error}"),
                    "name a file that holds the value and that runlog may read",
                )),
            }
        } else if let Some(renamed) = RENAMED.iter().find(|renamed| options::variable(renamed.from) == *name) {
            faults.push(Fault {
                key: name.clone(),
                value: None,
                origin: Origin::Variable(name.clone()),
                problem: "is not a setting any more".to_owned(),
                remedy: format!("set {}, {}", options::variable(renamed.to), renamed.as_what),
            });
        } else if !OTHER_VARIABLES.iter().any(|(other, _)| other == name) && !is_service_link(name, text) {
            let names = options::known().iter().map(|option| option.variable.as_str());
            faults.push(Fault {
                key: name.clone(),
                value: None,
                origin: Origin::Variable(name.clone()),
                problem: "is not a setting".to_owned(),
                remedy: nearest(name, names.chain(OTHER_VARIABLES.iter().map(|(other, _)| *other))),
            });
        }
    }
    values.retain(|(_, value)| is_set(value));
    values
}

/// The layer of flags. A list's flag may be given several times.
pub(super) fn flags(flags: &[Flag], faults: &mut Vec<Fault>) -> Values {
    let mut texts: BTreeMap<&str, (String, &str)> = BTreeMap::new();
    for Flag { key, value, name } in flags {
        match texts.get_mut(key.as_str()) {
            Some((text, _)) if options::find(key).is_some_and(options::Known::is_list) => {
                text.push(',');
                text.push_str(value);
            }
            _ => _ = texts.insert(key, (value.clone(), name)),
        }
    }
    texts
        .into_iter()
        .map(|(key, (text, name))| (key, value(key, &text, &Origin::Flag(name.to_owned())), name))
        .filter(|(key, value, name)| is_known(key, value, &Origin::Flag((*name).to_owned()), faults) && is_set(value))
        .map(|(key, value, _)| (key.to_owned(), value))
        .collect()
}

/// A text as a value: a list is cut at commas and line ends.
fn value(key: &str, text: &str, origin: &Origin) -> Value {
    let uri = origin.uri();
    if options::find(key).is_some_and(options::Known::is_list) {
        let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
        return Value::new(Some(&uri), entries.map(|entry| Value::new(Some(&uri), entry)).collect::<Vec<_>>());
    }
    Value::new(Some(&uri), text.trim())
}

fn is_set(value: &Value) -> bool {
    match &value.kind {
        ValueKind::String(text) => !text.trim().is_empty(),
        ValueKind::Array(entries) => !entries.is_empty(),
        ValueKind::Nil => false,
        _ => true,
    }
}

fn is_known(key: &str, value: &Value, origin: &Origin, faults: &mut Vec<Fault>) -> bool {
    if options::find(key).is_some() {
        return true;
    }
    let members: Vec<&str> =
        options::known().iter().filter(|option| option.table() == key).map(|option| option.key.as_str()).collect();
    let (problem, remedy) = if let Some(renamed) = RENAMED.iter().find(|renamed| renamed.from == key) {
        ("is not a setting any more".to_owned(), format!("set {}, {}", renamed.to, renamed.as_what))
    } else if members.is_empty() {
        ("is not a setting".to_owned(), nearest(key, options::known().iter().map(|option| option.key.as_str())))
    } else if matches!(value.kind, ValueKind::Table(_)) {
        return true;
    } else {
        ("is a table of settings".to_owned(), format!("use one of: {}", members.join(", ")))
    };
    faults.push(Fault { key: key.to_owned(), value: None, origin: origin.clone(), problem, remedy });
    false
}

/// Leaves with their whole key.
fn flatten(table: Map<String, Value>) -> Values {
    let mut leaves = Vec::new();
    for (name, value) in table {
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => {
                leaves.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{name}.{rest}"), value)));
            }
            ValueKind::Table(_) => {}
            _ => leaves.push((name, value)),
        }
    }
    leaves.sort_by(|(a, _), (b, _)| a.cmp(b));
    leaves
}

/// Kubernetes sets variables for each service of the namespace, and one may be called runlog.
///
/// Source: Kubernetes documentation, "Service", section "Environment variables".
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split("_PORT_").skip(1).any(is_port)
        || (name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme)))
}

// A parser's own message quotes the line, which may hold a secret; so only the place and the reason are taken.
fn toml_problem(text: &str, error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    match error.downcast_ref::<toml::de::Error>() {
        Some(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            format!("is not TOML at line {line}: {}", error.message().lines().next().unwrap_or_default())
        }
        None => "is not TOML".to_owned(),
    }
}
