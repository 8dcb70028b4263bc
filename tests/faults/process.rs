//! Rows S: what can happen to the process, its resources and its clock.

mod codes;
mod crowd;
mod memory;
mod settings;
mod start;
mod stop;
mod time;

use std::{fs, io::Write, path::Path};

/// Writes lines as fast as they are taken.
fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
