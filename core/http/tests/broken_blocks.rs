//! Blocks that are gone, damaged or something else: a status while there can be one, a cut connection
//! afterwards, never a clean end of wrong or missing bytes, and nothing about the disk for the client.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use coldfront::block::{DAG_PB, RAW};
use coldfront::unixfs::dag_pb::{self, PbLink};
use coldfront::unixfs::data::{DataType, UnixFsData};
use coldfront::unixfs::testing::{self, FilePlan, LeafForm, Made};
use coldfront::{Block, Cid, Verify};
use common::tree::{self, POLICIES, Tree};
use common::{Response, Server, ipfs, limits, request};

const CHUNK: usize = 100_000;
const LEAVES: usize = 12;

/// What can be in the place of a good block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Gone,
    Empty,
    Short,
    Long,
    Flipped,
    Garbage,
    Folder,
    Pipe,
    DanglingLink,
}

use Damage::{DanglingLink, Empty, Flipped, Folder, Garbage, Gone, Long, Pipe, Short};

/// Seen whatever the policy: the length is wrong, or there is no file.
const SEEN_ALWAYS: [Damage; 7] = [Gone, Empty, Short, Long, Folder, Pipe, DanglingLink];

impl Damage {
    fn apply(self, path: &Path) {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        match self {
            Gone => {}
            Empty => fs::write(path, b"").unwrap(),
            Short => fs::write(path, &bytes[..bytes.len() - 1]).unwrap(),
            Long => fs::write(path, [&bytes[..], b"x"].concat()).unwrap(),
            Flipped => {
                fs::write(path, bytes).unwrap();
                tree::flip(path, 8 * 50);
            }
            Garbage => fs::write(path, vec![0xFF; bytes.len()]).unwrap(),
            Folder => fs::create_dir(path).unwrap(),
            Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            DanglingLink => std::os::unix::fs::symlink("/nonexistent/block", path).unwrap(),
        }
    }

    /// The status when this is met before the first byte is sent.
    fn status(self) -> u16 {
        match self {
            Gone => 404,
            _ => 500,
        }
    }
}

/// A film below a folder, and a note that stays whole.
struct World {
    tree: Tree,
    content: Vec<u8>,
    leaves: Vec<Cid>,
    film: Made,
    folder: Made,
    note: String,
}

impl World {
    fn new(leaf: LeafForm) -> Self {
        let tree = Tree::new();
        let content = tree::content(CHUNK * LEAVES, 3);
        let plan = FilePlan { chunk: CHUNK, leaf, ..FilePlan::default() };
        let mut leaves = Vec::new();
        let film = testing::file(&content, &plan, &mut |block| {
            leaves.push(*block.cid());
            tree.put(&block);
        });
        let put = &mut |block: Block| tree.put(&block);
        let folder = testing::directory([("film.mp4", film)], put);
        let note = testing::file(b"a note\n", &FilePlan::default(), put).cid;
        let note = format!("{}?filename=note.txt", ipfs(&note));
        World { tree, content, leaves, film, folder, note }
    }

    fn server(&self, verify: Verify) -> Server {
        Server::start(self.tree.repo(verify), limits())
    }

    fn target(&self) -> String {
        format!("{}/film.mp4", ipfs(&self.folder.cid))
    }

    fn damage(&self, cid: &Cid, damage: Damage) {
        damage.apply(&self.tree.path(cid));
    }

    fn assert_serves(&self, server: &Server) {
        assert_eq!(server.get(&self.note).text(), "a note\n");
    }

    /// A refusal that says what is wrong with which block, and nothing of where it lies.
    fn assert_refused(&self, answer: &Response, status: u16) {
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        assert_eq!(answer.expect("cache-control"), "no-store");
        assert_eq!((answer.header("etag"), answer.header("content-range")), (None, None));
        let root = self.tree.root().display().to_string();
        assert!(
            !text.contains(&root) && !text.contains(".data") && !text.contains("os error"),
            "{text}"
        );
        assert!(text.lines().next().is_some_and(|line| line.len() > 20), "{text}");
    }

