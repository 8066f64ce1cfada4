//! The IPFS path gateway.
//!
//! Owns the order in which a request is processed. Each step is a file beside this one:
//!
//! 1. the method, and a place among the requests under way (else 503);
//! 2. [`request`]: target and headers, pure (else 400, 405, 406, 412, 501);
//! 3. resolve the path: from cached nodes at once, else through the bridge (else 404, 500, 503);
//! 4. [`directory`]: redirect, `index.html` or listing; or [`file`]: conditions, range, body;
//! 5. headers that every answer has.
//!
//! Must not know sockets, nor how blocks are stored. Rules: the path gateway specification and boxo
//! `gateway/handler.go`, whose file names these twins have.

mod block;
mod directory;
pub mod disposition;
pub mod error_page;
mod file;
mod headers;
mod known;
pub mod listing;
pub mod next_segment;
mod request;
mod segments;
mod sniffed;
pub mod target;

use std::sync::Arc;

use coldfront::{ContentPath, ReadError, Repo, RepoStats, Resolved};
use http::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{Body, BodyError};
use crate::bridge::Bridge;
use crate::buffers::Buffers;
use crate::error::Failure;
use crate::limits::Limits;
use known::{Found, KnownPaths};
use request::{Format, Wanted};
use segments::Segments;
use sniffed::Sniffed;

/// The gateway over a repository. Shared by all connections.
#[derive(Debug)]
pub struct Gateway {
    limits: Limits,
    bridge: Arc<Bridge>,
    buffers: Arc<Buffers>,
    files: Arc<Semaphore>,
    listings: Arc<Semaphore>,
    sniffed: Sniffed,
    segments: Segments,
    known: KnownPaths,
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayStats {
    /// What the library did.
    pub repo: RepoStats,
    /// Segments of streams that were asked of the page cache ahead of their viewers.
    pub segments_ahead: u64,
    /// Work ahead of clients that was not done because the disks were busy.
    pub ahead_skipped: u64,
    /// Memory taken now by bytes on their way to clients, of [`Limits::bytes_in_flight`].
    pub bytes_in_flight: usize,
}

impl Gateway {
    /// A gateway over `repo`. Opens nothing and listens to nothing.
    pub fn new(repo: Repo, limits: Limits) -> Arc<Self> {
        let semaphore = |n: usize| Arc::new(Semaphore::new(n.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Gateway {
            bridge: Arc::new(Bridge::new(repo, limits.disk_threads, limits.disk_queue)),
            buffers: Buffers::new(limits.bytes_in_flight),
            files: semaphore(limits.file_requests),
            listings: semaphore(limits.listing_requests),
            sniffed: Sniffed::new(),
            segments: Segments::new(),
            known: KnownPaths::new(),
            limits,
        })
    }

    /// The bounds it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn bridge(&self) -> &Arc<Bridge> {
        &self.bridge
    }

    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// The repository below.
    pub fn repo(&self) -> &Repo {
        self.bridge.repo()
    }

    /// Counters since start.
    pub fn stats(&self) -> GatewayStats {
        GatewayStats {
            repo: self.repo().stats(),
            segments_ahead: self.segments.asked(),
            ahead_skipped: self.bridge.skipped(),
            bytes_in_flight: self.buffers.taken(),
        }
    }

    /// Answers one request. The body of the request is not looked at: no method that has one is served.
    pub async fn handle(&self, request: Request<()>) -> Response<Body> {
        let mut response = match self.answer(&request).await {
            Ok(response) => response,
            Err(failure) => headers::failure(&request, failure),
        };
        headers::on_every_answer(response.headers_mut());
        response
    }

    async fn answer(&self, request: &Request<()>) -> Result<Response<Body>, Failure> {
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(headers::options()),
            _ => return Err(headers::method_not_allowed()),
        }
        let place = self.place(&self.files)?;
        let wanted = Wanted::parse(request, &self.known)?;
        let found = match wanted.format {
            Format::Raw => self.find_block(&wanted).await?,
            Format::Default | Format::Json => self.find(&wanted).await?,
        };
        let found = match found {
            Err(ReadError::Missing(cid)) if wanted.only_if_cached && cid == *wanted.path.root() => {
                return Ok(headers::status(StatusCode::PRECONDITION_FAILED));
            }
            found => found?,
        };
        let response = match wanted.format {
            Format::Raw => self.block(&wanted, &found).await?,
            Format::Default | Format::Json if !found.node.is_directory() => {
                self.file(&wanted, &found).await?
            }
            Format::Default => self.directory(&wanted, &found).await?,
            Format::Json => return Err(request::not_json()),
        };
        Ok(response.map(|body| body.holding(place)))
    }

    /// A place among the requests of a class, or 503 at once.
    fn place(&self, class: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
        if self.buffers.is_exhausted() {
            return Err(Failure::overloaded("all memory for answers is taken"));
        }
        let place = class.clone().try_acquire_owned();
        place.map_err(|_| Failure::overloaded("too many requests are under way"))
    }

    /// The end of the path that is wanted: without a walk where it was found before and is cached.
    async fn find(&self, wanted: &Wanted<'_>) -> Result<Result<Found, ReadError>, Failure> {
        if let Some(known) = &wanted.known
            && let Some(node) = self.repo().node_now(known.end())
        {
            return Ok(Ok(Found { node, known: known.clone() }));
        }
        let resolved = self.resolve(&wanted.path).await?;
        Ok(resolved.map(|resolved| {
            let found = Found::new(&wanted.target, &wanted.path, resolved);
            self.known.remember(&wanted.target, &found);
            found
        }))
    }

    /// Follows a path: from cached nodes on this thread, else where waiting is allowed.
    async fn resolve(
        &self,
        path: &Arc<ContentPath>,
    ) -> Result<Result<Resolved, ReadError>, Failure> {
        match self.repo().resolve_now(path) {
            Ok(Some(found)) => return Ok(Ok(found)),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
        let path = path.clone();
        self.waiting(move |repo| repo.resolve(&path)).await
    }

    /// Does what may wait for a disk; 503 when too many wait already.
    async fn waiting<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Repo) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.bridge.admit(job)?.await.ok_or(BodyError::Stopped.into())
    }
}
