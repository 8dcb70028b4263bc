//! Signals that are meant for the process.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, getpid, kill_process, kill_process_group},
};
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};
use tracing::debug;

use super::terminal::Terminal;

/// Signals that ask for an end.
const END: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// A signal that asks for an end so soon after another one is the same request: timeout(1) tells its child and then its whole
/// group, and a wrapper passes on what a terminal has sent to all.
const ECHO: Duration = Duration::from_millis(200);

/// Signals of the training's own.
const ITS_OWN: [Signal; 2] = [Signal::USR1, Signal::USR2];

/// Signals that stop a process for a while and let it go on.
const PAUSE: [Signal; 2] = [Signal::TSTP, Signal::CONT];

/// Catches the signals that a process may be sent and passes them on.
#[derive(Debug)]
pub struct Forwarder {
    caught: Vec<(Signal, Caught)>,
}

impl Forwarder {
    /// Catches from now on what a wrapped process may be sent.
    ///
    /// # Errors
    /// If the kernel refuses a signal's action.
    pub fn catch() -> io::Result<Self> {
        Self::of(&[&END[..], &ITS_OWN, &PAUSE].concat())
    }

    /// Catches from now on what is sent to all processes of a pipeline, and may end none that reads from another.
    ///
    /// # Errors
    /// If the kernel refuses a signal's action.
    pub fn of_pipeline() -> io::Result<Self> {
        Self::of(&[&END[..], &ITS_OWN].concat())
    }

    fn of(signals: &[Signal]) -> io::Result<Self> {
        let caught = signals.iter().map(|number| Ok((*number, signal(SignalKind::from_raw(number.as_raw()))?)));
        Ok(Self { caught: caught.collect::<io::Result<_>>()? })
    }

    /// Passes signals on for as long as it is polled: to the process, or to all of its group if it has a terminal of
    /// its own, as terminals do.
    pub async fn forward_to(&mut self, pid: Option<u32>, terminal: Option<&Terminal>) {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        loop {
            let number = self.next().await;
            // A terminal sends these to the whole foreground group itself, the process included.
            let is_from_terminal = terminal.is_none()
                && matches!(number, Signal::INT | Signal::QUIT | Signal::TSTP)
                && io::stdin().is_terminal();
            if let Some(pid) = pid.filter(|_| !is_from_terminal)
                && let Err(error) = send(pid, number, terminal.is_some())
            {
                debug!(signal = number.as_raw(), error = %error, "cannot pass a signal on");
            }
            if number == Signal::TSTP {
                stop_here(terminal);
            }
        }
    }

    /// Waits for a signal that asks for an end. Once the process has ended, signals are for us. Cancel safe.
    pub async fn told_to_end(&mut self) {
        while !END.contains(&self.next().await) {}
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (number, caught) in &mut self.caught {
                if caught.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Waits until an end that was just asked for is asked for once more. `asked` waits for the next signal that does so.
pub async fn asked_again(mut asked: impl AsyncFnMut()) {
    let first = Instant::now();
    asked().await;
    while first.elapsed() < ECHO {
        asked().await;
    }
}

fn send(pid: Pid, number: Signal, is_leader: bool) -> rustix::io::Result<()> {
    if is_leader {
        match kill_process_group(pid, number) {
            // It has not become the leader of its group yet.
            Err(Errno::SRCH) => {}
            sent => return sent,
        }
    }
    kill_process(pid, number)
}

/// Stops as SIGTSTP does where nobody catches it, with our terminal as it was before.
fn stop_here(terminal: Option<&Terminal>) {
    terminal.inspect(|terminal| terminal.leave());
    if let Err(error) = kill_process(getpid(), Signal::STOP) {
        debug!(error = %error, "cannot stop");
    }
    // Here it goes on after SIGCONT.
    terminal.inspect(|terminal| terminal.enter());
}
