//! What lies in an exported repository, file by file, and what an export refuses.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use coldfront::kubo::{Repository, RepositoryOptions};
use coldfront::migrate::Event;
use coldfront::migrate::export::cars::{CarExportError, car_path, write_car};
use coldfront::migrate::export::{Carried, ExportError, ExportOptions, ShardFn, export, plan};
use coldfront::pin::{NewPin, PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::store::memory::Memory;
use coldfront::{Block, BlockSource, BlockStore, Cid, ReadError};

use crate::store::{CONFIG, blocks_of, carried, expected, file_name, files, fill, open, run};

#[test]
fn a_tree_of_each_shard_function_is_the_one_that_kubo_wrote() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["flatfs-tree", "flatfs-prefix-2", "flatfs-suffix-3"] {
        let folder = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(golden.join(format!("{name}.tar.gz"))).arg("-C").arg(folder.path());
        assert!(tar.status().unwrap().success());
        let repo = folder.path().join(name);
        let hot = open(folder.path());
        let written = files(&repo.join("blocks"));
        for (path, data) in &written {
            let Some(text) = path.rsplit('/').next().unwrap().strip_suffix(".data") else {
                continue;
            };
            hot.put(&[Block::verified(cid_of_key(text), data.clone().into()).unwrap()]).unwrap();
        }
        let shards = ShardFn::parse(&written["SHARDING"]).unwrap();
        let to = folder.path().join("out");
        let mut options = ExportOptions::new(&to);
        options.shards = shards;
        let report = run(&hot, Vec::new(), &options).unwrap();
        assert_eq!((report.counts.missing, report.counts.bad), (0, 0));

        let mut found = files(&to.join("blocks"));
        let usage: serde_json::Value =
            serde_json::from_slice(&found.remove("diskUsage.cache").unwrap()).unwrap();
        let bytes: usize =
            written.iter().filter(|(path, _)| path.ends_with(".data")).map(|(_, d)| d.len()).sum();
        assert_eq!(usage["diskUsage"], bytes, "{name}");
        assert_eq!(found.remove("_README").is_some(), shards == ShardFn::default());
        let mut written = written;
        written.remove("_README");
        written.remove("diskUsage.cache");
        assert!(found == written, "{name}: {:?}", found.keys().take(5).collect::<Vec<_>>());
        let read = |repo: &Path, name| fs::read_to_string(repo.join(name)).unwrap();
        assert_eq!(read(&to, "datastore_spec"), read(&repo, "datastore_spec"));
        assert_eq!(read(&to, "version"), "18\n");
    }
}

pub(crate) fn cid_of_key(text: &str) -> Cid {
    let bytes = base32(text);
    Cid::new_v1(coldfront::block::RAW, cid::multihash::Multihash::from_bytes(&bytes).unwrap())
}

/// RFC 4648, upper case, without padding.
pub(crate) fn base32(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut bytes) = (0u64, 0, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => panic!("{text}"),
        };
        (bits, held) = (bits << 5 | u64::from(value), held + 5);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

