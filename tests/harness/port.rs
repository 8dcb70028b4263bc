//! A port that is chosen before somebody listens at it.

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that nobody else is given, neither to listen nor to connect from, until it is dropped.
///
/// Who is told of it may listen there, again and again, if it allows that a port is used by two (`SO_REUSEADDR`), as
/// servers do. This one never listens, so nobody is answered meanwhile.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: TcpSocket,
}

impl Port {
    /// A free one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it takes a port")]
    pub fn new() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { number: held.local_addr().unwrap().port(), _held: held }
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }
}
