//! A terminal of the process's own, so that it behaves as without runlog: progress bars, colours, line by line.
//!
//! What the process prints to it comes out at our end, both outputs as one. Where our own standard input is a terminal,
//! that one is made raw and what is typed is passed on: the keys mean what they mean to the process's terminal, so
//! Ctrl-C is a signal to the process. Where it is not, the process reads our standard input itself.
//!
//! The process leads a session, as on any terminal. That has to be done between fork and exec, so runlog is started once
//! more in its place ([`lead_session`]) and becomes it.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, stdin, stdout},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    pin::Pin,
    process::{Command, Stdio},
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    process::{ioctl_tiocsctty, setsid},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{OptionalActions, OutputModes, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};
use tokio::{
    io::{AsyncRead, Interest, ReadBuf, unix::AsyncFd},
    signal::unix::{SignalKind, signal},
};
use tracing::debug;

/// The hidden command that runlog starts itself with.
pub const SESSION: &str = "lead-session";

/// The window of a terminal that nobody looks at.
const WINDOW: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// The terminal of a process, at our end.
#[derive(Debug)]
pub(super) struct Terminal {
    near: Arc<AsyncFd<OwnedFd>>,
    /// The end of the process, until it has it.
    far: Option<OwnedFd>,
    raw: Option<Raw>,
}

/// Our own terminal, raw as long as this lives.
#[derive(Debug)]
struct Raw {
    before: Termios,
}

impl Raw {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let raw = Self { before };
        raw.enter()?;
        Ok(raw)
    }

    fn enter(&self) -> io::Result<()> {
        let mut attributes = self.before.clone();
        attributes.make_raw();
        Ok(tcsetattr(stdin(), OptionalActions::Drain, &attributes)?)
    }

    fn leave(&self) {
        if let Err(error) = tcsetattr(stdin(), OptionalActions::Drain, &self.before) {
            debug!(%error, "the terminal cannot be set back");
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Terminal {
    /// Makes one with the settings and the window of ours. Must be called inside the runtime.
    pub(super) fn open() -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let near = openpt(flags)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let far = ioctl_tiocgptpeer(&near, flags)?;
        let is_typed_to = stdin().is_terminal();
        let mut attributes =
            tcgetattr(if is_typed_to { stdin().as_fd().try_clone_to_owned()? } else { far.try_clone()? })?;
        // A raw terminal needs the carriage return that another one adds itself; a file or a pipe needs none.
        attributes.output_modes.set(OutputModes::ONLCR, is_typed_to && stdout().is_terminal());
        tcsetattr(&far, OptionalActions::Now, &attributes)?;
        tcsetwinsize(&far, window())?;
        fcntl_setfl(&near, fcntl_getfl(&near)? | OFlags::NONBLOCK)?;
        let raw = is_typed_to.then(Raw::new).transpose()?;
        Ok(Self { near: Arc::new(watched(near, Interest::READABLE | Interest::WRITABLE)?), far: Some(far), raw })
    }

    /// The command that starts a program as the leader of this terminal's session.
    pub(super) fn command(&mut self, name: &OsString, arguments: &[OsString]) -> io::Result<tokio::process::Command> {
        let far = self.far.take().ok_or(io::ErrorKind::NotConnected)?;
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.args([SESSION, "--"]).arg(name).args(arguments);
        command.stdin(if self.raw.is_some() { Stdio::from(far.try_clone()?) } else { Stdio::inherit() });
        command.stdout(far.try_clone()?).stderr(far);
        Ok(command)
    }

    /// What the process prints. Ends when nobody can print to the terminal any more.
    pub(super) fn printed(&self) -> Printed {
        Printed(Arc::clone(&self.near))
    }

    /// Passes on what is typed, and the size of the window. Ends only if there is nothing to pass on.
    pub(super) async fn pass_on(&self) {
        let typed = async {
            if self.raw.is_some()
                && let Err(error) = type_into(&self.near).await
            {
                debug!(%error, "what is typed cannot be passed on any more");
            }
        };
        let sizes = async {
            let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
            while changes.recv().await.is_some() {
                self.fit();
            }
        };
        tokio::join!(typed, sizes);
    }

    /// Gives our terminal back for as long as we are stopped.
    pub(super) fn leave(&self) {
        self.raw.iter().for_each(Raw::leave);
    }

    /// Takes it again.
    pub(super) fn enter(&self) {
        if let Some(Err(error)) = self.raw.as_ref().map(Raw::enter) {
            debug!(%error, "the terminal cannot be made raw again");
        }
        self.fit();
    }

    fn fit(&self) {
        // The kernel tells the process.
        if let Err(error) = tcsetwinsize(self.near.get_ref(), window()) {
            debug!(%error, "the size of the window cannot be passed on");
        }
    }
}

/// The size of our window, if one of our standard streams is a terminal.
fn window() -> Winsize {
    let stderr = io::stderr();
    let (stdin, stdout) = (stdin(), stdout());
    let ours: [BorrowedFd<'_>; 3] = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    ours.into_iter().find_map(|fd| tcgetwinsize(fd).ok()).filter(|size| size.ws_col > 0).unwrap_or(WINDOW)
}

/// Lets the runtime tell when something can be done with it.
#[expect(deprecated, reason = "what came in its place is unsafe code, for the sake of types that close what they own")]
fn watched<T: AsFd + AsRawFd>(owned: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owned, interest)
}

/// Passes on what is typed until our terminal is gone.
async fn type_into(near: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let stdin = watched(stdin(), Interest::READABLE)?;
    let mut buffer = [0; 1024];
    loop {
        let mut ready = stdin.readable().await?;
        // Reading would wait: the terminal is shared with others, so it cannot be told not to.
        if poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&Timespec::default()))? == 0 {
            ready.clear_ready();
            continue;
        }
        let length = rustix::io::read(&stdin, &mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut typed = &buffer[..length];
        while !typed.is_empty() {
            let written = near.async_io(Interest::WRITABLE, |near| Ok(rustix::io::write(near, typed)?)).await?;
            typed = &typed[written..];
        }
    }
}

/// What comes out of a process's terminal.
#[derive(Debug)]
pub(super) struct Printed(Arc<AsyncFd<OwnedFd>>);

impl AsyncRead for Printed {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            match ready.try_io(|near| Ok(rustix::io::read(near, unfilled)?)) {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // Nobody has the other end any more.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

/// Becomes the program, as the leader of a session whose terminal is our standard output. Returns if that fails.
#[must_use]
pub fn lead_session(name: &OsString, arguments: &[OsString]) -> io::Error {
    if let Err(error) = setsid().and_then(|_| ioctl_tiocsctty(stdout())) {
        return error.into();
    }
    Command::new(name).args(arguments).exec()
}
