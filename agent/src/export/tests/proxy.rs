//! Proxies on the way.

use rcgen::generate_simple_self_signed;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{
    server::{Reply, Server, Speaks},
    tls::{acceptor, secure, write},
    *,
};

/// Takes one CONNECT and passes on what follows. Gives what was asked for.
async fn tunnel(listener: TcpListener, to: std::net::SocketAddr) -> String {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let mut server = TcpStream::connect(to).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // Until either goes away.
    let _ = copy_bidirectional(&mut client, &mut server).await;
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn x22_an_https_endpoint_is_reached_by_a_tunnel_through_the_proxy_unless_it_is_excepted() {
    let dir = tempfile::tempdir().unwrap();
    let identity = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = write(dir.path(), "server", &identity);
    let server = Server::start_with(Speaks::Http2, Some(acceptor(&identity, None)), |_, _| Reply::status(200)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let https = format!("http://me:secret@{}", listener.local_addr().unwrap());
    let config = Config {
        certificate: Some(pem.certificate),
        proxy: Proxy { https, not_for: "example.org".into() },
        ..secure(&server, Protocol::HttpProtobuf)
    };
    assert_eq!(config.first_hop().port(), Some(listener.local_addr().unwrap().port()));
    let asked = tokio::spawn(tunnel(listener, server.address));
    assert_eq!(deliver_once(&config, &lines(3)).await, accepted());
    assert_eq!(server.seen().len(), 1);
    drop(server);
    let head = asked.await.unwrap();
    let host = format!("localhost:{}", config.endpoint.port().unwrap());
    assert!(head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic bwu6c2vjcmv0"), "{head}");
    assert!(!head.contains("x-scope-orgid"), "headers are for the endpoint alone");
    assert!(!format!("{config:?}").contains("secret"));

    // The proxy is gone, and now it is not asked for.
    let server = Server::start_with(Speaks::Http2, Some(acceptor(&identity, None)), |_, _| Reply::status(200)).await;
    let Config { endpoint, .. } = secure(&server, Protocol::HttpProtobuf);
    let config = Config { endpoint, ..config };
    assert!(matches!(deliver_once(&config, &lines(3)).await, Delivery::Retry { .. }));
    let excepted = Config { proxy: Proxy { not_for: "localhost".into(), ..config.proxy.clone() }, ..config };
    assert_eq!(excepted.first_hop(), excepted.endpoint);
    assert_eq!(deliver_once(&excepted, &lines(3)).await, accepted());
}

#[tokio::test]
async fn x22_an_endpoint_without_tls_is_never_sent_to_a_proxy() {
    let server = Server::start(Speaks::Http1, |_, _| Reply::status(200)).await;
    let config = config(&server.url("/v1/logs"), Protocol::HttpProtobuf, Compression::Gzip);
    let config = Config { proxy: Proxy { https: "http://127.0.0.1:1".into(), not_for: String::new() }, ..config };
    assert_eq!(deliver_once(&config, &lines(3)).await, accepted());
}
