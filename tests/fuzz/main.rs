//! Parsers are given bytes that nobody thought of, and have to keep what they promise about all bytes.
//!
//! `RUNLOG_FUZZ=60s` is how long each target is tried (2 s without it), `RUNLOG_FUZZ_SEED` where it begins. With the same
//! seed the same inputs come in the same order. An input that fails is printed as a literal, with the seed.
//!
//! There is no instrumented build here: libFuzzer needs a nightly compiler. An input that makes a parser behave as none did
//! before is kept and changed further, where what it does is told by what comes out, not by which code was run.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a target fails by panicking, and says what it tried")]

mod inputs;
mod joining;
mod lines;
mod marks;
mod texts;

use inputs::{Inputs, Target};

/// One test for each target, so that they run beside each other.
macro_rules! targets {
    ($($name:ident: $target:expr, $kind:ident;)*) => {
        $(#[test]
        fn $name() {
            Inputs::new(stringify!($name), Target::$kind).each($target);
        })*
    };
}

targets! {
    plain_lines_are_the_same_at_any_cut_and_no_byte_is_missing: lines::plain, Lines;
    wrapped_lines_are_the_same_at_any_cut: lines::wrapped, Wrapped;
    drawn_lines_are_the_same_at_any_cut_and_what_draws_nothing_passes: lines::drawn, Drawn;
    joined_lines_are_all_there_and_within_their_bounds: joining::joined, Lines;
    lines_that_are_alike_are_all_counted_in_their_order: joining::alike, Lines;
    marks_of_a_line_stand_in_it: marks::marks, Lines;
    json_that_is_taken_is_a_request_that_is_whole: texts::json, Json;
    secrets_are_masked_and_nothing_else_is_changed: texts::redacted, Texts;
}
