//! Telling systemd how the agent is doing.
//!
//! Source: `sd_notify(3)`: one datagram of `NAME=value` to the socket in `NOTIFY_SOCKET`, a path or, with a leading
//! `@`, an abstract name.

use std::{
    collections::BTreeMap,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
    time::Duration,
};

use tracing::{debug, warn};

/// systemd, if there is one that wants to know.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    socket: Option<Arc<UnixDatagram>>,
    /// How soon after a sign of life the next is due.
    pub watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says.
    pub fn of(environment: &BTreeMap<String, String>) -> Self {
        let Some(name) = environment.get("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let socket = match connect(name) {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                warn!(error = %error, "cannot tell systemd that runlog is ready (NOTIFY_SOCKET={name})");
                return Self::default();
            }
        };
        // Set for another process if there is an id and it is not ours.
        let is_ours = environment.get("WATCHDOG_PID").is_none_or(|pid| *pid == std::process::id().to_string());
        let period = environment.get("WATCHDOG_USEC").filter(|_| is_ours).and_then(|period| period.parse().ok());
        Self { socket: Some(socket), watchdog: period.map(Duration::from_micros) }
    }

    /// Everything has started.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The settings are read again.
    pub fn reloading(&self) {
        self.say("RELOADING=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// A sign of life.
    pub fn well(&self) {
        if self.watchdog.is_some() {
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, state: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(state.as_bytes())) {
            debug!(state, error = %error, "cannot tell systemd");
        }
    }
}

fn connect(name: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // One that does not read must not hold the watchdog's thread.
    socket.set_nonblocking(true)?;
    match name.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s13_systemd_is_told_by_path_or_abstract_name_and_of_life_only_if_it_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify").display().to_string();
        let name = format!("runlog-test-{}", std::process::id());
        let sockets = [
            (path.clone(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}"), UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap()),
        ];
        for (name, socket) in sockets {
            let hears = || {
                let mut buffer = [0; 64];
                let length = socket.recv(&mut buffer).unwrap();
                String::from_utf8(buffer[..length].to_vec()).unwrap()
            };
            let mut environment = BTreeMap::from([("NOTIFY_SOCKET".to_owned(), name)]);
            let silent = Notify::of(&environment);
            silent.well();
            silent.ready();
            assert_eq!(hears(), "READY=1");

            environment.insert("WATCHDOG_USEC".to_owned(), "30000000".to_owned());
            let watched = Notify::of(&environment);
            assert_eq!(watched.watchdog, Some(Duration::from_secs(30)));
            watched.well();
            assert_eq!(hears(), "WATCHDOG=1");

            environment.insert("WATCHDOG_PID".to_owned(), "1".to_owned());
            assert_eq!(Notify::of(&environment).watchdog, None, "that is another process");
        }
    }
}
