//! Raw blocks: the bytes as they are stored.
//!
//! Owns the answer in the format `raw`. Rules: trustless gateway specification, "Block Responses".
//! Twin of boxo `gateway/handler_block.go`.

use coldfront::block::RAW;
use coldfront::{Cid, ContentPath, Node, Resolved};
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Response};

use super::Gateway;
use super::disposition::{self, Disposition};
use super::file::Content;
use super::request::Wanted;
use crate::body::Body;
use crate::error::Failure;

impl Gateway {
    pub(super) async fn block(
        &self,
        wanted: &Wanted<'_>,
        found: &Resolved,
    ) -> Result<Response<Body>, Failure> {
        // The root as it was asked for: it was resolved as a raw block.
        let cid = if found.cids.len() > 1 { *found.cid() } else { *wanted.path.root() };
        let raw = ContentPath::new(Cid::new_v1(RAW, *cid.hash()));
        let block = self.resolve(std::borrow::Cow::Owned(raw)).await??;
        let Node::File(file) = &*block.node else {
            return Err(coldfront::ReadError::NotAFile(cid).into());
        };
        let content = Content {
            node: &block.node,
            size: file.size(),
            media_type: "application/vnd.ipld.raw",
            etag: format!("{cid}.raw"),
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
