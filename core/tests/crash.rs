//! A process that dies at any moment: what it acknowledged is there, what it pinned is whole, and nothing stays
//! that nobody can collect.
//!
//! A child (this program, started again) puts, imports, pins, unpins, updates and collects, and tells each
//! step before and after. It is killed at random moments or ends itself at a named one; then its store is opened
//! and compared with a model of what it had told. Half of the time the power fails as well: of the log, which is not
//! synced yet, some bytes at the end are lost. `COLDFRONT_KILLS=10000` makes a long run of it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use coldfront::block::{DAG_CBOR, RAW};
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::{NewPin, PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore, Cid};

const CHILD: &str = "COLDFRONT_CRASH_CHILD";
const KILLS: &str = "COLDFRONT_KILLS";

/// That of the root that the child keeps for itself.
const NAME: &str = "mfs";

/// Kills in an ordinary run.
const FEW: u64 = 40;

const POINTS: [&str; 11] = [
    "before a write",
    "after a write",
    "before a durable write",
    "after a durable write",
    "before a sync",
    "after a sync",
    "before a flush",
    "after a flush",
    "before the database is made",
    "before the database is in place",
    "before the marker is in place",
];

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

/// Blocks that link to one another, the same in parent and child.
struct World {
    blocks: Vec<Block>,
    /// Blocks that link to nothing, so many that an upload is not logged behind them.
    ballast: Vec<Block>,
    links: HashMap<Cid, Vec<Cid>>,
}

const LEAVES: usize = 24;
const NODES: usize = 24;
/// Length of a block of the ballast, in bytes.
const BALLAST_LEN: u64 = 1 << 20;

impl World {
    fn new() -> World {
        let mut random = Random::new(7);
        let (mut blocks, mut links) = (Vec::<Block>::new(), HashMap::new());
        for number in 0..LEAVES + NODES {
            let below: Vec<Cid> = match number < LEAVES {
                true => Vec::new(),
                false => {
                    (0..=random.below(5)).map(|_| *blocks[random.below(number)].cid()).collect()
                }
            };
            let block = match below.is_empty() {
                // Of both kinds: in blob files and beside their keys.
                true => named(RAW, vec![number as u8; if number % 2 == 0 { 9000 } else { 90 }]),
                false => named(DAG_CBOR, list(number as u8, &below)),
            };
            links.insert(*block.cid(), below);
            blocks.push(block);
        }
        let ballast = (0..4).map(|n| named(RAW, vec![n; BALLAST_LEN as usize]));
        World { blocks, ballast: ballast.collect(), links }
    }

    fn below(&self, root: &Cid) -> BTreeSet<Cid> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![*root]);
        while let Some(cid) = next.pop() {
            next.extend(self.links[&cid].iter().filter(|link| seen.insert(**link)));
        }
        seen
    }
}

fn named(codec: u64, data: Vec<u8>) -> Block {
    Block::verified(cid_of(codec, &data), data.into()).unwrap()
}

fn list(number: u8, links: &[Cid]) -> Vec<u8> {
    let mut data = vec![0x82, 0x18, number.max(24), 0x80 | links.len() as u8];
    for link in links {
        let bytes = link.to_bytes();
        data.extend_from_slice(&[0xd8, 42, 0x58, bytes.len() as u8 + 1, 0]);
        data.extend_from_slice(&bytes);
    }
    data
}

fn open(folder: &Path) -> HotStore {
    let options = HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.join("hot")) };
    HotStore::open(&options).unwrap()
}

/// A short life, told from end to end: three blocks in a row are put, pinned, named, unpinned and collected.
#[test]
fn child_that_unpins() {
    let Ok(folder) = std::env::var("COLDFRONT_CRASH_FOLDER") else { return };
    let hot = open(Path::new(&folder));
    let pins = PinIndex::new(&hot, Vec::new());
    let blocks = chain();
    hot.put(&blocks).unwrap();
    hot.sync().unwrap();
    pins.add(&NewPin::new(*blocks[2].cid())).unwrap();
    pins.set_root(NAME, Some(blocks[1].cid())).unwrap();
    pins.remove(blocks[2].cid(), true).unwrap();
    pins.set_root(NAME, Some(blocks[0].cid())).unwrap();
    pins.set_root(NAME, None).unwrap();
    collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    println!("lived to the end");
}

fn chain() -> [Block; 3] {
    let leaf = named(RAW, vec![1; 5000]);
    let middle = named(DAG_CBOR, list(30, &[*leaf.cid()]));
    let root = named(DAG_CBOR, list(31, &[*middle.cid()]));
    [leaf, middle, root]
}

