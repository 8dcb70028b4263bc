//! Sends one HTTP request and reads its whole answer, in bounded time and memory.
//!
//! One client for HTTP/1.1, HTTP/2 by ALPN, and HTTP/2 without TLS by prior knowledge (gRPC). Redirects are not
//! followed, since headers with secrets would go where nobody sent them.
//!
//! Names are looked up for each new connection, and all their addresses tried. A connection is not kept for ever, so that
//! a name that has moved is noticed; nor after a request that got no answer, since its other end may be gone without a
//! word. TLS files are read again when they change; what is wrong in them leaves the old ones in use.

use std::{
    error::Error as _,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut, buf::Chain};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, StatusCode, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        legacy::{
            self, Client,
            connect::{HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Intercept,
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{CertificateError, ClientConfig, InvalidMessage};
use tokio::time::{Instant, timeout_at};

use super::{
    Config, Protocol,
    tls::{TlsFiles, UnusableTls},
    watched::{Look, Watched},
};

/// OTLP specification 1.11.0: a client must limit what it reads of an answer; 4 MiB is recommended.
pub(super) const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent bytes may stay without an acknowledgement of the peer's kernel.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Shorter than the servers that hang up soonest (Node.js, 5 s): a request that meets a closing connection cannot be
/// told from one whose reply was lost.
const POOL_IDLE: Duration = Duration::from_secs(4);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A request's body: a prefix and the batch, so that a batch need not be copied to stand behind a gRPC prefix.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) prefix: Bytes,
    pub(super) batch: Bytes,
}

/// How long connections are used at most, and at least: agents that began together do not begin again together.
const OLDEST: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(240));
/// How often a request is sent again at once that the server has not looked at.
const RESENDS: usize = 3;

type Body = Full<Chain<Bytes, Bytes>>;

/// A client without a proxy, or with one that it asks for a tunnel.
#[derive(Debug, Clone)]
enum HttpClient {
    Direct(Client<HttpsConnector<HttpConnector>, Body>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Body>),
}

#[derive(Debug)]
pub(super) struct Transport {
    protocol: Protocol,
    timeout: Duration,
    proxy: Option<Intercept>,
    tls_files: TlsFiles,
    watched: Watched,
    current: Mutex<Current>,
}

/// The client in use, with its connections.
#[derive(Debug)]
struct Current {
    client: HttpClient,
    tls: ClientConfig,
    until: Instant,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, or why it could not be read to its end.
    pub(super) body: Result<Bytes, Unread>,
    /// What stood behind the body.
    pub(super) trailers: HeaderMap,
}

/// An answer that ends too late, too soon or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    #[error("the answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    #[error("the answer broke off")]
    BrokenOff,
}

/// No answer came. Displayed as the operator reads it, after the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    #[error("{0}")]
    Unreachable(String),
    #[error("the connection was closed before an answer came ({0})")]
    Closed(String),
    /// The other side does not speak this version of HTTP.
    #[error("the answer is not HTTP/1.1")]
    NotHttp1,
    #[error("the answer is not HTTP/2")]
    NotHttp2,
    /// The other side is not whom it should be, or does not accept who we are.
    #[error("{0}")]
    Untrusted(String),
}

impl Current {
    fn new(protocol: Protocol, proxy: Option<&Intercept>, tls: ClientConfig) -> Self {
        let (most, least) = OLDEST;
        let until = Instant::now() + least + (most - least).mul_f64(fastrand::f64());
        Self { client: HttpClient::new(protocol, proxy, tls.clone()), tls, until }
    }
}

impl Transport {
    pub(super) fn new(config: &Config) -> Result<Self, UnusableTls> {
        let tls_files = TlsFiles::new(config);
        let watched = Watched::new(tls_files.paths());
        let proxy = config.proxy.on_the_way_to(&config.endpoint);
        let current = Current::new(config.protocol, proxy.as_ref(), tls_files.read()?);
        Ok(Self {
            protocol: config.protocol,
            timeout: config.timeout,
            proxy,
            tls_files,
            watched,
            current: Mutex::new(current),
        })
    }

    /// Reads the TLS files if they have changed. Says whether they had.
    ///
    /// # Errors
    /// If they cannot be used now; what they held before stays in use.
    pub(super) async fn refresh(&self, look: Look) -> Result<bool, UnusableTls> {
        if !self.watched.have_changed(look).await {
            return Ok(false);
        }
        let files = self.tls_files.clone();
        // Fails only when the runtime shuts down, where nothing is sent any more.
        let Ok(tls) = tokio::task::spawn_blocking(move || files.read()).await else { return Ok(false) };
        self.replace(Current::new(self.protocol, self.proxy.as_ref(), tls?));
        Ok(true)
    }

