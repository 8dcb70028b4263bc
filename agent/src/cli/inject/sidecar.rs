//! What is added to a pod: the sidecar, what it shares with training, and what training is told.
//!
//! The kubelet owns what a container prints: a sidecar cannot see it. So the command is started by `runlog exec`, whose
//! program a first container puts into a folder that both share. `exec` still prints everything, and sends it to the
//! sidecar, which has it on disk before it answers; only the sidecar knows the backend and its secrets.

use super::{
    Mode,
    kinds::Family,
    part::{Entry, Part},
};

/// The sidecar's name.
pub const SIDECAR: &str = "runlog";
/// The name of the container that puts the program into the shared folder.
pub const FURNISHER: &str = "runlog-furnish";
/// The shared folder's volume.
pub const SHARED: &str = "runlog";
/// The volume of the sidecar's queue.
pub const STATE: &str = "runlog-state";
/// Where the shared folder is.
pub const FOLDER: &str = "/mnt/runlog";
/// The first of the variables that training is given; the others follow.
pub const FIRST_VARIABLE: &str = "RUNLOG_STATE_DIR";
/// The last of them.
pub const LAST_VARIABLE: &str = "RUNLOG_EXPORT_ENDPOINT";
/// Where Ray keeps what is printed.
pub const RAY_FOLDER: &str = "/tmp/ray";

/// What is put before a command.
pub const WRAP: [&str; 4] = ["/mnt/runlog/bin/runlog", "exec", "--quiet", "--"];

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// runlog's image.
    pub image: String,
    /// The backend.
    pub endpoint: String,
    /// The secret with the backend's headers, and the key in it.
    pub headers: Option<(String, String)>,
    /// The level, if it is not the default.
    pub level: Option<String>,
    /// The run, if not the pod's job.
    pub run_id: Option<String>,
    /// The experiment.
    pub experiment: Option<String>,
    /// How output is found; by the kind if it was not said.
    pub mode: Option<Mode>,
    /// The containers whose output it is; all if there are none.
    pub containers: Vec<String>,
}

impl Wanted {
    /// How output of that family is found.
    pub fn mode(&self, family: Family) -> Mode {
        let usual = if family == Family::Ray { Mode::Files } else { Mode::Exec };
        self.mode.unwrap_or(usual)
    }

    /// The containers that start before all others.
    pub fn first_containers(&self, job_label: Option<&str>, family: Family) -> [Part; 2] {
        let furnish = Part::Map(vec![
            ("name", Part::text(FURNISHER)),
            ("image", Part::text(&self.image)),
            ("args", words(&["furnish", FOLDER])),
            ("securityContext", restricted()),
            ("resources", resources()),
            ("volumeMounts", Part::List(vec![mount(SHARED, FOLDER)])),
        ]);
        let files = match family {
            Family::Plain => format!("{FOLDER}/logs/**/*.log"),
            // Those of the programs; Ray's own are too many for every run.
            Family::Ray => ["job-driver-*.log", "worker-*.out", "worker-*.err"]
                .map(|name| format!("{FOLDER}/session_2*/logs/{name}"))
                .join(","),
        };
        let mut variables = vec![
            variable("RUNLOG_FILES", &files),
            variable("RUNLOG_OTLP_LISTEN", "127.0.0.1:4317,127.0.0.1:4318"),
            variable("RUNLOG_STATE_DIR", "/var/lib/runlog"),
        ];
        variables.extend(self.run(job_label).into_iter().map(|(_, part)| part));
        variables.push(variable("RUNLOG_EXPORT_ENDPOINT", &self.endpoint));
        if let Some((secret, key)) = &self.headers {
            let reference = vec![("name", Part::text(secret)), ("key", Part::text(key))];
            variables.push(from("RUNLOG_EXPORT_HEADERS", "secretKeyRef", reference));
        }
        let sidecar = Part::Map(vec![
            ("name", Part::text(SIDECAR)),
            ("image", Part::text(&self.image)),
            ("restartPolicy", Part::text("Always")),
            ("args", words(&["agent"])),
            ("env", Part::List(variables)),
            // By the program, since it listens to nobody but its own pod.
            ("startupProbe", probe("1", "60")),
            ("livenessProbe", probe("30", "4")),
            ("securityContext", restricted()),
            ("resources", resources()),
            ("volumeMounts", Part::List(vec![mount(SHARED, FOLDER), mount(STATE, "/var/lib/runlog")])),
        ]);
        [furnish, sidecar]
    }

