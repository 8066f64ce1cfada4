//! More than there is room for: every bound refuses at once or waits in turn, nothing grows, and those
//! who are served already do not notice.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coldfront::store::archive::Archive;
use coldfront::unixfs::testing::{self, FilePlan, Made};
use coldfront::{Block, BlockSource, Cid, Located, Repo, RepoOptions, StoreError};
use coldfront_http::Limits;
use common::tree::{self, Tree};
use common::{Client, PATIENCE, Response, Server, eventually, ipfs, limits, request};

const CHUNK: usize = 256 * 1024;

/// An archive that keeps those waiting who ask for certain blocks.
#[derive(Debug)]
struct Gated {
    archive: Archive,
    gate: Mutex<Gate>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    held: HashSet<Vec<u8>>,
    located: HashMap<Vec<u8>, usize>,
}

impl Gated {
    fn hold(&self, cid: &Cid) {
        self.gate.lock().unwrap().held.insert(cid.hash().to_bytes());
    }

    fn open(&self) {
        self.gate.lock().unwrap().held.clear();
        self.opened.notify_all();
    }

    /// How often a block was asked for, those who wait included.
    fn asked(&self, cid: &Cid) -> usize {
        self.gate.lock().unwrap().located.get(&cid.hash().to_bytes()).copied().unwrap_or(0)
    }
}

impl BlockSource for Gated {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        self.archive.get(cid)
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        let key = cid.hash().to_bytes();
        let mut gate = self.gate.lock().unwrap();
        *gate.located.entry(key.clone()).or_default() += 1;
        while gate.held.contains(&key) {
            gate = self.opened.wait(gate).unwrap();
        }
        drop(gate);
        self.archive.locate(cid)
    }

    fn gives_extents(&self) -> bool {
        true
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        self.archive.size(cid)
    }
}

/// Files whose blocks can be held back, and a small one that is warm.
struct World {
    server: Server,
    source: Arc<Gated>,
    warm: String,
    tree: Tree,
}

/// A file and the CIDs of its leaves.
struct Film {
    content: Vec<u8>,
    made: Made,
    target: String,
}

impl Film {
    fn leaf(&self, index: usize) -> Cid {
        let end = self.content.len().min((index + 1) * CHUNK);
        testing::cid_of(coldfront::block::RAW, &self.content[index * CHUNK..end])
    }
}

impl World {
    fn new(limits: Limits) -> Self {
        World::over(limits, |archive| archive)
    }

    /// One whose bytes all pass through buffers: nothing tells that any of them need no disk.
    fn through_buffers(limits: Limits) -> Self {
        World::over(limits, Archive::without_foresight)
    }

    fn over(limits: Limits, see: impl Fn(Archive) -> Archive) -> Self {
        let tree = Tree::new();
        let warm = film(&tree, &tree::content(1000, 99));
        let archive = see(Archive::open(&tree.options()).unwrap());
        let source = Arc::new(Gated { archive, gate: Mutex::default(), opened: Condvar::new() });
        let sources = [("gated".to_owned(), source.clone() as Arc<dyn BlockSource>)];
        let repo = Repo::from_sources(sources, &RepoOptions::default());
        let world = World { server: Server::start(repo, limits), source, warm: warm.target, tree };
        assert_eq!(world.server.get(&world.warm).status, 200);
        world
    }

    /// A file of its own.
    fn film(&self, leaves: usize, seed: u64) -> Film {
        film(&self.tree, &tree::content(leaves * CHUNK, seed))
    }

    /// Asks for a file whose root is held back; the connection stays without an answer.
    fn held(&self, film: &Film) -> Client {
        self.source.hold(&film.made.cid);
        let mut client = self.server.client();
        client.send(request("GET", &film.target, &[]));
        client
    }

    fn assert_serves(&self) {
        eventually("the server serves again", || self.server.get(&self.warm).status == 200);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.source.open();
    }
}