    /// The answer begins as if all were well, and is cut before its end: what came is right.
    fn assert_cut(&self, server: &Server) {
        let mut client = server.client();
        client.send(request("GET", &self.target(), &[]));
        let head = client.response_head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.expect("content-length"), self.content.len().to_string());
        let mut came = 0;
        let error = loop {
            match client.take(1000) {
                Ok(bytes) => {
                    assert!(bytes == self.content[came..came + 1000], "bytes from {came}");
                    came += 1000;
                }
                Err(error) => break error,
            }
        };
        let cut = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
        assert!(cut.contains(&error.kind()), "{error}");
        assert!(came < self.content.len());
    }
}

const FORMS: [LeafForm; 2] = [LeafForm::Raw, LeafForm::PbFile];

#[test]
fn a_first_leaf_that_is_not_right_is_a_status() {
    for form in FORMS {
        for damage in SEEN_ALWAYS {
            let world = World::new(form);
            let server = world.server(Verify::Off);
            world.damage(&world.leaves[0], damage);
            let mut client = server.client();
            let answer = client.get(&world.target());
            world.assert_refused(&answer, damage.status());
            // The connection is none the worse for it, nor are other parts of the file.
            assert_eq!(client.get(&world.note).text(), "a note\n");
            let other = client.get_with(&world.target(), &[("Range", "bytes=200000-200009")]);
            assert_eq!(
                (other.status, other.body.as_slice()),
                (206, &world.content[200_000..200_010])
            );
        }
    }
}

#[test]
fn a_later_leaf_that_is_not_right_cuts_the_answer_and_is_a_status_for_a_range_of_its_own() {
    for form in FORMS {
        for damage in SEEN_ALWAYS {
            let world = World::new(form);
            let server = world.server(Verify::Off);
            world.damage(&world.leaves[9], damage);
            world.assert_cut(&server);
            world.assert_serves(&server);
            let inside =
                server.client().get_with(&world.target(), &[("Range", "bytes=900005-900009")]);
            world.assert_refused(&inside, damage.status());
        }
    }
}

#[test]
fn changed_bytes_are_never_served_when_reads_are_verified() {
    for verify in [Verify::FirstRead, Verify::Always] {
        for form in FORMS {
            for damage in [Flipped, Garbage, Short] {
                let world = World::new(form);
                let server = world.server(verify);
                world.damage(&world.leaves[0], damage);
                let answer = server.get(&world.target());
                world.assert_refused(&answer, 500);
                assert!(answer.text().contains(&world.leaves[0].to_string()), "{}", answer.text());

                let world = World::new(form);
                let server = world.server(verify);
                world.damage(&world.leaves[9], damage);
                world.assert_cut(&server);
                world.assert_serves(&server);
            }
        }
    }
}

#[test]
fn a_hash_function_that_nobody_computes_is_501_where_blocks_are_verified_and_no_fault() {
    let tree = Tree::new();
    // Murmur3, which is no hash function to name content by.
    let name: Cid = "f015522147777777777777777777777777777777777777777".parse().unwrap();
    tree.put_as(&name.hash().to_bytes(), b"who knows\n");
    for verify in POLICIES {
        let server = Server::start(tree.repo(verify), limits());
        let answer = server.get(&ipfs(&name));
        if verify == Verify::Off {
            assert_eq!((answer.status, answer.text().as_str()), (200, "who knows\n"));
            continue;
        }
        assert_eq!(answer.status, 501, "{}", answer.text());
        assert!(answer.text().contains("0x22"), "{}", answer.text());
        assert_eq!(server.gateway.repo().stats().tiers.faults, 0);
    }
}

#[test]
fn bytes_that_change_after_they_were_verified_are_not_served_either() {
    for verify in [Verify::FirstRead, Verify::Always] {
        let world = World::new(LeafForm::Raw);
        let server = world.server(verify);
        assert!(server.get(&world.target()).body == world.content);
        // In place: whoever has the file open sees it.
        tree::flip(&world.tree.path(&world.leaves[0]), 8 * 50);
        world.assert_refused(&server.get(&world.target()), 500);
    }
}

