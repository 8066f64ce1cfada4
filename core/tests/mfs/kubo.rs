//! Random commands given to the library and to a real Kubo, without a daemon: both refuse the same ones with the
//! same words, and the roots are the same after each.
//!
//! Kubo is taken from `COLDFRONT_KUBO`, or from the cache of `make test`; without one these tests say so and pass.
//! `COLDFRONT_MFS_SEQUENCES=200` makes a long run of it.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use coldfront::Cid;
use coldfront::mfs::MfsOptions;
use coldfront::unixfs::import::{Chunker, DirectoryOptions, ImportOptions, Layout};

use crate::commands::{Command, Random, World, command};

/// A repository of Kubo's own.
struct Kubo {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Kubo {
    /// `None` where there is no Kubo.
    fn new() -> Option<Kubo> {
        let cached = || {
            let home = std::env::var_os("HOME")?;
            let cache = Path::new(&home).join(".cache/coldfront/kubo-v0.42.0/ipfs");
            cache.is_file().then_some(cache)
        };
        let program = std::env::var_os("COLDFRONT_KUBO").map(PathBuf::from).or_else(cached);
        let Some(program) = program else {
            eprintln!("no Kubo here: set COLDFRONT_KUBO to an ipfs program of version 0.42");
            return None;
        };
        let kubo = Kubo { program, folder: tempfile::tempdir().unwrap() };
        kubo.ok(&["init", "--profile=test", "--empty-repo"]);
        Some(kubo)
    }

