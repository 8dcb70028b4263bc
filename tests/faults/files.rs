//! Rows F: what can happen to a file that is read.
