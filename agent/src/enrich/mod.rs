//! Stage 3: lines are kept or left out, lose their secrets, and get their tags.

mod adopt;
mod filter;
pub mod redact;
mod tag;

pub use adopt::{Adopted, adopt};
pub use filter::is_kept;
pub use redact::Redactor;
pub use tag::Tags;
