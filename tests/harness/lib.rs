//! Helpers of the whole-process suites.
