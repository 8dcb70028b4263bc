//! Logs of pods: a node's folder as the kubelet and a container runtime keep it, read by a real agent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod lives;
mod metadata;
mod node;
mod rotation;
mod sidecar;
