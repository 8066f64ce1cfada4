//! Directories: the slash, `index.html`, or a page that lists.
//!
//! Owns the answer to a path that leads to a directory. A listing opens no child and streams: memory
//! does not grow with the directory. Must not know what the page looks like ([`super::listing`]).
//! Rules: path gateway specification. Twin of boxo `gateway/handler_unixfs_dir.go`.

use std::sync::Arc;

use bytes::Bytes;
use coldfront::{Listing, Node, ReadError, Repo, Resolved};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};

use super::file::Content;
use super::known::Found;
use super::listing;
use super::request::Wanted;
use super::{Gateway, headers};
use crate::body::{Body, Page, PageSource, Pages};
use crate::conditional::{ETag, Precondition, Validators, evaluate};
use crate::error::Failure;
use crate::media_type;

const INDEX: &[u8] = b"index.html";

/// Rows are sent in pieces of about this many bytes.
const PAGE_LEN: usize = 32 * 1024;

/// Entries that one listing shows at most. A sharded directory made to deceive can repeat its shards
/// without end; a real one of this size is read by program.
const MAX_ENTRIES: u64 = 10_000_000;

impl Gateway {
    pub(super) async fn directory(
        &self,
        wanted: &Wanted<'_>,
        found: &Found,
    ) -> Result<Response<Body>, Failure> {
        // `?go-get=1` is how Go's tool asks for its meta tags, and it does not follow redirects.
        if !wanted.target.trailing_slash() && !wanted.target.query().is_on("go-get") {
            return Ok(redirect(wanted, found));
        }
        match self.resolve(&Arc::new(wanted.path.join(INDEX))).await? {
            Ok(index) => self.index(wanted, found, &index).await,
            Err(ReadError::NoLink { .. }) => self.listing(wanted, found).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The directory's own page in place of a listing. Its tag is that of the directory.
    async fn index(
        &self,
        wanted: &Wanted<'_>,
        directory: &Found,
        index: &Resolved,
    ) -> Result<Response<Body>, Failure> {
        let Node::File(file) = &*index.node else {
            return Err(Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "index.html of this directory is not a file",
                "other paths below the directory can be asked for by name",
            ));
        };
        let content = Content {
            node: &index.node,
            size: file.size(),
            media_type: media_type::by_name(INDEX).unwrap_or(media_type::OCTET_STREAM),
            etag: directory.known.etag.clone(),
            last_modified: file.mtime().map(|mtime| mtime.seconds),
            disposition: None,
        };
        self.content(wanted, directory, content).await
    }

    async fn listing(&self, wanted: &Wanted<'_>, found: &Found) -> Result<Response<Body>, Failure> {
        let cid = found.cid().to_string();
        // A client that has the directory's own tag has all that the page is made of.
        let etags: Vec<ETag> =
            listing::Page::etag(&cid).into_iter().chain([found.known.etag.clone()]).collect();
        let validators = Validators { etags: &etags, last_modified: None };
        let mut response = match evaluate(wanted.method, wanted.headers, &validators) {
            Precondition::NotModified => headers::status(StatusCode::NOT_MODIFIED),
            Precondition::Failed => return Ok(headers::status(StatusCode::PRECONDITION_FAILED)),
            Precondition::Proceed if wanted.is_head() => Response::new(Body::empty()),
            Precondition::Proceed => {
                let place = self.place(&self.listings)?;
                let page = listing::Page::new(&wanted.target, &cid);
                Response::new(self.pages(found, page).await?.holding(place))
            }
        };
        let answer = response.headers_mut();
        headers::on_content(answer, found);
        headers::validators(answer, &validators);
        answer.insert(CACHE_CONTROL, headers::GENERATED);
        answer.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        Ok(response)
    }

    /// The page as a body whose first piece is made already.
    async fn pages(&self, found: &Found, page: listing::Page) -> Result<Body, Failure> {
        let directory = found.node.clone();
        let (first, source) = self
            .waiting(move |repo: &Repo| {
                let mut source = page_source(repo.list(&directory)?, page);
                Ok::<_, ReadError>((source()?, source))
            })
            .await??;
        Ok(Body::pages(Pages::new(self.bridge.clone(), first, source)))
    }
}

/// Makes the page piece by piece: the head with the first rows, rows, the last rows with the tail.
fn page_source(mut entries: Listing, page: listing::Page) -> PageSource {
    let mut count = 0;
    let mut head = Some(page.head());
    Box::new(move || {
        let mut out: Vec<u8> = head.take().map(Into::into).unwrap_or_default();
        out.reserve(PAGE_LEN);
        while out.len() < PAGE_LEN {
            match if count < MAX_ENTRIES { entries.next() } else { None } {
                Some(Ok(entry)) => {
                    page.row(&mut out, &entry.name, &entry.cid.to_string(), entry.tsize);
                }
                Some(Err(ReadError::BadLink { name, reason, .. })) => {
                    page.bad_row(&mut out, &name, &reason);
                }
                Some(Err(error)) => return Err(error),
                None => {
                    out.extend_from_slice(&page.tail(count));
                    return Ok(Page { bytes: Bytes::from(out), last: true });
                }
            }
            count += 1;
        }
        Ok(Page { bytes: Bytes::from(out), last: false })
    })
}

fn redirect(wanted: &Wanted<'_>, found: &Found) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    headers::on_content(response.headers_mut(), found);
    if let Ok(location) = HeaderValue::try_from(wanted.target.redirect_with_slash()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
