//! What an import does when its reader or its store fails, is slow, or is given up.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coldfront::store::memory::Memory;
use coldfront::unixfs::import::{ImportError, ImportOptions, Importer, Metadata};
use coldfront::{Block, BlockSource, BlockStore, Cid, Located, StoreError};

use crate::content::Content;

/// A store that remembers what it was given and does as it is told.
#[derive(Debug, Default)]
struct Told {
    puts: Mutex<Vec<Vec<Block>>>,
    synced: AtomicUsize,
    /// The put, counted from one, that fails, and all after it; 0 for none.
    fails_at: usize,
    /// While somebody holds this, puts wait.
    gate: Arc<Mutex<()>>,
    /// How long a put takes.
    slow: Duration,
}

impl BlockSource for Told {
    fn get(&self, _: &Cid) -> Result<Option<Block>, StoreError> {
        Ok(None)
    }

    fn locate(&self, _: &Cid) -> Result<Option<Located>, StoreError> {
        Ok(None)
    }

    fn size(&self, _: &Cid) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

impl BlockStore for Told {
    fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        drop(self.gate.lock().unwrap());
        std::thread::sleep(self.slow);
        let mut puts = self.puts.lock().unwrap();
        if self.fails_at > 0 && puts.len() + 1 >= self.fails_at {
            let source = io::Error::other("disk full");
            return Err(StoreError::Io { path: "/hot".into(), source });
        }
        puts.push(blocks.to_vec());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.synced.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn options(threads: usize) -> ImportOptions {
    ImportOptions { threads: Some(threads), ..ImportOptions::cid_v1() }
}

#[test]
fn a_reader_that_fails_fails_the_import() {
    struct Unplugged;
    impl Read for Unplugged {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    for threads in [1, 3] {
        let mut importer = Importer::only_hash(&options(threads)).unwrap();
        let content = Content::of("zeros:3000000").chain(Unplugged);
        let error = importer.file(content, &Metadata::NONE).unwrap_err();
        assert!(matches!(error, ImportError::Read(source) if source.to_string() == "unplugged"));
    }
}

#[test]
fn a_store_that_fails_fails_the_import_for_good_and_is_not_synced() {
    for (threads, fails_at) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
        let store = Arc::new(Told { fails_at, ..Told::default() });
        let mut importer = Importer::new(&options(threads), store.clone()).unwrap();
        let error = importer.file(Content::of("noise:1:60000000"), &Metadata::NONE).unwrap_err();
        assert!(matches!(error, ImportError::Store(_)), "{error}");
        let error = importer.file(Content::of("zeros:1"), &Metadata::NONE).unwrap_err();
        assert!(matches!(error, ImportError::Poisoned), "{error}");
        assert!(matches!(importer.finish(), Err(ImportError::Poisoned)));
        assert_eq!(store.synced.load(Ordering::SeqCst), 0);
        assert_eq!(store.puts.lock().unwrap().len(), fails_at - 1);
    }
}

#[test]
fn a_store_that_fails_at_the_last_batch_fails_the_finish() {
    let store = Arc::new(Told { fails_at: 1, ..Told::default() });
    let mut importer = Importer::new(&options(3), store.clone()).unwrap();
    importer.file(Content::of("zeros:5"), &Metadata::NONE).unwrap();
    assert!(matches!(importer.finish(), Err(ImportError::Store(_))));
    assert_eq!(store.synced.load(Ordering::SeqCst), 0);
}

#[test]
fn a_finished_import_is_synced_once_and_all_there() {
    let store = Arc::new(Told::default());
    let mut importer = Importer::new(&options(3), store.clone()).unwrap();
    importer.file(Content::of("noise:1:30000000"), &Metadata::NONE).unwrap();
    importer.finish().unwrap();
    assert_eq!(store.synced.load(Ordering::SeqCst), 1);
    let puts = store.puts.lock().unwrap();
    assert!(puts.len() > 3, "one batch would have to be held in memory");
    // 115 leaves and a root.
    assert_eq!(puts.iter().map(Vec::len).sum::<usize>(), 116);
}

#[test]
fn blocks_are_stored_in_the_order_of_the_content_however_many_threads_hash() {
    let stored = |threads| {
        let store = Arc::new(Told::default());
        let mut importer = Importer::new(&options(threads), store.clone()).unwrap();
        let root = importer.file(Content::of("noise:2:9000000"), &Metadata::NONE).unwrap();
        importer.finish().unwrap();
        let puts = store.puts.lock().unwrap();
        let cids: Vec<Cid> = puts.iter().flatten().map(|block| *block.cid()).collect();
        assert_eq!(cids.last(), Some(&root.cid), "the root is last");
        cids
    };
    assert_eq!(stored(1), stored(3));
}

#[test]
fn only_hashing_stores_nothing_and_gives_the_same_root() {
    let store = Arc::new(Memory::new());
    let mut importer = Importer::new(&options(1), store).unwrap();
    let stored = importer.file(Content::of("noise:2:900000"), &Metadata::NONE).unwrap();
    importer.finish().unwrap();
    let mut importer = Importer::only_hash(&options(1)).unwrap();
    assert_eq!(importer.file(Content::of("noise:2:900000"), &Metadata::NONE).unwrap(), stored);
}

/// Counts what is read.
struct Counted<'a>(Content, &'a AtomicU64);

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buf)?;
        self.1.fetch_add(len as u64, Ordering::SeqCst);
        Ok(len)
    }
}

#[test]
fn a_slow_store_holds_the_reader_back() {
    let (store, read) = (Arc::new(Told::default()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let closed = store.gate.lock().unwrap();
        scope.spawn(|| {
            let mut importer = Importer::new(&options(3), store.clone()).unwrap();
            let content = Counted(Content::of("zeros:100000000"), &read);
            importer.file(content, &Metadata::NONE).unwrap();
            importer.finish().unwrap();
        });
        let mut before = u64::MAX;
        // Until it stands still.
        while before != read.load(Ordering::SeqCst) {
            before = read.load(Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(300));
        }
        assert!(before > 0);
        assert!(before < 24 << 20, "{before} bytes were read while nothing was stored");
        drop(closed);
    });
    assert_eq!(read.load(Ordering::SeqCst), 100_000_000);
}

#[test]
fn an_import_that_is_given_up_stores_nothing_after_it_is_gone() {
    let store = Arc::new(Told { slow: Duration::from_millis(200), ..Told::default() });
    let mut importer = Importer::new(&options(3), store.clone()).unwrap();
    importer.file(Content::of("noise:1:20000000"), &Metadata::NONE).unwrap();
    drop(importer);
    let puts = store.puts.lock().unwrap().len();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(store.puts.lock().unwrap().len(), puts);
    assert_eq!(store.synced.load(Ordering::SeqCst), 0);
}

#[test]
fn blocks_of_identity_cids_are_not_stored() {
    let store = Arc::new(Told::default());
    let options = ImportOptions { inline_limit: Some(32), ..options(1) };
    let mut importer = Importer::new(&options, store.clone()).unwrap();
    let small = importer.file(&b"small"[..], &Metadata::NONE).unwrap();
    assert_eq!(small.cid.hash().code(), 0);
    let large = importer.file(Content::of("noise:1:33"), &Metadata::NONE).unwrap();
    importer.finish().unwrap();
    let puts = store.puts.lock().unwrap();
    assert_eq!(puts.iter().flatten().map(|block| *block.cid()).collect::<Vec<_>>(), [large.cid]);
}
