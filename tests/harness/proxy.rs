//! A proxy before an engine's socket, as careful people run it.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

/// Lets through what `docs/sources.md` says that runlog asks an engine, answers 403 to all else, and remembers both.
#[derive(Debug)]
pub struct SocketProxy {
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    allowed: Vec<String>,
    refused: Vec<String>,
}

impl SocketProxy {
    /// One before the engine of that `DOCKER_HOST`.
    #[must_use]
    pub fn before(host: &str) -> Self {
        let engine = PathBuf::from(host.strip_prefix("unix://").unwrap());
        let folder = tempfile::Builder::new().prefix("rl").tempdir_in("/tmp").unwrap();
        let proxy = Self { folder, seen: Arc::default() };
        let listener = UnixListener::bind(proxy.socket()).unwrap();
        let seen = Arc::clone(&proxy.seen);
        // These threads end with the process of the test.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, engine, seen) = (client.unwrap(), engine.clone(), Arc::clone(&seen));
                // Either end of the connection may go at any time.
                thread::spawn(move || serve(client, &engine, &seen).unwrap_or_default());
            }
        });
        proxy
    }

    /// Its `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Methods and paths of what was let through.
    #[must_use]
    pub fn allowed(&self) -> Vec<String> {
        self.seen.lock().unwrap().allowed.clone()
    }

    /// Methods and paths of what was not.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.seen.lock().unwrap().refused.clone()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("proxy.sock")
    }
}

/// Passes one request on, and the answer back.
fn serve(mut client: UnixStream, engine: &Path, seen: &Mutex<Seen>) -> io::Result<()> {
    let head = head(&mut client)?;
    let asked = head.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
    if !is_allowed(&asked) {
        seen.lock().unwrap().refused.push(asked);
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    }
    seen.lock().unwrap().allowed.push(asked);
    let mut engine = UnixStream::connect(engine)?;
    engine.write_all(head.as_bytes())?;
    let (mut further, ended) = (client.try_clone()?, engine.try_clone()?);
    let answering = thread::spawn(move || io::copy(&mut engine, &mut client).and(client.shutdown(Shutdown::Both)));
    // Another request on the same connection would pass unseen.
    let count = further.read(&mut [0])?;
    if count > 0 {
        seen.lock().unwrap().refused.push("more than one request".to_owned());
    }
    ended.shutdown(Shutdown::Both)?;
    answering.join().unwrap()
}

fn head(client: &mut UnixStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

fn is_allowed(asked: &str) -> bool {
    let Some(path) = asked.strip_prefix("GET /") else { return false };
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["_ping" | "version" | "info" | "events"] | ["containers", "json"] => true,
        ["containers", id, "json" | "logs"] => id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => false,
    }
}
