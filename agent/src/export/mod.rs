//! Stage 6: batches are delivered to each destination, at its own pace.

mod config;

pub use config::{Compression, Config, Headers, Protocol};