    /// Sends a request. Ends within the configured timeout.
    pub(super) async fn send(&self, request: Request<Outgoing>) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + self.timeout;
        let mut resends = RESENDS;
        let response = loop {
            let request = request.clone().map(|Outgoing { prefix, batch }| Full::new(prefix.chain(batch)));
            match timeout_at(deadline, self.client().request(request)).await {
                Err(_elapsed) => {
                    self.abandon();
                    return Err(Unanswered::TimedOut(self.timeout));
                }
                Ok(Err(error)) if resends > 0 && was_not_looked_at(&error) => resends -= 1,
                Ok(Err(error)) => return Err(explain(&error)),
                Ok(Ok(response)) => break response,
            }
        };
        let (head, mut body) = response.into_parts();
        let mut trailers = HeaderMap::new();
        let body = timeout_at(deadline, read(&mut body, &mut trailers)).await.unwrap_or(Err(Unread::BrokenOff));
        Ok(Answer { status: head.status, headers: head.headers, body, trailers })
    }

    fn client(&self) -> HttpClient {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() >= current.until {
            *current = Current::new(self.protocol, self.proxy.as_ref(), current.tls.clone());
        }
        current.client.clone()
    }

    /// Uses the connections no more; requests under way keep theirs.
    fn abandon(&self) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).until = Instant::now();
    }

    fn replace(&self, with: Current) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = with;
    }
}

impl HttpClient {
    fn new(protocol: Protocol, proxy: Option<&Intercept>, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let https = match protocol {
            Protocol::HttpProtobuf => https.enable_all_versions(),
            Protocol::Grpc => https.enable_http2(),
        };
        let mut client = Client::builder(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http2_only(protocol == Protocol::Grpc)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let Some(proxy) = proxy else { return Self::Direct(client.build(https.wrap_connector(tcp))) };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Self::Proxied(client.build(https.wrap_connector(tunnel)))
    }

    async fn request(&self, request: Request<Body>) -> Result<Response<Incoming>, legacy::Error> {
        match self {
            Self::Direct(client) => client.request(request).await,
            Self::Proxied(client) => client.request(request).await,
        }
    }
}

/// Whether the server says that it did nothing about the request: it refused the stream, or had said good-bye before.
///
/// Source: RFC 9113, section 8.7.
fn was_not_looked_at(error: &legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let reason = h2.reason();
            return h2.is_remote()
                && (h2.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM)
                    || h2.is_go_away() && reason == Some(h2::Reason::NO_ERROR));
        }
        cause = error.source();
    }
    false
}

async fn read(body: &mut Incoming, trailers: &mut HeaderMap) -> Result<Bytes, Unread> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Unread::BrokenOff)?.into_data() {
            Ok(part) if bytes.len() + part.len() > LONGEST_ANSWER => return Err(Unread::TooLong),
            Ok(part) => bytes.extend_from_slice(&part),
            Err(other) => trailers.extend(other.into_trailers().unwrap_or_default()),
        }
    }
    Ok(bytes.freeze())
}

fn explain(error: &legacy::Error) -> Unanswered {
    let mut cause = error.source();
    let mut deepest = error.to_string();
    while let Some(now) = cause {
        let innermost = unwrapped(now);
        deepest = innermost.to_string();
        if let Some(h2) = now.downcast_ref::<h2::Error>()
            // "HTTP" read as a frame's length is five million bytes.
            && h2.reason() == Some(h2::Reason::FRAME_SIZE_ERROR)
        {
            return Unanswered::NotHttp2;
        }
        if let Some(hyper) = now.downcast_ref::<hyper::Error>()
            && (hyper.is_parse() && !hyper.is_parse_too_large() || deepest == SPOKE_FIRST)
        {
            return Unanswered::NotHttp1;
        }
        if let Some(tls) = innermost.downcast_ref::<rustls::Error>() {
            return distrust(tls);
        }
        cause = now.source();
    }
    if error.is_connect() { Unanswered::Unreachable(deepest) } else { Unanswered::Closed(deepest) }
}

/// How hyper says, and only in words, that bytes came before anything was asked: an HTTP/2 server's settings.
const SPOKE_FIRST: &str = "received unexpected message from connection";

/// An `io::Error` shows what it wraps, but does not give it as its source.
fn unwrapped<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    while let Some(wrapped) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = wrapped;
    }
    error
}

fn distrust(error: &rustls::Error) -> Unanswered {
    Unanswered::Untrusted(match error {
        // A bad signature is what an authority of the same name with another key leaves behind.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is signed by no authority that is trusted here; set export.certificate to a PEM file of \
             the one that signed it"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(fault) => format!("its certificate is not valid: {fault}"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS; use http:// in place of https://".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("it broke the TLS handshake off: {alert:?}"),
        other => return Unanswered::Closed(other.to_string()),
    })
}
