//! A backend that can be in any mood, down to its connections.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use runlog_tests::SinkRequest;

use crate::{found::Request, plan::Mood};

/// How often it is looked whether a mood has changed or a connection waits.
const PAUSE: Duration = Duration::from_millis(3);
/// A client that says nothing for so long is not waited for.
const SILENCE: Duration = Duration::from_secs(60);

/// Listens on an address of its own, so that nobody else can take the port while it is away.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    /// What it has taken and not looked into yet: a client does not wait for that.
    received: Mutex<Vec<SinkRequest>>,
    taken: Mutex<Vec<Request>>,
    met: Mutex<BTreeMap<&'static str, u64>>,
    is_over: AtomicBool,
}

impl Backend {
    /// One that is well.
    pub fn start(random: &mut fastrand::Rng) -> Self {
        let host = Ipv4Addr::new(127, random.u8(1..255), random.u8(..), random.u8(1..255));
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Well),
            received: Mutex::default(),
            taken: Mutex::default(),
            met: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        // Ends when the backend is dropped.
        thread::spawn(move || own.listen(listener, address));
        Self { address, shared }
    }

    /// Its address as `export.endpoint` takes it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Treats requests so from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Whether it has taken a line with that body.
    pub fn has(&self, body: &str) -> bool {
        self.shared.taken().iter().any(|request| request.has(body))
    }

    /// How many lines it has taken, those that were sent again among them.
    pub fn lines(&self) -> usize {
        self.shared.taken().iter().map(Request::lines).sum()
    }

    /// What it has taken, in order.
    pub fn taken(&self) -> Vec<Request> {
        self.shared.taken().clone()
    }

    /// How many requests met each mood.
    pub fn met(&self) -> BTreeMap<&'static str, u64> {
        self.shared.met.lock().unwrap().clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Request>> {
        let mut taken = self.taken.lock().unwrap();
        let received = std::mem::take(&mut *self.received.lock().unwrap());
        taken.extend(received.iter().map(Request::read));
        taken
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn listen(self: &Arc<Self>, listener: TcpListener, address: SocketAddr) {
        let mut listener = Some(listener);
        while !self.is_over() {
            if self.mood() == Mood::Away {
                listener = None;
            } else if listener.is_none() {
                listener = Some(TcpListener::bind(address).unwrap());
            }
            let accepted = listener.as_ref().map(|listener| {
                listener.set_nonblocking(true).unwrap();
                listener.accept()
            });
            match accepted {
                Some(Ok((stream, _))) => {
                    let own = Arc::clone(self);
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(SILENCE)).unwrap();
                    // Ends with its connection.
                    thread::spawn(move || own.serve(&stream));
                }
                Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => panic!("cannot accept: {error}"),
                Some(Err(_)) | None => thread::sleep(PAUSE),
            }
        }
    }

    /// Answers one request after the other. A client that is killed or gives up may break off anywhere.
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (path, headers) = head(&mut reader)?;
            if matches!(self.mood(), Mood::Drops | Mood::Away) {
                return self.meet(self.mood());
            }
            let length = headers.get("content-length").expect("runlog says how long a request is").parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let request = SinkRequest { path, headers, body: body.into() };
            let answer = self.answer(request)?;
            (&mut &*stream).write_all(&answer).ok()?;
        }
    }

    /// `None` if the connection is to be closed without an answer.
    fn answer(&self, request: SinkRequest) -> Option<Vec<u8>> {
        let mood = self.mood();
        self.meet(mood);
        let take = || self.received.lock().unwrap().push(request);
        match mood {
            Mood::Well => take(),
            Mood::Away | Mood::Drops => return None,
            Mood::Answers(status, wish) => return Some(answer(status, wish, &[])),
            Mood::Hangs => {
                take();
                let began = Instant::now();
                while self.mood() == mood && !self.is_over() && began.elapsed() < SILENCE {
                    thread::sleep(PAUSE);
                }
                return None;
            }
            Mood::TakesAndDrops => {
                take();
                return None;
            }
            Mood::RejectsOne => {
                take();
                let partial =
                    ExportLogsPartialSuccess { rejected_log_records: 1, error_message: "one is too old".into() };
                let response = ExportLogsServiceResponse { partial_success: Some(partial) };
                return Some(answer(200, None, &response.encode_to_vec()));
            }
            Mood::Slow(pause) => {
                thread::sleep(pause);
                take();
            }
        }
        Some(answer(200, None, &[]))
    }

    fn meet(&self, mood: Mood) -> Option<()> {
        *self.met.lock().unwrap().entry(mood.name()).or_default() += 1;
        None
    }
}

/// Path and headers of the next request, names in lower case.
fn head(reader: &mut BufReader<&TcpStream>) -> Option<(String, BTreeMap<String, String>)> {
    let mut line = || {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { return Some((path, headers)) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn answer(status: u16, wish: Option<&str>, body: &[u8]) -> Vec<u8> {
    let wish = wish.map_or(String::new(), |wish| format!("retry-after: {wish}\r\n"));
    let head = format!(
        "HTTP/1.1 {status} So\r\ncontent-type: application/x-protobuf\r\n{wish}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
