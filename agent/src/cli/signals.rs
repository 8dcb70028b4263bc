//! Signals.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::debug;

use super::exit::{Exit, Failure};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// SIGTERM or SIGINT: to read to the end, deliver, and end.
    Stop,
    /// SIGHUP: to read the settings again. From a terminal that closes, it is a stop.
    Reload,
}

/// The signals that runlog answers to.
///
/// SIGUSR1 and SIGUSR2 are a training's own. They are caught as well, since one that is sent to a whole process group
/// would end runlog otherwise.
pub struct Signals {
    stop: [Signal; 2],
    reload: Signal,
    others: [Signal; 2],
}

impl Signals {
    /// Catches from now on.
    pub fn catch() -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(|error| Failure::new(Exit::Bug, error));
        Ok(Self {
            stop: [catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?],
            reload: catch(SignalKind::hangup())?,
            others: [catch(SignalKind::user_defined1())?, catch(SignalKind::user_defined2())?],
        })
    }

    /// Waits for the next signal that asks for something. Cancel safe.
    pub async fn next(&mut self) -> Told {
        let ([term, int], [usr1, usr2]) = (&mut self.stop, &mut self.others);
        loop {
            tokio::select! {
                _ = term.recv() => return Told::Stop,
                _ = int.recv() => return Told::Stop,
                _ = self.reload.recv() => {
                    return if io::stdin().is_terminal() { Told::Stop } else { Told::Reload };
                }
                _ = usr1.recv() => debug!("SIGUSR1 is for the training, not for runlog"),
                _ = usr2.recv() => debug!("SIGUSR2 is for the training, not for runlog"),
            }
        }
    }

    /// Waits until the end is asked for. Cancel safe.
    pub async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}
