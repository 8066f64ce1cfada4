//! The verbs of the way back, as a program is called: export, release, pins. What Kubo says of the outcome is asked by
//! `core/http/tests/interop/way_back`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct World {
    folder: TempDir,
    repo: PathBuf,
}

impl World {
    /// A repository that Kubo wrote, copied into a hot store.
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden");
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(golden.join("pebble-fmv-21.tar.gz")).arg("-C").arg(folder.path());
        assert!(tar.status().unwrap().success());
        let repo = folder.path().join("pebble-fmv-21");
        let world = World { folder, repo };
        world.done(&["run", world.repo.to_str().unwrap(), "--to", &world.at("hot"), "--all"]);
        world
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coldfront-migrate"));
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// What it writes; it has to end with 0.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.call(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn pins(&self, hot: &str) -> Vec<String> {
        let list = self.done(&["pins", "list", "--hot", &self.at(hot)]);
        let mut lines: Vec<_> = list.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// The bytes of all block files of a tree, by name.
fn blocks(repo: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for shard in fs::read_dir(repo.join("blocks")).unwrap() {
        let shard = shard.unwrap().path();
        if !shard.is_dir() {
            continue;
        }
        for file in fs::read_dir(shard).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_repository_comes_back_and_goes_in_again_as_it_was() {
    let world = World::new();
    let (hot, out, again) = (world.at("hot"), world.at("out"), world.at("again"));
    let report: Value =
        serde_json::from_str(&world.done(&["export", &hot, "--to", &out, "--json"])).unwrap();
    assert_eq!((&report["blocks"]["bad"], &report["blocks"]["missing"]), (&0.into(), &0.into()));
    assert_eq!(report["blocks"]["written"].as_u64().unwrap(), blocks(Path::new(&out)).len() as u64);
    assert!(report["pins"].as_u64().unwrap() > 5);
    assert_eq!(fs::read_to_string(Path::new(&out).join("version")).unwrap(), "18\n");

    world.done(&["run", &out, "--to", &again, "--all"]);
    assert_eq!(world.pins("hot"), world.pins("again"));
    let third = world.at("third");
    world.done(&["export", &again, "--to", &third]);
    assert!(blocks(Path::new(&out)) == blocks(Path::new(&third)));

    // Asked once more there is nothing to do.
    let report: Value =
        serde_json::from_str(&world.done(&["export", &hot, "--to", &out, "--json"])).unwrap();
    assert_eq!(report["blocks"]["written"], 0);
}

#[test]
fn an_export_to_the_wrong_place_ends_with_1_and_one_without_a_config_has_an_identity() {
    let world = World::new();
    let hot = world.at("hot");
    let (code, said) = world.refused(&["export", &hot]);
    assert_eq!(code, 1);
    assert!(said.contains("--cluster-state"), "{said}");
    let (code, said) = world.refused(&["export", &world.at("none"), "--to", &world.at("out")]);
    assert_eq!(code, 1);
    assert!(said.contains("there is no hot store"), "{said}");
    // The repository itself has other stores than flatfs.
    let (code, said) = world.refused(&["export", &hot, "--to", world.repo.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("without flatfs"), "{said}");
    let (code, _) =
        world.refused(&["export", &hot, "--to", &world.at("x"), "--shards", "middle/2"]);
    assert_eq!(code, 2);

    let list = world.folder.path().join("list");
    fs::write(&list, "").unwrap();
    let empty = world.at("empty");
    world.done(&["pins", "import", "--hot", &empty, list.to_str().unwrap()]);
    // A store that came from no repository has an identity of its own, always the same.
    let identity = |to: &str| {
        world.done(&["export", &empty, "--to", &world.at(to)]);
        let config = fs::read_to_string(Path::new(&world.at(to)).join("config")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        config["Identity"]["PeerID"].as_str().unwrap().to_owned()
    };
    let first = identity("out-1");
    assert!(first.starts_with("12D3KooW"), "{first}");
    assert_eq!(identity("out-2"), first);
    let config = world.repo.join("config");
    world.done(&["export", &empty, "--to", &world.at("out"), "--config", config.to_str().unwrap()]);
}

#[test]
fn pins_go_out_to_a_cluster_and_into_another_store_above_the_same_archive() {
    let world = World::new();
    let (hot, out, state) = (world.at("hot"), world.at("out"), world.at("state.json"));
    world.done(&["export", &hot, "--to", &out, "--cluster-state", &state]);
    let listed = world.pins("hot");
    assert_eq!(fs::read_to_string(&state).unwrap().lines().count(), listed.len());

    let above = world.at("above");
    let said =
        world.done(&["pins", "import", "--hot", &above, "--archive", &out, "--json", &state]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["added"].as_u64().unwrap(), listed.len() as u64);
    assert_eq!(report["missing"], 0);
    assert_eq!(world.pins("above"), listed);
    let checked = world.done(&["pins", "check", "--hot", &above, "--archive", &out]);
    assert!(
        checked.starts_with(&format!("{} pins are whole, 0 are not", listed.len())),
        "{checked}"
    );
    world.done(&["pins", "check", "--hot", &above, "--archive", &out, "--deep"]);

    // An archive that lacks a block: the pins above it are told, with exit code 3.
    let (name, _) = blocks(Path::new(&out)).into_iter().next_back().unwrap();
    let shard = &name[name.len() - ".data".len() - 3..name.len() - ".data".len() - 1];
    fs::remove_file(Path::new(&out).join("blocks").join(shard).join(&name)).unwrap();
    let (code, _) = world.refused(&["pins", "check", "--hot", &above, "--archive", &out, "--deep"]);
    assert_eq!(code, 3);
}

#[test]
fn a_car_is_written_for_each_recursive_pin() {
    let world = World::new();
    let (hot, cars) = (world.at("hot"), world.at("cars"));
    world.done(&["export", &hot, "--to", &cars, "--car"]);
    let recursive = world.pins("hot").iter().filter(|line| line.contains(" recursive")).count();
    assert_eq!(fs::read_dir(&cars).unwrap().count(), recursive);
    let again = world.done(&["export", &hot, "--to", &cars, "--car"]);
    assert!(again.starts_with(&format!("0 CAR files written, {recursive} were there")), "{again}");
}

#[test]
fn what_is_released_can_be_removed_and_the_rest_is_whole() {
    let world = World::new();
    let (hot, out, target) = (world.at("hot"), world.at("out"), world.at("target"));
    world.done(&["export", &hot, "--to", &out]);
    // Half of the recursive pins are moved.
    let list = world.done(&["pins", "list", "--hot", &hot]);
    let recursive: Vec<_> = list.lines().filter(|line| line.contains(" recursive")).collect();
    let roots = world.folder.path().join("roots");
    fs::write(&roots, recursive[..recursive.len() / 2].join("\n")).unwrap();
    world.done(&["run", &out, "--to", &target, "--roots", roots.to_str().unwrap()]);

    let paths = world.call(&["release", &out, "--to", &target]).stdout;
    let count = paths.iter().filter(|byte| **byte == 0).count();
    let before = blocks(Path::new(&out)).len();
    assert!(count > 0 && count < before, "{count} of {before}");
    let mut xargs =
        Command::new("xargs").args(["-0", "rm", "--"]).stdin(Stdio::piped()).spawn().unwrap();
    xargs.stdin.take().unwrap().write_all(&paths).unwrap();
    assert!(xargs.wait().unwrap().success());
    assert_eq!(blocks(Path::new(&out)).len(), before - count);

    // Both sides together hold everything: what is left is copied, and nothing is missing.
    world.done(&["run", &out, "--to", &target, "--pins"]);
    world.done(&["pins", "check", "--hot", &target, "--deep"]);
    assert_eq!(world.pins("target"), world.pins("hot"));
}
