//! How many blocks an answer costs, counted at the source: each one once, and no more than it needs, under
//! every policy and with nothing cached.

#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coldfront::store::archive::Archive;
use coldfront::store::memory::Memory;
use coldfront::unixfs::file::Step;
use coldfront::unixfs::testing::{self, FilePlan, LeafForm, Made};
use coldfront::{
    Block, BlockSource, Cid, ContentPath, Located, Node, Piece, Repo, RepoOptions, StoreError,
    TierLimits, Verify,
};
use tree::{Golden, POLICIES, Tree};

/// Counts what a source is asked for, by the hash of the block.
#[derive(Debug)]
struct Counting<S> {
    source: S,
    located: Mutex<BTreeMap<Vec<u8>, usize>>,
    others: Mutex<usize>,
}

impl<S> Counting<S> {
    fn new(source: S) -> Arc<Self> {
        let (located, others) = (Mutex::default(), Mutex::default());
        Arc::new(Counting { source, located, others })
    }

    /// Blocks that were located since the last call. Fails when one was twice, or was asked for otherwise.
    fn taken(&self) -> usize {
        let located = std::mem::take(&mut *self.located.lock().unwrap());
        for (hash, times) in &located {
            assert_eq!(*times, 1, "block {hash:02x?} was located {times} times");
        }
        assert_eq!(*self.others.lock().unwrap(), 0, "get and size are not for reading");
        located.len()
    }
}

impl<S: BlockSource> BlockSource for Counting<S> {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        *self.others.lock().unwrap() += 1;
        self.source.get(cid)
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        *self.located.lock().unwrap().entry(cid.hash().to_bytes()).or_default() += 1;
        self.source.locate(cid)
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        *self.others.lock().unwrap() += 1;
        self.source.size(cid)
    }
}

/// A repository that keeps as little as it may.
fn cold<S: BlockSource>(source: &Arc<Counting<S>>, verify: Verify) -> Repo {
    let tiers = TierLimits { open_files: 1, verified_blocks: 1 };
    let options = RepoOptions { verify, node_cache_bytes: 0, tiers, ..RepoOptions::default() };
    Repo::from_sources([("counted".to_owned(), source.clone() as Arc<dyn BlockSource>)], &options)
}

fn warm<S: BlockSource>(source: &Arc<Counting<S>>, verify: Verify) -> Repo {
    tree::over(source.clone(), verify)
}

/// A file of 5 MiB in 20 leaves, in memory and in a tree.
struct FiveMib {
    content: Vec<u8>,
    made: Made,
    memory: Arc<Counting<Memory>>,
    archive: Arc<Counting<Archive>>,
    _tree: Tree,
}

impl FiveMib {
    fn new(leaf: LeafForm) -> Self {
        let (memory, tree) = (Memory::new(), Tree::new());
        let content = tree::content(5 << 20, 5);
        let plan = FilePlan { leaf, ..FilePlan::default() };
        let made = testing::file(&content, &plan, &mut |block| {
            tree.put(&block);
            memory.put(block);
        });
        let archive = Counting::new(Archive::open(&tree.options()).unwrap());
        FiveMib { content, made, memory: Counting::new(memory), archive, _tree: tree }
    }
}

const LEAVES: [LeafForm; 3] = [LeafForm::Raw, LeafForm::PbRaw, LeafForm::PbFile];

#[test]
fn the_size_of_a_file_costs_one_block_and_a_range_in_its_middle_two() {
    for leaf in LEAVES {
        let FiveMib { content, made, memory, archive, .. } = &FiveMib::new(leaf);
        for policy in POLICIES {
            costs_one_and_two(&cold(memory, policy), memory, made, content);
            costs_one_and_two(&warm(memory, policy), memory, made, content);
            costs_one_and_two(&cold(archive, policy), archive, made, content);
            costs_one_and_two(&warm(archive, policy), archive, made, content);
        }
    }
}

fn costs_one_and_two<S: BlockSource>(
    repo: &Repo,
    source: &Counting<S>,
    made: &Made,
    content: &[u8],
) {
    let node = tree::node(repo, &made.cid);
    assert_eq!(tree::size(&node), content.len() as u64);
    assert_eq!(source.taken(), 1, "resolve and size");
    let at = content.len() / 2 - 50_000;
    assert!(tree::read(repo, &node, at as u64..at as u64 + 100).unwrap() == content[at..at + 100]);
    assert_eq!(source.taken(), 1, "the leaf");
}