    /// With a number in its configuration.
    fn set(&self, key: &str, value: &str) {
        self.ok(&["config", key, value]);
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut process = Process::new(&self.program);
        process.env("IPFS_PATH", self.folder.path().join("repo")).args(args);
        process.output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs a command of `ipfs files`; says what it complained of.
    fn files(&self, command: &Command) -> Result<(), String> {
        let mut args = vec!["--offline", "files"];
        args.extend(command.args.iter().map(String::as_str));
        let file = self.folder.path().join("content");
        if let Some(content) = &command.content {
            std::fs::write(&file, content).unwrap();
            args.push(file.to_str().unwrap());
        }
        let output = self.run(&args);
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or_default();
        match output.status.success() {
            true => Ok(()),
            false => Err(said.strip_prefix("Error: ").unwrap_or(said).to_owned()),
        }
    }

    fn root(&self) -> String {
        self.ok(&["--offline", "files", "stat", "--hash", "/"])
    }
}

/// Content that both hold, of every form that a file may have.
fn contents(world: &World, kubo: &Kubo) -> Vec<Cid> {
    let mut random = Random::new(99);
    let small = |size: usize| Chunker::Size(size);
    let default = ImportOptions::default;
    let forms: [(&str, usize, ImportOptions); 6] = [
        ("", 0, default()),
        ("", 40, default()),
        ("--cid-version=1", 40, ImportOptions::cid_v1()),
        ("--chunker=size-64", 4000, ImportOptions { chunker: small(64), ..default() }),
        (
            "--chunker=size-16 --cid-version=1",
            4000,
            ImportOptions { chunker: small(16), ..ImportOptions::cid_v1() },
        ),
        (
            "--chunker=size-16 --trickle",
            6000,
            ImportOptions { chunker: small(16), layout: Layout::Trickle, ..default() },
        ),
    ];
    let file = kubo.folder.path().join("content");
    forms
        .iter()
        .map(|(flags, len, options)| {
            let content = random.bytes(*len);
            std::fs::write(&file, &content).unwrap();
            let mut args = vec!["--offline", "add", "-Q", "--pin=false"];
            args.extend(flags.split_whitespace());
            args.push(file.to_str().unwrap());
            let cid = world.import(&content, options);
            assert_eq!(kubo.ok(&args), cid.to_string());
            cid
        })
        .collect()
}

/// What Kubo does and the library does not, or the other way round, each with its reason beside the code.
fn is_a_known_difference(world: &World, command: &Command) -> bool {
    let paths: Vec<&String> =
        command.args.iter().skip(1).filter(|arg| arg.starts_with('/')).collect();
    match (command.args[0].as_str(), paths.as_slice()) {
        // Kubo loses what is moved below itself, and copies where the directories have the same name.
        ("mv", [from, to]) => {
            let from_above: Vec<&str> = from.rsplit('/').skip(1).collect();
            let to_names: Vec<&str> = to.rsplit('/').collect();
            to.starts_with(from.as_str())
                || to_names.get(1) == from_above.first()
                || to_names.first() == from_above.first()
                || from.rsplit('/').next() == to_names.first().copied()
        }
        // Kubo forgets bytes beside links: it writes at the wrong place, or drops them.
        ("write" | "cp", [.., path]) => {
            let beside = |path: &str| {
                let stat = world.mfs.stat(path);
                let Ok(stat) = stat else { return false };
                let block = world.repo.block(&stat.cid).unwrap().unwrap();
                let pb = coldfront::unixfs::dag_pb::PbNode::parse(block.data());
                let Ok(pb) = pb else { return false };
                let data = pb
                    .data()
                    .and_then(|data| coldfront::unixfs::data::UnixFsData::parse(data).ok()?.data);
                stat.kind == coldfront::mfs::Kind::File && data.is_some_and(|data| !data.is_empty())
            };
            beside(path)
        }
        _ => false,
    }
}

/// The same command on both sides, which both obey.
fn both(world: &World, kubo: &Kubo, command: &Command) {
    command.run(&world.mfs).unwrap();
    kubo.files(command).unwrap();
    assert_eq!(world.mfs.root().to_string(), kubo.root(), "{}", command.args.join(" "));
}

#[test]
fn files_grow_and_shrink_in_the_layout_of_kubo() {
    let Some(kubo) = Kubo::new() else { return };
    kubo.set("Import.UnixFSChunker", "size-16");
    let world = World::with(MfsOptions { chunker: Chunker::Size(16), ..MfsOptions::default() });
    let mut random = Random::new(5);
    // 174 leaves of 16 bytes fill a root; the subtrees behind it begin and end in many ways.
    for (name, flags) in [("/v0", ""), ("/v1", "--cid-version=1"), ("/raw", "--raw-leaves=true")] {
        for len in [2784, 1, 2783, 16, 11_200, 9000, 40_000, 15, 70_000] {
            let at = world.mfs.stat(name).map_or(0, |stat| stat.size);
            let line = format!("write --create {flags} --offset={at} {name}");
            both(&world, &kubo, &Command::writing(&line, random.bytes(len)));
        }
        for at in [100_000, 3000, 2784, 2000, 16, 9] {
            let line = format!("write {flags} --offset={at} {name}");
            both(&world, &kubo, &Command::writing(&line, random.bytes(50)));
        }
        let line = format!("write {flags} --truncate --offset=5000 {name}");
        both(&world, &kubo, &Command::writing(&line, random.bytes(3000)));
    }
}

#[test]
fn directories_are_sharded_and_put_together_again_where_kubo_does_it() {
    let Some(kubo) = Kubo::new() else { return };
    kubo.set("Import.UnixFSHAMTDirectorySizeThreshold", "1000B");
    kubo.ok(&["config", "--json", "Import.UnixFSHAMTDirectoryMaxFanout", "8"]);
    let directories =
        DirectoryOptions { threshold: 1000, max_fanout: 8, ..DirectoryOptions::default() };
    let world = World::with(MfsOptions { directories, ..MfsOptions::default() });
    both(&world, &kubo, &Command::new("mkdir /d"));
    let mut random = Random::new(6);
    let mut names = Vec::new();
    for round in 0..3 {
        while names.len() < 28 {
            let name =
                format!("/d/{}", "n".repeat(random.below(6)) + &random.below(1000).to_string());
            if names.contains(&name) {
                continue;
            }
            let line = format!("write --create {name}");
            both(&world, &kubo, &Command::writing(&line, random.bytes(round + 3)));
            names.push(name);
        }
        both(&world, &kubo, &Command::new("chmod 700 /d"));
        while names.len() > 20 {
            let name = names.swap_remove(random.below(names.len()));
            both(&world, &kubo, &Command::new(&format!("rm {name}")));
        }
    }
}

fn compare(seed: u64, kubo: &Kubo) {
    let world = World::new();
    kubo.files(&Command::new("rm --force /a /b /f /g")).unwrap();
    let contents = contents(&world, kubo);
    let mut random = Random::new(seed);
    let mut history = Vec::new();
    for _ in 0..30 {
        let command = command(&mut random, &contents);
        if is_a_known_difference(&world, &command) {
            continue;
        }
        let ours = command.run(&world.mfs);
        let theirs = kubo.files(&command);
        history.push(format!("{} -> {theirs:?}", command.args.join(" ")));
        let told = || format!("seed {seed}:\n{}", history.join("\n"));
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?}\n{}", told());
        let root = kubo.root();
        if let (Err(ours), Err(theirs)) = (&ours, &theirs) {
            // `rm` puts the path before the reason and tells both apart.
            if command.args[0] != "rm" {
                assert_eq!(&ours.sentence(), theirs, "{}", told());
            }
            if root != world.mfs.root().to_string() {
                // Kubo keeps what it did before it failed.
                return;
            }
        }
        assert_eq!(world.mfs.root().to_string(), root, "{}", told());
    }
}

#[test]
fn random_commands_give_the_roots_and_the_refusals_of_kubo() {
    let Some(kubo) = Kubo::new() else { return };
    let sequences = std::env::var("COLDFRONT_MFS_SEQUENCES");
    let (from, count) = match sequences.as_deref().unwrap_or("3").split_once('+') {
        Some((from, count)) => (from.parse().unwrap(), count.parse().unwrap()),
        None => (0u64, sequences.as_deref().unwrap_or("3").parse::<u64>().unwrap()),
    };
    (from..from + count).for_each(|seed| compare(seed, &kubo));
}
