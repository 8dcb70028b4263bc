//! Whom a destination is trusted by, and who runlog is to it: from PEM files, or the system's authorities.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

use super::Config;

/// TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum UnusableTls {
    /// A file is missing, unreadable or not what it should be.
    #[error("{option} = {} is not a readable PEM file with {wanted}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("the client certificate {} and its key cannot be used together", path.display())]
    Identity {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// There is nothing on this machine that says whom to trust.
    #[error("no certificate authorities were found on this machine; set certificate to a PEM file")]
    NoAuthorities(#[source] io::Error),
    /// The library refuses its own defaults.
    #[error("TLS cannot be used")]
    Library(#[from] rustls::Error),
}

/// Where TLS settings are read from.
#[derive(Debug, Clone)]
pub(super) struct TlsFiles {
    certificate: Option<PathBuf>,
    client_identity: Option<(PathBuf, PathBuf)>,
    is_asked: bool,
}

impl TlsFiles {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            certificate: config.certificate.clone(),
            client_identity: config.client_identity.clone(),
            is_asked: config.endpoint.scheme() == "https",
        }
    }

    /// The files, as far as there are any.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let identity = self.client_identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.certificate.iter().chain(identity).cloned().collect()
    }

    /// What they say now. Blocks on the disk.
    pub(super) fn read(&self) -> Result<ClientConfig, UnusableTls> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.certificate {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("certificate", path)? {
                    roots.add(certificate)?;
                }
                builder.with_root_certificates(roots)
            }
            None if self.is_asked => builder.with_native_roots().map_err(UnusableTls::NoAuthorities)?,
            // Never asked. A machine without authorities can still send without TLS.
            None => builder.with_root_certificates(RootCertStore::empty()),
        };
        match &self.client_identity {
            None => Ok(builder.with_no_client_auth()),
            Some((path, key_path)) => {
                let chain = certificates("client_certificate", path)?;
                let key = PrivateKeyDer::from_pem_file(key_path).map_err(|source| UnusableTls::File {
                    option: "client_key",
                    path: key_path.clone(),
                    wanted: "a private key",
                    source,
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|source| UnusableTls::Identity { path: path.clone(), source })
            }
        }
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, UnusableTls> {
    let fault = |source| UnusableTls::File { option, path: path.to_owned(), wanted: "one certificate or more", source };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(fault)?;
    if certificates.is_empty() { Err(fault(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
