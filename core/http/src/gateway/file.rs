//! Files: conditions, ranges, and the bytes.
//!
//! Owns the answer to a path that leads to a file (or a symbolic link, whose content is its target).
//! Must not know how bytes are read. Rules: path gateway specification; RFC 9110 §13 and §14 by
//! [`crate::conditional`] and [`crate::range`]. Twin of boxo `gateway/handler_unixfs_file.go`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use coldfront::Node;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::known::Found;
use super::request::{Format, Wanted};
use super::{Gateway, disposition, headers};
use crate::body::{Body, FileBody, Part};
use crate::conditional::{ETag, Precondition, Validators, evaluate, range_applies};
use crate::error::Failure;
use crate::media_type;
use crate::range::{self, ContentRange, Multipart, RangeAnswer, Unsatisfied};

/// What is sent, and how it is described.
pub(super) struct Content<'a> {
    /// The file's node.
    pub(super) node: &'a Arc<Node>,
    /// Its size in bytes.
    pub(super) size: u64,
    pub(super) media_type: &'static str,
    pub(super) etag: ETag,
    pub(super) last_modified: Option<i64>,
    pub(super) disposition: Option<HeaderValue>,
}

impl Gateway {
    pub(super) async fn file(
        &self,
        wanted: &Wanted<'_>,
        found: &Found,
    ) -> Result<Response<Body>, Failure> {
        let file = match &*found.node {
            Node::File(file) => file,
            Node::Symlink(link) => return Ok(symlink(wanted, found, link.target())),
            _ => return Err(coldfront::ReadError::NotAFile(*found.cid()).into()),
        };
        let json = wanted.format == Format::Json;
        let content = Content {
            node: &found.node,
            size: file.size(),
            media_type: match json {
                true => "application/json",
                false => self.media_type(wanted, found).await?,
            },
            etag: if json { json_etag(found) } else { found.known.etag.clone() },
            last_modified: file.mtime().map(|mtime| mtime.seconds),
            disposition: disposition::from_query(wanted.target.query()),
        };
        let response = self.content(wanted, found, content).await?;
        self.segment_ahead(wanted, found);
        Ok(response)
    }

