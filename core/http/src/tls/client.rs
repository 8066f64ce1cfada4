//! The other end of TLS: a blocking client of a server that is known by its certificate.
//!
//! Owns whom it trusts: the certificates of one file, and nobody that the machine trusts otherwise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{MAX_CHAIN, TlsError, read_file};

/// Shakes hands over a connection, with a server that shows a certificate of the file, or one that was signed by it, for
/// `name`. Blocks with the first read or write, as long as the connection does.
///
/// # Errors
/// [`TlsError`] for the file or the name; what the server shows is found wrong when something is sent.
pub fn trusting(
    certificate: &Path,
    name: &str,
    stream: TcpStream,
) -> Result<impl Read + Write + use<>, TlsError> {
    let malformed = |expected| TlsError::Malformed { path: certificate.to_owned(), expected };
    let text = read_file(certificate, "certificate")?;
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(&text).take(MAX_CHAIN) {
        let one = one.map_err(|_| malformed("certificates"))?;
        roots.add(one).map_err(|_| malformed("certificates"))?;
    }
    if roots.is_empty() {
        return Err(malformed("a certificate"));
    }
    let name = ServerName::try_from(name.to_owned());
    let name = name.map_err(|_| TlsError::Name)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
    let client = config.and_then(|config| ClientConnection::new(Arc::new(config), name));
    let client = client.map_err(|source| TlsError::Client { source })?;
    Ok(StreamOwned::new(client, stream))
}
