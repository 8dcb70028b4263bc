//! Files by glob.

mod config;

pub use config::Config;