#[test]
fn a_node_on_the_way_that_is_not_right_is_a_status() {
    for verify in POLICIES {
        for damage in [Gone, Empty, Garbage, Folder, Pipe, DanglingLink] {
            let world = World::new(LeafForm::Raw);
            for cid in [world.film.cid, world.folder.cid] {
                let server = world.server(verify);
                world.damage(&cid, damage);
                let mut client = server.client();
                world.assert_refused(&client.get(&world.target()), damage.status());
                let head = client.head(&world.target());
                assert_eq!(head.status, damage.status());
                assert_eq!(client.get(&world.note).text(), "a note\n");
            }
        }
    }
}

#[test]
fn a_flipped_link_on_the_way_is_a_damaged_block_and_not_a_miss() {
    for verify in POLICIES {
        let world = World::new(LeafForm::Raw);
        let path = world.tree.path(&world.folder.cid);
        let bytes = fs::read(&path).unwrap();
        let digest = world.film.cid.hash().digest();
        let at = bytes.windows(digest.len()).position(|part| part == digest).unwrap();
        tree::flip(&path, 8 * at);
        let server = world.server(verify);
        for query in ["", "?format=raw"] {
            let answer = server.get(&format!("{}{query}", world.target()));
            world.assert_refused(&answer, 500);
            assert!(answer.text().contains(&world.folder.cid.to_string()), "{}", answer.text());
        }
        // Once it is known to be damaged, no name below it is said not to be there.
        let nowhere = format!("{}/nowhere", ipfs(&world.folder.cid));
        world.assert_refused(&server.get(&nowhere), 500);
        // Another archive holds the folder as it was.
        let good = World::new(LeafForm::Raw);
        let server = Server::start(tree::open([&world.tree, &good.tree], verify), limits());
        assert!(server.get(&world.target()).body == good.content);
    }
}

#[test]
fn a_flipped_link_inside_a_file_is_a_damaged_block_and_not_a_miss() {
    for form in FORMS {
        let world = World::new(form);
        let path = world.tree.path(&world.film.cid);
        let bytes = fs::read(&path).unwrap();
        let digest = world.leaves[0].hash().digest();
        let at = bytes.windows(digest.len()).position(|part| part == digest).unwrap();
        tree::flip(&path, 8 * at);
        let server = world.server(Verify::Off);
        let answer = server.get(&world.target());
        world.assert_refused(&answer, 500);
        assert!(answer.text().contains(&world.film.cid.to_string()), "{}", answer.text());
        let good = World::new(form);
        let server = Server::start(tree::open([&world.tree, &good.tree], Verify::Off), limits());
        assert!(server.get(&world.target()).body == good.content);
    }
}

#[test]
fn a_good_copy_in_another_archive_answers_in_place_of_a_bad_one() {
    for verify in POLICIES {
        for damage in SEEN_ALWAYS {
            let (bad, good) = (World::new(LeafForm::Raw), World::new(LeafForm::Raw));
            for cid in [bad.leaves[0], bad.leaves[5], bad.film.cid] {
                bad.damage(&cid, damage);
            }
            let repo = tree::open([&bad.tree, &good.tree], verify);
            let server = Server::start(repo, limits());
            let answer = server.get(&bad.target());
            assert!(answer.status == 200 && answer.body == good.content, "{damage:?} {verify:?}");
        }
    }
}

#[test]
fn a_copy_that_ends_while_it_is_sent_is_gone_on_with_from_another_archive() {
    let (world, other) = (World::new(LeafForm::Raw), World::new(LeafForm::Raw));
    let server = Server::start(tree::open([&world.tree, &other.tree], Verify::Off), limits());
    assert!(server.get(&world.target()).body == world.content);
    // All files are open and their lengths known; a half of one is cut off below them.
    let file = fs::OpenOptions::new().write(true).open(world.tree.path(&world.leaves[4])).unwrap();
    file.set_len(CHUNK as u64 / 2).unwrap();
    let answer = server.get(&world.target());
    assert_eq!(answer.status, 200);
    assert!(answer.body == world.content);
    assert!(!server.gateway.repo().take_faults().is_empty(), "the bad copy is told");
}

