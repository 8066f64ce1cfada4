//! Raw blocks: the bytes as they are stored.
//!
//! Owns the answer in the format `raw`. Rules: trustless gateway specification, "Block Responses".
//! Twin of boxo `gateway/handler_block.go`.

use coldfront::{Cid, Node, ReadError, Resolved};
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Response};

use super::Gateway;
use super::disposition::{self, Disposition};
use super::file::Content;
use super::known::Found;
use super::request::Wanted;
use crate::body::Body;
use crate::conditional::ETag;
use crate::error::Failure;

impl Gateway {
    /// Follows a path to its end without decoding the block there: any codec will do. For HEAD the size of
    /// the block is enough.
    pub(super) async fn find_block(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<Result<Found, ReadError>, Failure> {
        let resolved = self.resolve_block(wanted).await?;
        Ok(resolved.map(|resolved| Found::new(&wanted.target, &wanted.path, resolved)))
    }

    async fn resolve_block(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<Result<Resolved, ReadError>, Failure> {
        let path = wanted.path.clone();
        if wanted.is_head() {
            return self.waiting(move |repo| repo.stat_block(&path)).await;
        }
        match self.repo().resolve_block_now(&path) {
            Ok(Some(found)) => Ok(Ok(found)),
            Ok(None) => self.waiting(move |repo| repo.resolve_block(&path)).await,
            Err(error) => Ok(Err(error)),
        }
    }

    pub(super) async fn block(
        &self,
        wanted: &Wanted<'_>,
        found: &Found,
    ) -> Result<Response<Body>, Failure> {
        let cid = *found.cid();
        let Node::File(file) = &*found.node else {
            return Err(ReadError::NotAFile(cid).into());
        };
        let content = Content {
            node: &found.node,
            size: file.size(),
            media_type: "application/vnd.ipld.raw",
            etag: ETag::strong(format!("{cid}.raw")).unwrap_or_else(|| found.known.etag.clone()),
            last_modified: None,
            disposition: Some(self.attachment(wanted, &cid)),
        };
        let mut response = self.content(wanted, found, content).await?;
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    fn attachment(&self, wanted: &Wanted<'_>, cid: &Cid) -> HeaderValue {
        let asked = wanted.target.query().get("filename").filter(|name| !name.is_empty());
        let name =
            asked.map_or_else(|| format!("{cid}.bin").into_bytes(), |name| name.into_owned());
        disposition::header(Disposition::Attachment, Some(&name))
    }
}