#[test]
fn a_death_behind_any_write_leaves_a_pin_that_is_whole_or_garbage_that_goes_at_once() {
    for count in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_unpins", "--exact", "--nocapture"])
            .env("COLDFRONT_CRASH_FOLDER", folder.path())
            .env("COLDFRONT_DIE_AT", format!("after a write:{count}"))
            .output()
            .unwrap();
        let hot = open(folder.path());
        let pins = PinIndex::new(&hot, Vec::new());
        let (blocks, found) = (chain(), pins.list(None).count());
        if found > 0 {
            assert!(blocks.iter().all(|block| hot.get(block.cid()).unwrap().is_some()));
            assert_eq!(pins.indirect().count(), 2);
            pins.remove(blocks[2].cid(), true).unwrap();
        }
        if let Some(root) = pins.root(NAME).unwrap() {
            let at = blocks.iter().position(|block| *block.cid() == root).unwrap();
            assert!(blocks[..=at].iter().all(|block| hot.get(block.cid()).unwrap().is_some()));
            pins.set_root(NAME, None).unwrap();
        }
        if hot.is_collecting().unwrap() {
            collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        }
        collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(hot.held(), (0, 0), "after {count} writes");
        if String::from_utf8_lossy(&output.stdout).contains("lived to the end") {
            assert!(count > 10, "it died behind each of its writes");
            return;
        }
    }
}

/// What the child does; told as text.
#[derive(Clone, Copy, Debug)]
enum Act {
    Put(usize),
    Pin(usize),
    PinDirect(usize),
    Unpin(usize),
    Update(usize, usize),
    /// What a program does that keeps a root for itself: puts all of it, then names it.
    Name(usize),
    Unname,
    Collect,
    /// A piece of a bulk import, up to the block of that number in it.
    Bulk(usize),
    /// An upload of blocks that others put as well, and of so many that it is not logged; it pins a block of them.
    Upload(usize),
}

impl Act {
    fn random(random: &mut Random) -> Act {
        let any = |random: &mut Random| random.below(LEAVES + NODES);
        match random.below(28) {
            24..=27 => Act::Upload(any(random)),
            0..=5 => Act::Put(any(random)),
            6..=10 => Act::Pin(any(random)),
            11 => Act::PinDirect(any(random)),
            12..=15 => Act::Unpin(any(random)),
            16 | 17 => Act::Update(any(random), any(random)),
            18..=20 => Act::Name(any(random)),
            21 => Act::Unname,
            _ => Act::Collect,
        }
    }

    fn text(self) -> String {
        match self {
            Act::Put(n) => format!("put {n} 0"),
            Act::Pin(n) => format!("pin {n} 0"),
            Act::PinDirect(n) => format!("direct {n} 0"),
            Act::Unpin(n) => format!("unpin {n} 0"),
            Act::Update(a, b) => format!("update {a} {b}"),
            Act::Name(n) => format!("name {n} 0"),
            Act::Unname => "unname 0 0".into(),
            Act::Collect => "collect 0 0".into(),
            Act::Bulk(n) => format!("bulk {n} 0"),
            Act::Upload(n) => format!("upload {n} 0"),
        }
    }

    fn parse(text: &str) -> Act {
        let mut words = text.split(' ');
        let word = words.next().unwrap();
        let mut number = || words.next().unwrap().parse().unwrap();
        let (a, b) = (number(), number());
        match word {
            "put" => Act::Put(a),
            "pin" => Act::Pin(a),
            "direct" => Act::PinDirect(a),
            "unpin" => Act::Unpin(a),
            "update" => Act::Update(a, b),
            "name" => Act::Name(a),
            "unname" => Act::Unname,
            "collect" => Act::Collect,
            "bulk" => Act::Bulk(a),
            "upload" => Act::Upload(a),
            other => panic!("{other}"),
        }
    }
}

/// One line in one write, so that those of two threads do not mix.
fn tell(what: &str, act: Act, hot: &HotStore) {
    // ORDER: what was synced is asked last; it covers the id that is told.
    let next_id = hot.next_id();
    let (log, len) = HotStore::durable_log();
    let line = format!("crash {what} {next_id} {log} {len} {}\n", act.text());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The log that is being written, and its length: both 0 when there is none.
fn newest_log(folder: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(folder.join("hot/db")).into_iter().flatten().flatten();
    let logs = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name.strip_suffix(".log")?.parse().ok()?;
        Some((number, entry.metadata().ok()?.len()))
    });
    logs.max().unwrap_or((0, 0))
}

