//! Rows X: what a backend can do to a delivery.