#[test]
fn a_name_that_leads_nowhere_is_a_row_of_its_listing_and_the_rest_follows() {
    let tree = Tree::new();
    let note = testing::file(b"a note\n", &FilePlan::default(), &mut |block| tree.put(&block));
    // An identity CID of 200 bytes, longer than Kubo allows.
    let odd = [&[0x01, 0x55, 0x00, 0xc8, 0x01][..], &[0; 200]].concat();
    let good = note.cid.to_bytes();
    let names = [(&good, "first"), (&odd, "it is <odd>"), (&good, "last")];
    let links = names.map(|(cid, name)| PbLink { cid, name: Some(name.as_bytes()), tsize: None });
    let data = UnixFsData::new(DataType::Directory).encode([]);
    let root = dag_pb::encode(links, Some(&data));
    let root = Block::verified(testing::cid_of(DAG_PB, &root), root.into()).unwrap();
    tree.put(&root);
    let server = Server::over(&tree);
    let page = server.get(&format!("{}/", ipfs(root.cid())));
    let text = page.text();
    assert_eq!(page.status, 200);
    let at = |part: &str| common::find(&page.body, part.as_bytes()).unwrap_or(usize::MAX);
    assert!(at(">first</a>") < at(">it is &lt;odd&gt;</th>"), "{text}");
    assert!(at(">it is &lt;odd&gt;</th>") < at(">last</a>"), "{text}");
    assert!(text.contains("a digest of 200 bytes") && text.contains("3 entries"), "{text}");
    let below = server.get(&format!("{}/it%20is%20%3Codd%3E", ipfs(root.cid())));
    assert_eq!(below.status, 500);
    assert!(
        below.text().contains("\"it is <odd>\"") && below.text().contains(&root.cid().to_string())
    );
}

#[test]
fn a_listing_that_cannot_go_on_is_cut_without_its_last_chunk() {
    let tree = Tree::new();
    let put = &mut |block: Block| tree.put(&block);
    let leaf = testing::file(b"a note\n", &FilePlan::default(), put);
    let gone = Made { cid: testing::cid_of(DAG_PB, b"gone"), ..leaf };
    let names: Vec<String> = (0..250).map(|i| format!("entry-{i:0100}")).collect();
    let mut slots: Vec<(u32, &str, Made)> =
        (0..).zip(&names).map(|(slot, name)| (slot, name.as_str(), leaf)).collect();
    slots.push((255, "", gone));
    let root = testing::shard_block(256, &slots);
    let root = Block::verified(testing::cid_of(DAG_PB, &root), root.into()).unwrap();
    tree.put(&root);
    let server = Server::over(&tree);
    let mut client = server.client();
    client.send(request("GET", &format!("{}/", ipfs(root.cid())), &[]));
    let head = client.response_head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, None));
    let sent = client.rest().unwrap_or_default();
    assert!(common::find(&sent, b"entry-0").is_some());
    assert!(!sent.ends_with(b"0\r\n\r\n"), "a clean end");
    assert_eq!(server.get(&ipfs(&leaf.cid)).status, 200);
}

#[test]
fn an_archive_that_is_away_is_503_for_everything_and_is_back_without_a_restart() {
    for verify in POLICIES {
        let world = World::new(LeafForm::Raw);
        let server = world.server(verify);
        let repo = server.gateway.repo().clone();
        assert!(server.get(&world.target()).body == world.content);

        let away = world.tree.root().with_file_name("away");
        fs::rename(world.tree.root(), &away).unwrap();
        assert_eq!(repo.watch(60).len(), 1);
        let missing = ipfs(&testing::cid_of(RAW, b"nowhere"));
        // Open a moment ago, never asked for, and not there at all: nobody can tell them apart now.
        for target in [world.target(), ipfs(&world.leaves[9]), missing.clone()] {
            let answer = server.get(&target);
            world.assert_refused(&answer, 503);
            assert_eq!(answer.expect("retry-after"), "2", "{target}");
            assert!(!answer.text().contains("away/"), "{}", answer.text());
        }

        fs::rename(&away, world.tree.root()).unwrap();
        assert!(repo.watch(60).is_empty());
        assert!(server.get(&world.target()).body == world.content);
        assert_eq!(server.get(&missing).status, 404);
    }
}

