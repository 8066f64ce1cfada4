//! Hot pieces of files by `sendfile`, beneath hyper.
//!
//! Owns the trick: a body hands hyper bytes that *stand in* for a piece of a file, and the stream under hyper knows them
//! by their address and sends the piece itself, so that no byte of it enters the process. Pieces are sent in the order
//! in which bodies gave them. What has left the page cache by the time the socket has room is read through the bridge
//! instead: the runtime's thread never waits for a disk. Must not know HTTP, ranges or CIDs.
//!
//! It rests on hyper passing a body's bytes on as they are (vectored writes, no flattening). Should that ever change, the
//! stream finds a copy of the stand-in where plain bytes should be and ends the connection: a client never gets it.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use coldfront::store::SendError;
use coldfront::{Extent, StoreError};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::bridge::{Bridge, Running};
use crate::buffers::{BUFFER_LEN, Buffers, Window};

/// The longest piece, in bytes: a leaf of Kubo's default size. Each is looked up in the page cache by itself.
const MAX_PIECE: usize = 256 * 1024;

/// The shortest piece, in bytes: below, one read and a shared write cost less than the look-up and a `sendfile`.
const MIN_PIECE: u64 = 16 * 1024;

/// Length of the pattern that fills the stand-in, in bytes; divides [`MAX_PIECE`].
const PATTERN_LEN: usize = 16;

/// The bytes that stand in for pieces of files; one for a server.
#[derive(Clone, Debug)]
pub(crate) struct StandIn(Bytes);

impl StandIn {
    /// Filled with a pattern that no file can be made to hold on purpose: it differs from start to start.
    pub(crate) fn new() -> Self {
        let random = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        let pattern: Vec<u8> = random.iter().flat_map(|half| half.to_le_bytes()).collect();
        StandIn(Bytes::from(pattern.repeat(MAX_PIECE / PATTERN_LEN)))
    }

    /// Known by its address: what hyper copied is elsewhere.
    fn covers(&self, bytes: &[u8]) -> bool {
        self.0.as_ptr_range().contains(&bytes.as_ptr())
    }

    /// Whether plain bytes end like a copy of the stand-in.
    fn was_copied_to(&self, bytes: &[u8]) -> bool {
        let (Some(tail), Some(twice)) =
            (bytes.last_chunk::<PATTERN_LEN>(), self.0.get(..2 * PATTERN_LEN))
        else {
            return false;
        };
        twice.windows(PATTERN_LEN).any(|window| window == tail)
    }
}

/// A piece on its way.
#[derive(Debug)]
struct Piece {
    extent: Extent,
    /// It was found in the page cache, and no time has passed since.
    hot: bool,
}

/// The pieces that bodies of one connection have given and the socket has not taken. hyper asks a body for no more than
/// sixteen at a time, nor for more than some 400 KiB, before it writes.
#[derive(Clone, Debug)]
pub(crate) struct Pieces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stand_in: StandIn,
    queue: Mutex<VecDeque<Piece>>,
    /// The file system cannot send files.
    refused: AtomicBool,
}

impl Pieces {
    fn new(stand_in: StandIn) -> Self {
        let queue = Mutex::default();
        Pieces(Arc::new(Shared { stand_in, queue, refused: AtomicBool::new(false) }))
    }

    /// Cuts the next piece off an extent, to be sent after all that were given before: if the page cache holds it and it
    /// is worth it. Returns what stands in for it.
    pub(crate) fn give(&self, extent: &mut Extent) -> Option<Bytes> {
        let len = extent.len().min(MAX_PIECE as u64);
        if len < MIN_PIECE || self.is_refused() || !extent.is_cached(len) {
            return None;
        }
        let stand_in = self.0.stand_in.0.slice(..usize::try_from(len).ok()?);
        self.queue().push_back(Piece { extent: extent.split_front(len), hot: true });
        Some(stand_in)
    }

    fn is_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Piece>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What reading a piece where waiting is allowed has brought: the rest of it, and its next bytes.
type Read = (Extent, Result<Bytes, StoreError>);

/// A socket that sends pieces where their stand-ins are written.
#[derive(Debug)]
pub(crate) struct SendFile {
    stream: TcpStream,
    pieces: Pieces,
    bridge: Arc<Bridge>,
    window: Window,
    /// A piece that is not in the page cache is being read.
    reading: Option<Running<Read>>,
    /// The first bytes of the first piece, read already; its extent begins behind them.
    read: Bytes,
}

impl SendFile {
    pub(crate) fn new(
        stream: TcpStream,
        stand_in: StandIn,
        bridge: Arc<Bridge>,
        buffers: Arc<Buffers>,
    ) -> Self {
        SendFile {
            stream,
            pieces: Pieces::new(stand_in),
            bridge,
            window: Window::new(buffers),
            reading: None,
            read: Bytes::new(),
        }
    }

    /// Where the bodies of this connection give their pieces.
    pub(crate) fn pieces(&self) -> Pieces {
        self.pieces.clone()
    }

