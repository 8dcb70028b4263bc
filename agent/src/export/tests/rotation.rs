//! Secrets and certificates that are replaced while runlog runs.

use rcgen::generate_simple_self_signed;

use super::{
    server::{Reply, Server, Speaks},
    tls::{acceptor, secure, write},
    *,
};

#[tokio::test]
async fn x14_a_token_that_was_replaced_is_read_when_the_old_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("headers");
    std::fs::write(&path, "authorization=Bearer one\n").unwrap();
    let valid = Arc::new(Mutex::new("Bearer one".to_owned()));
    let expected = Arc::clone(&valid);
    let server = Server::start(Speaks::Http1, move |_, seen| {
        Reply::status(if seen.header("authorization") == Some(&*expected.lock().unwrap()) { 200 } else { 401 })
    })
    .await;
    let mut config = config(&server.url("/v1/logs"), Protocol::HttpProtobuf, Compression::Gzip);
    config.headers = Headers::from_text("authorization=Bearer one").unwrap();
    config.headers_file = Some(path.clone());
    let exporter = otlp(&config);
    let (meta, body) = batch(&lines(1));
    let deliver = || exporter.deliver(1, &meta, &body);
    assert_eq!(deliver().await, accepted());

    for token in ["Bearer two", "Bearer three"] {
        *valid.lock().unwrap() = token.to_owned();
        let refused = Delivery::Misconfigured { reason: "answered 401 Unauthorized; see export.headers".into() };
        assert_eq!(deliver().await, refused, "the file still has the old one");
        std::fs::write(&path, format!("authorization={token}\nx-team=a")).unwrap();
        assert_eq!(deliver().await, accepted());
    }
    // Half a file, no file: what was read before goes on.
    for held in [Some("authorization"), Some("\n"), Some("authorization=\u{7f}"), None] {
        match held {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        *valid.lock().unwrap() = "another".to_owned();
        assert!(matches!(deliver().await, Delivery::Misconfigured { .. }), "{held:?} is read now");
        *valid.lock().unwrap() = "Bearer three".to_owned();
        assert_eq!(deliver().await, accepted(), "{held:?}");
    }
}

#[tokio::test]
async fn x13_certificates_that_are_replaced_are_read_without_a_restart_and_torn_ones_are_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let identity = |name: &str| generate_simple_self_signed([name.to_owned()]).unwrap();
    let (mut us, mut them) = (identity("agent"), identity("localhost"));
    let (our, their) = (write(dir.path(), "client", &us), write(dir.path(), "server", &them));
    let first = acceptor(&them, Some(&us));
    let server = Server::start_with(Speaks::Http2, Some(first), |_, _| Reply::status(200)).await;
    let mut config = secure(&server, Protocol::HttpProtobuf);
    config.certificate = Some(their.certificate.clone());
    config.client_identity = Some((our.certificate.clone(), our.key.clone()));
    let exporter = otlp(&config);
    let (meta, body) = batch(&lines(1));
    let deliver = || exporter.deliver(1, &meta, &body);
    assert_eq!(deliver().await, accepted());

    for round in 0..3 {
        // Both sides at once.
        (us, them) = (identity("agent"), identity("localhost"));
        server.restart_as(acceptor(&them, Some(&us)));
        assert_ne!(deliver().await, accepted(), "round {round}: the files still have the old ones");
        write(dir.path(), "client", &us);
        write(dir.path(), "server", &them);
        assert_eq!(deliver().await, accepted(), "round {round}");

        // A certificate without its key, half a file, none at all.
        let kept = std::fs::read(&our.certificate).unwrap();
        let torn = kept[..kept.len() / 2].to_vec();
        let other = identity("agent").cert.pem().into_bytes();
        for held in [Some(other), Some(torn), None] {
            match &held {
                Some(bytes) => std::fs::write(&our.certificate, bytes).unwrap(),
                None => std::fs::remove_file(&our.certificate).unwrap(),
            }
            assert_eq!(deliver_over_a_new_connection(&exporter, &server, &us, &them).await, accepted());
        }
        std::fs::write(&our.certificate, &kept).unwrap();
    }
}

/// The server drops all connections first, so that what is in use must do for another handshake.
async fn deliver_over_a_new_connection(
    exporter: &Otlp,
    server: &Server,
    us: &rcgen::CertifiedKey<rcgen::KeyPair>,
    them: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> Delivery {
    let before = server.seen().iter().map(|seen| seen.connection).max();
    server.restart_as(acceptor(them, Some(us)));
    let (meta, body) = batch(&lines(1));
    // The first may still meet the connection that is closing; then the files are looked at.
    let mut delivery = exporter.deliver(1, &meta, &body).await;
    if delivery != accepted() {
        delivery = exporter.deliver(1, &meta, &body).await;
    }
    assert!(server.seen().iter().map(|seen| seen.connection).max() > before, "it is another connection");
    delivery
}
