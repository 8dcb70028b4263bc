//! The fault matrix of `docs/faults.md` on whole processes: each test has the id of its row in its name.
//!
//! Rows that one stage alone can show are proven beside that stage, where thousands of cases cost a second.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests speak by panicking and printing")]

mod export;
mod files;
mod process;
mod queue;
