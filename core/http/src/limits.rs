//! Every bound of the edge, named, with its default and its reason.
//!
//! Owns the numbers; who enforces one says so at its field. Beyond a bound a client gets 503 with
//! `Retry-After` at once, or waits where it has been let in already; nothing here queues without end.

use std::time::Duration;

/// The bounds of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time. One more gets 503 and is closed. Default 4096; a proxy in front
    /// needs some tens.
    pub connections: usize,
    /// Requests for files and blocks under way at a time. Default 2048.
    pub file_requests: usize,
    /// Requests for directory pages under way at a time: a large one reads many blocks. Default 64.
    pub listing_requests: usize,
    /// Memory for bytes on their way to clients, in bytes. When half of it is taken, each answer gets
    /// one buffer of 64 KiB at a time; when all is taken, new requests get 503 and answers that have
    /// begun wait for a buffer. Default 64 MiB.
    pub bytes_in_flight: usize,
    /// Reads that wait for a disk at a time: the threads of the runtime's blocking pool, which whoever
    /// builds the runtime sets to this number. Default 32.
    pub disk_threads: usize,
    /// Requests that wait for one of those threads. One more gets 503. Default 1024.
    pub disk_queue: usize,
    /// How far ahead of a client that reads a cold file leaves are asked of the page cache, at most,
    /// in bytes. Starts at an eighth and doubles while the client goes on. Default 4 MiB; 0 is off.
    pub read_ahead: u64,
    /// How much of the next segment of a stream is asked of the page cache when a segment is read, in
    /// bytes. Default 8 MiB; 0 is off.
    pub next_segment: u64,
    /// Files that are held open for leaves read lately. Default 4096. An answer that a slow client has not taken holds
    /// those of its next leaves besides: two of Kubo's default size, sixteen at most.
    pub open_files: usize,
    /// The longest head of a request, in bytes. More gets 431. Default 16 KiB.
    pub head_bytes: usize,
    /// The time a client has for the head of a request once it has begun. Default 10 s.
    pub head_time: Duration,
    /// How long a connection may stay open between requests. Default 75 s, longer than nginx keeps
    /// its side, so that the proxy is the one who closes.
    pub idle_time: Duration,
    /// How long an answer may make no progress because the client takes nothing. Default 60 s.
    pub stall_time: Duration,
    /// How long answers under way may go on after the signal to stop. Default 30 s.
    pub drain_time: Duration,
    /// The bounds of the RPC API.
    pub rpc: RpcLimits,
}

/// The bounds of the RPC API. Calls run on threads of the runtime's blocking pool, beside
/// [`Limits::disk_threads`]: whoever builds the runtime adds [`RpcLimits::threads`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Calls that answer in the time of some look-ups, under way at a time. Default 32.
    pub quick_calls: usize,
    /// Calls that send content or walk DAGs, under way at a time. Default 128.
    pub stream_calls: usize,
    /// Calls that take a body, under way at a time. Default 256.
    pub upload_calls: usize,
    /// Calls that wait for one of those places, for each of the three. One more gets 503. Default 4096.
    pub waiting_calls: usize,
    /// Memory for bodies, in bytes: each takes its length, or [`RpcLimits::small_body`] where it is longer or unknown. With
    /// none left 503 comes before the body is read. Default 128 MiB.
    pub body_bytes: usize,
    /// What a body may be before it counts as large, in bytes. Default 256 KiB. What waits in buffers before a large one is
    /// taken in comes on top: some 512 KiB.
    pub small_body: usize,
    /// Large bodies that are taken in at a time; others wait for them. Each has 16 MiB of blocks under way. Default 8.
    pub large_bodies: usize,
    /// The longest head of a call, in bytes: scripts name thousands of CIDs in one. Default 128 KiB.
    pub head_bytes: usize,
}

impl RpcLimits {
    /// Threads that calls may take.
    pub fn threads(&self) -> usize {
        self.quick_calls + self.stream_calls + self.upload_calls
    }
}

impl Default for RpcLimits {
    fn default() -> Self {
        RpcLimits {
            quick_calls: 32,
            stream_calls: 128,
            upload_calls: 256,
            waiting_calls: 4096,
            body_bytes: 128 * 1024 * 1024,
            small_body: 256 * 1024,
            large_bodies: 8,
            head_bytes: 128 * 1024,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Limits {
            connections: 4096,
            file_requests: 2048,
            listing_requests: 64,
            bytes_in_flight: 64 * MIB,
            disk_threads: 32,
            disk_queue: 1024,
            read_ahead: 4 * MIB as u64,
            next_segment: 8 * MIB as u64,
            open_files: 4096,
            head_bytes: 16 * 1024,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            stall_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(30),
            rpc: RpcLimits::default(),
        }
    }
}
