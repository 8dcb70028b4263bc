//! Signals that are meant for the process.

use std::io::{self, IsTerminal};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};
use tracing::debug;

/// Catches the signals that a process may be sent and passes them on. SIGUSR1 and SIGUSR2 belong to training.
#[derive(Debug)]
pub struct Forwarder {
    caught: Vec<(Signal, Caught)>,
}

impl Forwarder {
    /// Catches from now on.
    ///
    /// # Errors
    /// If the kernel refuses a signal's action.
    pub fn catch() -> io::Result<Self> {
        let all = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];
        let caught = all.into_iter().map(|number| Ok((number, signal(SignalKind::from_raw(number.as_raw()))?)));
        Ok(Self { caught: caught.collect::<io::Result<_>>()? })
    }

    /// Passes signals on for as long as it is polled.
    pub async fn forward_to(&mut self, pid: Option<u32>) {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        loop {
            let number = self.next().await;
            // A terminal sends these to the whole foreground group itself, the process included.
            let is_from_terminal = matches!(number, Signal::INT | Signal::QUIT) && io::stdin().is_terminal();
            if let Some(pid) = pid.filter(|_| !is_from_terminal)
                && let Err(error) = kill_process(pid, number)
            {
                debug!(signal = number.as_raw(), error = %error, "cannot pass a signal on");
            }
        }
    }

    /// Waits for a signal that asks for an end. Once the process has ended, signals are for us.
    pub async fn told_to_end(&mut self) {
        while matches!(self.next().await, Signal::USR1 | Signal::USR2) {}
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
