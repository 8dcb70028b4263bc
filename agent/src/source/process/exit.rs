//! How a process ended.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::Signal;

use crate::record::wire::{Value, record_attribute};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// As a shell tells it: 128 and the signal's number if a signal ended it.
    pub code: u8,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel wrote its memory down.
    pub has_dumped_core: bool,
    /// Whether the kernel ended it, or a process beside it, for want of memory.
    pub is_oom_killed: bool,
}

const NAMES: [(Signal, &str); 18] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::USR1, "SIGUSR1"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::TERM, "SIGTERM"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::XFSZ, "SIGXFSZ"),
    (Signal::SYS, "SIGSYS"),
];

impl Exit {
    /// What the kernel says, and whether memory was short meanwhile.
    pub(super) fn new(status: ExitStatus, was_memory_short: bool) -> Self {
        let signal = status.signal();
        let code = signal.map_or_else(|| status.code().unwrap_or(1), |signal| 128 + signal);
        Self {
            code: u8::try_from(code & 0xff).unwrap_or(1),
            signal,
            has_dumped_core: status.core_dumped(),
            // A launcher whose worker was killed ends with a code of its own.
            is_oom_killed: was_memory_short && code != 0,
        }
    }

    /// The name of the signal that ended it.
    fn signal_name(self) -> Option<String> {
        let number = self.signal?;
        let known = NAMES.iter().find(|(signal, _)| signal.as_raw() == number);
        Some(known.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned()))
    }

    /// The end of a sentence that begins with who ended.
    pub(super) fn tell(self) -> String {
        let mut text = match self.signal_name() {
            Some(signal) => format!("was ended by {signal}"),
            None => format!("ended with exit code {}", self.code),
        };
        if self.has_dumped_core {
            text += ", core dumped";
        }
        if self.is_oom_killed {
            text += "; the kernel killed a process for want of memory";
        }
        text
    }

    /// Appends what a record says of it.
    pub(super) fn describe(self, attributes: &mut Vec<u8>) {
        let result = if self.code == 0 { "success" } else { "failure" };
        record_attribute(attributes, "ml.run.result", Value::String(result));
        record_attribute(attributes, "process.exit.code", Value::Int(self.code.into()));
        if let Some(signal) = self.signal_name() {
            record_attribute(attributes, "runlog.exit.signal", Value::String(&signal));
        }
        if self.has_dumped_core {
            record_attribute(attributes, "runlog.exit.core_dumped", Value::Bool(true));
        }
        if self.is_oom_killed {
            record_attribute(attributes, "runlog.oom_killed", Value::Bool(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_as_a_shell_counts_and_with_its_reason() {
        for (raw, was_memory_short, code, text) in [
            (0, true, 0, "ended with exit code 0"),
            (3 << 8, false, 3, "ended with exit code 3"),
            (1 << 8, true, 1, "ended with exit code 1; the kernel killed a process for want of memory"),
            (9, false, 137, "was ended by SIGKILL"),
            (9, true, 137, "was ended by SIGKILL; the kernel killed a process for want of memory"),
            (11 | 0x80, false, 139, "was ended by SIGSEGV, core dumped"),
            (64, false, 192, "was ended by signal 64"),
        ] {
            let exit = Exit::new(ExitStatus::from_raw(raw), was_memory_short);
            assert_eq!((exit.code, exit.tell().as_str()), (code, text));
        }
    }
}
