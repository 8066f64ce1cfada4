//! Headers that answers share.
//!
//! Owns what every answer says (CORS), what every piece of content says (its path, its roots, how long
//! it may be cached), and the form of answers without content. Pure: no I/O. Rules: path gateway
//! specification, "Response Headers"; `immutable` only on what can never change, `no-store` on errors.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::error_page;
use super::known::Found;
use crate::body::Body;
use crate::conditional::{Validators, format_date};
use crate::error::Failure;

const X_IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
const X_IPFS_ROOTS: HeaderName = HeaderName::from_static("x-ipfs-roots");

/// Content under a CID never changes: 48 weeks, as Kubo says.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=29030400, immutable");
/// A generated page may look different tomorrow: a week, then another month while it is checked.
pub(super) const GENERATED: HeaderValue =
    HeaderValue::from_static("public, max-age=604800, stale-while-revalidate=2678400");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Headers that an answer with content has, about: room for them at once instead of growing twice.
const TYPICAL_HEADERS: usize = 20;

/// An answer to be filled in: 200, no body yet.
pub(super) fn answer() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(TYPICAL_HEADERS);
    response
}

/// CORS: content is public, and its headers may be read by any page.
pub(super) fn on_every_answer(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Content-Type, Range, User-Agent, X-Requested-With"),
    );
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Content-Length, Content-Range, ETag, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output",
        ),
    );
}

/// What every answer says that was led to by a path.
pub(super) fn on_content(headers: &mut HeaderMap, found: &Found) {
    headers.insert(CACHE_CONTROL, IMMUTABLE);
    if let Some(path) = &found.known.x_ipfs_path {
        headers.insert(X_IPFS_PATH, path.clone());
    }
    if let Some(roots) = &found.known.x_ipfs_roots {
        headers.insert(X_IPFS_ROOTS, roots.clone());
    }
}

/// The tag that is sent and, where it is known, the time.
pub(super) fn validators(headers: &mut HeaderMap, validators: &Validators<'_>) {
    if let Some(etag) = validators.etags.first() {
        headers.insert(ETAG, etag.to_header_value());
    }
    let modified = validators.last_modified.and_then(format_date);
    if let Some(date) = modified.and_then(|date| HeaderValue::try_from(date).ok()) {
        headers.insert(LAST_MODIFIED, date);
    }
}

/// An answer that is its status alone.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    }
    response
}

/// What may be asked for.
pub(super) fn options() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

pub(super) fn method_not_allowed() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this gateway only reads", "use GET or HEAD")
}

/// A failure as an answer: text, or a small page for a browser; never to be stored.
pub(super) fn failure(request: &Request<()>, failure: Failure) -> Response<Body> {
    let Failure { status, what, advice, retry_after } = failure;
    let body = error_page::render(request.headers(), status, &what, advice);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.bytes.len()));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, METHODS);
    }
    if request.method() != Method::HEAD {
        *response.body_mut() = Body::full(body.bytes);
    }
    response
}
