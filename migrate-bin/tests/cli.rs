//! The program as an operator meets it: what it prints, with what it ends, and that Ctrl-C loses nothing.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use coldfront::block::RAW;
use coldfront::unixfs::testing::cid_of;
use coldfront_flatfs::{Key, ShardFn};
use serde_json::Value;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_coldfront-migrate"))
}

fn tree(at: &Path, blocks: usize) -> PathBuf {
    let root = at.join("blocks");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("SHARDING"), format!("{}\n", ShardFn::default())).unwrap();
    for n in 0..blocks {
        put(&root, format!("block {n}").as_bytes(), format!("block {n}").as_bytes());
    }
    root
}

/// A file under the name of `named`, with other bytes if asked for. Returns its path.
fn put(root: &Path, named: &[u8], bytes: &[u8]) -> PathBuf {
    let text = Key::new(&cid_of(RAW, named).hash().to_bytes()).text();
    let shard = String::from_utf8(ShardFn::default().shard_of(&text)).unwrap();
    fs::create_dir_all(root.join(&shard)).unwrap();
    let path = root.join(shard).join(format!("{text}.data"));
    fs::write(&path, bytes).unwrap();
    path
}

fn run(args: &[&str], paths: &[&Path]) -> Output {
    program().args(args).args(paths).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_copy_ends_with_0_and_one_with_bad_blocks_with_3_and_a_report_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (root, hot) = (tree(folder.path(), 20), folder.path().join("hot"));
    let copy = ["run", "--all", "--to", hot.to_str().unwrap()];
    let output = run(&copy, &[&root]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("blocks"), "{}", text(&output.stdout));
    let bad = put(&root, b"named so", b"and is not");
    let output = run(&copy, &[&root]);
    assert_eq!(output.status.code(), Some(3));
    let report = text(&output.stdout);
    assert!(report.contains(bad.to_str().unwrap()) && report.contains("corrupt"), "{report}");
    let output = run(&["run", "--all", "--json", "--to", hot.to_str().unwrap()], &[&root]);
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["faults"]["corrupt"], &report["blocks"]), (&1.into(), &0.into()));
    let events = text(&output.stderr);
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{events}");

    let output = run(&["verify"], &[&hot]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let output = run(&["verify", "--against", root.to_str().unwrap()], &[&hot]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    let output = run(&["status", "--json"], &[&hot]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&status["blocks"], &status["finished"]), (&20.into(), &true.into()));
    let output = run(&["plan", "--json", "--to", hot.to_str().unwrap()], &[&root]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&plan["blocks"]["value"], &plan["has_room"]), (&21.into(), &true.into()));
}

#[test]
fn a_list_of_roots_may_come_in_any_form_and_its_broken_lines_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (root, hot) = (tree(folder.path(), 5), folder.path().join("hot"));
    let list = folder.path().join("list");
    let cid = cid_of(RAW, b"block 3");
    fs::write(&list, format!("{cid} recursive three\nnonsense\n")).unwrap();
    let args = ["run", "--roots", list.to_str().unwrap(), "--to", hot.to_str().unwrap()];
    let output = run(&args, &[&root]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{report}{}", text(&output.stderr));
    assert!(report.contains("line 2") && report.contains("nonsense"), "{report}");
    assert!(report.contains("pins") && !report.contains("missing"), "{report}");
}

#[test]
fn wrong_usage_ends_with_2_and_what_cannot_be_with_1_and_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["run"], &[folder.path()]).status.code(), Some(2));
    let to = folder.path().join("hot");
    let both = ["run", "--all", "--pins", "--to", to.to_str().unwrap()];
    assert_eq!(run(&both, &[folder.path()]).status.code(), Some(2));
    let rate = ["run", "--all", "--rate", "fast", "--to", to.to_str().unwrap()];
    assert_eq!(run(&rate, &[folder.path()]).status.code(), Some(2));
    let output = run(&["run", "--all", "--to", to.to_str().unwrap()], &[folder.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("expected a Kubo repository"));
    let output = run(&["status"], &[&folder.path().join("absent")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no hot store"), "{}", text(&output.stderr));
}

#[test]
fn ctrl_c_stops_in_order_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (root, hot) = (tree(folder.path(), 2000), folder.path().join("hot"));
    let mut slow = program();
    slow.args(["run", "--all", "--rate", "4000", "--json", "--to"]).arg(&hot).arg(&root);
    let child = slow.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let began = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let before = report["blocks"].as_u64().unwrap();
    assert!(report["stopped"] == true && before > 0 && before < 2000, "{report}");
    let output = run(&["run", "--all", "--json", "--to", hot.to_str().unwrap()], &[&root]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["blocks"].as_u64().unwrap() + before, 2000, "{report}");
}

#[test]
fn what_a_list_of_roots_says_of_a_pin_beside_what_it_keeps_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (root, hot) = (tree(folder.path(), 3), folder.path().join("hot"));
    let pinned = cid_of(RAW, b"block 1");
    let list = folder.path().join("state.json");
    let line = format!(
        r#"{{"cid":"{pinned}","name":"one","type":"pin","mode":"recursive","max_depth":-1,"metadata":{{"owner":"ann"}},"origins":[],"replication_factor_min":-1,"replication_factor_max":-1,"timestamp":"2026-11-21T01:57:04Z"}}"#
    );
    fs::write(&list, line + "\n").unwrap();
    let output = program()
        .args(["run", "--roots", list.to_str().unwrap(), "--to", hot.to_str().unwrap()])
        .arg(&root)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(&["pins", "list", "--form", "cluster", "--hot"], &[&hot]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&listed["name"], &listed["metadata"]["owner"]), (&"one".into(), &"ann".into()));
}
