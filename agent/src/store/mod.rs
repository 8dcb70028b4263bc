//! The embedded store: the very blocks that arrived, and an index over them.