#[test]
fn the_datastore_holds_pins_with_both_indexes_names_and_the_files_root() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let blocks = fill(&hot, 0..3);
    let pins = PinIndex::new(&hot, Vec::new());
    // So many that they fill several records and blocks of the journal.
    let many = fill(&hot, 1000..7000);
    let many = many
        .iter()
        .enumerate()
        .map(|(n, block)| (NewPin { name: "x".repeat(n % 200), ..NewPin::new(*block.cid()) }, 7));
    pins.adopt(&many.collect::<Vec<_>>()).unwrap();
    let direct = NewPin { cid: *blocks[0].cid(), mode: PinMode::Direct, name: "Größe".into() };
    pins.add(&direct).unwrap();
    let to = folder.path().join("out");
    let root = *blocks[1].cid();
    let carried = Carried {
        files_root: Some(root),
        keys: vec![("site".into(), vec![8, 1, 18, 64])],
        names: vec![(vec![0, 1, 2], b"record".to_vec())],
        ..carried()
    };
    let report =
        export(&pins, &[], &carried, &ExportOptions::new(&to), &mut |_| ControlFlow::Continue(()));
    let report = report.unwrap();
    assert_eq!((report.pins, report.keys, report.names), (6001, 1, 1));

    let store = coldfront_pebble::Store::open(to.join("datastore")).unwrap();
    assert!(store.notes().is_empty());
    let count = |prefix: &str| store.scan_prefix(prefix.as_bytes()).map(Result::unwrap).count();
    assert_eq!(count("/pins/pin/"), 6001);
    assert_eq!(count("/pins/index/cidRindex/"), 6000);
    assert_eq!(count("/pins/index/cidDindex/"), 1);
    assert_eq!(count("/pins/index/nameIndex/"), 6001 - 30);
    assert_eq!(store.get(b"/pins/state/dirty").unwrap().unwrap(), [0]);
    assert_eq!(store.get(b"/local/filesroot").unwrap().unwrap(), root.to_bytes());
    assert_eq!(store.get(b"/ipns/AAAQE").unwrap().unwrap(), b"record");
    // "/ipns/" and the peer, as libp2p keeps records: field 1 the name, field 2 the record.
    let wrapped = b"\x0a\x09/ipns/\x00\x01\x02\x12\x06record";
    assert_eq!(store.get(b"/F5UXA3TTF4AACAQ").unwrap().unwrap(), wrapped);
    let key = to.join("keystore/key_onuxizi");
    assert_eq!(fs::read(&key).unwrap(), [8, 1, 18, 64]);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(fs::metadata(to.join("config")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_block_that_is_missing_or_bad_is_told_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let good = fill(&hot, 0..5);
    let others: Vec<_> = (100..103).map(|n| crate::store::block(n, 50)).collect();
    let below = Memory::new();
    below.put(others[0].clone());
    below.put_unchecked(others[1].cid(), b"lies".to_vec());
    let below: Vec<Arc<dyn BlockSource>> = vec![Arc::new(below)];
    let adopted: Vec<_> = others.iter().map(|block| (NewPin::new(*block.cid()), 1)).collect();
    PinIndex::new(&hot, Vec::new()).adopt(&adopted).unwrap();

    let to = folder.path().join("out");
    let report = run(&hot, below, &ExportOptions::new(&to)).unwrap();
    assert_eq!((report.counts.written, report.counts.missing, report.counts.bad), (6, 1, 1));
    let mut told: Vec<_> = report.problems.iter().map(|one| one.cid.clone()).collect();
    let mut wanted: Vec<_> = others[1..].iter().map(|block| block.cid().to_string()).collect();
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
    let good = [&good[..], &others[..1]].concat();
    assert_eq!(blocks_of(&to), expected(&good));
}

#[test]
fn a_second_export_adds_what_came_since_and_takes_over_the_pins() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let first = fill(&hot, 0..50);
    let to = folder.path().join("out");
    let report = run(&hot, Vec::new(), &ExportOptions::new(&to)).unwrap();
    let usage = |to: &Path| fs::read_to_string(to.join("blocks/diskUsage.cache")).unwrap();
    let before = usage(&to);
    let second = fill(&hot, 50..60);
    PinIndex::new(&hot, Vec::new()).add(&NewPin::new(*second[3].cid())).unwrap();

    let again = run(&hot, Vec::new(), &ExportOptions::new(&to)).unwrap();
    assert_eq!((again.counts.written, again.counts.there, again.pins), (10, 0, 1));
    assert!(again.next > report.next);
    let all = [first, second].concat();
    assert_eq!(blocks_of(&to), expected(&all));
    assert_ne!(usage(&to), before);
    let bytes: usize = all.iter().map(|block| block.data().len()).sum();
    assert!(
        usage(&to).contains(&format!(":{bytes}}}")) || usage(&to).contains(&format!(":{bytes},"))
    );

    // From the beginning: what is there is met, not written again, but for the first round.
    let mut options = ExportOptions::new(&to);
    options.since = Some(0);
    let third = run(&hot, Vec::new(), &options).unwrap();
    assert_eq!(third.counts.looked_at(), 60);
    assert_eq!(blocks_of(&to), expected(&all));
    let usage_again = usage(&to);
    assert!(usage_again.contains(&bytes.to_string()), "{usage_again}");
}

