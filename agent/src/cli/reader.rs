//! Where the reading commands read: from a server, or straight from the store on disk.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    header::{AUTHORIZATION, HeaderValue},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use runlog_proto::v1;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;
use url::Url;

use crate::{
    serve::{Access, params},
    store::{self, Query},
};

use super::caller::no_token;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// No answer is larger.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// What the reading commands ask.
pub enum Reader {
    /// The store of this machine; works while others write it.
    Disk(store::Reader),
    /// A running daemon or `runlog serve`.
    Server(Box<Server>),
}

/// A runlog that is asked over HTTP.
pub struct Server {
    base: Url,
    client: Client<HttpConnector, Empty<Bytes>>,
    /// What is shown to it.
    authorization: Option<HeaderValue>,
}

impl Reader {
    /// Reads from the store in that directory.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(store_dir: &Path) -> Result<Self> {
        Ok(Self::Disk(store::Reader::open(store_dir)?))
    }

    /// The runs, the newest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn runs(&self) -> Result<Vec<v1::Run>> {
        match self {
            Self::Disk(reader) => on_disk(reader, |reader| reader.runs(usize::MAX)).await,
            Self::Server(server) => Ok(server.get::<v1::ListRunsResponse>(&["runs"], "").await?.runs),
        }
    }

    /// The run that a word means: its id, the beginning of it, or `latest`.
    ///
    /// # Errors
    /// If it means none or several, or runs cannot be read.
    pub async fn find(&self, word: &str) -> Result<v1::Run> {
        match self {
            Self::Disk(reader) => {
                let word = word.to_owned();
                on_disk(reader, move |reader| reader.find(&word)).await
            }
            Self::Server(server) => server.get(&["runs", word], "").await,
        }
    }

    /// The lines that a query asks for.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn logs(&self, query: &Query) -> Result<v1::QueryLogsResponse> {
        match self {
            Self::Disk(reader) => {
                let query = query.clone();
                on_disk(reader, move |reader| reader.logs(&query)).await
            }
            Self::Server(server) => server.get(&["runs", &query.run, "logs"], &params::encode(query)).await,
        }
    }
}

async fn on_disk<T, E>(
    reader: &store::Reader,
    question: impl FnOnce(&store::Reader) -> Result<T, E> + Send + 'static,
) -> Result<T>
where
    T: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let reader = reader.clone();
    Ok(tokio::task::spawn_blocking(move || question(&reader)).await.context("reading was interrupted")??)
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Server {
    /// A server at that address, such as `http://127.0.0.1:4319`, that answers those.
    ///
    /// # Errors
    /// If the scheme is not `http`.
    pub fn new(base: &Url, access: &Access) -> Result<Self> {
        if base.scheme() != "http" {
            bail!("{base} is not a runlog server's address; use one such as http://127.0.0.1:4319");
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { base: base.clone(), client, authorization: access.to_show() })
    }

    /// What it says about itself: of all its streams, or of those furthest behind.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn status(&self, all_streams: bool) -> Result<v1::Status> {
        self.get(&["status"], if all_streams { "streams=all" } else { "" }).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &str) -> Result<T> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} is not a runlog server's address", self.base))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        url.set_query((!query.is_empty()).then_some(query));
        let (status, body) = timeout(TIMEOUT, self.fetch(&url))
            .await
            .map_err(|_| anyhow!("{} has not answered within {} s", self.base, TIMEOUT.as_secs()))??;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .with_context(|| format!("{} did not answer as runlog does", self.base));
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(no_token(self.base.as_str()));
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => Err(anyhow!(refusal.error)),
            Err(_) => Err(anyhow!("{} answered {status}; is it runlog?", self.base)),
        }
    }

    async fn fetch(&self, url: &Url) -> Result<(StatusCode, Bytes)> {
        let mut request =
            Request::get(url.as_str()).body(Empty::new()).with_context(|| format!("{url} cannot be asked for"))?;
        if let Some(shown) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, shown.clone());
        }
        let response = self
            .client
            .request(request)
            .await
            .with_context(|| format!("no runlog answers at {}; start one, or give its --server", self.base))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|fault| anyhow!("the answer of {} broke off: {fault}", self.base))?;
        Ok((status, body.to_bytes()))
    }
}
