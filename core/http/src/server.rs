//! Listeners and connections.
//!
//! Owns accepting within a bound, and stopping: no new connections, no new requests, and a deadline
//! for the answers under way. The caller binds and the caller says when to stop, so a test binds port 0.
//! Must not know paths or blocks.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::body::Body;
use crate::connection::Timed;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::reset::{Reset, Resettable};
use crate::rpc::Rpc;
use crate::rpc::access::Access;
use crate::rpc::trailers::AskTrailers;
use crate::send_file::{Pieces, SendFile, StandIn};
use crate::tls::Tls;

/// What a connection beyond the bound is told, whole: nothing is read and nothing is allocated for it.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nCache-Control: no-store\r\n\
Access-Control-Allow-Origin: *\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Length: 53\r\nConnection: close\r\n\r\n\
all connections are taken; please try again shortly.\n";

/// Connections beyond the bound that are told so at a time; those above are closed without a word.
const MAX_TURNED_AWAY: usize = 64;

/// What a connection of the RPC API reads at a time, at most, in bytes; the head of a call must fit as well.
const RPC_BUFFER: usize = 128 * 1024;

/// Pause after a failed accept, for example when no file handle is left: trying on at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Congestion control of connections that never leave the machine. Every kernel has it and lets every user set it, and
/// it arms no timers.
const LOOPBACK_CONGESTION: &str = "reno";

/// Serves a gateway on a listener until `stop` resolves, then lets answers under way finish until the
/// drain time of the limits has passed.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = gateway.limits().clone();
    let stand_in = StandIn::new();
    accept(listener, &limits, stop, |stream, stopped, place| {
        connection(stream, gateway.clone(), stand_in.clone(), stopped, place)
    })
    .await
}

/// A listener of the RPC API: where, for whom, and whether through TLS.
#[derive(Debug)]
pub struct RpcListener {
    /// Where clients connect.
    pub listener: TcpListener,
    /// Who may call what through it.
    pub access: Access,
    /// `None`: in the clear.
    pub tls: Option<Arc<Tls>>,
}

/// Serves the RPC API on a listener, with the same end.
pub async fn serve_rpc(
    listener: RpcListener,
    rpc: Arc<Rpc>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = rpc.limits().clone();
    let RpcListener { listener, access, tls } = listener;
    let access = Arc::new(access.at_port(listener.local_addr()?.port()));
    let stand_in = StandIn::new();
    accept(listener, &limits, stop, |stream, stopped, place| {
        let door = Door { rpc: rpc.clone(), access: access.clone(), stand_in: stand_in.clone() };
        door.connection(stream, tls.clone(), stopped, place)
    })
    .await
}

async fn accept<C: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    limits: &Limits,
    stop: impl Future<Output = ()>,
    serve: impl Fn(TcpStream, watch::Receiver<bool>, OwnedSemaphorePermit) -> C,
) -> io::Result<()> {
    spare_loopback_pacing(&listener);
    let places = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let turned_away = Arc::new(Semaphore::new(MAX_TURNED_AWAY));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = tokio::task::JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                connections.spawn(serve(stream, stopped.clone(), place));
            }
            Err(_) => turn_away(stream, &turned_away),
        }
    }
    drop(listener);
    // Nobody listens only when no connection is left.
    let _ = stopping.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_time, drained).await.is_err() {
        tracing::warn!(left = connections.len(), "closing connections that did not end in time");
    }
    connections.shutdown().await;
    Ok(())
}

/// Takes BBR off a listener that only this machine can reach. Operators set BBR for the whole machine because it is good
/// to viewers far away; between a proxy and us there is nothing to pace, and BBR's pacing arms a kernel timer for about
/// every 64 KiB sent: half the CPU of an answer, and a third of the rate (`benches/README.md`). Accepted connections
/// inherit it. Where it cannot be set, answers are as right and cost more.
fn spare_loopback_pacing(listener: &TcpListener) {
    if !listener.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
        return;
    }
    if let Err(error) = rustix::net::sockopt::set_tcp_congestion(listener, LOOPBACK_CONGESTION) {
        tracing::debug!(%error, "connections of this listener keep the machine's congestion control");
    }
}

async fn connection(
    stream: TcpStream,
    gateway: Arc<Gateway>,
    stand_in: StandIn,
    mut stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    // Answers are written whole buffers at a time; waiting to fill packets would only delay the last.
    let _ = stream.set_nodelay(true);
    let limits = gateway.limits();
    let (bridge, buffers) = (gateway.bridge().clone(), gateway.buffers().clone());
    let stream = SendFile::new(stream, stand_in, bridge, buffers);
    let pieces = stream.pieces();
    let stream = Timed::new(stream, limits);
    let busy = stream.busy();
    let builder = builder(limits);
    let service = service_fn(move |request: Request<Incoming>| {
        let (gateway, mark, pieces) = (gateway.clone(), busy.begin(), pieces.clone());
        async move {
            let response: Response<Body> = gateway.handle(request.map(drop)).await;
            Ok::<_, Infallible>(response.map(|body| body.sending(pieces).marked(mark)))
        }
    });
    run(std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service)), &mut stopped)
        .await;
}