/// The power fails: of what was written behind the last sync that the child told, some is lost.
fn lose_power(folder: &Path, told: (u64, u64), random: &mut Random) {
    let (log, len) = newest_log(folder);
    let safe = if log == told.0 { told.1 } else { 0 };
    if len > safe {
        let left = safe + random.below((len - safe) as usize + 1) as u64;
        let path = folder.join(format!("hot/db/{log:06}.log"));
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(left).unwrap();
    }
}

/// The child: works until it is killed.
#[test]
fn child_of_the_crash_test() {
    let Ok(plan) = std::env::var(CHILD) else { return };
    let (seed, folder) = plan.split_once(' ').unwrap();
    let seed: u64 = seed.parse().unwrap();
    let world = World::new();
    let hot = open(Path::new(folder));
    std::thread::scope(|scope| {
        scope.spawn(|| bulk(&world, &hot, seed));
        interactive(&world, &hot, seed);
    });
}

fn interactive(world: &World, hot: &HotStore, seed: u64) {
    let mut random = Random::new(seed);
    let pins = PinIndex::new(hot, Vec::new());
    loop {
        let act = Act::random(&mut random);
        tell("begin", act, hot);
        let done = interact(world, hot, &pins, act);
        tell(if done { "done" } else { "refused" }, act, hot);
    }
}

fn interact(world: &World, hot: &HotStore, pins: &PinIndex, act: Act) -> bool {
    let cid = |n: usize| *world.blocks[n].cid();
    match act {
        Act::Put(n) => {
            hot.put(&world.blocks[n / 4 * 4..n + 1]).unwrap();
            hot.sync().unwrap();
            true
        }
        Act::Pin(n) => pins.add(&NewPin::new(cid(n))).is_ok(),
        Act::PinDirect(n) => {
            pins.add(&NewPin { mode: PinMode::Direct, ..NewPin::new(cid(n)) }).is_ok()
        }
        Act::Unpin(n) => pins.remove(&cid(n), true).is_ok(),
        Act::Update(a, b) => pins.update(&cid(a), &cid(b), true).is_ok(),
        Act::Name(n) => {
            let (hot, below) = (hot.leased(), world.below(&cid(n)));
            let all: Vec<_> =
                world.blocks.iter().filter(|b| below.contains(b.cid())).cloned().collect();
            hot.put(&all).unwrap();
            hot.put(&world.blocks[n..=n]).unwrap();
            pins.set_root(NAME, Some(&cid(n))).unwrap();
            true
        }
        Act::Unname => pins.set_root(NAME, None).is_ok(),
        Act::Upload(n) => {
            let upload = hot.leased().bulk_from(4 * BALLAST_LEN);
            upload.put(&world.ballast).unwrap();
            upload.put(&world.blocks[..=n]).unwrap();
            upload.sync().unwrap();
            // Half of them are given up.
            n % 2 == 1 || pins.add(&NewPin::new(cid(n))).is_ok()
        }
        Act::Collect => {
            let options = CollectOptions::default();
            collect(pins, &options, &mut |_| ControlFlow::Continue(())).unwrap();
            true
        }
        Act::Bulk(_) => true,
    }
}

/// Imports the blocks over and over, over those that the other thread puts, with a mark of how far it is.
fn bulk(world: &World, hot: &HotStore, seed: u64) {
    let mut random = Random::new(seed ^ 0xb01d);
    let writer = hot.bulk("crash");
    let mut order: Vec<usize> = (0..world.blocks.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at + 1));
    }
    let mut at = 0;
    while at < order.len() {
        let end = (at + 1 + random.below(6)).min(order.len());
        let some: Vec<_> = order[at..end].iter().map(|n| world.blocks[*n].clone()).collect();
        let mark: Vec<String> = order[..end].iter().map(|n| n.to_string()).collect();
        let mark = format!("{seed} {}", mark.join(","));
        writer.put_with_mark(&some, mark.as_bytes()).unwrap();
        at = end;
        if random.below(3) == 0 {
            tell("begin", Act::Bulk(end), hot);
            writer.flush().unwrap();
            tell("done", Act::Bulk(end), hot);
        }
        std::thread::sleep(Duration::from_millis(random.below(12) as u64));
    }
    // The lease is held until the process ends.
    std::thread::sleep(Duration::from_secs(3600));
}

/// What keeps blocks: pins, and the root that has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Roots {
    pins: BTreeMap<Cid, PinMode>,
    named: Option<Cid>,
}