#[test]
fn a_whole_file_costs_each_of_its_blocks_once() {
    for leaf in LEAVES {
        let FiveMib { content, made, memory, archive, .. } = &FiveMib::new(leaf);
        for policy in POLICIES {
            for counted in [memory as &dyn Taken, archive] {
                let repo = counted.cold(policy);
                let node = tree::node(&repo, &made.cid);
                assert!(tree::read(&repo, &node, ..).unwrap() == *content);
                assert_eq!(counted.count(), 21, "{leaf:?} under {policy:?}");
            }
        }
    }
}

/// Both kinds of counted source.
trait Taken {
    fn cold(&self, verify: Verify) -> Repo;
    fn count(&self) -> usize;
}

impl<S: BlockSource> Taken for Arc<Counting<S>> {
    fn cold(&self, verify: Verify) -> Repo {
        cold(self, verify)
    }

    fn count(&self) -> usize {
        self.taken()
    }
}

#[test]
fn a_large_leaf_that_is_read_in_pieces_is_opened_and_hashed_once() {
    let tree = Tree::new();
    let content = tree::content(3 << 20, 8);
    for leaf in LEAVES {
        let plan = FilePlan { chunk: 1 << 20, leaf, ..FilePlan::default() };
        let made = testing::file(&content, &plan, &mut |block| tree.put(&block));
        let archive = Counting::new(Archive::open(&tree.options()).unwrap());
        for policy in POLICIES {
            let repo = warm(&archive, policy);
            let node = tree::node(&repo, &made.cid);
            assert!(tree::read(&repo, &node, ..).unwrap() == content);
            assert_eq!(archive.taken(), 4);
            let hashed = if policy == Verify::Off { 0 } else { 4 };
            assert_eq!(repo.stats().tiers.hashed, hashed, "{leaf:?} under {policy:?}");
        }
    }
}

#[test]
fn a_file_of_one_block_is_read_once_for_its_size_and_its_bytes() {
    for leaf in LEAVES {
        let tree = Tree::new();
        let content = tree::content(200_000, 6);
        let plan = FilePlan { leaf, ..FilePlan::default() };
        let made = testing::file(&content, &plan, &mut |block| tree.put(&block));
        let archive = Counting::new(Archive::open(&tree.options()).unwrap());
        for policy in POLICIES {
            let repo = cold(&archive, policy);
            let node = tree::node(&repo, &made.cid);
            assert!(tree::read(&repo, &node, ..).unwrap() == content);
            assert_eq!(archive.taken(), 1, "{leaf:?} under {policy:?}");
            let hashed = if policy == Verify::Off { 0 } else { 1 };
            assert_eq!(repo.stats().tiers.hashed, hashed, "{leaf:?} under {policy:?}");
        }
    }
}

#[test]
fn a_file_d_folders_deep_costs_d_blocks_and_its_own() {
    const DEPTH: usize = 12;
    let memory = Memory::new();
    let put = &mut |block| memory.put(block);
    let mut made = testing::file(b"at the bottom", &FilePlan::default(), put);
    for depth in (0..DEPTH).rev() {
        let sibling = testing::file(&[depth as u8; 40], &FilePlan::default(), put);
        made = testing::directory([("a", sibling), ("down", made)], put);
    }
    let memory = Counting::new(memory);
    let path = ContentPath::with_segments(made.cid, vec!["down"; DEPTH]);
    for policy in POLICIES {
        let repo = cold(&memory, policy);
        let found = repo.resolve(&path).unwrap();
        assert_eq!(found.cids.len(), DEPTH + 1);
        assert_eq!(memory.taken(), DEPTH + 1);
        let warm = warm(&memory, policy);
        assert!(warm.resolve_now(&path).unwrap().is_none());
        assert_eq!(memory.taken(), 0, "without waiting nothing is read");
        warm.resolve(&path).unwrap();
        assert_eq!(memory.taken(), DEPTH + 1);
        let again = warm.resolve(&path).unwrap();
        assert!(warm.resolve_now(&path).unwrap().is_some_and(|now| now.cids == again.cids));
        assert_eq!(memory.taken(), 0, "what is cached is not read");
    }
}

