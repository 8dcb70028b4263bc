//! Stage 3: lines are kept or left out, lose their secrets, and get their tags.

mod adopt;
mod filter;
mod levels;
mod limit;
pub mod recorder;
pub mod redact;
mod tag;

pub use adopt::{Adopted, adopt};
pub use filter::Filter;
pub use levels::{Asked, Levels, LoggerLevel, Scope, Thresholds, TooMany, Until, UnusableLevel, is_source};
pub use limit::Limit;
pub use recorder::{Heads, Recorded, Recorder, Replays};
pub use redact::Redactor;
pub use tag::Tags;
