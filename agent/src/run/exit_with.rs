//! What a run ends with, where nobody stops the agent beside it.

use std::{path::PathBuf, str::FromStr};

/// What the agent ends after, once it has read to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitWith {
    /// A file: it ends when that is there.
    Path(PathBuf),
    /// A process: it ends when that has ended.
    Pid(u32),
    /// A container, by its name or id: it ends when that has ended, and waits for it if it is not there yet.
    Container(String),
}

/// A text that names nothing of the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableExitWith(&'static str);

impl FromStr for ExitWith {
    type Err = UnusableExitWith;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once(':').ok_or(UnusableExitWith("does not say what it is"))?;
        match kind {
            "path" if name.starts_with('/') => Ok(Self::Path(name.into())),
            "path" => Err(UnusableExitWith("is not a path from the root on")),
            "pid" => match name.parse() {
                // Source: `proc_sys_kernel(5)`, the largest `pid_max`.
                Ok(pid) if (1..=1 << 22).contains(&pid) => Ok(Self::Pid(pid)),
                _ => Err(UnusableExitWith("is not the number of a process")),
            },
            "container" if is_container(name) => Ok(Self::Container(name.to_owned())),
            "container" => Err(UnusableExitWith("is not a name that a container can have")),
            _ => Err(UnusableExitWith("does not say what it is")),
        }
    }
}

/// Source: Docker `daemon/names/names.go`, which an id fits as well.
fn is_container(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_a_process_or_a_container_is_named_by_its_kind() {
        let cases = [
            ("path:/run/training/done", ExitWith::Path("/run/training/done".into())),
            ("path:/with:colon", ExitWith::Path("/with:colon".into())),
            ("pid:1", ExitWith::Pid(1)),
            ("pid:4194304", ExitWith::Pid(4_194_304)),
            ("container:compose-train-1", ExitWith::Container("compose-train-1".to_owned())),
        ];
        for (text, meant) in cases {
            assert_eq!(text.parse(), Ok(meant), "{text}");
        }
    }

    #[test]
    fn what_names_none_of_them_is_refused() {
        let cases = [
            "",
            "train",
            "1234",
            "/done",
            "file:/done",
            "path:",
            "path:done",
            "pid:",
            "pid:0",
            "pid:-1",
            "pid:4194305",
            "pid:1 2",
            "container:",
            "container:a/b",
            "container:-a",
            "container:a b",
        ];
        for text in cases {
            assert!(text.parse::<ExitWith>().is_err(), "{text}");
        }
    }
}
