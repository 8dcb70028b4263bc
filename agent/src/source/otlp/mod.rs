//! Programs that send OTLP: the logs of an SDK or a Collector pass through, with the run's tags added.
//!
//! Each address speaks gRPC and HTTP, told apart by the request, so that no client finds the wrong port. What a client
//! sends is neither decoded nor written anew: the pipeline looks it through and puts it under another head. The
//! client is answered when its records are durable; it sends again what was not answered, which may repeat records.
//! While the queue is full or memory is short, clients are asked to come again.
//!
//! An address that is in use holds up nothing else: it is told, and tried again.
//!
//! What a program could not send it may leave in a file, which goes the same way ([`spool`]).

mod address;
mod end;
mod listen;
mod spool;
#[cfg(test)]
mod tests;
mod unix;

pub use address::Address;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::{sync::watch, task::JoinSet};

use crate::record::{Resource, Severity};

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
}

/// What is said of records that do not say it themselves.
#[derive(Debug, Clone)]
pub struct Tagging {
    /// The run.
    pub resource: Arc<Resource>,
    /// Records below this level are left out.
    pub level: Severity,
}

/// Addresses that cannot be listened on at the moment, and why.
pub type Trouble = BTreeMap<Address, String>;

/// Receives until the stop is thrown and what was taken is answered.
pub async fn collect(config: Config, context: Context, tagging: Tagging, trouble: watch::Sender<Trouble>) {
    let trouble = Arc::new(trouble);
    let mut listeners = JoinSet::new();
    for address in config.listen {
        let end = end::Gate::new(&address.to_string(), config.max_request_bytes, &context, &tagging);
        listeners.spawn(listen::listen(address, end, context.stop.clone(), Arc::clone(&trouble)));
    }
    let name = config.spool.display().to_string();
    let end = end::Gate::new(&name, config.max_request_bytes, &context, &tagging);
    listeners.spawn(spool::collect(config.spool, end, context.stop.clone()));
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
