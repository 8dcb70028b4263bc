//! How an engine keeps what a container prints, and what that means for its lines.

use std::path::{Path, PathBuf};

use bollard::models::HostConfig;
use tracing::{info, warn};

use super::tagging::{Container, Tags};
use crate::record::wire::{Value, record_attribute};

/// How an engine keeps what a container prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keeping {
    /// Its log driver.
    pub driver: String,
    /// Whether the engine drops lines that come faster than it writes them, without a word.
    pub drops: bool,
    /// The file of a driver that writes one, in the engine's words.
    pub file: Option<PathBuf>,
    /// Whether it keeps nothing of the lines that it passes on.
    is_uncached: bool,
}

impl Keeping {
    /// Source: Docker documentation, "Configure logging drivers", "Configure the delivery mode of log messages".
    pub(super) fn of(host: Option<HostConfig>, log_path: Option<String>) -> Self {
        let log = host.and_then(|host| host.log_config).unwrap_or_default();
        let options = log.config.unwrap_or_default();
        let is = |key: &str, wanted: &str| options.get(key).is_some_and(|value| value == wanted);
        Self {
            drops: is("mode", "non-blocking"),
            is_uncached: is("cache-disabled", "true"),
            driver: log.typ.unwrap_or_default(),
            file: log_path.filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }

    /// Whether it writes the lines into that file, in the form that the file source reads.
    pub(super) fn is_file(&self, path: &Path) -> bool {
        self.driver == "json-file" && self.file.as_deref() == Some(path)
    }

    /// Whether there is nothing to read, now or ever.
    pub(super) fn is_nothing(&self) -> bool {
        self.driver == "none"
    }

    /// Whether the engine passes the lines on, and keeps the newest of them for those who ask.
    ///
    /// Source: Docker documentation, "Use docker logs to read container logs for remote logging drivers".
    fn is_cache(&self) -> bool {
        let keeps_all = matches!(self.driver.as_str(), "" | "none" | "json-file" | "local" | "journald" | "k8s-file");
        !keeps_all && !self.is_uncached
    }

    /// Says once what can be lost before the lines are read, and marks them if it can.
    pub(super) fn tell(&self, container: &Container, tags: &mut Tags) {
        let driver = self.driver.as_str();
        if self.drops {
            warn!(
                container = %container.name,
                driver,
                "the engine may drop lines of this container before they can be read: it was started with the log \
                 option mode=non-blocking; nobody can count them"
            );
            record_attribute(&mut tags.attributes, "runlog.source.lossy", Value::Bool(true));
        }
        if self.is_cache() {
            info!(
                container = %container.name,
                driver,
                "reading what the engine keeps beside its log driver, by default the newest 100 MB"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::HostConfigLogConfig;

    use super::*;

    fn of(driver: &str, options: &[(&str, &str)]) -> Keeping {
        let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let log =
            HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(options.collect::<HashMap<_, _>>()) };
        Keeping::of(
            Some(HostConfig { log_config: Some(log), ..HostConfig::default() }),
            Some("/a/a-json.log".to_owned()),
        )
    }

    #[test]
    fn d16_d18_drivers_are_told_apart_by_what_they_keep() {
        let cases = [
            ("json-file", false, false),
            ("local", false, false),
            ("journald", false, false),
            ("k8s-file", false, false),
            ("none", true, false),
            ("syslog", false, true),
            ("fluentd", false, true),
        ];
        for (driver, is_nothing, is_cache) in cases {
            let keeping = of(driver, &[("max-size", "1m")]);
            assert_eq!((keeping.is_nothing(), keeping.is_cache()), (is_nothing, is_cache), "{driver}");
            assert!(!keeping.drops);
        }
        assert!(!of("syslog", &[("cache-disabled", "true")]).is_cache());
        assert_eq!(Keeping::of(None, Some(String::new())), Keeping::default());
        assert!(of("json-file", &[]).is_file(Path::new("/a/a-json.log")));
        assert!(!of("json-file", &[]).is_file(Path::new("/b/a-json.log")));
        assert!(!of("local", &[]).is_file(Path::new("/a/a-json.log")));
    }

    #[test]
    fn d17_only_a_mode_that_does_not_block_drops_lines() {
        assert!(of("json-file", &[("mode", "non-blocking"), ("max-buffer-size", "1m")]).drops);
        assert!(!of("json-file", &[("mode", "blocking")]).drops);
    }
}
