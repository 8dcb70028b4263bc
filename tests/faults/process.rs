//! Rows S: what can happen to the process, its resources and its clock.