    /// By name if the name says it; else by the first bytes, whatever range is asked for.
    async fn media_type(
        &self,
        wanted: &Wanted<'_>,
        found: &Found,
    ) -> Result<&'static str, Failure> {
        let asked = wanted.target.query().get("filename");
        let name = asked.as_deref().or(wanted.target.file_name());
        match name.and_then(media_type::by_name) {
            Some(known) => Ok(known),
            None => self.sniff(found).await,
        }
    }

    /// Conditions, range, headers, body.
    pub(super) async fn content(
        &self,
        wanted: &Wanted<'_>,
        found: &Found,
        content: Content<'_>,
    ) -> Result<Response<Body>, Failure> {
        let etags = std::slice::from_ref(&content.etag);
        let validators = Validators { etags, last_modified: content.last_modified };
        let mut response = match evaluate(wanted.method, wanted.headers, &validators) {
            Precondition::NotModified => headers::status(StatusCode::NOT_MODIFIED),
            Precondition::Failed => return Ok(headers::status(StatusCode::PRECONDITION_FAILED)),
            Precondition::Proceed => {
                let asked = asked_range(wanted, &validators, content.size);
                self.ranged(wanted, &content, asked).await?
            }
        };
        // A cache that kept this for the address would keep the file from everybody.
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let answer = response.headers_mut();
        headers::on_content(answer, found);
        headers::validators(answer, &validators);
        if let Some(disposition) = content.disposition {
            answer.insert(CONTENT_DISPOSITION, disposition);
        }
        Ok(response)
    }

    async fn ranged(
        &self,
        wanted: &Wanted<'_>,
        content: &Content<'_>,
        asked: RangeAnswer,
    ) -> Result<Response<Body>, Failure> {
        let mut response = headers::answer();
        let size = content.size;
        match asked {
            RangeAnswer::Unsatisfiable => {
                let mut response = headers::status(StatusCode::RANGE_NOT_SATISFIABLE);
                set(response.headers_mut(), CONTENT_RANGE, Unsatisfied { size }.to_string());
                return Ok(response);
            }
            RangeAnswer::Whole => {
                describe(response.headers_mut(), size);
                *response.body_mut() = self.body(wanted, content, 0..size).await?;
            }
            RangeAnswer::Single(range) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let shown = ContentRange { range: range.clone(), size }.to_string();
                set(response.headers_mut(), CONTENT_RANGE, shown);
                describe(response.headers_mut(), range.end - range.start);
                *response.body_mut() = self.body(wanted, content, range).await?;
            }
            RangeAnswer::Multi(ranges) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let parts = Multipart::new(ranges, size, content.media_type, content.etag.tag());
                set(response.headers_mut(), CONTENT_TYPE, parts.content_type());
                describe(response.headers_mut(), parts.len());
                *response.body_mut() = self.multipart(wanted, content, &parts).await?;
                return Ok(response);
            }
        }
        let media_type = HeaderValue::from_static(content.media_type);
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        Ok(response)
    }

    async fn body(
        &self,
        wanted: &Wanted<'_>,
        content: &Content<'_>,
        range: Range<u64>,
    ) -> Result<Body, Failure> {
        self.parts(wanted, [Part::File(self.repo().read(content.node, range))]).await
    }

    async fn multipart(
        &self,
        wanted: &Wanted<'_>,
        content: &Content<'_>,
        multipart: &Multipart,
    ) -> Result<Body, Failure> {
        let mut parts = Vec::with_capacity(2 * multipart.ranges().len() + 1);
        for (i, range) in multipart.ranges().iter().enumerate() {
            parts.push(Part::Bytes(Bytes::from(multipart.part_head(i).unwrap_or_default())));
            parts.push(Part::File(self.repo().read(content.node, range.clone())));
        }
        parts.push(Part::Bytes(Bytes::from(multipart.closing())));
        self.parts(wanted, parts).await
    }

    /// A body whose first bytes are at hand: what is missing or broken there still has a status.
    async fn parts(
        &self,
        wanted: &Wanted<'_>,
        parts: impl IntoIterator<Item = Part>,
    ) -> Result<Body, Failure> {
        if wanted.is_head() {
            return Ok(Body::empty());
        }
        let read_ahead = self.limits.read_ahead;
        let mut body = FileBody::new(self.bridge.clone(), self.buffers.clone(), read_ahead, parts);
        body.prime().await?;
        Ok(Body::file(body))
    }
}

/// JSON that was asked for as such is another representation than the file as it is.
fn json_etag(found: &Found) -> ETag {
    ETag::strong(format!("{}.json", found.cid())).unwrap_or_else(|| found.known.etag.clone())
}

fn describe(headers: &mut HeaderMap, len: u64) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

fn asked_range(wanted: &Wanted<'_>, validators: &Validators<'_>, size: u64) -> RangeAnswer {
    if !range_applies(wanted.method, wanted.headers, validators) {
        return RangeAnswer::Whole;
    }
    range::parse(wanted.headers.get(RANGE).map(HeaderValue::as_bytes), size)
}

fn symlink(wanted: &Wanted<'_>, found: &Found, target: &Bytes) -> Response<Body> {
    let etags = std::slice::from_ref(&found.known.etag);
    let validators = Validators { etags, last_modified: None };
    let mut response = match evaluate(wanted.method, wanted.headers, &validators) {
        Precondition::NotModified => headers::status(StatusCode::NOT_MODIFIED),
        Precondition::Failed => return headers::status(StatusCode::PRECONDITION_FAILED),
        Precondition::Proceed => {
            let mut response = headers::answer();
            let media_type = HeaderValue::from_static("inode/symlink");
            response.headers_mut().insert(CONTENT_TYPE, media_type);
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(target.len()));
            if !wanted.is_head() {
                *response.body_mut() = Body::full(target.clone());
            }
            response
        }
    };
    headers::on_content(response.headers_mut(), found);
    headers::validators(response.headers_mut(), &validators);
    response
}

/// Sets a header to text that is known to fit one.
fn set(headers: &mut HeaderMap, name: http::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
