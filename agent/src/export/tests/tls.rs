//! TLS with certificates made for the test.

use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

use super::{
    server::{Reply, Server, Speaks},
    *,
};

pub(super) struct Pem {
    pub(super) certificate: std::path::PathBuf,
    pub(super) key: std::path::PathBuf,
}

pub(super) fn write(dir: &Path, name: &str, of: &CertifiedKey<rcgen::KeyPair>) -> Pem {
    let pem = Pem { certificate: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) };
    std::fs::write(&pem.certificate, of.cert.pem()).unwrap();
    std::fs::write(&pem.key, of.signing_key.serialize_pem()).unwrap();
    pem
}

pub(super) fn acceptor(
    server: &CertifiedKey<rcgen::KeyPair>,
    client: Option<&CertifiedKey<rcgen::KeyPair>>,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.cert.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(server.signing_key.serialize_der().into());
    let mut config = builder.with_single_cert(vec![server.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

pub(super) fn secure(server: &Server, protocol: Protocol) -> Config {
    config(&format!("https://localhost:{}/v1/logs", server.address.port()), protocol, Compression::Gzip)
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_by_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let identity = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = write(dir.path(), "server", &identity);
    let stranger = write(dir.path(), "stranger", &generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let server = Server::start_with(Speaks::Http2, Some(acceptor(&identity, None)), |_, _| Reply::status(200)).await;

    let trusting = Config { certificate: Some(pem.certificate), ..secure(&server, Protocol::HttpProtobuf) };
    let delivery = deliver_once(&trusting, &lines(1)).await;
    assert_eq!(delivery, Delivery::Accepted { rejected: 0, message: String::new() });

    let strange = Config { certificate: Some(stranger.certificate), ..trusting.clone() };
    let Delivery::Misconfigured { reason } = deliver_once(&strange, &lines(1)).await else {
        panic!("a stranger's certificate must not do")
    };
    assert!(reason.contains("set export.certificate"), "{reason}");
    // The system's authorities, where there are any, did not sign it either.
    if let Ok(otlp) = Otlp::new(&Config { certificate: None, ..trusting }, Arc::new(SystemClock)) {
        let (meta, body) = batch(&lines(1));
        assert!(matches!(otlp.deliver(1, &meta, &body).await, Delivery::Misconfigured { .. }));
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_the_client_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (identity, client) = (
        generate_simple_self_signed(["localhost".to_owned()]).unwrap(),
        generate_simple_self_signed(["agent".to_owned()]).unwrap(),
    );
    let (pem, client_pem) = (write(dir.path(), "server", &identity), write(dir.path(), "client", &client));
    let acceptor = acceptor(&identity, Some(&client));
    let server = Server::start_with(Speaks::Http2, Some(acceptor), |_, _| Reply::status(200)).await;

    let known = Config {
        certificate: Some(pem.certificate),
        client_identity: Some((client_pem.certificate, client_pem.key)),
        ..secure(&server, Protocol::HttpProtobuf)
    };
    assert!(matches!(deliver_once(&known, &lines(1)).await, Delivery::Accepted { .. }));
    let anonymous = Config { client_identity: None, ..known };
    assert!(!matches!(deliver_once(&anonymous, &lines(1)).await, Delivery::Accepted { .. }));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn https_towards_a_server_without_tls_says_which_scheme_to_use() {
    let dir = tempfile::tempdir().unwrap();
    let pem = write(dir.path(), "any", &generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let server = Server::start(Speaks::Http1, |_, _| Reply::status(200)).await;
    let config = Config { certificate: Some(pem.certificate), ..secure(&server, Protocol::HttpProtobuf) };
    let reason = "it does not speak TLS; use http:// in place of https://".to_owned();
    assert_eq!(deliver_once(&config, &lines(1)).await, Delivery::Misconfigured { reason });
}

#[test]
fn tls_files_that_cannot_be_used_are_named_with_their_option() {
    let dir = tempfile::tempdir().unwrap();
    let pem = write(dir.path(), "server", &generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let missing = dir.path().join("missing.pem");
    let at = |path: &Path| path.display().to_string();
    let base = config("https://localhost/v1/logs", Protocol::HttpProtobuf, Compression::Gzip);
    let cases = [
        (
            Config { certificate: Some(missing.clone()), ..base.clone() },
            format!("certificate = {} is not a readable PEM file with one certificate or more", at(&missing)),
        ),
        (
            Config { certificate: Some(pem.key.clone()), ..base.clone() },
            format!("certificate = {} is not a readable PEM file with one certificate or more", at(&pem.key)),
        ),
        (
            Config {
                certificate: Some(pem.certificate.clone()),
                client_identity: Some((pem.certificate.clone(), pem.certificate.clone())),
                ..base
            },
            format!("client_key = {} is not a readable PEM file with a private key", at(&pem.certificate)),
        ),
    ];
    for (config, expected) in cases {
        let error = Otlp::new(&config, Arc::new(SystemClock)).err().unwrap();
        assert_eq!(error.to_string(), expected);
    }
}
