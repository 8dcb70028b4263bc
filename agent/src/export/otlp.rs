//! Delivery over OTLP: what HTTP and gRPC have in common.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Request, Uri,
    header::{HeaderName, HeaderValue, USER_AGENT},
};
use tracing::warn;
use url::Url;

use crate::record::{BatchMeta, Clock, Signal};

use super::{
    Compression, Config, Deliver, Delivery, Headers, Protocol, otlp_grpc, otlp_http,
    payload::{self, Unreadable},
    report::in_full,
    tls::UnusableTls,
    transport::{Transport, Unanswered},
    watched::{Look, Watched},
};

const USER_AGENT_VALUE: &str = concat!("runlog/", env!("CARGO_PKG_VERSION"));

/// Sends batches to an OTLP server.
///
/// If the server does not understand the configured compression, a plainer one is used from then on. Headers and TLS
/// files are read again when their files change, now and then and after each failure.
pub struct Otlp {
    name: String,
    /// Where each signal goes.
    targets: [Target; Signal::ALL.len()],
    headers: Mutex<HeaderMap>,
    /// The file of the headers, if there is one.
    headers_file: Option<(PathBuf, Watched)>,
    protocol: Protocol,
    compression: AtomicU8,
    /// Whether a request in that compression was ever taken.
    is_proven: AtomicBool,
    transport: Transport,
    timeout: std::time::Duration,
    clock: Arc<dyn Clock>,
}

/// Where a signal goes.
struct Target {
    /// For people, without secrets.
    address: String,
    uri: Uri,
}

/// A destination that cannot be set up as configured. Displayed without the destination's name.
#[derive(Debug, thiserror::Error)]
pub enum UnusableDestination {
    /// The endpoint is not a URL that a request can be sent to.
    #[error("endpoint = {address} cannot be used; it should look like http://collector:4318")]
    Endpoint {
        /// The endpoint without secrets.
        address: String,
    },
    /// A header cannot be sent.
    #[error("headers: {name:?} or its value cannot be sent as an HTTP header")]
    Header {
        /// The header's name. Its value is a secret.
        name: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] UnusableTls),
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) delivery: Delivery,
    /// If the compression may be to blame: the one to try.
    pub(super) plainer: Option<Compression>,
}

impl Verdict {
    pub(super) const fn of(delivery: Delivery) -> Self {
        Self { delivery, plainer: None }
    }
}