/// What may be in the store: what was told, and one step that was begun.
#[derive(Debug, Default)]
struct Model {
    roots: Roots,
    /// Put and acknowledged since the last collection began.
    put: BTreeSet<Cid>,
    begun: Option<Act>,
    next_id: u64,
    flushed: usize,
    /// The log, and how much of it was synced when the last line was told.
    log: (u64, u64),
}

impl Model {
    fn hear(&mut self, world: &World, line: &str) {
        let Some(rest) = line.split_once("crash ").map(|(_, rest)| rest) else { return };
        let mut words = rest.splitn(5, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (what, next_id, log, len) = (word(), word(), word(), word());
        // The last line may be cut.
        let Some(act) = Some(word()).filter(|text| text.split(' ').count() == 3) else { return };
        let act = Act::parse(act.trim());
        self.next_id = self.next_id.max(next_id.parse().unwrap());
        self.log = self.log.max((log.parse().unwrap(), len.parse().unwrap()));
        match (what, act) {
            ("begin", Act::Bulk(_)) => {}
            ("done", Act::Bulk(end)) => self.flushed = self.flushed.max(end),
            ("begin", act) => {
                self.begun = Some(act);
                if let Act::Collect = act {
                    self.put.clear();
                }
            }
            ("refused", _) => self.begun = None,
            (_, act) => {
                self.begun = None;
                self.roots = self.after(world, act);
                if let Act::Put(n) = act {
                    self.put.extend(world.blocks[n / 4 * 4..n + 1].iter().map(|b| *b.cid()));
                }
                if let Act::Upload(n) = act {
                    let blocks = world.ballast.iter().chain(&world.blocks[..=n]);
                    self.put.extend(blocks.map(|b| *b.cid()));
                }
            }
        }
    }

    fn after(&self, world: &World, act: Act) -> Roots {
        let cid = |n: usize| *world.blocks[n].cid();
        let Roots { mut pins, mut named } = self.roots.clone();
        match act {
            Act::Upload(n) if n % 2 == 1 => {}
            Act::Pin(n) | Act::Upload(n) => drop(pins.insert(cid(n), PinMode::Recursive)),
            Act::PinDirect(n) => drop(pins.insert(cid(n), PinMode::Direct)),
            Act::Unpin(n) => drop(pins.remove(&cid(n))),
            Act::Update(a, b) => {
                if a != b {
                    pins.remove(&cid(a));
                }
                pins.insert(cid(b), PinMode::Recursive);
            }
            Act::Name(n) => named = Some(cid(n)),
            Act::Unname => named = None,
            Act::Put(_) | Act::Collect | Act::Bulk(_) => {}
        }
        Roots { pins, named }
    }

    /// What a crash may leave.
    fn possible(&self, world: &World) -> Vec<Roots> {
        let mut all = vec![self.roots.clone()];
        all.extend(self.begun.map(|act| self.after(world, act)));
        if let Some(Act::Update(_, b)) = self.begun {
            // Between its two steps.
            all.push(self.after(world, Act::Pin(b)));
        }
        all
    }

    /// Compares, and takes over what is there.
    fn check(&mut self, world: &World, hot: &HotStore, seed: u64) {
        let pins = PinIndex::new(hot, Vec::new());
        let found = Roots {
            pins: pins.list(None).map(Result::unwrap).map(|pin| (pin.cid, pin.mode)).collect(),
            named: pins.root(NAME).unwrap(),
        };
        let possible = self.possible(world);
        assert!(possible.contains(&found), "found {found:#?}\nexpected one of {possible:#?}");
        self.roots = found;
        let kept = self.kept(world);
        for cid in &kept {
            let block = hot.get(cid).unwrap();
            assert!(block.is_some_and(|block| cid_of(cid.codec(), block.data()) == *cid), "{cid}");
        }
        for cid in &self.put {
            assert!(hot.size(cid).unwrap().is_some(), "{cid} was put and acknowledged");
        }
        self.check_bulk(world, hot, seed);
        assert!(hot.next_id() >= self.next_id, "{} >= {}", hot.next_id(), self.next_id);
        self.next_id = hot.next_id();

        let everything = CollectOptions::default();
        // What a crash interrupted goes on where it was; the next begins at the first block.
        if hot.is_collecting().unwrap() {
            collect(&pins, &everything, &mut |_| ControlFlow::Continue(())).unwrap();
        }
        collect(&pins, &everything, &mut |_| ControlFlow::Continue(())).unwrap();
        for block in world.blocks.iter().chain(&world.ballast) {
            let is_held = hot.size(block.cid()).unwrap().is_some();
            assert_eq!(is_held, kept.contains(block.cid()), "{}", block.cid());
        }
        assert_eq!(hot.held().0, kept.len() as u64);
        let indirect: BTreeSet<_> = pins.indirect().map(|cid| cid.unwrap()).collect();
        let below: BTreeSet<_> = self
            .pinned(world)
            .into_iter()
            .filter(|cid| !self.roots.pins.contains_key(cid))
            .collect();
        assert_eq!(indirect, below);
        (self.put, self.begun, self.flushed, self.log) = (BTreeSet::new(), None, 0, (0, 0));
    }

    fn check_bulk(&self, world: &World, hot: &HotStore, seed: u64) {
        let mark = hot.bulk("crash").mark().unwrap();
        let mark = mark.map(|mark| String::from_utf8(mark).unwrap()).unwrap_or_default();
        let (of, done) = mark.split_once(' ').unwrap_or(("", ""));
        let done: Vec<usize> = match of == seed.to_string() {
            true => done.split(',').map(|n| n.parse().unwrap()).collect(),
            false => Vec::new(),
        };
        assert!(done.len() >= self.flushed, "flushed {}, the mark says {done:?}", self.flushed);
        for n in done {
            let cid = world.blocks[n].cid();
            assert!(hot.size(cid).unwrap().is_some(), "{cid} is behind the mark");
        }
    }

    fn pinned(&self, world: &World) -> BTreeSet<Cid> {
        let below = self.roots.pins.iter().filter(|(_, mode)| **mode == PinMode::Recursive);
        let below = below.flat_map(|(root, _)| world.below(root));
        below.chain(self.roots.pins.keys().copied()).collect()
    }

    fn kept(&self, world: &World) -> BTreeSet<Cid> {
        let below = self.roots.named.iter().flat_map(|root| world.below(root));
        self.pinned(world).into_iter().chain(below).chain(self.roots.named).collect()
    }
}

/// Starts a child, hears it until it ends, and ends it after `life` if it did not do so itself.
fn run(
    folder: &Path,
    seed: u64,
    die_at: Option<String>,
    life: Duration,
    hear: &mut dyn FnMut(&str),
) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["child_of_the_crash_test", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{seed} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(point) = die_at {
        command.env("COLDFRONT_DIE_AT", point);
    }
    let mut child = command.spawn().unwrap();
    let (lines, heard) = mpsc::channel();
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).split(b'\n') {
            let Ok(line) = line else { break };
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    // The clock starts when the child works, so that a busy machine does not kill it before.
    let mut first = heard.recv_timeout(Duration::from_secs(60));
    while first.as_ref().is_ok_and(|line| !line.contains("crash ")) {
        first = heard.recv_timeout(Duration::from_secs(60));
    }
    if let Ok(line) = first {
        hear(&line);
        std::thread::sleep(life);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    heard.try_iter().for_each(|line| hear(&line));
}

#[test]
fn nothing_acknowledged_is_lost_and_no_garbage_stays_whenever_the_process_dies() {
    let kills = std::env::var(KILLS).map_or(FEW, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let mut model = Model::default();
    let first = std::env::var(KILLS).map_or(1, |_| u64::from(std::process::id()));
    eprintln!("plan {first}");
    let mut random = Random::new(first);
    let (mut lines, mut by_themselves) = (0u64, 0u64);
    for seed in 0..kills {
        // Each store begins anew now and then, so that its making is interrupted too.
        let place = folder.path().join((seed / 10).to_string());
        if seed % 10 == 0 {
            std::fs::create_dir(&place).unwrap();
            model = Model::default();
        }
        let point = POINTS[random.below(POINTS.len())];
        let die_at = (random.below(2) == 0).then(|| format!("{point}:{}", 1 + random.below(40)));
        by_themselves += u64::from(die_at.is_some());
        let life = Duration::from_millis(random.below(120) as u64);
        eprintln!("kill {seed}: {die_at:?} after {life:?}");
        run(&place, seed, die_at, life, &mut |line| {
            lines += 1;
            model.hear(&world, line);
        });
        if random.below(2) == 0 {
            lose_power(&place, model.log, &mut random);
        }
        model.check(&world, &open(&place), seed);
        if seed % 10 == 9 {
            std::fs::remove_dir_all(&place).unwrap();
        }
    }
    eprintln!("{kills} kills, {by_themselves} at named points, {lines} steps told");
    assert!(lines > kills, "the children did some work");
}
