//! Questions to a backend on this machine.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::PATIENCE;

/// The body that is answered to `GET path`, if somebody answers.
pub fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    // One that is stuck is no reason to wait for ever.
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// A text as it is written in a query.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The results in an answer to that query, in the form of Prometheus's HTTP API.
pub fn results(query: &str, answer: &str) -> Vec<Value> {
    let told: Value = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{query}: {answer}"));
    assert_eq!(told["status"], "success", "{query}: {answer}");
    told["data"]["result"].as_array().unwrap().clone()
}