#[test]
fn what_a_repository_holds_beside_pins_stays_when_it_is_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let blocks = fill(&hot, 0..3);
    let to = folder.path().join("out");
    let pins = PinIndex::new(&hot, Vec::new());
    pins.add(&NewPin::new(*blocks[0].cid())).unwrap();
    let options = ExportOptions::new(&to);
    let first = Carried {
        files_root: Some(*blocks[0].cid()),
        keys: vec![("site".into(), b"one".to_vec())],
        names: vec![(vec![1], b"first".to_vec())],
        ..carried()
    };
    let go = |carried: &Carried| {
        export(&pins, &[], carried, &options, &mut |_| ControlFlow::Continue(())).unwrap();
        coldfront_pebble::Store::open(to.join("datastore")).unwrap()
    };
    go(&first);
    pins.remove(blocks[0].cid(), true).unwrap();
    let second = Carried {
        keys: vec![("site".into(), b"one".to_vec()), ("site".into(), b"two".to_vec())],
        names: vec![(vec![2], b"second".to_vec())],
        ..Carried::default()
    };
    let store = go(&second);
    assert_eq!(store.scan_prefix(b"/pins/pin/").count(), 0, "the pins are those of the store");
    assert_eq!(store.get(b"/local/filesroot").unwrap().unwrap(), blocks[0].cid().to_bytes());
    assert_eq!(store.scan_prefix(b"/ipns/").count(), 2);
    let third = Carried { files_root: Some(*blocks[1].cid()), ..Carried::default() };
    let store = go(&third);
    assert_eq!(store.get(b"/local/filesroot").unwrap().unwrap(), blocks[1].cid().to_bytes());
    assert_eq!(store.scan_prefix(b"/ipns/").count(), 2);
    let keys: Vec<_> = files(&to.join("keystore")).into_iter().collect();
    // "site" and "site-2"
    let wanted = [("key_onuxizi", &b"one"[..]), ("key_onuxizjngi", b"two")];
    assert_eq!(keys, wanted.map(|(name, key)| (name.to_owned(), key.to_vec())));
    assert_eq!(fs::read_to_string(to.join("version")).unwrap(), "18\n");
}

#[test]
fn since_a_number_only_newer_blocks_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    fill(&hot, 0..20);
    let since = hot.number(fill(&hot, 20..21)[0].cid()).unwrap();
    let newer = fill(&hot, 20..30);
    let to = folder.path().join("delta");
    let mut options = ExportOptions::new(&to);
    options.since = since;
    run(&hot, Vec::new(), &options).unwrap();
    assert_eq!(blocks_of(&to), expected(&newer));
}