#[test]
fn a_name_in_a_sharded_directory_costs_one_block_a_level() {
    let golden = Golden::own("flatfs-tree");
    for (label, fanout) in [("hamt-8", 8), ("hamt-8-v0", 8)] {
        let archive =
            Counting::new(Archive::open(&coldfront::ArchiveOptions::new(golden.root())).unwrap());
        for policy in POLICIES {
            let mut deepest = 0;
            for (name, levels) in entries_by_level(&golden, &archive, label) {
                let repo = cold(&archive, policy);
                let path = ContentPath::new(golden.cid(label)).join(&name);
                repo.resolve(&path).unwrap();
                assert_eq!(archive.taken(), levels + 1, "the shards on the way and the file");
                deepest = deepest.max(levels);
            }
            assert!(
                deepest >= 3,
                "a HAMT of width {fanout} with 130 names has three levels and more"
            );
        }
    }
}

/// Every name and the number of shards from the root to it, walked by hand.
fn entries_by_level(
    golden: &Golden,
    archive: &Arc<Counting<Archive>>,
    label: &str,
) -> Vec<(Vec<u8>, usize)> {
    use coldfront::unixfs::dag_pb::PbNode;
    let mut found = Vec::new();
    let mut open = vec![(golden.cid(label), 1)];
    while let Some((cid, level)) = open.pop() {
        let block = archive.source.get(&cid).unwrap().unwrap();
        for link in PbNode::parse(block.data()).unwrap().links() {
            // A slot of a HAMT of width 8 has one digit.
            match link.name.unwrap().split_at(1).1 {
                [] => open.push((Cid::try_from(link.cid).unwrap(), level + 1)),
                name => found.push((name.to_vec(), level)),
            }
        }
    }
    found
}

#[test]
fn a_listing_opens_no_child() {
    let golden = Golden::own("flatfs-tree");
    let archive =
        Counting::new(Archive::open(&coldfront::ArchiveOptions::new(golden.root())).unwrap());
    for policy in POLICIES {
        let repo = cold(&archive, policy);
        let plain = tree::node(&repo, &golden.cid("tree-v1"));
        assert_eq!(repo.list(&plain).unwrap().count(), 18);
        assert_eq!(archive.taken(), 1, "the directory itself");
        let sharded = tree::node(&repo, &golden.cid("hamt-8"));
        let entries = repo.list(&sharded).unwrap().count();
        let shards = archive.taken();
        // `dag stat` counts the shards and the 130 files, which all differ.
        let blocks = golden.expected["dag_stat"]["hamt-8"]["blocks"].as_u64().unwrap() as usize;
        assert_eq!((entries, shards), (130, blocks - 130));
    }
}

#[test]
fn a_range_over_the_border_of_two_leaves_costs_both_and_no_third() {
    let FiveMib { content, made, archive, .. } = &FiveMib::new(LeafForm::Raw);
    for policy in POLICIES {
        let repo = cold(archive, policy);
        let node = tree::node(&repo, &made.cid);
        archive.taken();
        let border = 7 * 256 * 1024;
        let range = border as u64 - 10..border as u64 + 10;
        assert!(tree::read(&repo, &node, range).unwrap() == content[border - 10..border + 10]);
        assert_eq!(archive.taken(), 2);
    }
}

#[test]
fn leaves_that_are_open_and_checked_are_not_located_again() {
    let FiveMib { made, archive, .. } = &FiveMib::new(LeafForm::PbFile);
    for policy in POLICIES {
        let repo = warm(archive, policy);
        let node = tree::node(&repo, &made.cid);
        tree::read(&repo, &node, ..).unwrap();
        archive.taken();
        tree::read(&repo, &node, ..).unwrap();
        assert_eq!(archive.taken(), 0);
    }
}

/// Calls that read, made by this thread since it began; `None` where the kernel does not count them.
fn reads_so_far() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("syscr: ")?.parse().ok())
}

/// How many calls that read `work` makes.
fn reads_of<T>(work: impl FnOnce() -> T) -> Option<(u64, T)> {
    // What looking costs: taken off.
    let (before, looked) = (reads_so_far()?, reads_so_far()?);
    let done = work();
    Some((reads_so_far()? - looked - (looked - before), done))
}