fn film(tree: &Tree, content: &[u8]) -> Film {
    let made = testing::file(content, &FilePlan::default(), &mut |block| tree.put(&block));
    let target = format!("{}?filename=film.bin", ipfs(&made.cid));
    Film { content: content.to_vec(), made, target }
}

/// A file of 48 MiB in few blocks: more than the sockets between a server and a client take up.
fn endless(tree: &Tree) -> Film {
    film(tree, &tree::content(CHUNK, 5).repeat(192))
}

fn assert_refused(answer: &Response, says: &str) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.expect("retry-after"), "2");
    assert_eq!(answer.expect("cache-control"), "no-store");
    // A player in a browser must be able to see that it should try again.
    assert_eq!(answer.expect("access-control-allow-origin"), "*");
    assert!(answer.text().contains(says), "{}", answer.text());
}

/// Whether the server cuts a connection between these times from now, which leaves room for a busy machine
/// above and none below.
fn assert_cut_after(client: &mut Client, at_least: Duration) {
    let start = Instant::now();
    assert!(client.is_closed_within(PATIENCE), "the connection is still open");
    assert!(start.elapsed() >= at_least, "cut after {:?} already", start.elapsed());
}

const SHORT: Duration = Duration::from_millis(300);
/// Not reached in any test that goes well.
const LONG: Duration = Duration::from_secs(120);

// Bounds.

#[test]
fn one_connection_too_many_is_told_so_at_once_and_gets_its_place_later() {
    let world = World::new(Limits { connections: 2, ..limits() });
    let mut inside: Vec<Client> = Vec::new();
    eventually("two get in", || world.server.client().try_ask("GET", &world.warm, &[]).is_ok());
    while inside.len() < 2 {
        let mut client = world.server.client();
        if client.try_ask("GET", &world.warm, &[]).is_ok_and(|answer| answer.status == 200) {
            inside.push(client);
        }
    }
    let mut third = world.server.client();
    // It need not even ask.
    let answer = third.response("GET").unwrap();
    assert_refused(&answer, "all connections are taken");
    assert!(third.is_closed_within(PATIENCE));
    assert_eq!(inside[0].get(&world.warm).status, 200);
    drop(inside);
    world.assert_serves();
}

#[test]
fn one_request_too_many_is_503_at_once_and_the_others_are_answered() {
    let world = World::new(Limits { file_requests: 2, ..limits() });
    let films = [world.film(1, 1), world.film(1, 2)];
    let mut held: Vec<Client> = films.iter().map(|film| world.held(film)).collect();
    for film in &films {
        eventually("both wait", || world.source.asked(&film.made.cid) == 1);
    }
    assert_refused(&world.server.get(&world.warm), "too many requests are under way");
    world.source.open();
    for (client, film) in held.iter_mut().zip(&films) {
        assert!(client.response("GET").unwrap().body == film.content);
    }
    world.assert_serves();
}

#[test]
fn one_listing_too_many_is_503_and_files_are_served_beside_it() {
    let world = World::new(Limits { listing_requests: 1, ..limits() });
    let leaf = world.film(1, 1).made;
    let below = Block::verified(
        testing::cid_of(coldfront::block::DAG_PB, &testing::shard_block(256, &[(7, "far", leaf)])),
        testing::shard_block(256, &[(7, "far", leaf)]).into(),
    )
    .unwrap();
    let made = Made { cid: *below.cid(), size: 0, tsize: 1 };
    let root = testing::shard_block(256, &[(1, "", made), (2, "near", leaf)]);
    let root =
        Block::verified(testing::cid_of(coldfront::block::DAG_PB, &root), root.into()).unwrap();
    world.tree.put(&below);
    world.tree.put(&root);
    world.source.hold(below.cid());
    let target = format!("{}/", ipfs(root.cid()));
    let mut first = world.server.client();
    first.send(request("GET", &target, &[]));
    eventually("the listing waits", || world.source.asked(below.cid()) == 1);
    assert_refused(&world.server.get(&target), "too many requests are under way");
    assert_eq!(world.server.get(&world.warm).status, 200);
    world.source.open();
    let page = first.response("GET").unwrap();
    assert!(page.text().contains(">far</a>") && page.text().contains(">near</a>"));
    eventually("a place for a listing", || world.server.get(&target).status == 200);
}

