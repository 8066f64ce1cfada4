//! From an HTTP request to what it wants.
//!
//! Owns the target, the format and the directives that decide before anything is read. Pure: no I/O.
//! Everything malformed ends here, with a sentence. Rules: path gateway specification, "Request
//! Headers" and "Request Query Parameters" (`format` beats `Accept`).

use std::borrow::Cow;
use std::sync::Arc;

use coldfront::{ContentPath, PathError, parse_cid};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, Method, Request, StatusCode};

use super::known::{Known, KnownPaths};
use super::target::{Namespace, Target};
use crate::error::Failure;

/// The form in which content is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Files as files, directories as pages.
    Default,
    /// The block, as it is stored.
    Raw,
    /// A file that its client knows to be JSON.
    Json,
}

/// What a request wants.
#[derive(Debug)]
pub(super) struct Wanted<'r> {
    pub(super) method: &'r Method,
    pub(super) headers: &'r HeaderMap,
    pub(super) target: Target<'r>,
    pub(super) path: Arc<ContentPath>,
    /// Where the path led an earlier request.
    pub(super) known: Option<Arc<Known>>,
    pub(super) format: Format,
    pub(super) only_if_cached: bool,
}

impl<'r> Wanted<'r> {
    pub(super) fn parse(request: &'r Request<()>, known: &KnownPaths) -> Result<Self, Failure> {
        // The authority of an absolute target plays no part on a path gateway.
        let raw = request.uri().path_and_query().map_or("", |target| target.as_str());
        let target = Target::parse(raw.as_bytes())?;
        let known = known.get(&target);
        let path = match &known {
            Some(known) => known.path.clone(),
            None => Arc::new(content_path(&target)?),
        };
        refuse_service_worker(request.headers(), &target)?;
        let format = format(request.headers(), &target)?;
        Ok(Wanted {
            method: request.method(),
            headers: request.headers(),
            only_if_cached: only_if_cached(request.headers()),
            target,
            path,
            known,
            format,
        })
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }
}

fn content_path(target: &Target<'_>) -> Result<ContentPath, Failure> {
    match target.namespace() {
        Namespace::Ipfs => {}
        Namespace::Ipns => {
            return Err(Failure::new(
                StatusCode::NOT_IMPLEMENTED,
                "IPNS names are not resolved by this gateway",
                "ask for the content by its CID, under /ipfs/",
            ));
        }
        Namespace::Other => {
            return Err(Failure::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this address",
                "content is under /ipfs/CID and /ipfs/CID/path",
            ));
        }
    }
    let shown = || String::from_utf8_lossy(target.path());
    let Some(root) = target.root() else {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            format!("invalid path \"{}\": a CID is missing", shown()),
            "content is under /ipfs/CID and /ipfs/CID/path",
        ));
    };
    let root = String::from_utf8_lossy(root);
    let cid = parse_cid(&root).map_err(|reason| PathError::InvalidCid {
        path: shown().into_owned(),
        root: root.clone().into_owned(),
        reason,
    })?;
    Ok(ContentPath::with_segments(cid, target.segments()))
}

/// A service worker for a whole gateway could watch the content of every site on it.
fn refuse_service_worker(headers: &HeaderMap, target: &Target<'_>) -> Result<(), Failure> {
    let asked = headers.get("service-worker").is_some_and(|value| value == "script");
    if asked && target.file_name().is_none() && !target.trailing_slash() {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "a service worker must not be registered for the root of a path gateway",
            "",
        ));
    }
    Ok(())
}

fn format(headers: &HeaderMap, target: &Target<'_>) -> Result<Format, Failure> {
    if let Some(name) = target.query().get("format") {
        return match &*name {
            b"raw" => Ok(Format::Raw),
            b"json" => Ok(Format::Json),
            _ => Err(not_served(&String::from_utf8_lossy(&name))),
        };
    }
    for member in
        headers.get_all(ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','))
    {
        let media_type = member.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        match media_type.to_ascii_lowercase().as_slice() {
            b"application/vnd.ipld.raw" => return Ok(Format::Raw),
            b"application/json" => return Ok(Format::Json),
            b"text/html" | b"*/*" => return Ok(Format::Default),
            b"application/x-tar" | b"application/cbor" => {
                return Err(not_served(&lossy(media_type)));
            }
            other if other.starts_with(b"application/vnd.ip") => {
                return Err(not_served(&lossy(media_type)));
            }
            _ => {}
        }
    }
    Ok(Format::Default)
}

fn lossy(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

fn not_served(format: &str) -> Failure {
    Failure::new(
        StatusCode::NOT_ACCEPTABLE,
        format!("the format \"{format}\" is not served by this gateway"),
        "ask without a format, or with ?format=raw for the block as it is stored",
    )
}

/// A directory is no JSON document.
pub(super) fn not_json() -> Failure {
    Failure::new(
        StatusCode::NOT_ACCEPTABLE,
        "a directory has no form as JSON here",
        "ask without a format for a page that lists it",
    )
}

fn only_if_cached(headers: &HeaderMap) -> bool {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"only-if-cached"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CID: &str = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

    fn request(path: &str, header: Option<(&str, &str)>) -> Request<()> {
        let mut builder = Request::builder().uri(path.replace("CID", CID));
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        builder.body(()).unwrap()
    }

    fn format_of(path: &str, accept: &str) -> Result<Format, StatusCode> {
        let request = request(path, Some(("accept", accept)));
        Wanted::parse(&request, &KnownPaths::new())
            .map(|wanted| wanted.format)
            .map_err(|failure| failure.status)
    }

    #[test]
    fn the_format_parameter_beats_accept() {
        assert_eq!(format_of("/ipfs/CID?format=raw", "text/html"), Ok(Format::Raw));
        assert_eq!(
            format_of("/ipfs/CID?format=json", "application/vnd.ipld.raw"),
            Ok(Format::Json)
        );
        assert_eq!(format_of("/ipfs/CID?format=car", "*/*"), Err(StatusCode::NOT_ACCEPTABLE));
    }

    #[test]
    fn accept_is_a_list_in_any_case() {
        assert_eq!(
            format_of("/ipfs/CID", "image/webp, APPLICATION/vnd.ipld.RAW;q=0.5"),
            Ok(Format::Raw)
        );
        assert_eq!(format_of("/ipfs/CID", "image/webp, */*"), Ok(Format::Default));
        assert_eq!(
            format_of("/ipfs/CID", "application/vnd.ipld.car"),
            Err(StatusCode::NOT_ACCEPTABLE)
        );
    }

    #[test]
    fn a_bad_root_is_a_400_that_names_it() {
        let request = request("/ipfs/QmInvalid/a", None);
        let failure = Wanted::parse(&request, &KnownPaths::new()).unwrap_err();
        assert_eq!(failure.status, StatusCode::BAD_REQUEST);
        assert!(failure.what.contains("invalid path \"/ipfs/QmInvalid/a\""), "{}", failure.what);
    }

    #[test]
    fn a_service_worker_for_a_whole_root_is_refused() {
        let script = Some(("service-worker", "script"));
        assert!(Wanted::parse(&request("/ipfs/CID", script), &KnownPaths::new()).is_err());
        assert!(Wanted::parse(&request("/ipfs/CID/sw.js", script), &KnownPaths::new()).is_ok());
    }

    #[test]
    fn only_if_cached_is_found_in_a_list() {
        let asked = request("/ipfs/CID", Some(("cache-control", "max-age=0, Only-If-Cached")));
        assert!(Wanted::parse(&asked, &KnownPaths::new()).unwrap().only_if_cached);
    }
}