/// Reads a file as a server does: without waiting as far as that goes.
fn driven(repo: &Repo, node: &Arc<Node>) -> usize {
    let mut reader = repo.read(node, ..);
    let mut len = 0;
    let mut buf = vec![0; 1 << 20];
    loop {
        let piece = match reader.next_now().unwrap() {
            Step::End => return len,
            Step::Piece(piece) => piece,
            Step::WouldWait => reader.next_piece().unwrap().unwrap(),
        };
        len += match piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Extent(mut extent) => match extent.read_now(&mut buf).unwrap() {
                Some(n) => n,
                None => extent.read(&mut buf).unwrap(),
            },
        };
    }
}

#[test]
fn an_inner_node_and_a_small_leaf_cost_one_read_each() {
    if reads_so_far().is_none() {
        eprintln!("SKIPPED: this kernel does not count the reads of a thread");
        return;
    }
    let tree = Tree::new();
    let put = &mut |block| tree.put(&block);
    // 6 leaves of two links each: 3 inner nodes, 2 above them, and the root.
    let content = tree::content(6 * 9_000, 4);
    let plan = FilePlan { chunk: 9_000, width: 2, leaf: LeafForm::PbFile, ..FilePlan::default() };
    let made = testing::file(&content, &plan, put);
    let folder = testing::directory([("file", made)], put);
    let path = ContentPath::new(folder.cid).join(b"file");
    let read = |repo: &Repo, all: &dyn Fn(&Repo, &Arc<Node>) -> usize| {
        let (reads, found) = reads_of(|| repo.resolve(&path).unwrap()).unwrap();
        assert_eq!(reads, 2, "the folder and the root of the file");
        let (reads, len) = reads_of(|| all(repo, &found.node)).unwrap();
        assert_eq!(len, content.len());
        reads
    };
    for policy in POLICIES {
        let waiting: &dyn Fn(&Repo, &Arc<Node>) -> usize =
            &|repo, node| tree::read(repo, node, ..).unwrap().len();
        for all in [waiting, &driven] {
            assert_eq!(read(&tree.repo(policy), all), 5 + 6, "{policy:?}");
        }
    }
}

#[test]
fn of_a_large_leaf_without_verification_the_head_and_what_is_wanted_are_read() {
    if reads_so_far().is_none() {
        eprintln!("SKIPPED: this kernel does not count the reads of a thread");
        return;
    }
    let FiveMib { made, .. } = &FiveMib::new(LeafForm::PbFile);
    let tree = Tree::new();
    let plan = FilePlan { leaf: LeafForm::PbFile, ..FilePlan::default() };
    testing::file(&tree::content(5 << 20, 5), &plan, &mut |block| tree.put(&block));
    let repo = tree.repo(Verify::Off);
    let node = tree::node(&repo, &made.cid);
    let part = || tree::read(&repo, &node, 2_500_000..2_500_100).unwrap().len();
    assert_eq!(reads_of(part).unwrap(), (2, 100));
    assert_eq!(reads_of(part).unwrap(), (1, 100), "its head is known while it is open");
}

#[test]
fn what_is_read_ahead_is_neither_hashed_nor_located_a_second_time() {
    for policy in POLICIES {
        let tree = Tree::new();
        let content = tree::content(4 * 1000, 3);
        let plan = FilePlan { chunk: 1000, ..FilePlan::default() };
        let made = testing::file(&content, &plan, &mut |block| tree.put(&block));
        let source = Counting::new(Archive::open(&tree.options()).unwrap());
        let repo = tree::over(source.clone(), policy);
        let node = tree::node(&repo, &made.cid);
        let before = repo.stats().tiers.hashed;
        let reader = repo.read(&node, ..);
        assert_eq!(reader.warm(0, u64::MAX), 4000);
        assert_eq!(repo.stats().tiers.hashed, before, "{policy:?}");
        let read: Vec<u8> = reader.flat_map(|bytes| bytes.unwrap()).collect();
        assert!(read == content);
        let leaves = if policy == Verify::Off { 0 } else { 4 };
        assert_eq!(repo.stats().tiers.hashed, before + leaves, "{policy:?}");
        assert_eq!(source.taken(), 5);
    }
}
