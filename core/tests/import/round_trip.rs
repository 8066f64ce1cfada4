//! What was imported is read back by the library's own reader, whatever the options.

use std::sync::Arc;

use coldfront::store::memory::Memory;
use coldfront::unixfs::import::{
    Chunker, HashFunction, ImportOptions, Imported, Importer, Layout, Metadata,
};
use coldfront::unixfs::testing::{self, FilePlan, LeafForm};
use coldfront::{BlockStore, ContentPath, Node, Repo, RepoOptions, Verify};
use proptest::prelude::*;

use crate::content::Content;

fn chunkers() -> impl Strategy<Value = Chunker> {
    prop_oneof![
        (20..4000usize).prop_map(Chunker::Size),
        (16..40usize, 1..50usize, 1..200usize).prop_map(|(min, avg, max)| Chunker::Rabin {
            min,
            avg: min + avg,
            max: min + avg + max
        }),
        Just(Chunker::Buzhash),
    ]
}

fn options() -> impl Strategy<Value = ImportOptions> {
    let layout = prop_oneof![Just(Layout::Balanced), Just(Layout::Trickle)];
    let hash = prop_oneof![Just("sha2-256"), Just("blake3"), Just("sha1"), Just("blake2b-512")];
    let inline = prop_oneof![3 => Just(None), 1 => (0..=128usize).prop_map(Some)];
    let raw = prop_oneof![Just(None), any::<bool>().prop_map(Some)];
    (chunkers(), layout, hash, raw, inline, 2..9usize, prop_oneof![Just(1), Just(3)]).prop_map(
        |(chunker, layout, hash, raw_leaves, inline_limit, max_file_links, threads)| {
            ImportOptions {
                chunker,
                layout,
                hash: HashFunction::by_name(hash).unwrap(),
                raw_leaves,
                inline_limit,
                max_file_links,
                threads: Some(threads),
                ..ImportOptions::default()
            }
        },
    )
}

/// Content of a few thousand bytes, or of some chunks of buzhash.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![9 => 0..20_000usize, 1 => 0..900_000usize], 0..100usize).prop_map(|(len, seed)| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut Content::noise(seed, len), &mut bytes).unwrap();
        bytes
    })
}

fn imported(content: &[u8], options: &ImportOptions) -> (Imported, Arc<Memory>) {
    let store = Arc::new(Memory::new());
    let mut importer = Importer::new(options, store.clone()).unwrap();
    let root = importer.file(content, &Metadata::NONE).unwrap();
    importer.finish().unwrap();
    (root, store)
}

pub(crate) fn repo(store: Arc<dyn BlockStore>) -> Repo {
    let options = RepoOptions { verify: Verify::Always, ..RepoOptions::default() };
    Repo::from_sources([("memory".to_owned(), store as _)], &options)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_is_read_back_as_it_was(content in contents(), options in options()) {
        let (root, store) = imported(&content, &options);
        prop_assert_eq!(root.size, content.len() as u64);
        let repo = repo(store);
        let found = repo.resolve(&ContentPath::new(root.cid)).unwrap().node;
        let Node::File(file) = &*found else { panic!("{found:?} is no file") };
        prop_assert_eq!(file.size(), content.len() as u64);
        let mut read = Vec::new();
        for bytes in repo.read(&found, ..) {
            read.extend_from_slice(&bytes.unwrap());
        }
        prop_assert!(read == content);
    }

    #[test]
    fn a_stream_makes_the_blocks_that_whole_content_makes(
        content in contents(),
        chunk in 20..3000usize,
        width in 2..9usize,
        trickle: bool,
        raw: bool,
    ) {
        let layout = if trickle { Layout::Trickle } else { Layout::Balanced };
        let options = ImportOptions {
            chunker: Chunker::Size(chunk),
            layout,
            max_file_links: width,
            ..ImportOptions { raw_leaves: Some(raw), ..ImportOptions::cid_v1() }
        };
        let leaf = match (raw, trickle) {
            (true, _) => LeafForm::Raw,
            (false, true) => LeafForm::PbRaw,
            (false, false) => LeafForm::PbFile,
        };
        let layout = if trickle { testing::Layout::Trickle } else { testing::Layout::Balanced };
        let plan = FilePlan { chunk, layout, leaf, width, ..FilePlan::default() };
        let made = testing::file(&content, &plan, &mut |_| {});
        let (root, _) = imported(&content, &options);
        prop_assert_eq!((root.cid, root.size, root.tsize), (made.cid, made.size, made.tsize));
    }
}
