//! Rows Q: what can happen to the disk below the queue and the store.

mod injected;
mod removed;
mod small;
