//! Output of a process, as tests look at it.

use std::{
    io::{BufRead, BufReader, Read},
    process::Output,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
};

use crate::wait::PATIENCE;

/// Lines of a pipe, as they come.
#[derive(Debug)]
pub struct Lines(Receiver<String>);

impl Lines {
    /// Reads the pipe on a thread of its own, until it ends.
    #[must_use]
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            // A test that has ended listens no more.
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self(receiver)
    }

    /// The next line, or `None` at the end.
    ///
    /// # Panics
    /// If neither comes soon.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }
}

/// What a command printed and how it ended, in one text for people to compare. Nothing in it panicked.
#[must_use]
pub fn transcript(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    let mut text = format!("{}\n", output.status);
    for (name, stream) in [("stdout", out), ("stderr", err)] {
        if !stream.is_empty() {
            text += &format!("--- {name}\n{stream}");
        }
    }
    text
}
