//! TLS of a listener: a certificate and its key from files that may change.
//!
//! Owns reading them and noticing that there are new ones. Must not know what is served. TLS 1.2 and 1.3, HTTP/1.1.

mod client;

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use client::trusting;

/// Certificates of one chain at most.
const MAX_CHAIN: usize = 32;

/// The longest file of certificates or keys, in bytes.
const MAX_LEN: u64 = 1024 * 1024;

/// Certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: the {what} cannot be read", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: expected {expected} in PEM", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The name of a server that is none.
    #[error("expected the name of a server, or its address, as its certificate has it")]
    Name,
    /// No client can be made.
    #[error("TLS cannot be begun")]
    Client {
        /// Why not.
        source: rustls::Error,
    },
    /// They do not go together, or are of a kind that is not known.
    #[error("the certificate {} and the key {} cannot be used together", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// How two files were when they were read.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

/// A certificate and its key, in use. Shared by listeners.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Stamps>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a chain of certificates, the server's first, and its key, both in PEM. Blocks.
    ///
    /// # Errors
    /// [`TlsError`]: what is wrong with which file. The key itself is in no error.
    pub fn open(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Tls, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let seen = stamps(&certificate, &key);
        let config = RwLock::new(Arc::new(read(&certificate, &key)?));
        Ok(Tls { certificate, key, config, seen: Mutex::new(seen) })
    }

    /// To be called about every second: reads the files again if one has changed, and says whether they are in use now. Connections
    /// that are open keep what they began with. Blocks.
    ///
    /// # Errors
    /// [`TlsError`], once for each state of the files; what was in use stays in use. Two files are not replaced at one moment,
    /// so that may be over by the next call.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.certificate, &self.key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        let config = Arc::new(read(&self.certificate, &self.key)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(true)
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    [certificate, key].map(|path| {
        let stat = std::fs::metadata(path).ok()?;
        Some((stat.ino(), stat.len(), stat.mtime(), stat.mtime_nsec()))
    })
}

fn read(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let malformed = |path: &Path, expected| TlsError::Malformed { path: path.to_owned(), expected };
    let text = read_file(certificate, "certificate")?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .take(MAX_CHAIN)
        .collect::<Result<_, _>>()
        .map_err(|_| malformed(certificate, "certificates"))?;
    if chain.is_empty() {
        return Err(malformed(certificate, "a certificate"));
    }
    let text = read_file(key, "key")?;
    let secret = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| malformed(key, "a private key without a password"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
    let mut config = config.map_err(|source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read_file(path: &Path, what: &'static str) -> Result<Vec<u8>, TlsError> {
    use std::io::Read as _;
    let failed = |source| TlsError::Io { path: path.to_owned(), what, source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_LEN {
        return Err(failed(io::Error::other("it has more than 1 MiB")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn write_pair(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) =
            (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn what_is_wrong_with_which_file_is_told_and_the_key_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path(), "a");
        let (other, _) = write_pair(folder.path(), "b");
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        for (certificate, key, told) in [
            (&certificate, &folder.path().join("none"), "none: the key cannot be read"),
            (&empty, &key, "empty: expected a certificate in PEM"),
            (&certificate, &empty, "empty: expected a private key without a password in PEM"),
            (&key, &certificate, "a.key: expected a certificate in PEM"),
            (&other, &key, "cannot be used together"),
        ] {
            let error = Tls::open(certificate, key).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert!(!format!("{error:?}").contains("BEGIN"), "{error:?}");
        }
    }

    #[test]
    fn new_files_are_taken_and_half_of_a_pair_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path(), "a");
        let (next_certificate, next_key) = write_pair(folder.path(), "b");
        let tls = Tls::open(&certificate, &key).unwrap();
        assert!(!tls.refresh().unwrap());
        std::fs::rename(next_certificate, &certificate).unwrap();
        assert!(tls.refresh().is_err());
        assert!(!tls.refresh().unwrap());
        std::fs::rename(next_key, &key).unwrap();
        assert!(tls.refresh().unwrap());
    }
}
