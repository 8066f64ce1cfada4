//! Pin sets without their blocks: lists that are taken over above an archive that stays where it is, and what is said of pins
//! that are not whole.

#![cfg(feature = "migrate")]
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::sync::Arc;

use coldfront::block::{DAG_CBOR, RAW};
use coldfront::migrate::pin_lists::{
    Listed, ListedPin, PinList, PinListOptions, write_cluster_pin,
};
use coldfront::migrate::pins::{Checked, Depth, Imported, check, import, listed};
use coldfront::pin::{NewPin, PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::store::memory::Memory;
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, Cid};

struct World {
    _folder: tempfile::TempDir,
    hot: HotStore,
    archive: Arc<Memory>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        World { _folder: folder, hot, archive: Arc::new(Memory::new()) }
    }

    fn below(&self) -> Vec<Arc<dyn BlockSource>> {
        vec![self.archive.clone()]
    }

    fn pins(&self) -> PinIndex {
        PinIndex::new(&self.hot, self.below())
    }

    fn import(&self, list: &str) -> Imported {
        let mut list = PinList::new(list.as_bytes(), PinListOptions::default());
        import(&self.pins(), &self.below(), &mut list, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    fn check(&self, depth: Depth) -> Checked {
        check(&self.pins(), &self.below(), depth, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    fn state(&self) -> Vec<(Cid, PinMode, String)> {
        let pins = self.pins().list(None).map(Result::unwrap);
        let mut pins: Vec<_> = pins.map(|pin| (pin.cid, pin.mode, pin.name)).collect();
        pins.sort_by_key(|pin| pin.0.to_string());
        pins
    }
}

fn raw(text: &str) -> Block {
    Block::verified(cid_of(RAW, text.as_bytes()), text.to_owned().into()).unwrap()
}

/// A list of links in dag-cbor.
fn node(links: &[Cid]) -> Block {
    let mut data = vec![0x80 | links.len() as u8];
    for link in links {
        let bytes = link.to_bytes();
        data.extend_from_slice(&[0xd8, 42, 0x58, bytes.len() as u8 + 1, 0]);
        data.extend_from_slice(&bytes);
    }
    Block::verified(cid_of(DAG_CBOR, &data), data.into()).unwrap()
}

#[test]
fn a_list_is_taken_over_without_moving_a_block() {
    let world = World::new();
    let (leaf, other) = (raw("leaf"), raw("other"));
    let root = node(&[*leaf.cid(), *other.cid()]);
    [&leaf, &other, &root].into_iter().for_each(|block| world.archive.put(block.clone()));
    let absent = raw("absent");
    let list = format!(
        "{} recursive films\n{} direct\nnonsense\n{}\n",
        root.cid(),
        leaf.cid(),
        absent.cid()
    );
    let done = world.import(&list);
    assert_eq!((done.added, done.changed, done.there, done.missing), (2, 0, 0, 1));
    assert_eq!(done.missing_roots, [(4, *absent.cid())]);
    assert_eq!((done.list.pins(), done.list.skipped()), (3, 1));
    assert_eq!(world.hot.held(), (0, 0));

    let again = world.import(&list);
    assert_eq!((again.added, again.changed, again.there, again.missing), (0, 0, 2, 1));
    let checked = world.check(Depth::Index);
    assert_eq!((checked.whole, checked.broken), (2, 0));
    assert!(world.pins().list(None).all(|pin| pin.unwrap().indexed));
}

#[test]
fn a_pin_that_is_there_gets_a_name_and_never_less_than_it_had() {
    let world = World::new();
    let blocks = [raw("a"), raw("b"), raw("c"), raw("d")];
    blocks.iter().for_each(|block| world.archive.put(block.clone()));
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| *blocks[at].cid());
    let new = |cid, mode, name: &str| NewPin { cid, mode, name: name.into() };
    let pins = world.pins();
    pins.add(&new(a, PinMode::Recursive, "")).unwrap();
    pins.add(&new(b, PinMode::Recursive, "mine")).unwrap();
    pins.add(&new(c, PinMode::Direct, "")).unwrap();
    pins.add(&new(d, PinMode::Recursive, "")).unwrap();
    let list = format!("{a} recursive theirs\n{b} recursive theirs\n{c} recursive\n{d} direct x\n");
    let done = world.import(&list);
    assert_eq!((done.added, done.changed, done.there), (0, 3, 1));
    let mut wanted = [
        (a, PinMode::Recursive, "theirs".to_owned()),
        (b, PinMode::Recursive, "mine".to_owned()),
        (c, PinMode::Recursive, String::new()),
        (d, PinMode::Recursive, "x".to_owned()),
    ];
    wanted.sort_by_key(|pin| pin.0.to_string());
    assert_eq!(world.state(), wanted);
}

#[test]
fn a_pin_that_is_not_whole_is_named_with_what_it_lacks() {
    let world = World::new();
    let (leaf, absent, bad) = (raw("leaf"), raw("absent"), raw("bad"));
    let whole = node(&[*leaf.cid()]);
    let broken = node(&[*leaf.cid(), *absent.cid()]);
    let rotten = node(&[*bad.cid()]);
    [&leaf, &whole, &broken, &rotten]
        .into_iter()
        .for_each(|block| world.archive.put(block.clone()));
    world.archive.put_unchecked(bad.cid(), b"lies".to_vec());
    let list = [&whole, &broken, &rotten].map(|block| block.cid().to_string()).join("\n");
    world.import(&list);

    for (depth, rotten_is_seen) in
        [(Depth::Links, false), (Depth::Blocks, true), (Depth::Index, false)]
    {
        let checked = world.check(depth);
        let broken_count = 1 + u64::from(rotten_is_seen);
        assert_eq!((checked.whole, checked.broken), (3 - broken_count, broken_count), "{depth:?}");
        let told = &checked.broken_roots[broken.cid()];
        assert!(told.contains(&absent.cid().to_string()), "{told}");
        let told = checked.broken_roots.get(rotten.cid());
        assert_eq!(told.is_some(), rotten_is_seen);
        assert!(told.is_none_or(|told| told.contains("is corrupt")), "{told:?}");
    }
}

#[test]
fn pins_go_out_as_a_cluster_imports_them_and_come_in_the_same() {
    let world = World::new();
    let blocks = [raw("a"), raw("b")];
    blocks.iter().for_each(|block| world.archive.put(block.clone()));
    world.import(&format!("{} recursive one\n{} direct two\n", blocks[0].cid(), blocks[1].cid()));
    let mut out = Vec::new();
    for pin in world.pins().list(None) {
        write_cluster_pin(&mut out, &listed(&world.pins(), pin.unwrap()).unwrap()).unwrap();
    }
    let other = World { archive: world.archive.clone(), ..World::new() };
    let done = other.import(std::str::from_utf8(&out).unwrap());
    assert_eq!(done.added, 2);
    assert_eq!(other.state(), world.state());
}

#[test]
fn what_a_cluster_knows_of_a_pin_goes_out_as_it_came_in() {
    let world = World::new();
    // All that a real cluster exported, but for what has ended and what lies in shards.
    let state = include_str!("pin_lists/cluster-state-export.json");
    let mut options = PinListOptions::default();
    options.now = 0;
    let read = |text: &str| -> Vec<ListedPin> {
        let pins = PinList::new(text.as_bytes(), options.clone()).filter_map(|one| match one {
            Ok(Listed::Pin(pin)) => Some(ListedPin { line: 0, notes: Vec::new(), ..*pin }),
            _ => None,
        });
        let mut pins: Vec<_> = pins.collect();
        pins.sort_by_key(|pin| pin.cid.to_string());
        pins
    };
    let before = read(state);
    assert_eq!(before.len(), 5);
    before.iter().for_each(|pin| world.archive.put_unchecked(&pin.cid, b"there".to_vec()));
    let mut list = PinList::new(state.as_bytes(), options.clone());
    let go = &mut |_: &Imported| ControlFlow::Continue(());
    import(&world.pins(), &world.below(), &mut list, go).unwrap();

    let mut out = Vec::new();
    for pin in world.pins().list(None) {
        write_cluster_pin(&mut out, &listed(&world.pins(), pin.unwrap()).unwrap()).unwrap();
    }
    assert_eq!(read(std::str::from_utf8(&out).unwrap()), before);
}

#[test]
fn a_list_that_is_stopped_is_pinned_so_far() {
    let world = World::new();
    let blocks: Vec<_> = (0..2500).map(|n| raw(&n.to_string())).collect();
    blocks.iter().for_each(|block| world.archive.put(block.clone()));
    let list: Vec<_> = blocks.iter().map(|block| block.cid().to_string()).collect();
    let list = list.join("\n");
    let mut entries = PinList::new(list.as_bytes(), PinListOptions::default());
    let done = import(&world.pins(), &world.below(), &mut entries, &mut |_| ControlFlow::Break(()));
    let done = done.unwrap();
    assert_eq!((done.stopped, done.added, world.state().len()), (true, 1000, 1000));
    assert_eq!(world.import(&list).added, 1500);
}
