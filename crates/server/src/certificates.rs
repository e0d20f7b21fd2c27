//! Certificates: read from their files at the start, and again when somebody asks for it.

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, Ticketer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use trefoil_config::{Listener, TlsFiles};

/// A certificate that may change, and what TLS needs beside it.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct ListenerTls {
    certificate: Arc<Certificate>,
    /// Whoever begins otherwise is refused.
    pub(crate) is_required: bool,
}

/// What is shown to whoever connects.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl ListenerTls {
    /// What a connection begins with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.certificate.config.clone()
    }
}

impl Certificate {
    fn open(files: &TlsFiles) -> Result<Certificate, String> {
        let provider = Arc::new(ring::default_provider());
        let key = read(files, &provider)?;
        let shown = Arc::new(Shown(RwLock::new(Arc::new(key))));
        let failed = |error: rustls::Error| format!("TLS cannot be spoken: {error}");
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.map_err(failed)?.with_no_client_auth().with_cert_resolver(shown.clone());
        // Whoever comes back brings along what this hub would otherwise have to remember of him.
        config.ticketer = Ticketer::new().map_err(failed)?;
        Ok(Certificate { files: files.clone(), shown, config: Arc::new(config) })
    }

    /// Reads the files again. Whoever is connected is not asked again.
    fn reload(&self) -> Result<(), String> {
        let key = read(&self.files, self.config.crypto_provider())?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        Ok(())
    }
}

/// Reads the certificates of the listeners, each once.
///
/// # Errors
/// What is wrong with a file.
pub(crate) fn open(listeners: &[Listener]) -> Result<Vec<Option<ListenerTls>>, String> {
    let mut opened: Vec<Arc<Certificate>> = Vec::new();
    let mut all = Vec::new();
    for listener in listeners {
        let Some(tls) = &listener.tls else {
            all.push(None);
            continue;
        };
        let certificate = match opened.iter().find(|certificate| certificate.files == tls.files) {
            Some(certificate) => certificate.clone(),
            None => {
                let certificate = Arc::new(Certificate::open(&tls.files)?);
                opened.push(certificate.clone());
                certificate
            }
        };
        all.push(Some(ListenerTls { certificate, is_required: tls.is_required }));
    }
    Ok(all)
}

/// Reads all certificates again. Returns how many there are, each with what is wrong with its files, if something is: then
/// the one of before stays.
pub(crate) fn reload<'a>(listeners: impl Iterator<Item = &'a ListenerTls>) -> Vec<Result<(), String>> {
    let mut seen: Vec<&TlsFiles> = Vec::new();
    let mut results = Vec::new();
    for ListenerTls { certificate, .. } in listeners {
        if !seen.contains(&&certificate.files) {
            seen.push(&certificate.files);
            results.push(certificate.reload());
        }
    }
    results
}

/// Reads a certificate and its key, and looks whether they belong together.
fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let TlsFiles { certificate, key } = files;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(|certificates| certificates.collect());
    let chain = chain.map_err(|error| wrong(certificate, &describe(&error)))?;
    if chain.is_empty() {
        return Err(wrong(certificate, &"there is no certificate in it (-----BEGIN CERTIFICATE-----)"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &describe(&error)))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(key, &format!("this is not the private key of {}", certificate.display()))
        }
        error => wrong(certificate, &format!("this pair of certificate and key cannot be used: {error}")),
    })
}

fn describe(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => format!("cannot read it: {error}"),
        Error::NoItemsFound => "there is no private key in it (-----BEGIN PRIVATE KEY-----)".into(),
        error => format!("this is not PEM: {error}"),
    }
}
