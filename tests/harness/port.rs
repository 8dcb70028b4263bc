//! Ports for servers that are not there yet, or come back.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that refuses connections, and that nobody else is given: neither who asks for a free one nor
/// who connects to somewhere. A server that is told its number can listen there.
#[derive(Debug)]
pub struct Port {
    /// Bound, and never listening. A server shares the address, since both say that they would (`SO_REUSEADDR`).
    _held: TcpSocket,
    address: SocketAddr,
}

impl Port {
    /// Takes a free one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it takes a port")]
    pub fn new() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = held.local_addr().unwrap();
        Self { _held: held, address }
    }

    /// The address, such as `127.0.0.1:4319`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The same as `export.endpoint` takes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.address.port()
    }
}
