//! Programs that send OTLP: logs, metrics and traces of an SDK or a Collector pass through, with the run's tags added.
//!
//! Each address speaks gRPC and HTTP, told apart by the request, so that no client finds the wrong port. What a client
//! sends is neither decoded nor written anew: the pipeline looks it through and puts it under another head. The
//! client is answered when its records are durable; it sends again what was not answered, which may repeat records.
//! While the queue is full or memory is short, clients are asked to come again.
//!
//! An address that is in use, or a certificate that cannot be used, holds up nothing else: it is told, and tried again.

mod end;
mod listen;
#[cfg(test)]
mod tests;
mod unanswered;

pub use crate::receive::{Token, tls::Files};

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::{sync::watch, task::JoinSet};

use crate::record::{Resource, Severity};

use super::Context;

/// How OTLP is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The addresses; none to receive nothing.
    pub listen: Vec<SocketAddr>,
    /// The largest request, before and after decompression.
    pub max_request_bytes: usize,
    /// What clients have to show; `None` if anyone may send.
    pub token: Option<Token>,
    /// With what TLS is spoken; `None` to speak without it.
    pub tls: Option<Files>,
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

/// Addresses that cannot be listened on at the moment, and why.
pub type Trouble = BTreeMap<SocketAddr, String>;

/// Receives until the stop is thrown and what was taken is answered.
pub async fn collect(config: Config, context: Context, tagging: Tagging, trouble: watch::Sender<Trouble>) {
    let trouble = Arc::new(trouble);
    let desk = end::Desk::new(&context);
    let mut listeners = JoinSet::new();
    for address in &config.listen {
        let end = end::Gate::new(*address, &config, desk.clone(), &tagging);
        let files = config.tls.clone();
        listeners.spawn(listen::listen(*address, end, files, context.stop.clone(), Arc::clone(&trouble)));
    }
    drop(desk);
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
