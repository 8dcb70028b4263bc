//! What an engine is asked: nothing but what this table allows, so that a proxy before it may refuse all else.
//!
//! The engine's socket is as good as root on its host, and mounting it read-only changes nothing about that.

use std::{io, path::Path};

use bollard::{BollardRequest, errors::Error as EngineError};
use hyper::{
    Method, Response, Uri,
    body::Incoming,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// The request is none that runlog has to make.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not asked of an engine")]
pub(super) struct NotAsked(String);

/// Looks at a request before it is sent. All of them are GETs.
pub(super) fn check(path: &str) -> Result<(), NotAsked> {
    let (path, _query) = path.split_once('?').unwrap_or((path, ""));
    let words: Vec<&str> = path.split('/').collect();
    let is_allowed = match words.as_slice() {
        ["", "_ping" | "version" | "info" | "events"] | ["", "containers", "json"] => true,
        ["", "containers", id, "json" | "logs"] => is_id(id),
        _ => false,
    };
    if is_allowed { Ok(()) } else { Err(NotAsked(path.to_owned())) }
}

fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(is_plain)
}

/// Sends a request of bollard's, on a connection of its own.
pub(super) async fn send(socket: &Path, request: BollardRequest) -> Result<Response<Incoming>, EngineError> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let asked = if head.method == Method::GET { check(&path) } else { Err(NotAsked(head.method.to_string())) };
    asked.map_err(io::Error::other)?;
    head.uri = Uri::try_from(path).map_err(io::Error::other)?;
    head.headers.insert(HOST, HeaderValue::from_static("docker"));
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Nobody waits for it: it ends with the answer, or when that is not read any more.
    tokio::spawn(connection);
    Ok(sender.send_request(hyper::Request::from_parts(head, body)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h11_only_what_reads_is_asked() {
        let allowed = [
            "/_ping",
            "/version",
            "/info",
            "/events?since=1.5&filters=%7B%7D",
            "/containers/json?all=true",
            "/containers/3f1c0a5e9b7d/json",
            "/containers/a.name_of-one/logs?follow=1",
        ];
        for path in allowed {
            assert!(check(path).is_ok(), "{path}");
        }
        let refused = [
            "/",
            "",
            "_ping",
            "/images/json",
            "/containers/create",
            "/containers/3f1c0a5e9b7d/archive?path=/etc/shadow",
            "/containers/3f1c0a5e9b7d/attach",
            "/containers/3f1c0a5e9b7d/logs/",
            "/containers/../secrets/json",
            "/containers/a b/json",
            "/containers/a\r\nHost: x/logs",
            "/containers//json",
            "/v1.44/containers/json",
            "/secrets",
            "/exec/1/json",
        ];
        for path in refused {
            assert!(check(path).is_err(), "{path}");
        }
    }
}
