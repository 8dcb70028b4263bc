//! What can happen to a connection below a request.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use h2::Reason;
use hyper::{HeaderMap, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};

use super::{
    server::{Reply, Server, Speaks, map},
    *,
};

/// What an HTTP/2 server does with a connection before it answers what comes by it.
#[derive(Clone, Copy)]
enum Quirk {
    /// Takes nothing from the first connections and says good-bye.
    GoAway,
    /// Resets the first streams without having looked at them.
    RefuseStreams,
    /// Lets one request come at a time.
    OneStream,
}

/// A gRPC server with a quirk for the first so many; counts what it has seen of it.
async fn quirky(quirk: Quirk, times: usize) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&counted);
            connections.spawn(async move {
                if matches!(quirk, Quirk::GoAway) && seen.fetch_add(1, Relaxed) < times {
                    return say_good_bye(stream).await;
                }
                let mut builder = h2::server::Builder::new();
                if matches!(quirk, Quirk::OneStream) {
                    builder.max_concurrent_streams(1);
                }
                let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    if matches!(quirk, Quirk::RefuseStreams) && seen.fetch_add(1, Relaxed) < times {
                        respond.send_reset(Reason::REFUSED_STREAM);
                        continue;
                    }
                    let alone = Arc::clone(&seen);
                    tokio::spawn(async move {
                        if matches!(quirk, Quirk::OneStream) {
                            assert_eq!(alone.fetch_add(1, Relaxed), 0, "two streams at once");
                        }
                        let mut body = request.into_body();
                        while let Some(Ok(part)) = body.data().await {
                            let _ = body.flow_control().release_capacity(part.len());
                        }
                        alone.fetch_sub(usize::from(matches!(quirk, Quirk::OneStream)), Relaxed);
                        let mut response = Response::new(());
                        *response.headers_mut() = map(&[("content-type", "application/grpc")]);
                        if let Ok(mut stream) = respond.send_response(response, false) {
                            let _ = stream.send_data(Bytes::from_static(&[0; 5]), false);
                            let _ = stream.send_trailers(map(&[("grpc-status", "0")]));
                        }
                    });
                }
            });
        }
    });
    (url, seen, accepting)
}

/// Says that no request was looked at (RFC 9113, section 6.8), once one may have come, and waits for the client to go.
async fn say_good_bye(mut stream: TcpStream) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut read = vec![0; 1 << 16];
    let _ = stream.read(&mut read).await;
    let _ = stream.write_all(&SETTINGS).await;
    let _ = stream.read(&mut read).await;
    let _ = stream.write_all(&GO_AWAY).await;
    while stream.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {}
}

#[tokio::test]
async fn x17_a_request_that_the_server_has_not_looked_at_is_sent_again_at_once() {
    for quirk in [Quirk::GoAway, Quirk::RefuseStreams] {
        let (url, seen, server) = quirky(quirk, 2).await;
        let config = config(&url, Protocol::Grpc, Compression::Gzip);
        assert_eq!(deliver_once(&config, &lines(10)).await, accepted());
        assert_eq!(seen.load(Relaxed), 3, "twice for nothing, then taken");
        server.abort();

        let (url, _, server) = quirky(quirk, usize::MAX).await;
        let config = Config { endpoint: Url::parse(&url).unwrap(), ..config };
        assert!(matches!(deliver_once(&config, &lines(10)).await, Delivery::Retry { .. }), "not for ever");
        server.abort();
    }
}

#[tokio::test]
async fn x17_a_server_that_takes_one_stream_at_a_time_gets_them_so() {
    let (url, _, server) = quirky(Quirk::OneStream, 0).await;
    let exporter = Arc::new(otlp(&config(&url, Protocol::Grpc, Compression::Gzip)));
    let (meta, body) = batch(&lines(1000));
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let (exporter, meta, body) = (Arc::clone(&exporter), meta.clone(), body.clone());
        requests.spawn(async move { exporter.deliver(1, &meta, &body).await });
    }
    assert_eq!(requests.join_all().await, vec![accepted(); 8]);
    server.abort();
}

