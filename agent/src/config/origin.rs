//! Where a value was set.

use std::fmt;

/// Where a value was set.
///
/// Travels through the `config` crate as the origin of each value, hence [`Origin::uri`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `default.toml`, or derived because nothing was set.
    Default,
    /// A configuration file.
    File(String),
    /// An environment variable.
    Variable(String),
    /// A file that an environment variable names.
    VariableFile(String),
    /// A flag, such as `--level`.
    Flag(String),
}

impl Origin {
    /// The origin as the `config` crate carries it.
    pub(super) fn uri(&self) -> String {
        match self {
            Self::Default => "default:".to_owned(),
            Self::File(path) => format!("file:{path}"),
            Self::Variable(name) => format!("env:{name}"),
            Self::VariableFile(name) => format!("env-file:{name}"),
            Self::Flag(name) => format!("flag:{name}"),
        }
    }

    /// The origin back from its URI.
    pub(super) fn from_uri(uri: Option<&str>) -> Self {
        match uri.and_then(|uri| uri.split_once(':')) {
            Some(("file", path)) => Self::File(path.to_owned()),
            Some(("env", name)) => Self::Variable(name.to_owned()),
            Some(("env-file", name)) => Self::VariableFile(name.to_owned()),
            Some(("flag", name)) => Self::Flag(name.to_owned()),
            _ => Self::Default,
        }
    }

    /// The place alone, where the setting's own name says the rest.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Variable(_) => "environment".to_owned(),
            Self::Flag(_) => "command line".to_owned(),
            Self::Default | Self::File(_) | Self::VariableFile(_) => self.to_string(),
        }
    }

    /// Whether a variable that is not ours set it, such as `OTEL_SERVICE_NAME`.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::Variable(name) if !name.starts_with("RUNLOG_"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(text) | Self::Flag(text) => f.write_str(text),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::VariableFile(name) => write!(f, "file named by {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_survives_the_way_through_the_config_crate() {
        let origins = [
            Origin::Default,
            Origin::File("/etc/runlog/a:b.toml".into()),
            Origin::Variable("RUNLOG_LEVEL".into()),
            Origin::VariableFile("RUNLOG_LEVEL_FILE".into()),
            Origin::Flag("--level".into()),
        ];
        for origin in origins {
            assert_eq!(Origin::from_uri(Some(&origin.uri())), origin);
        }
    }
}
