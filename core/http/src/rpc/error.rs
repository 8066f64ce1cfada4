//! Why a command failed, as Kubo spells it.
//!
//! Owns the sentences that clients compare with (IPFS Cluster reads them) and the two codes. Nothing else
//! turns an error of the library into an answer of the RPC. Rules: Kubo 0.42's recorded answers.

use std::io;

use coldfront::car::CarError;
use coldfront::ipns::NameError;
use coldfront::keys::KeyError;
use coldfront::mfs::MfsError;
use coldfront::pin::PinError;
use coldfront::unixfs::import::ImportError;
use coldfront::{Cid, PathError, ReadError, StoreError};
use http::StatusCode;

use crate::body::Causes;

/// A command did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) message: String,
    pub(crate) kind: FailedKind,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedKind {
    /// 500, code 0.
    Normal,
    /// 400, code 1: the client asked for what cannot be.
    Client,
    /// Nobody waits for the answer any more.
    Gone,
    /// 503: there is no room now.
    Overloaded,
}

impl Failed {
    pub(crate) fn new(message: impl Into<String>) -> Failed {
        Failed { message: message.into(), kind: FailedKind::Normal }
    }

    pub(crate) fn client(message: impl Into<String>) -> Failed {
        Failed { message: message.into(), kind: FailedKind::Client }
    }

    /// The client has gone: whoever works for it stops.
    pub(crate) fn gone() -> Failed {
        Failed { message: "context canceled".into(), kind: FailedKind::Gone }
    }

    pub(crate) fn deadline() -> Failed {
        Failed::new("context deadline exceeded")
    }

    /// No tier holds a block, and nobody else is asked.
    pub(crate) fn not_found(cid: &Cid) -> Failed {
        Failed::new(format!("block was not found locally (offline): ipld: could not find {cid}"))
    }

    /// The same sentence with something in front.
    pub(crate) fn within(self, what: &str) -> Failed {
        match self.kind {
            FailedKind::Gone => self,
            _ => Failed { message: format!("{what}: {}", self.message), ..self },
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self.kind {
            FailedKind::Normal | FailedKind::Gone => StatusCode::INTERNAL_SERVER_ERROR,
            FailedKind::Client => StatusCode::BAD_REQUEST,
            FailedKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn code(&self) -> u32 {
        u32::from(self.kind == FailedKind::Client)
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Failed {
        match &error {
            ReadError::Missing(cid) => Failed::not_found(cid),
            ReadError::NoLink { name, dir } => {
                Failed::new(format!("no link named {name:?} under {dir}"))
            }
            ReadError::Store(store) => store_failed(store),
            _ => Failed::new(Causes(&error).to_string()),
        }
    }
}

/// Paths on disk are the operator's: a token that may read does not learn them.
fn store_failed(error: &StoreError) -> Failed {
    tracing::debug!(error = %Causes(error), "a command met a failing store");
    match error {
        StoreError::Corrupt { cid, .. } => {
            Failed::new(format!("block in storage has different hash than requested: {cid}"))
        }
        error if error.is_unavailable() => Failed {
            message: "the archive does not answer at the moment; try again shortly".into(),
            kind: FailedKind::Overloaded,
        },
        StoreError::UnknownHash { cid, code } => Failed::new(format!(
            "block {cid} uses hash function 0x{code:x}, which is not verified here"
        )),
        StoreError::TooLarge { cid, len, .. } => {
            Failed::new(format!("block {cid} has {len} bytes, too many to be read whole"))
        }
        _ => {
            tracing::warn!(error = %Causes(error), "a store failed under a command");
            Failed::new("a store failed; the server's log says where and why")
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        store_failed(&error)
    }
}

impl From<PathError> for Failed {
    fn from(error: PathError) -> Failed {
        Failed::new(error.to_string())
    }
}

impl From<ImportError> for Failed {
    fn from(error: ImportError) -> Failed {
        match error {
            ImportError::Read(error) => error.into(),
            ImportError::Store(error) => error.into(),
            error => Failed::new(Causes(&error).to_string()),
        }
    }
}

impl From<CarError> for Failed {
    fn from(error: CarError) -> Failed {
        match error {
            CarError::Read { source, .. } => source.into(),
            error => Failed::new(Causes(&error).to_string()),
        }
    }
}

impl From<PinError> for Failed {
    fn from(error: PinError) -> Failed {
        match error {
            PinError::NotPinned(_) => Failed::new("not pinned or pinned indirectly"),
            PinError::PinnedRecursively(cid) => Failed::new(format!("{cid} is pinned recursively")),
            PinError::Cancelled(_) => Failed::gone(),
            PinError::Read(error) => error.into(),
            error => Failed::new(Causes(&error).to_string()),
        }
    }
}

impl From<KeyError> for Failed {
    fn from(error: KeyError) -> Failed {
        match error {
            KeyError::Store(error) => error.into(),
            error @ KeyError::Io { .. } => {
                tracing::warn!(error = %Causes(&error), "a key could not be read or written");
                Failed::new("a key could not be read or written; the server's log says why")
            }
            error => Failed::new(error.to_string()),
        }
    }
}

impl From<NameError> for Failed {
    fn from(error: NameError) -> Failed {
        match error {
            NameError::Key(error) => error.into(),
            error => Failed::new(error.to_string()),
        }
    }
}

impl From<MfsError> for Failed {
    fn from(error: MfsError) -> Failed {
        match error {
            MfsError::Step { step, source } => Failed::from(*source).within(&step),
            MfsError::Read(error) => error.into(),
            MfsError::Store(error) => error.into(),
            MfsError::Content(error) => error.into(),
            error @ MfsError::Root(_) => {
                tracing::warn!(error = %Causes(&error), "the root of the files could not be kept");
                Failed::new("keeping the root of the files failed; the server's log says why")
            }
            error => Failed::new(error.sentence()),
        }
    }
}

/// Reading the body of a request, or the parts of it.
impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        match error.kind() {
            io::ErrorKind::ConnectionAborted => Failed::gone(),
            _ => Failed::new(error.to_string()),
        }
    }
}