#[test]
fn an_export_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let blocks = fill(&hot, 0..9000);
    let to = folder.path().join("out");
    let pins = PinIndex::new(&hot, Vec::new());
    let options = ExportOptions::new(&to);
    let mut told = Vec::new();
    let stopped = export(&pins, &[], &carried(), &options, &mut |event| {
        let Event::Progress(progress) = event else { panic!() };
        told.push(progress.blocks);
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(ExportError::Stopped)));
    assert_eq!(told.len(), 1);
    assert!(!to.join("version").exists(), "Kubo must not open it yet");
    let mut rounds = 0;
    let report = export(&pins, &[], &carried(), &options, &mut |_| {
        rounds += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(rounds, 9000usize.div_ceil(4096).max(2) - 1 + usize::from(told[0] < 4096));
    assert_eq!(report.unwrap().counts.written, 9000);
    assert_eq!(blocks_of(&to), expected(&blocks));
    assert!(!to.join("blocks/.coldfront-export").exists());
    assert!(!to.join("coldfront-export.json").exists());
}

/// After a power cut a file may have its length and not its bytes.
#[test]
fn what_lies_behind_the_mark_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let first = fill(&hot, 0..5000);
    let to = folder.path().join("out");
    let pins = PinIndex::new(&hot, Vec::new());
    let options = ExportOptions::new(&to);
    let stop = &mut |_: Event<'_>| ControlFlow::Break(());
    let spoil = |block: &Block| {
        let name = file_name(block.cid());
        let shard = to.join("blocks").join(&name[name.len() - 8..name.len() - 6]);
        fs::create_dir_all(&shard).unwrap();
        fs::write(shard.join(name), vec![0; block.data().len()]).unwrap();
    };
    export(&pins, &[], &carried(), &options, stop).unwrap_err();
    spoil(&first[4999]);
    run(&hot, Vec::new(), &options).unwrap();
    assert!(blocks_of(&to) == expected(&first));

    // The same while a repository is added to.
    let second = fill(&hot, 5000..10_000);
    export(&pins, &[], &carried(), &options, stop).unwrap_err();
    spoil(&second[4999]);
    run(&hot, Vec::new(), &options).unwrap();
    assert!(blocks_of(&to) == expected(&[first, second].concat()));
}

#[test]
fn a_plan_counts_exactly_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let all = fill(&hot, 0..100);
    let since = hot.next_number();
    let newer = fill(&hot, 100..130);
    let pins = PinIndex::new(&hot, Vec::new());
    let to = folder.path().join("deep/out");
    let bytes =
        |blocks: &[Block]| blocks.iter().map(|block| block.data().len() as u64).sum::<u64>();
    let whole = plan(&pins, 0, &to).unwrap();
    assert_eq!((whole.blocks, whole.bytes), (130, bytes(&all) + bytes(&newer)));
    assert!(whole.room.unwrap() > 0 && whole.room_needed > whole.bytes);
    assert!(whole.sampled_rate.unwrap() > 0.0 && whole.time.is_some());
    let part = plan(&pins, since, &to).unwrap();
    assert_eq!((part.blocks, part.bytes), (30, bytes(&newer)));
    let none = plan(&pins, hot.next_number(), &to).unwrap();
    assert_eq!((none.blocks, none.sampled_rate, none.time), (0, None, None));
    assert!(!folder.path().join("deep").exists());
}

#[test]
fn blocks_that_were_missing_are_looked_for_again_by_the_next_export() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let good = fill(&hot, 0..5);
    let late = crate::store::block(100, 50);
    PinIndex::new(&hot, Vec::new()).adopt(&[(NewPin::new(*late.cid()), 1)]).unwrap();
    fill(&hot, 5..6);
    let to = folder.path().join("out");
    let options = ExportOptions::new(&to);
    assert_eq!(run(&hot, Vec::new(), &options).unwrap().counts.missing, 1);
    // It keeps the number that it has got already.
    hot.put(std::slice::from_ref(&late)).unwrap();
    let again = run(&hot, Vec::new(), &options).unwrap();
    assert_eq!(again.counts.missing, 0);
    let all = [&good[..], &fill(&hot, 5..6), &[late]].concat();
    assert!(blocks_of(&to) == expected(&all));
}

