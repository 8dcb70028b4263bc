//! Whole deliveries against servers that follow a script.
