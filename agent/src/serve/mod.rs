//! Health, metrics, the query API and the page, over HTTP.

use std::net::SocketAddr;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address; `None` to serve nothing.
    pub listen: Option<SocketAddr>,
}
