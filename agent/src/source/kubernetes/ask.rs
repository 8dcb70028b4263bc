//! Asks for the node's pods, whenever one of them is missed.
//!
//! The answer is a `v1.PodList` of the API server or of the kubelet. Nothing is asked for while all pods are known, and
//! not often while it is in vain, so that a node with many new pods costs its server little.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Incoming, header};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use url::Url;

use super::{Config, Metadata};
use crate::source::Stop;

/// The pause between two questions, and after failures at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long one answer may take. Shorter than lines wait for it.
const TIMEOUT: Duration = Duration::from_secs(4);
/// A node has some hundred pods, each described in some ten thousand bytes.
const LONGEST_ANSWER: usize = 16 << 20;

/// The token and the authority that a pod's service account gets.
const TOKEN: &str = "token";
const AUTHORITY: &str = "ca.crt";

/// Why pods are not known.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0}")]
    Unusable(String),
    #[error("no answer within {}", humantime::format_duration(TIMEOUT))]
    TimedOut,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("the answer is {0}; docs/sources.md has the rules that allow it")]
    Refused(StatusCode),
    #[error("the answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    #[error("the answer is no list of pods: {0}")]
    NoList(#[from] serde_json::Error),
}

/// Keeps `metadata` supplied as `config` says, until the stop is thrown. Ends at once if nothing may be asked.
pub async fn keep_asking(config: Config, metadata: Metadata, mut stop: Stop) {
    let Some(url) = config.metadata else { return };
    let (shortest, longest) = PAUSES;
    let mut pause = shortest;
    let mut has_failed = false;
    // At the start all are missed.
    metadata.miss();
    loop {
        tokio::select! {
            () = stop.thrown() => return,
            () = metadata.missed() => {}
        }
        match ask(&url, &config.credentials, &metadata).await {
            Ok(()) => {
                debug!(%url, "the node's pods are known");
                if std::mem::replace(&mut has_failed, false) {
                    info!(%url, "what pods say of themselves is known again");
                }
                metadata.set_trouble(None);
                pause = shortest;
            }
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    warn!(%url, %error, "what pods say of themselves is not known, their logs are tagged by their paths");
                }
                metadata.set_trouble(Some(format!("{url}: {error}")));
                // Until it is known again, whoever misses what.
                metadata.miss();
                pause = (pause * 2).min(longest);
            }
        }
        tokio::select! {
            () = stop.thrown() => return,
            () = sleep(pause) => {}
        }
    }
}

async fn ask(url: &Url, credentials: &Path, metadata: &Metadata) -> Result<(), NoAnswer> {
    let list = timeout(TIMEOUT, get(url, credentials)).await.map_err(|_elapsed| NoAnswer::TimedOut)??;
    Ok(metadata.learn(&list)?)
}

async fn get(url: &Url, credentials: &Path) -> Result<Bytes, NoAnswer> {
    let (token, tls) = shown_and_trusted(credentials).await?;
    let mut request = Request::get(url.as_str()).header(header::ACCEPT, "application/json");
    // Without TLS anybody could read it.
    if let Some(token) = token.filter(|_| url.scheme() == "https") {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| NoAnswer::Unusable(error.to_string()))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
    let response = client.request(request).await.map_err(|error| NoAnswer::Unreachable(innermost(&error)))?;
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(NoAnswer::Refused(head.status));
    }
    read(body).await
}

async fn read(mut body: Incoming) -> Result<Bytes, NoAnswer> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| NoAnswer::Unreachable(innermost(&error)))?;
        let Ok(part) = frame.into_data() else { continue };
        if bytes.len() + part.len() > LONGEST_ANSWER {
            return Err(NoAnswer::TooLong);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// The token, if there is one, and whom to trust. Read for each question, since both are replaced now and then.
async fn shown_and_trusted(credentials: &Path) -> Result<(Option<String>, ClientConfig), NoAnswer> {
    let (token, authority) = (credentials.join(TOKEN), credentials.join(AUTHORITY));
    let token = tokio::fs::read_to_string(token).await.ok();
    let tls = tokio::task::spawn_blocking(move || trust(&authority)).await.map_err(io::Error::other).flatten();
    Ok((token, tls.map_err(|error| NoAnswer::Unusable(innermost(&error)))?))
}

/// Trusts the cluster's own authority, or where there is none the system's.
fn trust(authority: &Path) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    if !authority.exists() {
        return Ok(builder.with_native_roots()?.with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Libraries say in the outermost error that something failed, and in the innermost one what.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
