//! As much of HTTP/1.1 as OTLP clients use: requests with a `Content-Length`, one after the other.
//!
//! Source: RFC 9112. Chunked bodies are refused; agents know the length of what they send.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use super::arrivals::{Arrivals, Encoding};

const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_BODY_BYTES: usize = 64 << 20;
const LOGS: &str = "/v1/logs";
const METRICS: &str = "/v1/metrics";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A response of OTLP in which nothing was rejected is empty.
const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// Answers the requests of one connection until its client ends it or sends something that is not HTTP.
///
/// # Errors
/// If the connection breaks.
pub fn answer(mut stream: TcpStream, arrivals: &Arrivals) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(MAX_HEAD_BYTES);
    while let Some(head_end) = read_head(&mut stream, &mut bytes)? {
        let head = match Head::read(&bytes[..head_end]) {
            Ok(head) => head,
            Err(refusal) => {
                refuse(&mut stream, refusal)?;
                return Ok(());
            }
        };
        // What came with the head is copied; the rest goes straight to where it stays.
        let mut body = Vec::with_capacity(head.body_bytes);
        let at_hand = (bytes.len() - head_end).min(head.body_bytes);
        body.extend(bytes.drain(..head_end + at_hand).skip(head_end));
        let missing = head.body_bytes - at_hand;
        if Read::take(&stream, missing as u64).read_to_end(&mut body)? < missing {
            return Ok(());
        }
        // Metrics have no lines.
        if head.are_logs {
            arrivals.take(head.encoding, body, (head_end + head.body_bytes) as u64);
        }
        stream.write_all(ACCEPTED)?;
    }
    Ok(())
}

fn refuse(stream: &mut TcpStream, status: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
}

/// Reads until a head is complete; returns where it ends. `None` if the client has ended the connection or never
/// ends its head.
fn read_head(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut piece = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
            return Ok(Some(at + HEAD_END.len()));
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Ok(None);
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    are_logs: bool,
    encoding: Encoding,
    body_bytes: usize,
}

impl Head {
    /// Reads a head, or says with which status the request is refused.
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "400 Bad Request")?;
        let mut lines = text.split("\r\n");
        let mut request = lines.next().unwrap_or_default().split(' ');
        if request.next() != Some("POST") {
            return Err("405 Method Not Allowed");
        }
        let are_logs = match request.next() {
            Some(LOGS) => true,
            Some(METRICS) => false,
            _ => return Err("404 Not Found"),
        };
        let mut encoding = Encoding::Identity;
        let mut body_bytes = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                body_bytes = value.parse().ok();
            } else if name.eq_ignore_ascii_case("content-encoding") {
                encoding = Encoding::named(value).ok_or("415 Unsupported Media Type")?;
            }
        }
        let body_bytes = body_bytes.ok_or("411 Length Required")?;
        if body_bytes > MAX_BODY_BYTES {
            return Err("413 Content Too Large");
        }
        Ok(Self { are_logs, encoding, body_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_or_refused_with_their_status() {
        let zstd = Head { are_logs: true, encoding: Encoding::Zstd, body_bytes: 7 };
        let metrics = Head { are_logs: false, encoding: Encoding::Identity, body_bytes: 7 };
        for (head, expected) in [
            ("POST /v1/logs HTTP/1.1\r\ncontent-length: 7\r\nContent-Encoding: zstd\r\n\r\n", Ok(zstd)),
            (
                "POST /v1/logs HTTP/1.1\r\ncontent-encoding: br\r\ncontent-length: 7\r\n\r\n",
                Err("415 Unsupported Media Type"),
            ),
            ("POST /v1/logs HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", Err("411 Length Required")),
            ("POST /v1/logs HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", Err("413 Content Too Large")),
            ("POST /v1/metrics HTTP/1.1\r\ncontent-length: 7\r\n\r\n", Ok(metrics)),
            ("POST /v1/traces HTTP/1.1\r\ncontent-length: 7\r\n\r\n", Err("404 Not Found")),
            ("GET /v1/logs HTTP/1.1\r\n\r\n", Err("405 Method Not Allowed")),
        ] {
            assert_eq!(Head::read(head.as_bytes()), expected, "{head}");
        }
    }
}
