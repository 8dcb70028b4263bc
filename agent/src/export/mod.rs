//! Stage 6: batches are delivered to each destination, at its own pace.
//!
//! Each destination has one task, a [`Destination`]: it takes the next batches from its [`Backlog`], lets each pass for
//! as long as it takes (`passage.rs`), and acknowledges them in order. How a batch travels is a [`Deliver`]'s business:
//! [`Otlp`] sends it over HTTP or gRPC. What becomes of it is a [`Delivery`].
//!
//! - Nothing is acknowledged before the destination has accepted it, or refused it for good.
//! - A batch that is sent again has the same bytes, so that its records can be recognised.
//! - A fault of the network, the server or the settings keeps the data; a fault of the data moves it to the
//!   [`DeadLetters`], alone where it can be found, so that what is around and behind it goes on.
//!
//! Source of the rules: OTLP specification 1.11.0, "OTLP/gRPC" and "OTLP/HTTP".

mod backoff;
mod config;
mod dead_letter;
mod delivery;
mod destination;
mod gate;
mod local;
mod otlp;
mod otlp_grpc;
mod otlp_http;
mod passage;
mod payload;
mod report;
mod stats;
mod tls;
mod transport;
mod watched;

#[cfg(test)]
mod tests;

pub use config::{Compression, Config, Headers, Protocol, Proxy};
pub use dead_letter::{DEFAULT_MAX_BYTES as DEAD_LETTER_BYTES, DeadLetters, UnusableFolder};
pub use delivery::{Backlog, Deliver, Delivery, Waiting};
pub use destination::{Destination, Ended, Route, Shared};
pub use local::Local;
pub use otlp::{Otlp, UnusableDestination};
pub use stats::{ExportCounts, ExportState, ExportStats};
