//! TLS as a server speaks it, with files that may be replaced while it does.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{info, warn};

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// The files of a certificate, with those of its authorities behind it, and of its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate's.
    pub certificate: PathBuf,
    /// The key's.
    pub key: PathBuf,
}

/// Files that TLS cannot be spoken with.
#[derive(Debug, thiserror::Error)]
pub enum UnusableTls {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is no PEM file with {wanted}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("the certificate {} and its key cannot be used together", path.display())]
    Identity {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// Lets clients agree on TLS, 1.2 or 1.3, and on HTTP/2 or HTTP/1.1 over it.
pub struct Tls {
    files: Files,
    now: Mutex<Now>,
}

struct Now {
    acceptor: TlsAcceptor,
    /// What was read of the files.
    read: [Vec<u8>; 2],
    next_look: Instant,
}

impl Tls {
    /// Reads the files. Blocks on the disk.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn read(files: Files) -> Result<Self, UnusableTls> {
        let read = read_both(&files)?;
        let now = Now { acceptor: acceptor(&files, &read)?, read, next_look: Instant::now() + EVERY };
        Ok(Self { files, now: Mutex::new(now) })
    }

    /// Agrees on TLS with a client. `None` if that fails.
    pub async fn accept<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = self.acceptor().await;
        timeout(HANDSHAKE, acceptor.accept(stream)).await.ok()?.ok()
    }

    /// With what the files hold, as far as it can be used.
    async fn acceptor(&self) -> TlsAcceptor {
        let (acceptor, is_due) = {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = now.next_look <= Instant::now();
            if is_due {
                now.next_look = Instant::now() + EVERY;
            }
            (now.acceptor.clone(), is_due)
        };
        if !is_due {
            return acceptor;
        }
        let files = self.files.clone();
        // Fails only when the runtime shuts down.
        let Ok(read) = spawn_blocking(move || read_both(&files)).await else { return acceptor };
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if read.as_ref().is_ok_and(|read| *read == now.read) {
            return acceptor;
        }
        match read.and_then(|read| Ok((self::acceptor(&self.files, &read)?, read))) {
            Ok((acceptor, read)) => {
                info!(certificate = %self.files.certificate.display(), "the receiver's certificate was read again");
                (now.acceptor, now.read) = (acceptor, read);
            }
            Err(error) => warn!(%error, "the receiver goes on with the certificate that was read before"),
        }
        now.acceptor.clone()
    }
}

fn read_both(files: &Files) -> Result<[Vec<u8>; 2], UnusableTls> {
    let read = |path: &Path| fs::read(path).map_err(|source| UnusableTls::File { path: path.to_owned(), source });
    Ok([read(&files.certificate)?, read(&files.key)?])
}

fn acceptor(files: &Files, [certificate, key]: &[Vec<u8>; 2]) -> Result<TlsAcceptor, UnusableTls> {
    let fault = |path: &Path, wanted| {
        let path = path.to_owned();
        move |source| UnusableTls::Pem { path, wanted, source }
    };
    let wanted = "one certificate or more";
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(fault(&files.certificate, wanted))?;
    if chain.is_empty() {
        return Err(fault(&files.certificate, wanted)(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(fault(&files.key, "a private key"))?;
    let unusable = |source| UnusableTls::Identity { path: files.certificate.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a new certificate and its key.
    fn write(files: &Files) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn h20_a_certificate_that_is_replaced_is_used_and_half_of_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { certificate: dir.path().join("certificate"), key: dir.path().join("key") };
        assert!(matches!(Tls::read(files.clone()), Err(UnusableTls::File { .. })));
        write(&files);
        let tls = Tls::read(files.clone()).unwrap();
        let used = || tls.now.lock().unwrap().read.clone();
        let first = used();

        fs::write(&files.certificate, "half").unwrap();
        tokio::time::advance(EVERY).await;
        tls.acceptor().await;
        assert!(used() == first, "what cannot be used is not used");

        write(&files);
        tls.acceptor().await;
        assert!(used() == first, "files are looked at now and then");
        tokio::time::advance(EVERY).await;
        tls.acceptor().await;
        assert!(used() == read_both(&files).unwrap() && used() != first);
    }

    #[test]
    fn h20_files_that_do_not_belong_together_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            |name: &str| Files { certificate: dir.path().join(name), key: dir.path().join(format!("{name}.key")) };
        let (one, other) = (files("one"), files("other"));
        write(&one);
        write(&other);
        let mixed = Files { certificate: one.certificate.clone(), key: other.key.clone() };
        assert!(matches!(Tls::read(mixed), Err(UnusableTls::Identity { .. })));
        let turned = Files { certificate: one.key, key: one.certificate };
        assert!(matches!(Tls::read(turned), Err(UnusableTls::Pem { .. })));
    }
}