#[test]
fn one_wait_for_the_disk_too_many_is_503_and_what_is_cached_is_served_beside_it() {
    let world = World::new(Limits { disk_threads: 1, disk_queue: 1, ..limits() });
    let films = [world.film(1, 1), world.film(1, 2), world.film(1, 3)];
    let mut running = world.held(&films[0]);
    eventually("the thread is taken", || world.source.asked(&films[0].made.cid) == 1);
    // Of two more, the one that comes first waits; which that is, nobody can know.
    let mut others = [world.held(&films[1]), world.held(&films[2])];
    for client in &others {
        client.stream.set_read_timeout(Some(SHORT)).unwrap();
    }
    let refused = (0..100).find_map(|turn| {
        let client = &mut others[turn % 2];
        client.response("GET").ok().map(|answer| (turn % 2, answer))
    });
    let (refused, answer) = refused.unwrap();
    assert_refused(&answer, "wait for the disk");
    assert_eq!(world.server.get(&world.warm).status, 200, "the page cache needs no thread");
    world.source.open();
    assert!(running.response("GET").unwrap().body == films[0].content);
    let queued = &mut others[1 - refused];
    queued.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(queued.response("GET").unwrap().body == films[2 - refused].content);
    eventually("room again", || world.server.get(&films[1 + refused].target).status == 200);
}

/// Clients that ask and take nothing, until all memory stays taken. The sockets take some of each answer
/// first, and that makes room again; who came while there was none was refused, and others come for them.
fn take_all_memory(server: &Server, ask: &[u8], budget: usize) -> Vec<Client> {
    let stays_taken = || {
        (0..20).all(|_| {
            std::thread::sleep(Duration::from_millis(5));
            server.gateway.stats().bytes_in_flight == budget
        })
    };
    let mut slow = Vec::new();
    let end = Instant::now() + 2 * PATIENCE;
    while Instant::now() < end {
        for _ in 0..if slow.is_empty() { 40 } else { 4 } {
            let mut client = server.client();
            client.send(ask);
            slow.push(client);
        }
        let settled = Instant::now() + Duration::from_secs(2);
        while Instant::now() < settled {
            if stays_taken() {
                return slow;
            }
        }
    }
    panic!("all memory is never taken by {} clients", slow.len());
}

#[test]
fn clients_that_take_nothing_hold_no_more_than_the_memory_for_bytes_in_flight() {
    const BUDGET: usize = 16 * 64 * 1024;
    let world =
        World::through_buffers(Limits { bytes_in_flight: BUDGET, stall_time: LONG, ..limits() });
    let film = endless(&world.tree);
    let slow = take_all_memory(&world.server, &request("GET", &film.target, &[]), BUDGET);
    let start = Instant::now();
    assert_refused(&world.server.get(&world.warm), "all memory for answers is taken");
    assert!(start.elapsed() < PATIENCE / 4, "at once, not when somebody moves");
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(10));
        assert!(world.server.gateway.stats().bytes_in_flight <= BUDGET);
    }
    drop(slow);
    world.assert_serves();
    eventually("all memory is free", || world.server.gateway.stats().bytes_in_flight == 0);
}

#[test]
fn clients_that_take_nothing_of_what_is_in_the_page_cache_hold_no_memory() {
    let world = World::new(Limits { stall_time: LONG, ..limits() });
    if !world.source.archive.reads_without_waiting() {
        eprintln!("SKIPPED: nothing here tells what is in the page cache");
        return;
    }
    let film = endless(&world.tree);
    assert!(world.server.get(&film.target).body == film.content, "it is in the page cache now");
    let ask = request("GET", &film.target, &[]);
    let mut slow: Vec<Client> = (0..40).map(|_| world.server.client()).collect();
    slow.iter_mut().for_each(|client| client.send(&ask));
    slow.iter_mut().for_each(|client| assert_eq!(client.response_head().unwrap().status, 200));
    eventually("nothing is held", || world.server.gateway.stats().bytes_in_flight == 0);
    // What a client takes late is what it would have taken at once.
    assert!(slow[7].take(film.content.len()).unwrap() == film.content);
}

