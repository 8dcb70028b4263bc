//! Containers of a real Docker engine, collected by a real agent.
//!
//! Each test has containers of its own, told apart by a label, so that tests can share an engine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod engine;
mod exit_with;
mod faults;
mod files;
mod lines;
mod lives;
mod podman;
mod restart;
mod runs;