impl Otlp {
    /// Sets up a destination. Nothing is sent yet, so it need not be reachable.
    ///
    /// # Errors
    /// If the endpoint, a header or a TLS file cannot be used.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, UnusableDestination> {
        let headers_file = config.headers_file.clone().map(|path| (path.clone(), Watched::new(vec![path])));
        Ok(Self {
            name: config.name.clone(),
            targets: [
                Target::of(Signal::Logs, config)?,
                Target::of(Signal::Metrics, config)?,
                Target::of(Signal::Traces, config)?,
            ],
            headers: Mutex::new(header_map(&config.headers)?),
            headers_file,
            protocol: config.protocol,
            compression: AtomicU8::new(config.compression as u8),
            is_proven: AtomicBool::new(false),
            transport: Transport::new(config)?,
            timeout: config.timeout,
            clock,
        })
    }

    /// Delivers an encoded request that does not come from the queue.
    pub async fn send(&self, signal: Signal, message: &[u8]) -> Delivery {
        match payload::pack(message, BatchMeta { signal: signal.into(), ..BatchMeta::default() }) {
            Ok(part) => self.deliver(0, &part.meta, &part.body).await,
            Err(error) => Delivery::Refused { reason: format!("it cannot be compressed: {error}") },
        }
    }

    /// One request.
    async fn attempt(&self, meta: &BatchMeta, body: &Bytes, compression: Compression) -> Result<Verdict, Unreadable> {
        let body = payload::transcode(meta, body, compression)?;
        let mut request = Request::new(());
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.target(meta.signal()).uri.clone();
        *request.headers_mut() = self.headers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = match self.protocol {
            Protocol::HttpProtobuf => otlp_http::frame(request, body, compression),
            Protocol::Grpc => {
                *request.version_mut() = hyper::Version::HTTP_2;
                otlp_grpc::frame(request, body, compression, self.timeout)
            }
        };
        let answer = match self.transport.send(request).await {
            Err(unanswered) => return Ok(Verdict::of(self.unanswered(&unanswered))),
            Ok(answer) => answer,
        };
        let (verdict, is_unserved) = match self.protocol {
            Protocol::HttpProtobuf => {
                let verdict = otlp_http::judge(&answer, compression, self.clock.now());
                (verdict, otlp_http::is_unserved(&answer))
            }
            Protocol::Grpc => {
                let verdict = otlp_grpc::judge(&answer, compression, self.clock.now());
                (verdict, otlp_grpc::is_unserved(&answer))
            }
        };
        Ok(match verdict {
            // Logs are what the endpoint is set for, so there it is the setting's fault.
            Verdict { delivery: Delivery::Misconfigured { reason }, plainer }
                if is_unserved && meta.signal() != Signal::Logs =>
            {
                Verdict { delivery: Delivery::Unserved { reason }, plainer }
            }
            verdict => verdict,
        })
    }

    fn target(&self, signal: Signal) -> &Target {
        &self.targets[signal as usize]
    }

    fn unanswered(&self, unanswered: &Unanswered) -> Delivery {
        let mut reason = unanswered.to_string();
        match unanswered {
            // Tried as soon as after other failures: a server may also say good-bye out of turn.
            Unanswered::NotHttp1 => {
                reason.push_str("; if this is a gRPC endpoint, set export.protocol = \"grpc\"");
                Delivery::Retry { after: None, reason }
            }
            Unanswered::NotHttp2 => {
                reason.push_str("; if this is an OTLP/HTTP endpoint, set export.protocol = \"http/protobuf\"");
                Delivery::Misconfigured { reason }
            }
            Unanswered::Untrusted(_) => Delivery::Misconfigured { reason },
            Unanswered::Closed(_) => {
                // Some servers say nothing at all to the wrong protocol, so the usual port has to do.
                let usual = match (self.protocol, self.target(Signal::Logs).uri.port_u16()) {
                    (Protocol::Grpc, Some(4318)) => "; port 4318 is usually OTLP/HTTP: see export.protocol",
                    (Protocol::HttpProtobuf, Some(4317)) => "; port 4317 is usually gRPC: see export.protocol",
                    _ => "",
                };
                reason.push_str(usual);
                Delivery::Retry { after: None, reason }
            }
            Unanswered::TimedOut(_) | Unanswered::Unreachable(_) => Delivery::Retry { after: None, reason },
        }
    }

    /// Sends a batch, in a plainer compression if that may be what the server does not understand.
    async fn request(&self, meta: &BatchMeta, body: &Bytes) -> Delivery {
        let first = self.compression();
        let mut compression = first;
        loop {
            let verdict = match self.attempt(meta, body, compression).await {
                Ok(verdict) => verdict,
                Err(unreadable) => return Delivery::Refused { reason: in_full(&unreadable) },
            };
            let is_about_data = matches!(verdict.delivery, Delivery::Refused { .. });
            match verdict.plainer {
                // Each is plainer than the one before, so this ends.
                Some(plainer) if !(is_about_data && self.is_proven.load(Ordering::Relaxed)) => compression = plainer,
                _ => {
                    if matches!(verdict.delivery, Delivery::Accepted { .. }) {
                        self.remember(compression, first);
                    }
                    return verdict.delivery;
                }
            }
        }
    }

    /// Reads again what has changed of the headers' and TLS files. Says whether anything has.
    async fn refresh(&self, look: Look) -> bool {
        let told = |outcome: Result<bool, String>| {
            if let Err(reason) = &outcome {
                warn!(destination = %self.name, "{}: {reason}; what was read before stays in use", self.address());
            }
            outcome.unwrap_or(false)
        };
        let headers = told(self.refresh_headers(look).await);
        let tls = told(self.transport.refresh(look).await.map_err(|error| in_full(&error)));
        headers || tls
    }

    async fn refresh_headers(&self, look: Look) -> Result<bool, String> {
        let Some((path, watched)) = &self.headers_file else { return Ok(false) };
        if !watched.have_changed(look).await {
            return Ok(false);
        }
        let fault = |what: String| format!("the file of headers, {}, {what}", path.display());
        let held = path.clone();
        let text = tokio::task::spawn_blocking(move || fs::read_to_string(held))
            .await
            .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            .map_err(|error| fault(format!("cannot be read: {error}")))?;
        // What stands in it may be a secret, so it is not shown.
        // Nothing at all is what a program leaves for a moment that writes the file anew.
        let headers = Headers::from_text(&text).filter(|headers| !headers.0.is_empty());
        let headers = headers.ok_or_else(|| fault("is not of entries such as name=value".to_owned()))?;
        let headers = header_map(&headers).map_err(|error| fault(format!("cannot be used: {error}")))?;
        *self.headers.lock().unwrap_or_else(PoisonError::into_inner) = headers;
        Ok(true)
    }

    fn compression(&self) -> Compression {
        let number = self.compression.load(Ordering::Relaxed);
        [Compression::None, Compression::Gzip, Compression::Zstd]
            .into_iter()
            .find(|compression| *compression as u8 == number)
            .unwrap_or(Compression::Gzip)
    }

    fn remember(&self, plainer: Compression, first: Compression) {
        self.is_proven.store(true, Ordering::Relaxed);
        if plainer != first {
            self.compression.store(plainer as u8, Ordering::Relaxed);
            let (address, plainer, first) = (self.address(), plainer.as_str(), first.as_str());
            warn!(destination = %self.name, "{address} does not take {first}; sending {plainer} from now on");
        }
    }
}

