//! Messages of runlog's APIs, compiled from `runlog/v1/*.proto`.
//!
//! Over HTTP they travel as JSON with the field names of the `.proto` file.

#[cfg(test)]
mod reference;
pub mod value;

/// All of `runlog/v1/*.proto` as a `FileDescriptorSet`, for clients that make their messages at run time.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runlog.v1.descriptors"));

/// The statuses of a run that has ended.
pub const ENDED: [&str; 3] = ["completed", "failed", "canceled"];

/// Version 1 of the query API and the Run API.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::doc_markdown)]
    pub use crate::value::{Value, Values};

    include!(concat!(env!("OUT_DIR"), "/runlog.v1.rs"));

    impl From<[u64; 7]> for LevelCounts {
        /// From counts in the order of the fields.
        fn from([unspecified, trace, debug, info, warn, error, fatal]: [u64; 7]) -> Self {
            Self { unspecified, trace, debug, info, warn, error, fatal }
        }
    }
}
