//! Settings of a destination.

use std::{fmt, path::PathBuf, time::Duration};

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

/// One OTLP destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Names the destination's cursor in the queue; `default` for `[export]` itself.
    pub name: String,
    /// The full URL that logs are sent to: with `/v1/logs` for HTTP, only scheme, host and port for gRPC.
    pub endpoint: Url,
    /// How requests are framed.
    pub protocol: Protocol,
    /// How requests are compressed.
    pub compression: Compression,
    /// Sent with each request.
    pub headers: Headers,
    /// The file that `headers` were read from, if they may be replaced there while runlog runs.
    pub headers_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Requests are split to stay below this many bytes before compression.
    pub max_request_bytes: usize,
    /// The first pause after a failed request.
    pub min_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// How many requests may be under way at once.
    pub concurrency: usize,
    /// Whether a refused batch is cut until the records that are refused stand alone.
    pub bisect: bool,
    /// PEM file of the authorities to trust; `None` for the system's.
    pub certificate: Option<PathBuf>,
    /// PEM files of the client's certificate and key.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// The proxy on the way.
    pub proxy: Proxy,
}

impl Config {
    /// What connections are made to: the endpoint, or the proxy on the way to it.
    #[must_use]
    pub fn first_hop(&self) -> Url {
        let proxy = self.proxy.on_the_way_to(&self.endpoint);
        proxy.and_then(|proxy| Url::parse(&proxy.uri().to_string()).ok()).unwrap_or_else(|| self.endpoint.clone())
    }
}

/// The proxy for `https` endpoints, as `HTTPS_PROXY` and `NO_PROXY` say it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxy {
    /// Its URL, perhaps with a user and a password; empty for none.
    pub https: String,
    /// Hosts that are reached without it.
    pub not_for: String,
}

impl Proxy {
    pub(super) fn on_the_way_to(&self, endpoint: &Url) -> Option<Intercept> {
        let matcher = Matcher::builder().https(self.https.as_str()).no(self.not_for.as_str()).build();
        matcher.intercept(&endpoint.as_str().parse().ok()?)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("not_for", &self.not_for).finish_non_exhaustive()
    }
}

/// OTLP's transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf over HTTP/1.1 or HTTP/2.
    HttpProtobuf,
    /// gRPC.
    Grpc,
}

/// How a request is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, which every OTLP server takes.
    Gzip,
    /// zstd, in which the queue keeps batches already.
    Zstd,
}

impl Compression {
    /// The name in `Content-Encoding` and `grpc-encoding`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Header names in lower case with their values, which are secrets: `Debug` shows the names alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// Reads headers as a file holds them: each as `name=value`, in lines or with commas between them. `None` if one
    /// has no `=`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
        let pair = |entry: &str| {
            let (name, value) = entry.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        entries.map(pair).collect::<Option<_>>().map(Self)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
