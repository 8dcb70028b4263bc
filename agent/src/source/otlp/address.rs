//! Where OTLP is received.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The longest path of a unix socket: `sun_path` of unix(7), without the NUL at its end.
const LONGEST_PATH: usize = 107;

/// A port of this machine, or a unix socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A port, for clients on this machine or beyond.
    Port(SocketAddr),
    /// A socket's path, for clients that can reach it.
    Socket(PathBuf),
}

impl Address {
    /// What a socket is called in its folder.
    pub const SOCKET: &str = "otlp.sock";

    /// Whether a socket can have that path.
    #[must_use]
    pub fn fits(path: &Path) -> bool {
        path.as_os_str().len() <= LONGEST_PATH
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(f),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Port(address)
    }
}
