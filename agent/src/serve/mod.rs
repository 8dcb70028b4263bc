//! Health, metrics, the query API and the page, over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `/livez`, `/readyz` | JSON; 200, or 503 with the reasons |
//! | `/metrics` | Prometheus text format 0.0.4 |
//! | `/api/v1/status` | `v1::Status`; all streams with `streams=all` |
//! | `/api/v1/level` | `v1::Levels`; changed by POST and DELETE of a `v1::AskedLevel`, where a [`Control`] is given |
//! | `POST /api/v1/replay` | `v1::ReplayResponse`, where a [`Control`] is given |
//! | `/api/v1/runs`, `/api/v1/runs/{run}`, … | the Run API, `docs/run-api.md`; a run is named as `Reader::find` says |
//! | `/api/v1/runs/{run}/logs` | `v1::QueryLogsResponse`, or a stream of them with `follow=1`; [`params`] |
//! | `/` | the page |
//! | `POST /v1/logs` | OTLP/HTTP, where a [`Receiver`] is given; metrics and traces are refused |
//!
//! Whoever can reach the address can read everything, so it is a loopback one unless the operator says otherwise,
//! and [`guard`] keeps web pages of others out.

mod api;
mod control;
mod fault;
mod follow;
pub mod guard;
mod listen;
mod metrics;
mod otlp;
mod page;
pub mod params;
mod run_api;
#[cfg(test)]
mod tests;
mod vitals;

pub use control::{Control, Declined, Replaying};
pub use listen::BindError;
pub use otlp::Receiver;
pub use vitals::{Snapshot, Vitals, received};

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::{net::TcpListener, sync::watch};

use crate::{api::Api, store::Reader};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address; `None` to serve nothing.
    pub listen: Option<SocketAddr>,
}

/// What is served.
pub struct Parts {
    /// The store to read; `None` where nothing is stored.
    pub store: Option<Reader>,
    /// What runlog says about itself.
    pub vitals: Arc<dyn Vitals>,
    /// What takes logs over OTLP; `None` to take none.
    pub receiver: Option<Receiver>,
    /// The Run API.
    pub api: Api,
    /// Takes what is asked of an agent; `None` where nothing is collected.
    pub control: Option<Arc<dyn Control>>,
}

/// What answers below `/api/` on a unix socket, until the sender says that it is over or is dropped: what the server
/// answers there, whichever host is asked for.
pub fn on_socket(parts: Parts) -> (Router, watch::Sender<bool>) {
    let (stop, stopping) = watch::channel(false);
    (api::on_socket(parts, stopping), stop)
}

/// A server that has its address and answers once it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    parts: Parts,
}

impl Server {
    /// Takes the address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address is taken or not this machine's.
    pub async fn bind(listen: SocketAddr, parts: Parts) -> Result<Self, BindError> {
        let (listener, address) = listen::bind(listen).await?;
        Ok(Self { listener, address, parts })
    }

    /// The address that it has.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done; then it takes no more connections, ends the streams, and gives the
    /// answers that are under way a few seconds.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopping) = watch::channel(false);
        let app = api::router(self.parts, self.address, stopping);
        listen::serve(self.listener, app, shutdown, stop).await;
    }
}