/// The RPC API as it is behind one listener.
struct Door {
    rpc: Arc<Rpc>,
    access: Arc<Access>,
    stand_in: StandIn,
}

impl Door {
    async fn connection(
        self,
        stream: TcpStream,
        tls: Option<Arc<Tls>>,
        mut stopped: watch::Receiver<bool>,
        _place: OwnedSemaphorePermit,
    ) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            let (bridge, buffers) = self.rpc.ways();
            let stand_in = self.stand_in.clone();
            let stream = SendFile::new(stream, stand_in, bridge.clone(), buffers.clone());
            let pieces = stream.pieces();
            let stream = Resettable::new(stream);
            let reset = stream.reset();
            return self.serve(stream, reset, Some(pieces), &mut stopped).await;
        };
        let stream = Resettable::new(stream);
        let reset = stream.reset();
        // Who does not shake hands in the time of a head is not waited for.
        let time = self.rpc.limits().head_time;
        let hands = tokio::select! {
            hands = tokio::time::timeout(time, tls.accept(stream)) => hands,
            () = async { drop(stopped.clone().wait_for(|stop| *stop).await) } => return,
        };
        match hands {
            // What is encrypted passes through here.
            Ok(Ok(stream)) => self.serve(stream, reset, None, &mut stopped).await,
            Ok(Err(error)) => tracing::debug!(%error, "no TLS came about"),
            Err(_) => tracing::debug!("a client did not begin TLS in time"),
        }
    }

    async fn serve<S>(
        self,
        stream: S,
        reset: Reset,
        pieces: Option<Pieces>,
        stopped: &mut watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Door { rpc, access, .. } = self;
        let limits = rpc.limits().clone();
        let stream = Timed::new(AskTrailers::new(stream), &limits);
        let busy = stream.busy();
        let mut builder = builder(&limits);
        // Kubo spells its headers so, and some scripts look for them.
        builder.max_header_size(limits.rpc.head_bytes).title_case_headers(true);
        // A body waits in pieces of this size; hyper's own would let each of many uploads hold a megabyte.
        builder.max_buf_size(limits.rpc.head_bytes.max(RPC_BUFFER));
        let service = service_fn(move |request: Request<Incoming>| {
            let (rpc, access, mark) = (rpc.clone(), access.clone(), busy.begin());
            // Later versions have chunks, of which the last says that the answer is whole.
            let reset = (request.version() < Version::HTTP_11).then(|| reset.clone());
            let pieces = pieces.clone();
            async move {
                let response: Response<Body> = rpc.handle(&access, request).await;
                Ok::<_, Infallible>(response.map(|body| {
                    let body = body.marked(mark).or_reset(reset);
                    match pieces {
                        Some(pieces) => body.sending(pieces),
                        None => body,
                    }
                }))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        run(std::pin::pin!(connection), stopped).await;
    }
}

/// Serves a connection to its end; when the server stops, no new requests are taken from it.
async fn run<I, S>(
    mut connection: Pin<&mut http1::Connection<I, S>>,
    stopped: &mut watch::Receiver<bool>,
) where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stop| *stop).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The times of a connection are kept by `Timed`, which also knows pauses and stalls.
        .header_read_timeout(None)
        .max_header_size(limits.head_bytes)
        .keep_alive(true);
    builder
}

/// Tells a client that there is no room, and closes.
fn turn_away(mut stream: TcpStream, places: &Arc<Semaphore>) {
    let Ok(place) = places.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        let tell = async {
            stream.write_all(FULL).await?;
            stream.shutdown().await?;
            // What the client has sent must be read, or the answer is lost in a reset.
            let mut sent = [0; 1024];
            while tokio::io::AsyncReadExt::read(&mut stream, &mut sent).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), tell).await;
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};

    /// What a listener at an address was told by the machine (BBR, where the kernel has it), and what a connection has that
    /// it accepts.
    async fn before_and_after(address: &str) -> (String, String) {
        let listener = TcpListener::bind(address).await.unwrap();
        let _ = set_tcp_congestion(&listener, "bbr").or(set_tcp_congestion(&listener, "cubic"));
        let before = tcp_congestion(&listener).unwrap();
        spare_loopback_pacing(&listener);
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        (before, tcp_congestion(&listener.accept().await.unwrap().0).unwrap())
    }

    #[tokio::test]
    async fn only_a_listener_on_the_loopback_takes_pacing_off() {
        let (before, after) = before_and_after("0.0.0.0:0").await;
        assert_eq!(before, after);
        assert_eq!(before_and_after("127.0.0.1:0").await.1, LOOPBACK_CONGESTION);
    }
}
