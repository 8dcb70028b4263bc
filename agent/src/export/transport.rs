//! Sends one HTTP request and reads its whole answer, in bounded time and memory.
//!
//! One client for HTTP/1.1, HTTP/2 by ALPN, and HTTP/2 without TLS by prior knowledge (gRPC). Redirects are not
//! followed, since headers with secrets would go where nobody sent them. Names are looked up again for each
//! new connection.

use std::{error::Error as _, io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut, buf::Chain};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, body::Incoming};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    CertificateError, ClientConfig, InvalidMessage, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio::time::{Instant, timeout_at};

use super::{Config, Protocol};

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

/// A prefix and the batch, so that a batch need not be copied to stand behind a gRPC prefix.
pub(super) type Outgoing = Full<Chain<Bytes, Bytes>>;

/// A request's body.
pub(super) fn outgoing(prefix: Bytes, body: Bytes) -> Outgoing {
    Full::new(prefix.chain(body))
}

#[derive(Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Outgoing>,
    timeout: Duration,
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

/// TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum UnusableTls {
    /// A file is missing, unreadable or not what it should be.
    #[error("{option} = {} is not a readable PEM file with {wanted}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("the client certificate {} and its key cannot be used together", path.display())]
    Identity {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// There is nothing on this machine that says whom to trust.
    #[error("no certificate authorities were found on this machine; set certificate to a PEM file")]
    NoAuthorities(#[source] io::Error),
    /// The library refuses its own defaults.
    #[error("TLS cannot be used")]
    Library(#[from] rustls::Error),
}

impl Transport {
    pub(super) fn new(config: &Config) -> Result<Self, UnusableTls> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls(config)?).https_or_http();
        let connector = match config.protocol {
            Protocol::HttpProtobuf => https.enable_all_versions().wrap_connector(tcp),
            Protocol::Grpc => https.enable_http2().wrap_connector(tcp),
        };
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http2_only(config.protocol == Protocol::Grpc)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .build(connector);
        Ok(Self { client, timeout: config.timeout })
    }

    /// Sends a request. Ends within the configured timeout.
    pub(super) async fn send(&self, request: Request<Outgoing>) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + self.timeout;
        let response = match timeout_at(deadline, self.client.request(request)).await {
            Err(_elapsed) => return Err(Unanswered::TimedOut(self.timeout)),
            Ok(Err(error)) => return Err(explain(&error)),
            Ok(Ok(response)) => response,
        };
        let (head, mut body) = response.into_parts();
        let mut trailers = HeaderMap::new();
        let body = timeout_at(deadline, read(&mut body, &mut trailers)).await.unwrap_or(Err(Unread::BrokenOff));
        Ok(Answer { status: head.status, headers: head.headers, body, trailers })
    }
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

fn explain(error: &hyper_util::client::legacy::Error) -> Unanswered {
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

fn tls(config: &Config) -> Result<ClientConfig, UnusableTls> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match &config.certificate {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("certificate", path)? {
                roots.add(certificate)?;
            }
            builder.with_root_certificates(roots)
        }
        None if config.endpoint.scheme() == "https" => {
            builder.with_native_roots().map_err(UnusableTls::NoAuthorities)?
        }
        // Never asked. A machine without authorities can still send without TLS.
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    match &config.client_identity {
        None => Ok(builder.with_no_client_auth()),
        Some((path, key_path)) => {
            let chain = certificates("client_certificate", path)?;
            let key = PrivateKeyDer::from_pem_file(key_path).map_err(|source| UnusableTls::File {
                option: "client_key",
                path: key_path.clone(),
                wanted: "a private key",
                source,
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| UnusableTls::Identity { path: path.clone(), source })
        }
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, UnusableTls> {
    let fault = |source| UnusableTls::File { option, path: path.to_owned(), wanted: "one certificate or more", source };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(fault)?;
    if certificates.is_empty() { Err(fault(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