/// An archive whose blocks come as bytes in memory, counted as long as anybody holds them.
#[derive(Debug)]
struct InMemory {
    archive: Archive,
    live: Arc<AtomicUsize>,
}

/// A block in memory.
struct Live {
    bytes: Bytes,
    live: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Live {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl BlockSource for InMemory {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        self.archive.get(cid)
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        let Some(block) = self.archive.get(cid)? else { return Ok(None) };
        let bytes = block.data().clone();
        self.live.fetch_add(bytes.len(), Ordering::Relaxed);
        let live = Live { bytes, live: self.live.clone() };
        Ok(Some(Located::Bytes(Bytes::from_owner(live))))
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        self.archive.size(cid)
    }
}

#[test]
fn blocks_held_in_memory_for_clients_that_take_nothing_count_in_full() {
    const BUDGET: usize = 16 * 64 * 1024;
    let tree = Tree::new();
    let film = endless(&tree);
    let live = Arc::new(AtomicUsize::new(0));
    let archive = Archive::open(&tree.options()).unwrap();
    let source: Arc<dyn BlockSource> = Arc::new(InMemory { archive, live: live.clone() });
    let repo = Repo::from_sources([("memory".to_owned(), source)], &RepoOptions::default());
    let limits = Limits { bytes_in_flight: BUDGET, stall_time: LONG, disk_threads: 2, ..limits() };
    let server = Server::start(repo, limits);
    // Few bytes of a block hold all of it.
    let ask = request("GET", &film.target, &[("range", "bytes=200000-40000000")]);
    let slow = take_all_memory(&server, &ask, BUDGET);
    let held = live.load(Ordering::Relaxed);
    assert!(held <= BUDGET + CHUNK / 4, "{held} bytes of blocks are held, {BUDGET} are allowed");
    drop(slow);
    // What is left is the root, decoded and cached.
    eventually("all leaves are let go", || live.load(Ordering::Relaxed) < CHUNK);
    eventually("all memory is free", || server.gateway.stats().bytes_in_flight == 0);
}

#[test]
fn clients_that_take_nothing_do_not_starve_one_that_does() {
    // Room for each of them, but in halves: then each has one buffer, and the quick one goes on.
    let world = World::through_buffers(Limits {
        bytes_in_flight: 64 * 64 * 1024,
        stall_time: LONG,
        ..limits()
    });
    let film = endless(&world.tree);
    let mut slow: Vec<Client> = (0..24).map(|_| world.server.client()).collect();
    for client in &mut slow {
        client.send(request("GET", &film.target, &[]));
        assert_eq!(client.response_head().unwrap().status, 200);
    }
    let mut quick = world.server.client();
    let answer = quick.get(&film.target);
    assert_eq!(answer.status, 200);
    assert!(answer.body == film.content);
}

#[test]
fn a_client_that_goes_away_stops_its_work() {
    let world = World::new(Limits { file_requests: 1, read_ahead: 0, ..limits() });
    let film = world.film(6, 1);
    world.source.hold(&film.leaf(3));
    let mut client = world.server.client();
    client.send(request("GET", &film.target, &[]));
    eventually("the answer is under way", || world.source.asked(&film.leaf(3)) > 0);
    drop(client);
    // The one place is free again while the disk still waits.
    world.assert_serves();
    world.source.open();
    std::thread::sleep(SHORT);
    assert_eq!(world.source.asked(&film.leaf(4)), 0);
}

#[test]
fn work_that_waits_for_a_thread_is_not_begun_when_its_client_is_gone() {
    let world = World::new(Limits { disk_threads: 1, file_requests: 2, ..limits() });
    let (running, queued) = (world.film(1, 1), world.film(1, 2));
    let mut first = world.held(&running);
    eventually("the thread is taken", || world.source.asked(&running.made.cid) == 1);
    let mut second = world.server.client();
    second.send(request("GET", &queued.target, &[]));
    // Were it not let in by now, the question below could take its place.
    std::thread::sleep(SHORT);
    eventually("both places are taken", || world.server.get(&world.warm).status == 503);
    drop(second);
    world.assert_serves();
    world.source.open();
    assert!(first.response("GET").unwrap().body == running.content);
    std::thread::sleep(SHORT);
    assert_eq!(world.source.asked(&queued.made.cid), 0);
}

// Times.

#[test]
fn a_client_that_never_ends_its_head_is_cut_off() {
    let world =
        World::new(Limits { head_time: SHORT, idle_time: LONG, stall_time: LONG, ..limits() });
    let mut silent = world.server.client();
    assert_cut_after(&mut silent, SHORT / 2);
    let mut half = world.server.client();
    half.send("GET / HTTP/1.1\r\nHost: x\r\n");
    assert_cut_after(&mut half, SHORT / 2);
    // A byte now and then buys no time.
    let mut drops = world.server.client();
    let start = Instant::now();
    while std::io::Write::write_all(&mut drops.stream, b"G").is_ok() {
        std::thread::sleep(SHORT / 10);
        assert!(start.elapsed() < PATIENCE, "still taken");
    }
    // And one that was served before has no more of it.
    let mut second = world.server.client();
    assert_eq!(second.get(&world.warm).status, 200);
    second.send("GET / HT");
    assert_cut_after(&mut second, SHORT / 2);
}

#[test]
fn a_pause_between_requests_is_granted_until_it_is_too_long() {
    let world =
        World::new(Limits { head_time: LONG, idle_time: SHORT, stall_time: LONG, ..limits() });
    let mut client = world.server.client();
    for _ in 0..3 {
        assert_eq!(client.get(&world.warm).status, 200);
        std::thread::sleep(SHORT / 4);
    }
    assert_cut_after(&mut client, SHORT / 4);
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_cut_off() {
    let limits = Limits { file_requests: 1, stall_time: SHORT, ..limits() };
    let world = World::new(limits);
    let film = endless(&world.tree);
    let mut client = world.server.client();
    client.send(request("GET", &film.target, &[]));
    assert_eq!(client.response_head().unwrap().status, 200);
    eventually("its place is free", || world.server.get(&world.warm).status == 200);
    assert!(client.rest().map_or(true, |rest| rest.len() < film.content.len()));
}

#[test]
fn a_client_that_pauses_within_its_time_gets_all_of_its_answer() {
    let limits = Limits { stall_time: LONG, idle_time: SHORT, head_time: SHORT, ..limits() };
    let world = World::new(limits);
    let film = endless(&world.tree);
    let mut client = world.server.client();
    client.send(request("GET", &film.target, &[]));
    assert_eq!(client.response_head().unwrap().status, 200);
    std::thread::sleep(3 * SHORT);
    assert!(client.take(film.content.len()).unwrap() == film.content);
}

#[test]
fn a_disk_that_takes_its_time_is_no_fault_of_the_client() {
    let limits = Limits { stall_time: SHORT, idle_time: SHORT, head_time: SHORT, ..limits() };
    // In the middle of the body, and before the answer.
    for in_the_middle in [true, false] {
        let world = World::new(limits.clone());
        let film = world.film(6, 1);
        let cid = if in_the_middle { film.leaf(3) } else { film.made.cid };
        world.source.hold(&cid);
        let mut client = world.server.client();
        client.send(request("GET", &film.target, &[]));
        eventually("it waits for the disk", || world.source.asked(&cid) >= 1);
        std::thread::sleep(3 * SHORT);
        world.source.open();
        assert!(client.response("GET").unwrap().body == film.content);
    }
}

// Sizes.

#[test]
fn a_head_that_is_too_large_is_431() {
    let world = World::new(limits());
    for header in [("X-Large", "x".repeat(20 * 1024)), ("Cookie", "a=b; ".repeat(5000))] {
        let mut client = world.server.client();
        let answer = client.get_with(&world.warm, &[(header.0, header.1.as_str())]);
        assert_eq!(answer.status, 431);
    }
    let many: Vec<String> = (0..1000).map(|i| format!("X-{i}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(world.server.client().get_with(&world.warm, &many).status, 431);
    world.assert_serves();
}

#[test]
fn a_target_that_is_too_long_is_414() {
    let world = World::new(limits());
    let answer = world.server.get(&format!("{}&x={}", world.warm, "x".repeat(9000)));
    assert_eq!(answer.status, 414, "{}", answer.text());
    world.assert_serves();
}

#[test]
fn too_many_ranges_are_one_whole_file_and_no_work() {
    let world = World::new(Limits { head_bytes: 256 * 1024, ..limits() });
    let film = world.film(2, 1);
    let sets = [
        // Short enough to be read, and more than a client has any use for.
        (0..100).map(|i| format!("{}-{}", 50 * i, 50 * i)).collect::<Vec<_>>(),
        (0..10_000).map(|i| format!("{}-{}", 50 * i, 50 * i)).collect::<Vec<_>>(),
        vec!["0-".to_owned(); 10_000],
        vec!["-1".to_owned(); 10_000],
    ];
    for set in sets {
        let range = format!("bytes={}", set.join(","));
        let answer = world.server.client().get_with(&film.target, &[("Range", &range)]);
        assert_eq!(answer.status, 200);
        assert!(answer.body == film.content);
    }
}

// The end.

#[test]
fn at_the_end_answers_under_way_complete_and_nobody_new_gets_in() {
    let mut world = World::new(Limits { drain_time: LONG, ..limits() });
    let film = world.film(6, 1);
    world.source.hold(&film.leaf(3));
    let mut client = world.server.client();
    client.send(request("GET", &film.target, &[]));
    eventually("the answer is under way", || world.source.asked(&film.leaf(3)) > 0);
    world.server.stop();
    let address = world.server.address;
    eventually("nobody listens", || TcpStream::connect(address).is_err());
    assert!(!world.server.has_ended());
    world.source.open();
    assert!(client.response("GET").unwrap().body == film.content);
    assert!(client.is_closed_within(PATIENCE), "kept open for a request that will not be answered");
    eventually("the server has ended", || world.server.has_ended());
}

#[test]
fn at_the_end_connections_without_a_request_are_closed_at_once() {
    let mut world =
        World::new(Limits { drain_time: LONG, head_time: LONG, idle_time: LONG, ..limits() });
    let mut idle = world.server.client();
    assert_eq!(idle.get(&world.warm).status, 200);
    let mut unused = world.server.client();
    let mut half = world.server.client();
    half.send("GET / HT");
    // Served by now, so all three have been accepted before it.
    assert_eq!(world.server.get(&world.warm).status, 200);
    world.server.stop();
    assert!(idle.is_closed_within(PATIENCE));
    assert!(unused.is_closed_within(PATIENCE));
    // The rest of a request that has begun is waited for.
    half.send("TP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(half.response("GET").unwrap().status, 404);
    eventually("the server has ended", || world.server.has_ended());
}

#[test]
fn the_end_comes_even_when_a_client_takes_nothing() {
    let mut world = World::new(Limits { drain_time: SHORT, stall_time: LONG, ..limits() });
    let film = endless(&world.tree);
    let mut client = world.server.client();
    client.send(request("GET", &film.target, &[]));
    assert_eq!(client.response_head().unwrap().status, 200);
    world.server.stop();
    eventually("the server has ended", || world.server.has_ended());
    assert!(client.rest().map_or(true, |rest| rest.len() < film.content.len()));
}
