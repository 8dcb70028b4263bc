//! Requests made by hand, since no client would send them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use runlog_tests::Agent;

use crate::client;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where an agent receives OTLP, or serves.
#[derive(Debug, Clone)]
pub struct Address(String);

impl Address {
    /// Where it receives.
    pub fn of_receiver(agent: &Agent) -> Self {
        Self(client::address(agent).replace("http://", ""))
    }

    /// Where it serves health, metrics and the page.
    pub fn of_page(agent: &Agent) -> Self {
        Self(agent.address().replace("http://", ""))
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The head of a POST of that many bytes.
    pub fn head(&self, path: &str, headers: &str, bytes: usize) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {bytes}\r\nConnection: close\r\n{headers}\r\n",
            self.0
        )
    }

    /// The status that a POST is answered with, and the answer. Zero if the connection was closed instead.
    pub fn post(&self, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        stream.write_all(self.head(path, headers, body.len()).as_bytes()).unwrap();
        // It may be refused before it has all been read.
        let _ = stream.write_all(body);
        answer(stream)
    }

    /// What those bytes are answered with.
    pub fn send(&self, bytes: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        answer(stream)
    }
}

/// Reads an answer to its end.
pub fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    // A server that closes a connection with unread bytes resets it.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    (status.unwrap_or(0), text)
}

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The begin of a connection of HTTP/2.
pub fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, b"")].concat()
}

/// The fields `:method POST`, `:scheme http`, `:path /` of a request's head.
pub const FIELDS: &[u8] = b"\x83\x86\x84";
