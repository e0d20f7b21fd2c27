//! A TCP socket with TLS on it.

use crate::options::Options;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::TcpStream;

/// A connection whose handshake is over.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: TcpStream,
    connection: ClientConnection,
    /// What has been opened and not been read.
    opened_bytes: usize,
}

impl Tls {
    /// Shakes hands with whoever is to prove that it is `host`.
    ///
    /// # Errors
    /// When the hub's certificate is not to be trusted, or it speaks no TLS: the text says what to do about it.
    pub(super) async fn connect(socket: TcpStream, host: &str, options: &Options) -> io::Result<Tls> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config(options)?), name).map_err(io::Error::other)?;
        let mut tls = Tls { socket, connection, opened_bytes: 0 };
        while tls.connection.is_handshaking() {
            tls.flush()?;
            if !tls.connection.is_handshaking() {
                break;
            }
            let interest = match tls.has_unsent() {
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            tls.socket.ready(interest).await?;
            match tls.receive() {
                Ok(0) => {
                    return Err(io::Error::other(
                        "it closed the connection in the middle of the TLS handshake",
                    ));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(in_words(error)),
            }
        }
        tls.flush()?;
        Ok(tls)
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if self.opened_bytes > 0 && interest.is_readable() {
            return Ok(Ready::READABLE);
        }
        self.socket.ready(interest).await
    }

    pub(super) fn try_read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(room) {
                Ok(count) => {
                    self.opened_bytes = self.opened_bytes.saturating_sub(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.receive().map_err(in_words)? == 0 {
                // It went without a goodbye; what it said in time has been read.
                return Ok(0);
            }
        }
    }

    /// Reads once from the socket and opens what has come.
    fn receive(&mut self) -> io::Result<usize> {
        let count = self.connection.read_tls(&mut Nonblocking(&self.socket))?;
        let processed = self.connection.process_new_packets();
        // An answer of the handshake, or an alert.
        let flushed = self.flush();
        let state = processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.opened_bytes = state.plaintext_bytes_to_read();
        flushed.map(|()| count)
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.has_unsent() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.connection.writer().write(bytes)?;
        self.flush()?;
        Ok(count)
    }

    /// Whether something is sealed that the socket has not taken yet.
    pub(super) fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Nonblocking(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.flush()?;
        while self.has_unsent() {
            self.socket.writable().await?;
            self.flush()?;
        }
        self.socket.shutdown().await
    }
}

/// A socket of tokio as rustls wants it.
struct Nonblocking<'a>(&'a TcpStream);

impl Read for Nonblocking<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Nonblocking<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(options: &Options) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    if options.tls_insecure {
        let anybody = Arc::new(Anybody(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match &options.tls_ca {
        Some(path) => {
            for certificate in authorities(path)? {
                roots.add(certificate).map_err(|error| of_file(path, &error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn authorities(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(|all| all.collect());
    match read.map_err(|error| of_file(path, &error))? {
        found if found.is_empty() => {
            Err(of_file(path, &"there is no certificate in it (-----BEGIN CERTIFICATE-----)"))
        }
        found => Ok(found),
    }
}

fn of_file(path: &Path, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

/// What is wrong with a handshake, and what to do about it.
fn in_words(error: io::Error) -> io::Error {
    let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
        return error;
    };
    let why = match tls {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "nobody whom this machine trusts vouches for the hub's certificate; name the certificate of whoever does \
             (--ca FILE)"
                .to_owned()
        }
        // What `openssl req -x509` makes, unless it is told otherwise.
        rustls::Error::InvalidCertificate(why) if why.to_string().contains("CaUsedAsEndEntity") => {
            "the hub's certificate is one of an authority, which vouches for others and not for a hub; make it one with \
             CA:FALSE (openssl req -x509 -addext basicConstraints=critical,CA:FALSE …)"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(why) => {
            format!("the hub's certificate is not to be trusted: {why}; if somebody else vouches for it, name who (--ca FILE)")
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS there; use mqtt://, ws:// or tcp://".to_owned(),
        error => format!("TLS: {error}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Takes whoever answers for the hub, as somebody has asked for in so many words.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
