//! Every line of `tests/golden/import.tsv`: the root that Kubo gave is the one that we give, with the
//! leaves hashed side by side and on one thread.

use std::path::Path;

use coldfront::unixfs::import::{
    HashFunction, ImportOptions, Imported, Importer, Layout, Metadata, Mtime, SizeEstimate, Tree,
};

use crate::content::{Content, Item, What, tree};

/// Options of `ipfs add`, as far as the table uses them.
struct Add {
    options: ImportOptions,
    wrap: bool,
    preserve_mode: bool,
    preserve_mtime: bool,
    mode: Option<u32>,
    mtime: Option<Mtime>,
}

impl Add {
    fn parse(text: &str) -> Add {
        let options = ImportOptions::default();
        let mut add = Add {
            options,
            wrap: false,
            preserve_mode: false,
            preserve_mtime: false,
            mode: None,
            mtime: None,
        };
        let mut inline = None;
        for argument in text.split(' ').filter(|argument| !argument.is_empty()) {
            let (name, value) = argument.split_once('=').unwrap_or((argument, "true"));
            match name {
                "--inline" => inline = inline.or(Some(32)),
                "--inline-limit" => inline = Some(value.parse().unwrap()),
                _ => add.set(name, value),
            }
        }
        add.options.inline_limit = inline;
        add.options.metadata =
            add.preserve_mode || add.preserve_mtime || add.mode.is_some() || add.mtime.is_some();
        add
    }

    fn set(&mut self, name: &str, value: &str) {
        let number = || value.parse::<i64>().unwrap();
        let options = &mut self.options;
        match name {
            "--cid-version" => options.cid_version = Some(number() as u8),
            "--raw-leaves" => options.raw_leaves = Some(value == "true"),
            "--trickle" => options.layout = Layout::Trickle,
            "--chunker" => options.chunker = value.parse().unwrap(),
            "--hash" => options.hash = HashFunction::by_name(value).unwrap(),
            "--max-file-links" => options.max_file_links = number() as usize,
            "--max-directory-links" => options.directories.max_links = number() as usize,
            "--max-hamt-fanout" => options.directories.max_fanout = number() as u32,
            "--empty-dirs" => options.empty_directories = value == "true",
            "@threshold" => options.directories.threshold = bytes(value),
            "@estimate" => {
                options.directories.estimate = match value {
                    "block" => SizeEstimate::Block,
                    "disabled" => SizeEstimate::Disabled,
                    other => panic!("{other}"),
                }
            }
            "-w" => self.wrap = true,
            "--preserve-mode" => self.preserve_mode = true,
            "--preserve-mtime" => self.preserve_mtime = true,
            "--mode" => self.mode = Some(number() as u32),
            "--mtime" => self.mtime = Some(Mtime { seconds: number(), nanos: 0 }),
            "--mtime-nsecs" => self.mtime.as_mut().unwrap().nanos = number() as u32,
            other => panic!("{other}"),
        }
    }

    /// What is kept of what an entry has on disk.
    fn meta(&self, on_disk: &Metadata) -> Metadata {
        Metadata {
            mode: self.mode.or(on_disk.mode.filter(|_| self.preserve_mode)),
            mtime: self.mtime.or(on_disk.mtime.filter(|_| self.preserve_mtime)),
        }
    }

    fn root(&self, spec: &str, threads: usize) -> Imported {
        let options = ImportOptions { threads: Some(threads), ..self.options.clone() };
        let mut importer = Importer::only_hash(&options).unwrap();
        let root = match tree(spec) {
            Some(items) => self.tree(items, &mut importer),
            None if self.wrap => {
                let items = vec![(String::new(), What::File(Content::of(spec)), Metadata::NONE)];
                self.tree(items, &mut importer)
            }
            None => importer.file(Content::of(spec), &self.meta(&Metadata::NONE)).unwrap(),
        };
        importer.finish().unwrap();
        root
    }

    fn tree(&self, items: Vec<Item>, importer: &mut Importer) -> Imported {
        let mut tree = Tree::new();
        // What is wrapped is called `content`; the directory around it has nothing on disk.
        let top = if self.wrap { "content/" } else { "" };
        tree.directory(b"", &self.meta(&Metadata::NONE)).unwrap();
        if self.wrap && !matches!(items.first(), Some((path, What::File(_), _)) if path.is_empty())
        {
            tree.directory(b"content", &self.meta(&Metadata::NONE)).unwrap();
        }
        // Backwards, because any order will do.
        for (path, what, on_disk) in items.into_iter().rev() {
            let (path, meta) = (format!("{top}{path}"), self.meta(&on_disk));
            let path = path.trim_end_matches('/').as_bytes();
            let imported = match what {
                What::Directory => {
                    tree.directory(path, &meta).unwrap();
                    continue;
                }
                What::File(content) => importer.file(content, &meta).unwrap(),
                What::Link(target) => importer.symlink(target.as_bytes(), &meta).unwrap(),
            };
            tree.insert(path, &imported).unwrap();
        }
        tree.finish(importer, &mut |_, _| {}).unwrap()
    }
}

fn bytes(text: &str) -> u64 {
    match text.strip_suffix("KiB") {
        Some(kib) => kib.parse::<u64>().unwrap() * 1024,
        None => text.trim_end_matches('B').parse().unwrap(),
    }
}

/// Compares every line of a table, and says which differ.
fn compare(table: &str, threads: &[usize]) -> usize {
    // A whole path stands for itself.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(table);
    let table = std::fs::read_to_string(path).unwrap();
    let mut wrong = Vec::new();
    for line in table.lines() {
        let [options, spec, cid] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        for threads in threads {
            let root = Add::parse(options).root(spec, *threads);
            if root.cid.to_string() != cid {
                wrong.push(format!("{options} | {spec}: {} is not Kubo's {cid}", root.cid));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    table.lines().count()
}

#[test]
fn roots_are_those_that_kubo_gives() {
    assert!(compare("import.tsv", &[3]) >= 200, "the table has lost lines");
}

#[test]
fn on_one_thread_the_roots_are_the_same() {
    compare("import.tsv", &[1]);
}

/// Three gigabytes; minutes in a debug build.
#[test]
#[ignore = "long: `cargo test --release -p coldfront --test import -- --ignored`"]
fn roots_of_long_files_are_those_that_kubo_gives() {
    assert_eq!(compare("import-long.tsv", &[3]), 10);
}

/// As many cells as somebody has patience for: see `tests/golden/import.mjs`.
#[test]
#[ignore = "needs a table: `node core/tests/golden/import.mjs random 2000 FILE`, then COLDFRONT_IMPORT_TABLE=FILE"]
fn roots_of_a_table_of_ones_own_are_those_that_kubo_gives() {
    let Ok(table) = std::env::var("COLDFRONT_IMPORT_TABLE") else {
        println!("COLDFRONT_IMPORT_TABLE names no table: nothing compared");
        return;
    };
    println!("{} roots are those of Kubo", compare(&table, &[3]));
}