#[test]
fn an_export_that_was_begun_otherwise_or_of_another_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    fill(&hot, 0..10);
    let to = folder.path().join("out");
    let pins = PinIndex::new(&hot, Vec::new());
    let options = ExportOptions::new(&to);
    let stopped =
        export(&pins, &[], &carried(), &options, &mut |_| ControlFlow::Break(())).unwrap_err();
    assert!(matches!(stopped, ExportError::Stopped));

    let mut other = ExportOptions::new(&to);
    other.shards = ShardFn::Prefix(2);
    assert!(matches!(run(&hot, Vec::new(), &other), Err(ExportError::Different { .. })));
    let mut other = ExportOptions::new(&to);
    other.since = Some(5);
    assert!(matches!(run(&hot, Vec::new(), &other), Err(ExportError::Different { .. })));

    let another = HotStore::open(&HotOptions::new(folder.path().join("another"))).unwrap();
    another.put(&fill(&hot, 9..10)).unwrap();
    let refused = run(&another, Vec::new(), &options).unwrap_err();
    assert!(refused.to_string().contains("of another store"), "{refused}");
    run(&hot, Vec::new(), &options).unwrap();
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let to = folder.path().join("out");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("holiday.jpg"), "x").unwrap();
    let refused = run(&hot, Vec::new(), &ExportOptions::new(&to)).unwrap_err();
    assert!(matches!(refused, ExportError::Foreign { .. }), "{refused}");
    fs::rename(to.join("holiday.jpg"), to.join("version")).unwrap();
    let refused = run(&hot, Vec::new(), &ExportOptions::new(&to)).unwrap_err();
    assert!(refused.to_string().contains("without flatfs"), "{refused}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
}

const HELD: &str = "COLDFRONT_HELD_REPOSITORY";

#[test]
fn child_that_holds_a_repository() {
    let Some(path) = std::env::var_os(HELD) else { return };
    let _held = Repository::open(&RepositoryOptions::new(path)).unwrap();
    eprint!("held");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn a_repository_on_which_a_kubo_runs_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    fill(&hot, 0..3);
    let to = folder.path().join("out");
    let options = ExportOptions::new(&to);
    run(&hot, Vec::new(), &options).unwrap();
    let before = files(&to);
    // Such locks are a process's own, so another one has to hold it.
    fs::write(to.join("repo.lock"), "").unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["tree::child_that_holds_a_repository", "--exact", "--nocapture"])
        .env(HELD, &to)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 4];
    std::io::Read::read_exact(holder.stderr.as_mut().unwrap(), &mut line).unwrap();
    let refused = run(&hot, Vec::new(), &options).unwrap_err();
    assert!(matches!(refused, ExportError::Running { .. }), "{refused}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    fs::remove_file(to.join("repo.lock")).unwrap();
    assert!(files(&to) == before);
    run(&hot, Vec::new(), &options).unwrap();
    assert!(!to.join("repo.lock").exists());
}

#[test]
fn without_an_identity_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    fill(&hot, 0..3);
    let to = folder.path().join("out");
    let pins = PinIndex::new(&hot, Vec::new());
    let refused = export(&pins, &[], &Carried::default(), &ExportOptions::new(&to), &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(refused, Err(ExportError::NoIdentity)));
    assert!(!to.join("blocks").exists());
    assert!(CONFIG.contains("PrivKey"));
}

#[test]
fn one_process_at_a_time_writes_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    fill(&hot, 0..3);
    let to = folder.path().join("out");
    let options = ExportOptions::new(&to);
    let pins = PinIndex::new(&hot, Vec::new());
    export(&pins, &[], &carried(), &options, &mut |_| {
        let second = run(&hot, Vec::new(), &options);
        assert!(matches!(second, Err(ExportError::Locked { .. })));
        ControlFlow::Continue(())
    })
    .unwrap();
}

#[test]
fn a_car_of_a_root_is_written_once_and_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let blocks = fill(&hot, 0..2);
    let cars = folder.path().join("cars");
    let root = blocks[0].cid();
    let len = write_car(&cars, root, &hot).unwrap().unwrap();
    assert_eq!(fs::metadata(car_path(&cars, root)).unwrap().len(), len);
    assert_eq!(write_car(&cars, root, &hot).unwrap(), None);
    let absent = crate::store::block(77, 9);
    let refused = write_car(&cars, absent.cid(), &hot).unwrap_err();
    let CarExportError::Incomplete { source, .. } = refused else { panic!("{refused}") };
    assert!(matches!(*source, ReadError::Missing(_)));
    assert_eq!(fs::read_dir(&cars).unwrap().count(), 1);
    assert!(file_name(root).ends_with(".data"));
}
