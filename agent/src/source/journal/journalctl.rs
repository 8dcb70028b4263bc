//! The journalctl process that reads the journal for us.

use std::{
    ffi::OsString,
    io,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
};

use super::{
    Config,
    cursor::Cursor,
    entry::{FIELDS, JournalEntry},
    export::Decoder,
};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Messages of journalctl that wait to be told; more are dropped.
const MAX_MESSAGES: usize = 16;

/// Which entries to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// The first of this boot, and all after it.
    Boot,
    /// The one of that cursor, or the first after it, and all after it.
    Cursor(&'a Cursor),
    /// All that there are.
    Oldest,
    /// The last.
    Newest,
}

/// Whether to wait for what is written later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Until it is killed.
    Killed,
    /// Only what there is.
    End,
}

/// A running journalctl. Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Journalctl {
    child: Child,
    stdout: ChildStdout,
    messages: mpsc::Receiver<String>,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Journalctl {
    /// Starts it.
    pub(super) fn start(config: &Config, from: Start<'_>, until: Until) -> io::Result<Self> {
        let mut command = Command::new("journalctl");
        command.args(arguments(config, from, until));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a terminal sends to us is not for it: it is stopped when it is not needed any more.
        command.kill_on_drop(true).process_group(0);
        let mut child = command.spawn()?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (sender, messages) = mpsc::channel(MAX_MESSAGES);
        // Ends with journalctl.
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // It must never wait for us to be told.
                let _ = sender.try_send(line);
            }
        });
        Ok(Self { child, stdout, messages, decoder: Decoder::default(), buffer: vec![0; READ_BYTES] })
    }

    /// The next entries that have come, at least one; none at its end. Cancel safe.
    pub(super) async fn entries(&mut self) -> io::Result<Vec<JournalEntry>> {
        let mut entries = Vec::new();
        while entries.is_empty() {
            let length = self.stdout.read(&mut self.buffer).await?;
            if length == 0 {
                break;
            }
            self.decoder.feed(&self.buffer[..length]);
            loop {
                match self.decoder.next() {
                    Ok(Some(fields)) => entries.extend(JournalEntry::of(fields)),
                    Ok(None) => break,
                    // It fails again when those before it are taken.
                    Err(_) if !entries.is_empty() => break,
                    Err(malformed) => return Err(io::Error::other(malformed)),
                }
            }
        }
        Ok(entries)
    }

    /// What it has said on standard error since this was last asked.
    pub(super) fn said(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.messages.try_recv().ok()).collect()
    }

    /// How it ended by itself, and the last that it said.
    pub(super) async fn end(mut self) -> (Option<ExitStatus>, Vec<String>) {
        // As the first process of a container, the agent may have asked already.
        let status = self.child.wait().await.ok();
        let mut said = Vec::new();
        while let Some(message) = self.messages.recv().await {
            said.push(message);
        }
        (status, said)
    }
}

/// The cursor of the oldest or newest entry that there is.
pub(super) async fn cursor(config: &Config, which: Start<'_>) -> io::Result<Option<Cursor>> {
    let mut journalctl = Journalctl::start(config, which, Until::End)?;
    Ok(journalctl.entries().await?.into_iter().next().map(|entry| entry.cursor))
}

fn arguments(config: &Config, from: Start<'_>, until: Until) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--output=export".into(), "--no-pager".into()];
    arguments.push(format!("--output-fields={}", FIELDS.join(",")).into());
    if let Some(directory) = &config.directory {
        let mut argument = OsString::from("--directory=");
        argument.push(directory);
        arguments.push(argument);
    }
    match from {
        Start::Boot => arguments.push("--boot".into()),
        Start::Cursor(cursor) => arguments.push(format!("--cursor={}", cursor.as_str()).into()),
        Start::Oldest => {}
        Start::Newest => arguments.push("--lines=1".into()),
    }
    if until == Until::Killed {
        arguments.extend(["--follow".into(), "--no-tail".into()]);
    }
    arguments
}
