//! Stage 3: lines are kept or left out, and get their tags.

mod adopt;
mod filter;
mod tag;

pub use adopt::{Adopted, adopt};
pub use filter::is_kept;
pub use tag::Tags;