/// A peer that is gone without a word leaves a connection that looks alive, and HTTP/2 sends every request by it.
#[tokio::test]
async fn x10_after_a_request_without_an_answer_the_next_takes_another_connection() {
    for (speaks, protocol) in [(Speaks::Http1, Protocol::HttpProtobuf), (Speaks::Http2, Protocol::Grpc)] {
        let server = Server::start(speaks, move |before, seen| match (before, protocol) {
            (1.., _) if seen.connection == 0 => Reply::Never,
            (_, Protocol::HttpProtobuf) => Reply::status(200),
            (_, Protocol::Grpc) => Reply::Answer {
                status: 200,
                headers: map(&[("content-type", "application/grpc")]),
                body: vec![0; 5],
                trailers: map(&[("grpc-status", "0")]),
            },
        })
        .await;
        let timeout = Duration::from_secs(2);
        let config = Config { timeout, ..config(&server.url("/v1/logs"), protocol, Compression::Gzip) };
        let exporter = otlp(&config);
        let (meta, body) = batch(&lines(1));
        assert_eq!(exporter.deliver(1, &meta, &body).await, accepted());
        let gone = Delivery::Retry { after: None, reason: "no answer within 2s".into() };
        assert_eq!(exporter.deliver(2, &meta, &body).await, gone);
        assert_eq!(exporter.deliver(2, &meta, &body).await, accepted());
        let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [0, 0, 1], "{protocol:?}");
    }
}

/// Here its kernel drops what would open a connection, as a pod's address does that is routed nowhere.
#[tokio::test]
async fn x10_a_host_that_says_nothing_is_given_up_after_five_seconds_and_not_after_the_kernels_two_minutes() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let _full = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    // Nobody accepts these, so that there is no place for another.
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let timeout = Duration::from_secs(60);
    let config = Config { timeout, ..config(&format!("http://{address}"), Protocol::Grpc, Compression::Gzip) };
    let started = Instant::now();
    assert!(matches!(deliver_once(&config, &lines(1)).await, Delivery::Retry { .. }));
    let took = started.elapsed().as_secs_f64();
    assert!((4.9..55.0).contains(&took), "{took} s");
}

#[tokio::test]
async fn x10_an_answer_that_does_not_go_on_is_left_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/logs", listener.local_addr().unwrap());
    let timeout = Duration::from_secs(2);
    let config = Config { timeout, ..config(&url, Protocol::HttpProtobuf, Compression::Gzip) };
    let lines = lines(1);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        let head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nbeg";
        stream.write_all(head).await.unwrap();
        stream
    };
    let (delivery, _stream) = tokio::join!(deliver_once(&config, &lines), serve);
    assert_eq!(delivery, Delivery::Retry { after: None, reason: "answered 503 Service Unavailable".into() });
}

/// So a small answer cannot become a large one.
#[tokio::test]
async fn x16_a_compressed_answer_is_neither_asked_for_nor_unpacked() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &[0; 1 << 20]).unwrap();
    let (bomb, mut headers) = (gzip.finish().unwrap(), HeaderMap::new());
    headers.extend(map(&[("content-type", "application/x-protobuf"), ("content-encoding", "gzip")]));
    let server = Server::start(Speaks::Http1, move |_, _| Reply::Answer {
        status: 200,
        headers: headers.clone(),
        body: bomb.clone(),
        trailers: HeaderMap::new(),
    })
    .await;
    let config = config(&server.url("/v1/logs"), Protocol::HttpProtobuf, Compression::Gzip);
    let Delivery::Accepted { rejected: 0, message } = deliver_once(&config, &lines(1)).await else {
        panic!("a success stays one")
    };
    assert!(message.contains("is no OTLP"), "{message}");
    assert_eq!(server.seen()[0].header("accept-encoding"), None);
}

/// Or a name that has moved would be noticed when its old address goes down, and load would never spread again.
#[tokio::test]
async fn x11_a_connection_is_replaced_after_some_minutes_although_it_works() {
    let server = Server::start(Speaks::Http2, |_, _| Reply::Answer {
        status: 200,
        headers: map(&[("content-type", "application/grpc")]),
        body: vec![0; 5],
        trailers: map(&[("grpc-status", "0")]),
    })
    .await;
    let exporter = otlp(&config(&server.url(""), Protocol::Grpc, Compression::Gzip));
    let (meta, body) = batch(&lines(1));
    // Never idle long enough to be given up for that.
    for _ in 0..320 {
        assert_eq!(exporter.deliver(1, &meta, &body).await, accepted());
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
    }
    let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    let first = connections.iter().filter(|connection| **connection == 0).count();
    assert!((240..=300).contains(&first), "{first} seconds by the first connection");
    assert_eq!(connections[first..], vec![1; 320 - first]);
}
