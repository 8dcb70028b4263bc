//! Programs that send OTLP: logs, metrics and traces of an SDK or a Collector pass through, with the run's tags added.
//!
//! Each address speaks gRPC and HTTP, told apart by the request, so that no client finds the wrong port. What a client
//! sends is neither decoded nor written anew: the pipeline looks it through and puts it under another head. The
//! client is answered when its records are durable; it sends again what was not answered, which may repeat records.
//! While the queue is full or memory is short, clients are asked to come again.
//!
//! An address that is in use, or a certificate that cannot be used, holds up nothing else: it is told, and tried again.
//!
//! What a program could not send it may leave in a file, which goes the same way ([`spool`]).

mod address;
mod end;
mod listen;
mod spool;
#[cfg(test)]
mod tests;
mod unanswered;
mod unix;

pub use crate::receive::{Token, tls::Files};
pub use address::Address;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::Router;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    receive::Sink,
    record::{Resource, Severity},
};

use super::Context;

/// How OTLP is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The addresses; none to receive nothing.
    pub listen: Vec<Address>,
    /// The folder in which programs leave what they could not send.
    pub spool: PathBuf,
    /// The largest request, before and after decompression.
    pub max_request_bytes: usize,
    /// What clients of a port have to show; `None` if anyone may send.
    pub token: Option<Token>,
    /// With what TLS is spoken on a port; `None` to speak without it.
    pub tls: Option<Files>,
}

impl Config {
    /// The ports among the addresses.
    pub fn ports(&self) -> impl Iterator<Item = SocketAddr> {
        self.listen.iter().filter_map(|address| match address {
            Address::Port(address) => Some(*address),
            Address::Socket(_) => None,
        })
    }
}

/// What is said of records that do not say it themselves.
#[derive(Debug, Clone)]
pub struct Tagging {
    /// The run.
    pub resource: Arc<Resource>,
    /// Log records below this level are left out.
    pub level: Severity,
    /// Whether there is a backend that metrics and traces are passed on to.
    pub passes_on: bool,
}

/// Whether the operator is told of each address that is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// They are there for whoever wants to send.
    Yes,
    /// They are known to those who are to use them.
    No,
}

/// Addresses that cannot be listened on at the moment, and why.
pub type Trouble = BTreeMap<Address, String>;

/// The way into the pipeline of what is made in this process. It has to be dropped before a drain can end.
///
/// It is a stream like others once something has come through it.
#[must_use]
pub fn inlet(config: &Config, context: &Context, tagging: &Tagging) -> Arc<dyn Sink> {
    Arc::new(end::Inlet::new(config.clone(), end::Desk::new(context), tagging.clone()))
}

/// Receives until the stop is thrown and what was taken is answered.
///
/// `beside` answers what is asked for on a unix socket below `/api/`.
pub async fn collect(
    config: Config,
    context: Context,
    tagging: Tagging,
    trouble: watch::Sender<Trouble>,
    announced: Announced,
    beside: Option<Router>,
) {
    let trouble = Arc::new(trouble);
    let desk = end::Desk::new(&context);
    let mut listeners = JoinSet::new();
    for address in &config.listen {
        // Who may write to a socket is said by its folder.
        let (token, files) = match address {
            Address::Port(_) => (config.token.clone(), config.tls.clone()),
            Address::Socket(_) => (None, None),
        };
        let end = end::Gate::new(&address.to_string(), &config, token, desk.clone(), &tagging);
        let beside = beside.clone().filter(|_| matches!(address, Address::Socket(_)));
        let door = listen::Door { end: Arc::new(end), files, beside, announced };
        listeners.spawn(listen::listen(address.clone(), door, context.stop.clone(), Arc::clone(&trouble)));
    }
    let folder = config.spool.clone();
    let gate = move || end::Gate::new(&config.spool.display().to_string(), &config, None, desk, &tagging);
    listeners.spawn(spool::collect(folder, gate, context.stop.clone()));
    drop(context);
    while let Some(ended) = listeners.join_next().await {
        // All are started again.
        if let Err(failure) = ended
            && failure.is_panic()
        {
            std::panic::resume_unwind(failure.into_panic());
        }
    }
}
