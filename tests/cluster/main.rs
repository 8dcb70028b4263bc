//! A real Kubernetes: jobs with the sidecar, and the chart. `make test-k8s` starts one and runs these.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod chart;
mod guides;
mod job;
mod kube;
