//! A backend that only counts: OTLP over HTTP/1.1 and gRPC on one port of the loopback, one thread a connection.
//!
//! Goals: much cheaper than any agent while it runs, and sure about every line. Not goals: anything that a real backend
//! does with a record, or saying at once that a request cannot be read.

mod arrivals;
mod grpc;
mod http;

use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

pub use arrivals::{Arrivals, Totals};

use crate::format::Format;

/// More connections than any agent opens.
const MAX_CONNECTIONS: usize = 64;

/// A listening sink. Dropping it ends its connections and waits for its threads.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    arrivals: Arc<Arrivals>,
    is_stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

struct Connection {
    stream: TcpStream,
    answering: JoinHandle<()>,
}

impl Sink {
    /// Listens on a free port of the loopback for lines of that format.
    ///
    /// # Errors
    /// If the machine has no port or no thread left.
    pub fn start(format: Format) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let arrivals = Arc::new(Arrivals::new(format));
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (counted, stop) = (Arc::clone(&arrivals), Arc::clone(&is_stopped));
        let accepting = thread::Builder::new().spawn(move || accept(&listener, &counted, &stop))?;
        Ok(Self { address, arrivals, is_stopped, accepting: Some(accepting) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has arrived.
    #[must_use]
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
        // Wakes the thread from its accept. If even this fails, the thread is left to the process's end.
        if TcpStream::connect(self.address).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            let _ = accepting.join();
        }
    }
}

/// Ends when the sink is stopped, or the listener breaks; then every connection is ended and waited for.
fn accept(listener: &TcpListener, arrivals: &Arc<Arrivals>, stop: &AtomicBool) {
    let mut connections: Vec<Connection> = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if stop.load(Ordering::Acquire) {
            break;
        }
        connections.retain(|connection| !connection.answering.is_finished());
        if connections.len() < MAX_CONNECTIONS
            && let Ok(kept) = stream.try_clone()
        {
            let arrivals = Arc::clone(arrivals);
            // A connection that breaks is the client's to notice.
            let answering = thread::spawn(move || answer(stream, &arrivals).unwrap_or_default());
            connections.push(Connection { stream: kept, answering });
        }
    }
    for connection in connections {
        let _ = connection.stream.shutdown(Shutdown::Both);
        let _ = connection.answering.join();
    }
}

/// Answers in the protocol that the client begins with.
fn answer(stream: TcpStream, arrivals: &Arc<Arrivals>) -> io::Result<()> {
    // No method of HTTP/1.1 that is answered here begins with the first byte of HTTP/2's preface but POST with its
    // first, so two are looked at.
    let mut first = [0; 2];
    while stream.peek(&mut first)? == 1 {
        thread::yield_now();
    }
    if first == *b"PR" { grpc::answer(stream, arrivals) } else { http::answer(stream, arrivals) }
}

#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;
