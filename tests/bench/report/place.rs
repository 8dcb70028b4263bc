//! Where and when something was measured.

use std::{fs, thread, time::SystemTime};

use serde_json::{Value, json};

/// The machine and the moment.
#[derive(Debug)]
pub struct Place {
    /// RFC 3339.
    pub started: String,
    /// The processor's name for itself.
    pub processor: String,
    /// Processors that this system has.
    pub cores: usize,
    /// The core that agents run on; the sink runs on others. `None`: anywhere.
    pub agent_core: Option<usize>,
    /// The kernel's release.
    pub kernel: String,
    /// The load average of one minute before the first agent: what else the machine was doing.
    pub load_before: f64,
}

impl Place {
    /// Looks at this machine.
    #[must_use]
    pub fn here(agent_core: Option<usize>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            agent_core,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }

    /// All of it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "started": self.started,
            "processor": self.processor,
            "cores": self.cores,
            "agent_core": self.agent_core,
            "kernel": self.kernel,
            "load_before": self.load_before,
        })
    }
}