    /// Sends of the first piece, for which `len` bytes stand in.
    fn poll_send(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        loop {
            if !self.read.is_empty() {
                let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.read))?;
                self.read.advance(sent);
                self.pop_if_sent();
                return Poll::Ready(Ok(sent));
            }
            if self.reading.is_some() {
                ready!(self.poll_read_piece(cx))?;
                continue;
            }
            let ready = self.stream.poll_write_ready(cx)?;
            let mut queue = self.pieces.queue();
            if ready.is_pending() {
                // Time passes, in which the page cache may lose any of them.
                queue.iter_mut().for_each(|piece| piece.hot = false);
                return Poll::Pending;
            }
            let Some(piece) = queue.front_mut() else { return Poll::Ready(Err(out_of_step())) };
            if piece.extent.len() != len as u64 {
                return Poll::Ready(Err(out_of_step()));
            }
            piece.hot =
                !self.pieces.is_refused() && (piece.hot || piece.extent.is_cached(len as u64));
            if !piece.hot {
                let extent = piece.extent.clone();
                drop(queue);
                ready!(self.poll_start_reading(cx, extent));
                continue;
            }
            match send_now(&self.stream, &mut piece.extent) {
                Ok(sent) => {
                    if piece.extent.is_empty() {
                        queue.pop_front();
                    }
                    return Poll::Ready(Ok(sent));
                }
                Err(SendError::Socket(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(SendError::Socket(error)) => return Poll::Ready(Err(error)),
                Err(SendError::Refused) => self.pieces.0.refused.store(true, Ordering::Relaxed),
                Err(SendError::File(error)) => {
                    self.bridge.repo().failed(&piece.extent, &error);
                    return Poll::Ready(Err(io::Error::other(error)));
                }
            }
        }
    }

    fn poll_start_reading(&mut self, cx: &mut Context<'_>, mut extent: Extent) -> Poll<()> {
        let share = ready!(self.window.poll_take(cx, BUFFER_LEN as u64));
        let mut buffer = share.into_buffer();
        self.reading = Some(self.bridge.run(move |repo| {
            let read = extent.read(buffer.space()).map(|n| buffer.into_bytes(n));
            let read = read.inspect_err(|error| repo.failed(&extent, error));
            (extent, read)
        }));
        Poll::Ready(())
    }

