//! Stage 3: lines are kept or left out, lose their secrets, and get their tags.

mod adopt;
mod filter;
mod limit;
pub mod redact;
mod tag;

pub use adopt::{Adopted, adopt};
pub use filter::is_kept;
pub use limit::Limit;
pub use redact::Redactor;
pub use tag::Tags;
