//! Kubo's repository, a hot store, and Kubo again: everything that Kubo says is the same.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use coldfront::migrate::export::{Carried, ExportOptions, export};
use coldfront::migrate::pin_lists::{Listed, PinList, PinListOptions};
use coldfront::pin::{NewPin, PinIndex};
use coldfront::store::hot::HotStore;
use coldfront::{Block, BlockStore};

use crate::kubo::Kubo;
use crate::store::{files, open};

/// A repository with a folder, pins of both modes with and without names, an MFS, a key and a published name.
fn fill(kubo: &Kubo, folder: &Path) -> Vec<String> {
    let content = folder.join("content");
    fs::create_dir_all(content.join("deep/er")).unwrap();
    for (name, len) in [("a.bin", 700_000), ("deep/b.txt", 11), ("deep/er/empty", 0)] {
        let bytes: Vec<u8> = (0..len).map(|at: u32| (at / 255 * 7 + at) as u8).collect();
        fs::write(content.join(name), bytes).unwrap();
    }
    let content = content.to_str().unwrap();
    let v0 = kubo.says(&["add", "-Qr", "--pin=false", content]).trim().to_owned();
    let v1 = kubo.says(&["add", "-Qr", "--cid-version=1", content]).trim().to_owned();
    let hashed =
        kubo.says(&["add", "-Q", "--hash=blake2b-256", "--pin=false", &format!("{content}/a.bin")]);
    let hashed = hashed.trim().to_owned();
    kubo.says(&["pin", "add", "--name", "the old one", &v0]);
    kubo.says(&["pin", "add", "--recursive=false", "--name", "ünïcode", &hashed]);
    kubo.says(&["files", "mkdir", "-p", "/2024/summer"]);
    kubo.says(&["files", "cp", &format!("/ipfs/{v1}"), "/2024/summer/all"]);
    kubo.says(&["key", "gen", "site"]);
    kubo.says(&["key", "gen", "--type=rsa", "--size=2048", "älter"]);
    kubo.says(&["name", "publish", "--allow-offline", "--key=site", &format!("/ipfs/{v1}")]);
    vec![v0, v1]
}

/// What Kubo says of a repository, command by command.
fn said(kubo: &Kubo, roots: &[String]) -> Vec<(String, Vec<String>)> {
    let site = kubo.lines(&["key", "list", "-l"]);
    let name = site.iter().find(|line| line.trim_end().ends_with("site")).unwrap();
    let name = format!("/ipns/{}", name.split(' ').next().unwrap());
    let commands: Vec<Vec<&str>> = vec![
        vec!["pin", "ls", "--names"],
        vec!["refs", "local"],
        vec!["files", "ls", "-l", "/"],
        vec!["files", "stat", "--hash", "/"],
        vec!["key", "list", "-l"],
        vec!["name", "resolve", "--offline", &name],
        vec!["id", "--format=<id>"],
        vec!["ls", &roots[0]],
        vec!["ls", &roots[1]],
        vec!["config", "Datastore.StorageMax"],
    ];
    commands.iter().map(|command| (command.join(" "), kubo.lines(command))).collect()
}

/// Fills a hot store with what lies in a stopped repository, and says what else it holds.
fn take_over(kubo: &Kubo, hot: &HotStore, pin_list: &str) -> Carried {
    let root = kubo.says(&["files", "stat", "--hash", "/"]);
    for (path, data) in files(&kubo.repo.join("blocks")) {
        let Some(text) = path.rsplit('/').next().unwrap().strip_suffix(".data") else { continue };
        let cid = crate::tree::cid_of_key(text);
        hot.put(&[Block::verified(cid, data.into()).unwrap()]).unwrap();
    }
    hot.sync().unwrap();
    let pins = PinIndex::new(hot, Vec::new());
    for listed in PinList::new(pin_list.as_bytes(), PinListOptions::default()) {
        let Listed::Pin(pin) = listed.unwrap() else { continue };
        pins.add(&NewPin { cid: pin.cid, mode: pin.mode, name: pin.name }).unwrap();
    }
    let store = coldfront_pebble::Store::open(kubo.repo.join("datastore")).unwrap();
    let names = store.scan_prefix(b"/ipns/").map(|pair| {
        let (key, record) = pair.unwrap();
        let text = std::str::from_utf8(&key).unwrap().strip_prefix("/ipns/").unwrap().to_owned();
        (crate::tree::base32(&text), record)
    });
    let keys = fs::read_dir(kubo.repo.join("keystore")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let text = path.file_name().unwrap().to_str().unwrap().strip_prefix("key_").unwrap();
        let name = crate::tree::base32(&text.to_ascii_uppercase());
        (String::from_utf8(name).unwrap(), fs::read(&path).unwrap())
    });
    Carried {
        config: Some(fs::read_to_string(kubo.repo.join("config")).unwrap()),
        config_version: 18,
        files_root: Some(root.trim().parse().unwrap()),
        keys: keys.collect(),
        names: names.collect(),
    }
}

#[test]
fn kubo_says_of_an_exported_repository_what_it_said_of_its_own() {
    let folder = crate::store::folder();
    let Some(kubo) = Kubo::new(folder.path().join("from")) else { return };
    kubo.says(&["init", "--profile=test"]);
    let roots = fill(&kubo, folder.path());
    let pin_list = kubo.says(&["pin", "ls", "--names"]);
    let before = said(&kubo, &roots);

    let hot = open(folder.path());
    let carried = take_over(&kubo, &hot, &pin_list);
    assert_eq!((carried.keys.len(), carried.names.len()), (2, 2));
    for shards in ["next-to-last/2", "prefix/3", "suffix/1"] {
        let to = folder.path().join(shards.replace('/', "-"));
        let mut options = ExportOptions::new(&to);
        options.shards = format!("/repo/flatfs/shard/v1/{shards}").parse().unwrap();
        let pins = PinIndex::new(&hot, Vec::new());
        let report = export(&pins, &[], &carried, &options, &mut |_| ControlFlow::Continue(()));
        let report = report.unwrap();
        assert_eq!((report.counts.bad, report.counts.missing), (0, 0));

        let back = Kubo::new(&to).unwrap();
        assert!(back.says(&["repo", "verify"]).contains("verify complete, all blocks validated"));
        let after = said(&back, &roots);
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "{shards}");
        }
        for path in ["a.bin", "deep/b.txt", "deep/er/empty"] {
            for root in &roots {
                let file = format!("/ipfs/{root}/{path}");
                let expected = fs::read(folder.path().join("content").join(path)).unwrap();
                assert!(back.bytes(&["cat", &file]) == expected, "{file}");
            }
        }
        // It is a repository to work with: Kubo writes into it, and takes a pin away.
        back.says(&["pin", "rm", &roots[0]]);
        back.says(&["repo", "gc"]);
        back.says(&["add", "-Q", folder.path().join("content/a.bin").to_str().unwrap()]);
        assert!(back.says(&["repo", "verify"]).contains("verify complete, all blocks validated"));
    }
}