    fn poll_read_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(())) };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let (rest, read) = read.ok_or_else(|| io::Error::other("the server is stopping"))?;
        self.read = read.map_err(io::Error::other)?;
        if let Some(piece) = self.pieces.queue().front_mut() {
            piece.extent = rest;
        }
        Poll::Ready(Ok(()))
    }

    fn pop_if_sent(&self) {
        let mut queue = self.pieces.queue();
        if self.read.is_empty() && queue.front().is_some_and(|piece| piece.extent.is_empty()) {
            queue.pop_front();
        }
    }

    /// Writes plain bytes that pieces follow: they leave together, not as a small packet of their own.
    fn poll_write_more(
        &mut self,
        cx: &mut Context<'_>,
        plain: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let write = || {
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                let mut nothing = SendAncillaryBuffer::default();
                Ok(rustix::net::sendmsg(&self.stream, plain, &mut nothing, flags)?)
            };
            match self.stream.try_io(Interest::WRITABLE, write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Plain bytes must not be what a piece was to be sent for.
    fn check_plain(&self, bytes: &[u8]) -> io::Result<()> {
        if self.pieces.0.stand_in.was_copied_to(bytes) && !self.pieces.queue().is_empty() {
            return Err(out_of_step());
        }
        Ok(())
    }
}

/// One `sendfile`; tells the runtime when the socket is full.
fn send_now(stream: &TcpStream, extent: &mut Extent) -> Result<usize, SendError> {
    let mut failed = None;
    let sent = stream.try_io(Interest::WRITABLE, || {
        extent.send_to(stream).map_err(|error| match error {
            SendError::Socket(error) => error,
            other => {
                failed = Some(other);
                io::ErrorKind::Other.into()
            }
        })
    });
    sent.map_err(|error| failed.unwrap_or(SendError::Socket(error)))
}

fn out_of_step() -> io::Error {
    io::Error::other("what was written is not what the answer gave: the connection ends here")
}

impl AsFd for SendFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for SendFile {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for SendFile {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let stand_in = &this.pieces.0.stand_in;
        let stands_in = |buf: &IoSlice<'_>| !buf.is_empty() && stand_in.covers(buf);
        let plain = bufs.iter().take_while(|buf| !stands_in(buf)).count();
        let (plain, rest) = bufs.split_at(plain);
        if plain.iter().all(|buf| buf.is_empty()) {
            return match rest.first() {
                Some(stand_in) => this.poll_send(cx, stand_in.len()),
                None => Poll::Ready(Ok(0)),
            };
        }
        plain.iter().try_for_each(|buf| this.check_plain(buf))?;
        match rest {
            [] => Pin::new(&mut this.stream).poll_write_vectored(cx, plain),
            _ => this.poll_write_more(cx, plain),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldfront::unixfs::file::Step;
    use coldfront::{ArchiveOptions, Cid, ContentPath, Repo, RepoOptions};
    use coldfront_flatfs::{Key, ShardFn};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const LEN: usize = 100_000;

    /// A raw block in a tree, and a socket that sends pieces of it to a client.
    struct World {
        _dir: tempfile::TempDir,
        content: Vec<u8>,
        repo: Repo,
        cid: Cid,
        socket: SendFile,
        client: TcpStream,
        path: std::path::PathBuf,
    }

    impl World {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let content: Vec<u8> = (0..LEN).map(|at| (at / 251) as u8).collect();
            let cid = coldfront::unixfs::testing::cid_of(coldfront::block::RAW, &content);
            std::fs::write(dir.path().join("SHARDING"), format!("{}\n", ShardFn::default()))
                .unwrap();
            let name = Key::new(&cid.hash().to_bytes()).text();
            let shard = String::from_utf8(ShardFn::default().shard_of(&name)).unwrap();
            std::fs::create_dir(dir.path().join(&shard)).unwrap();
            let path = dir.path().join(shard).join(format!("{name}.data"));
            std::fs::write(&path, &content).unwrap();
            let archives = vec![ArchiveOptions::new(dir.path())];
            let repo = Repo::open(&RepoOptions { archives, ..RepoOptions::default() }).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let bridge = Arc::new(Bridge::new(repo.clone(), 2, 2));
            let socket = SendFile::new(stream, StandIn::new(), bridge, Buffers::new(1 << 20));
            World { _dir: dir, content, repo, cid, socket, client, path }
        }

        fn extent(&self) -> Extent {
            let node = self.repo.resolve(&ContentPath::new(self.cid)).unwrap().node;
            let mut reader = self.repo.read(&node, ..);
            let first = reader.next_piece().unwrap().unwrap();
            assert!(matches!(reader.next_now().unwrap(), Step::End));
            match first {
                coldfront::Piece::Extent(extent) => extent,
                coldfront::Piece::Bytes(_) => panic!("an archive has files"),
            }
        }
    }

    #[tokio::test]
    async fn what_stands_in_for_a_piece_arrives_as_the_piece_between_plain_bytes() {
        let mut world = World::new().await;
        let Some(stand_in) = world.socket.pieces().give(&mut world.extent()) else {
            eprintln!(
                "SKIPPED: this kernel does not tell what its page cache holds (Linux 6.5 does)"
            );
            return;
        };
        assert_ne!(stand_in, world.content);
        world.socket.write_all(b"head").await.unwrap();
        world.socket.write_all(&stand_in).await.unwrap();
        world.socket.write_all(b"tail").await.unwrap();
        let mut arrived = vec![0; LEN + 8];
        world.client.read_exact(&mut arrived).await.unwrap();
        assert!(arrived == [b"head", &world.content[..], b"tail"].concat());
    }

    #[tokio::test]
    async fn what_has_left_the_page_cache_is_read_where_waiting_is_allowed() {
        let mut world = World::new().await;
        let Some(stand_in) = world.socket.pieces().give(&mut world.extent()) else { return };
        world.socket.pieces.queue().iter_mut().for_each(|piece| piece.hot = false);
        let extent = world.extent();
        std::fs::File::open(&world.path).unwrap().sync_all().unwrap();
        extent.dont_need();
        eprintln!("still in the page cache: {}", extent.is_cached(LEN as u64));
        world.socket.write_all(&stand_in).await.unwrap();
        let mut arrived = vec![0; LEN];
        world.client.read_exact(&mut arrived).await.unwrap();
        assert!(arrived == world.content);
    }

    #[tokio::test]
    async fn a_copy_of_what_stands_in_never_leaves() {
        let mut world = World::new().await;
        let Some(stand_in) = world.socket.pieces().give(&mut world.extent()) else { return };
        let copied = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &stand_in].concat();
        assert!(world.socket.write_all(&copied).await.is_err());
        // Nor does one that nothing was given for.
        world.socket.pieces.queue().clear();
        assert!(world.socket.write_all(&stand_in).await.is_err());
        drop(world.socket);
        let mut arrived = Vec::new();
        world.client.read_to_end(&mut arrived).await.unwrap();
        assert_eq!(arrived, b"");
    }

    #[tokio::test]
    async fn a_file_that_ends_early_ends_the_connection_and_is_told() {
        let mut world = World::new().await;
        let Some(stand_in) = world.socket.pieces().give(&mut world.extent()) else { return };
        std::fs::OpenOptions::new().write(true).open(&world.path).unwrap().set_len(50_000).unwrap();
        assert!(world.socket.write_all(&stand_in).await.is_err());
        assert_eq!(world.repo.take_faults().len(), 1);
    }
}
