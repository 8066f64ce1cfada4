//! Failures as answers.
//!
//! Owns the one table from what went wrong to a status, a sentence and a way out. Nothing else in the
//! edge chooses a status for an error of the library. Rules: path gateway specification, "Response
//! Status Codes"; a local miss is 404 at once, never a search.

use coldfront::{PathError, ReadError, StoreError};
use http::StatusCode;

use crate::body::{BodyError, Causes};
use crate::bridge::Overloaded;
use crate::gateway::target::TargetError;

/// Seconds after which a client that was turned away may try again.
const RETRY_AFTER: u32 = 2;

/// Why a request gets no content.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// What happened.
    pub(crate) what: String,
    /// What to do about it; may be empty.
    pub(crate) advice: &'static str,
    /// For `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, what: impl Into<String>, advice: &'static str) -> Self {
        Failure { status, what: what.into(), advice, retry_after: None }
    }

    pub(crate) fn overloaded(what: &str) -> Self {
        Failure {
            status: StatusCode::SERVICE_UNAVAILABLE,
            what: what.into(),
            advice: "please try again shortly",
            retry_after: Some(RETRY_AFTER),
        }
    }
}

impl From<Overloaded> for Failure {
    fn from(_: Overloaded) -> Self {
        Failure::overloaded("too many requests wait for the disk")
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Failure::new(error.status(), error.to_string(), "")
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Failure::new(
            StatusCode::BAD_REQUEST,
            error.to_string(),
            "check the CID for missing characters",
        )
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Read(error) => error.into(),
            BodyError::Stopped | BodyError::Failed => Failure::overloaded("the server is stopping"),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let what = Causes(&error).to_string();
        match error {
            ReadError::Missing(_) => Failure::new(
                StatusCode::NOT_FOUND,
                what,
                "this gateway serves what it stores and does not search elsewhere",
            ),
            ReadError::NoLink { .. } | ReadError::NotADirectory(_) => Failure::new(
                StatusCode::NOT_FOUND,
                what,
                "check the path, upper and lower case included",
            ),
            ReadError::UnsupportedCodec { .. } => Failure::new(
                StatusCode::NOT_IMPLEMENTED,
                what,
                "ask for the block itself with ?format=raw",
            ),
            ReadError::NotAFile(_) | ReadError::BadLink { .. } | ReadError::Undecodable { .. } => {
                Failure::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    what,
                    "the content was written wrongly; other paths are not affected",
                )
            }
            ReadError::Store(error) => store(&error, what),
            other => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, other.to_string(), ""),
        }
    }
}

fn store(error: &StoreError, what: String) -> Failure {
    if error.is_unavailable() {
        return Failure {
            status: StatusCode::SERVICE_UNAVAILABLE,
            what: "the archive does not answer at the moment".into(),
            advice: "please try again shortly; the server's log says what is missing",
            retry_after: Some(RETRY_AFTER),
        };
    }
    // Paths on disk are the operator's: they are told with the faults, once each, and never to clients.
    tracing::debug!(error = what, "a block cannot be served");
    let told = match error {
        StoreError::Corrupt { cid, .. } => format!("the stored copy of block {cid} is damaged"),
        StoreError::UnknownHash { cid, code } => {
            return Failure::new(
                StatusCode::NOT_IMPLEMENTED,
                format!("block {cid} uses hash function 0x{code:x}, which is not verified here"),
                "a server that does not verify what it reads can serve it",
            );
        }
        StoreError::TooLarge { cid, len, .. } => {
            format!("block {cid} has {len} bytes, too many to be read whole")
        }
        _ => "a stored block cannot be read".into(),
    };
    Failure::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        told,
        "other content is not affected; the server's log names the file",
    )
}
