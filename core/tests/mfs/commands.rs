//! Commands of `ipfs files`, as a list of arguments for Kubo and as calls of the library.

use std::sync::Arc;

use coldfront::mfs::{
    CidFormat, CpOptions, MemoryRoot, Mfs, MfsError, MfsOptions, MkdirOptions, WriteOptions,
};
use coldfront::unixfs::import::{HashFunction, ImportOptions, Importer, Metadata, Mtime};
use coldfront::{Cid, Repo, RepoOptions};

/// A file system in memory.
pub(crate) struct World {
    pub(crate) mfs: Mfs,
    pub(crate) roots: MemoryRoot,
    pub(crate) repo: Repo,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(MfsOptions::default())
    }

    pub(crate) fn with(options: MfsOptions) -> World {
        let roots = MemoryRoot::new();
        let sources = [("memory".to_owned(), roots.blocks() as _)];
        let repo = Repo::from_sources(sources, &RepoOptions::default());
        let mfs = Mfs::open(repo.clone(), Arc::new(roots.clone()), options).unwrap();
        World { mfs, roots, repo }
    }

    pub(crate) fn import(&self, content: &[u8], options: &ImportOptions) -> Cid {
        let mut importer = Importer::new(options, self.roots.blocks()).unwrap();
        let cid = importer.file(content, &Metadata::NONE).unwrap().cid;
        importer.finish().unwrap();
        cid
    }
}

/// Numbers that look random, the same ones for a seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    pub(crate) fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.flatten().take(len).collect()
    }
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// As `ipfs files` takes them.
    pub(crate) args: Vec<String>,
    /// What a write writes.
    pub(crate) content: Option<Vec<u8>>,
}

impl Command {
    pub(crate) fn new(line: &str) -> Command {
        Command { args: line.split_whitespace().map(str::to_owned).collect(), content: None }
    }

    pub(crate) fn writing(line: &str, content: Vec<u8>) -> Command {
        Command { content: Some(content), ..Command::new(line) }
    }

    fn flag(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.value(name).map(|value| value.parse().unwrap())
    }

    fn format(&self) -> Option<CidFormat> {
        let version = self.number("--cid-version").map(|version| version as u8);
        let hash = self.value("--hash").map(|name| HashFunction::by_name(name).unwrap());
        CidFormat::choose(version, hash).unwrap()
    }

    /// The same call of the library.
    pub(crate) fn run(&self, mfs: &Mfs) -> Result<(), MfsError> {
        let mut plain = self.args.iter().skip(1).filter(|arg| !arg.starts_with('-'));
        let mut next = || plain.next().map(String::as_str).unwrap();
        match self.args[0].as_str() {
            "mkdir" => {
                let (parents, format) = (self.flag("-p"), self.format());
                mfs.mkdir(next(), &MkdirOptions { parents, format, ..MkdirOptions::default() })
            }
            "write" => {
                let options = WriteOptions {
                    offset: self.number("--offset").unwrap_or(0),
                    create: self.flag("--create"),
                    parents: self.flag("--parents"),
                    truncate: self.flag("--truncate"),
                    count: self.number("--count"),
                    raw_leaves: self.value("--raw-leaves").map(|value| value == "true"),
                    format: self.format(),
                    ..WriteOptions::default()
                };
                mfs.write(next(), &mut self.content.as_deref().unwrap(), &options)
            }
            "cp" => {
                let (parents, force) = (self.flag("-p"), self.flag("--force"));
                let options = CpOptions { parents, force, ..CpOptions::default() };
                mfs.cp(next(), next(), &options)
            }
            "mv" => mfs.mv(next(), next(), true),
            "rm" => {
                let (recursive, force) = (self.flag("-r"), self.flag("--force"));
                let path = next();
                mfs.rm(path, recursive, force).map_err(|e| match e {
                    e @ MfsError::Read(_) => panic!("{e}"),
                    e => e,
                })
            }
            "chcid" => mfs.chcid(next(), self.format(), true),
            "chmod" => {
                let mode = u32::from_str_radix(next(), 8).unwrap();
                mfs.chmod(next(), mode)
            }
            "touch" => {
                let seconds = self.number("--mtime").unwrap().cast_signed();
                let nanos = self.number("--mtime-nsecs").unwrap_or(0) as u32;
                mfs.touch(next(), Some(Mtime { seconds, nanos }))
            }
            "flush" => mfs.flush(next()).map(drop),
            other => panic!("no command {other}"),
        }
    }
}

/// A path of few names, so that commands meet.
fn path(random: &mut Random) -> String {
    let depth = 1 + random.below(3);
    let names: Vec<&str> = (0..depth)
        .map(|level| {
            *random.one_of(if level + 1 < depth { &["a", "b"] } else { &["a", "b", "f", "g"] })
        })
        .collect();
    format!("/{}", names.join("/"))
}

fn flags(random: &mut Random, flags: &[&str]) -> String {
    let given: Vec<&str> = flags.iter().copied().filter(|_| random.below(3) == 0).collect();
    given.join(" ")
}

pub(crate) fn command(random: &mut Random, contents: &[Cid]) -> Command {
    let (one, other) = (path(random), path(random));
    match random.below(20) {
        0..=2 => {
            let flags = flags(random, &["-p", "--cid-version=1", "--hash=sha2-512"]);
            Command::new(&format!("mkdir {flags} {one}"))
        }
        3..=8 => write(random, &one),
        9..=11 if contents.is_empty() => write(random, &one),
        9..=11 => {
            let flags = flags(random, &["-p", "--force"]);
            Command::new(&format!("cp {flags} /ipfs/{} {one}", random.one_of(contents)))
        }
        12 => Command::new(&format!("cp {} {one} {other}", flags(random, &["-p"]))),
        13..=14 => Command::new(&format!("mv {one} {other}")),
        15..=16 => Command::new(&format!("rm {} {one}", flags(random, &["-r", "--force"]))),
        17 => {
            let format = random.one_of(&["--cid-version=0", "--cid-version=1", "--hash=blake3"]);
            Command::new(&format!("chcid {format} {one}"))
        }
        18 => Command::new(&format!("chmod {} {one}", random.one_of(&["644", "1755", "0"]))),
        _ => {
            let time = random.one_of(&["--mtime=1700000000", "--mtime=5 --mtime-nsecs=7"]);
            Command::new(&format!("touch {time} {one}"))
        }
    }
}

fn write(random: &mut Random, path: &str) -> Command {
    let flags = flags(random, &["--truncate", "--parents", "--cid-version=1", "--raw-leaves=true"]);
    let create = if random.below(5) > 0 { "--create" } else { "" };
    let mut line = format!("write {create} {flags} {path}");
    if random.below(2) == 0 {
        line.push_str(&format!(" --offset={}", random.below(9000)));
    }
    if random.below(6) == 0 {
        line.push_str(&format!(" --count={}", random.below(300)));
    }
    let len = match random.below(8) {
        0 => 0,
        1 => 2_500_000 + random.below(300_000),
        2 => 600_000,
        _ => random.below(5000),
    };
    Command::writing(&line, random.bytes(len))
}

/// All bytes of a reader.
pub(crate) fn bytes(reader: coldfront::FileReader) -> Vec<u8> {
    reader.flat_map(|piece| piece.unwrap().to_vec()).collect()
}