    /// The environment of a wrapped command, each variable with its name.
    pub fn variables(&self, container: &str, job_label: Option<&str>) -> Vec<(&'static str, Part)> {
        let mut variables = vec![(FIRST_VARIABLE, variable(FIRST_VARIABLE, &format!("{FOLDER}/state-{container}")))];
        variables.extend(self.run(job_label));
        // The sidecar takes the bytes as they lie in the queue.
        variables.push(("RUNLOG_EXPORT_COMPRESSION", variable("RUNLOG_EXPORT_COMPRESSION", "zstd")));
        variables.push((LAST_VARIABLE, variable(LAST_VARIABLE, "http://127.0.0.1:4318")));
        variables
    }

    /// What says which run it is.
    fn run(&self, job_label: Option<&str>) -> Vec<(&'static str, Part)> {
        let fields = [("POD_NAME", "name"), ("POD_NAMESPACE", "namespace"), ("POD_UID", "uid")]
            .map(|(name, field)| (name, format!("metadata.{field}")));
        let mut all: Vec<_> = fields.into_iter().chain([("NODE_NAME", "spec.nodeName".to_owned())]).collect();
        all.extend(job_label.map(|label| ("K8S_JOB_NAME", format!("metadata.labels['{label}']"))));
        let field = |(name, path): (&'static str, String)| {
            (name, from(name, "fieldRef", vec![("fieldPath", Part::text(path))]))
        };
        let mut variables: Vec<_> = all.into_iter().map(field).collect();
        let said =
            [("RUNLOG_LEVEL", &self.level), ("RUNLOG_RUN_ID", &self.run_id), ("RUNLOG_EXPERIMENT", &self.experiment)];
        variables.extend(said.into_iter().filter_map(|(name, value)| Some((name, variable(name, value.as_ref()?)))));
        variables
    }
}

/// The volumes of a pod.
pub fn volumes() -> [Part; 2] {
    let empty = |name: &str, limit: &'static str| {
        Part::Map(vec![("name", Part::text(name)), ("emptyDir", Part::Map(vec![("sizeLimit", Part::text(limit))]))])
    };
    // The queue takes up to 2 GiB (queue.max_bytes) in each.
    [empty(SHARED, "10Gi"), empty(STATE, "3Gi")]
}

/// The shared folder, where a container finds it.
pub fn mount(volume: &str, path: &str) -> Part {
    Part::Map(vec![("name", Part::text(volume)), ("mountPath", Part::text(path))])
}

fn variable(name: &str, value: &str) -> Part {
    Part::Map(vec![("name", Part::text(name)), ("value", Part::text(value))])
}

fn from(name: &str, kind: &'static str, reference: Vec<Entry>) -> Part {
    Part::Map(vec![("name", Part::text(name)), ("valueFrom", Part::Map(vec![(kind, Part::Map(reference))]))])
}

fn words(words: &[&str]) -> Part {
    Part::List(words.iter().copied().map(Part::text).collect())
}

fn probe(every_seconds: &'static str, failures: &'static str) -> Part {
    Part::Map(vec![
        ("exec", Part::Map(vec![("command", words(&["/runlog", "status"]))])),
        ("periodSeconds", Part::Bare(every_seconds)),
        ("timeoutSeconds", Part::Bare("5")),
        ("failureThreshold", Part::Bare(failures)),
    ])
}

/// As Pod Security's *restricted* wants it.
fn restricted() -> Part {
    Part::Map(vec![
        ("runAsNonRoot", Part::Bare("true")),
        ("runAsUser", Part::Bare("65532")),
        ("runAsGroup", Part::Bare("65532")),
        ("allowPrivilegeEscalation", Part::Bare("false")),
        ("readOnlyRootFilesystem", Part::Bare("true")),
        ("capabilities", Part::Map(vec![("drop", words(&["ALL"]))])),
        ("seccompProfile", Part::Map(vec![("type", Part::text("RuntimeDefault"))])),
    ])
}

/// No limit of CPU: it would only make the end of the job wait for its last lines.
fn resources() -> Part {
    let share = |cpu: Option<&str>, memory: &str| {
        let cpu = cpu.map(|cpu| ("cpu", Part::text(cpu)));
        Part::Map(cpu.into_iter().chain([("memory", Part::text(memory))]).collect())
    };
    Part::Map(vec![("requests", share(Some("20m"), "48Mi")), ("limits", share(None, "128Mi"))])
}