impl Deliver for Otlp {
    async fn deliver(&self, _seq: u64, meta: &BatchMeta, body: &Bytes) -> Delivery {
        self.refresh(Look::Sometimes).await;
        let delivery = self.request(meta, body).await;
        let is_failure = matches!(delivery, Delivery::Misconfigured { .. } | Delivery::Retry { .. });
        if is_failure && self.refresh(Look::Now).await {
            return self.request(meta, body).await;
        }
        delivery
    }

    fn address(&self) -> &str {
        self.address_of(Signal::Logs)
    }

    fn address_of(&self, signal: Signal) -> &str {
        &self.target(signal).address
    }
}

impl Target {
    /// Over HTTP, the path of the signal takes the place of `/v1/logs`.
    fn of(signal: Signal, config: &Config) -> Result<Self, UnusableDestination> {
        let mut target = config.endpoint.clone();
        if signal != Signal::Logs {
            let path = target.path().trim_end_matches('/');
            let path = format!("{}/v1/{}", path.strip_suffix("/v1/logs").unwrap_or(path), signal.as_str());
            target.set_path(&path);
        }
        let address = without_secrets(&target);
        target.set_fragment(None);
        if config.protocol == Protocol::Grpc {
            target.set_path(otlp_grpc::method_of(signal));
            target.set_query(None);
        }
        let uri = without_user(target).as_str().parse();
        let uri = uri.map_err(|_| UnusableDestination::Endpoint { address: address.clone() })?;
        Ok(Self { address, uri })
    }
}

/// What each request carries.
fn header_map(configured: &Headers) -> Result<HeaderMap, UnusableDestination> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
    for (name, value) in &configured.0 {
        let fault = || UnusableDestination::Header { name: name.clone() };
        let mut value = HeaderValue::from_str(value).map_err(|_| fault())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?, value);
    }
    Ok(headers)
}

/// An endpoint as people may see it: a user, a password or a key in the query stays out.
fn without_secrets(endpoint: &Url) -> String {
    let mut shown = without_user(endpoint.clone());
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

fn without_user(mut url: Url) -> Url {
    // These fail only for URLs without a host, which have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}