#[test]
fn an_archive_that_goes_away_under_an_answer_cuts_it() {
    let world = World::new(LeafForm::Raw);
    let server = world.server(Verify::Always);
    let mut client = server.client();
    client.send(request("GET", &world.target(), &[]));
    client.response_head().unwrap();
    fs::rename(world.tree.root(), world.tree.root().with_file_name("away")).unwrap();
    server.gateway.repo().watch(60);
    // What the sockets held already may be all of it on a quick machine; what came is right in any case.
    let came = client.take(world.content.len());
    assert!(came.is_err() || came.is_ok_and(|came| came == world.content));
    assert_eq!(server.get(&world.target()).status, 503);
}

// Blocks that a plain user may not read. Root may read everything, so these run as somebody else.

#[test]
#[ignore = "the test below runs it as a plain user"]
fn child_may_not_read_some_blocks() {
    for verify in POLICIES {
        let (shut, open) = (World::new(LeafForm::Raw), World::new(LeafForm::Raw));
        let forbid = |cid: &Cid| {
            let path = shut.tree.path(cid);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            assert!(fs::read(&path).is_err(), "this user may read everything");
        };
        let server = shut.server(verify);
        forbid(&shut.leaves[0]);
        forbid(&shut.leaves[9]);
        shut.assert_refused(&server.get(&shut.target()), 500);
        let inside = [("Range", "bytes=900005-900009")];
        shut.assert_refused(&server.client().get_with(&shut.target(), &inside), 500);
        let raw = format!("{}?format=raw", ipfs(&shut.leaves[9]));
        shut.assert_refused(&server.get(&raw), 500);
        let beside = server.client().get_with(&shut.target(), &[("Range", "bytes=200000-200009")]);
        assert_eq!((beside.status, &beside.body[..]), (206, &shut.content[200_000..200_010]));
        let told = server.gateway.repo().take_faults();
        assert_eq!(told.len(), 2, "{told:?}");
        for fault in told {
            assert!(fault.reason.contains("may not be read by this user"), "{fault:?}");
            assert!(fault.reason.contains(&shut.tree.path(&fault.cid).display().to_string()));
        }
        // A node on the way as well.
        forbid(&shut.folder.cid);
        shut.assert_refused(&shut.server(verify).get(&shut.target()), 500);
        shut.assert_serves(&server);
        // Another archive may be read.
        let both = Server::start(tree::open([&shut.tree, &open.tree], verify), limits());
        assert!(both.get(&shut.target()).body == shut.content, "{verify:?}");
        assert_eq!(both.gateway.repo().take_faults().len(), 3);
    }
}

#[test]
fn a_block_that_the_server_s_user_may_not_read_is_500_or_answered_from_another_archive() {
    if Tree::new().root().metadata().unwrap().uid() != 0 {
        child_may_not_read_some_blocks();
        return;
    }
    if !Command::new("setpriv").arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: root needs setpriv (util-linux) to become a plain user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = dir.path().join("test-binary");
    // Another process copies: a descriptor of our own, open for writing, could be inherited by a child
    // that another test starts at this moment, and a file open for writing cannot be executed.
    let mut install = Command::new("install");
    install.args(["-m", "755"]).arg(std::env::current_exe().unwrap()).arg(&binary);
    assert!(install.status().unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["--exact", "child_may_not_read_some_blocks", "--ignored", "--nocapture"])
        .current_dir("/")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
