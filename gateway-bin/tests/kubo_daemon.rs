//! `coldfront-gateway kubo-daemon`, as programs that start a Kubo meet it, and on a repository that Kubo wrote.

#![allow(clippy::unwrap_used)]

#[path = "../../core/tests/tree/mod.rs"]
mod tree;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use coldfront::Cid;
use coldfront::keys::Key;
use coldfront::unixfs::testing::{self, FilePlan};
use serde_json::{Value, json};
use tree::Tree;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The key of the node in these tests, and its identity.
fn key() -> &'static Key {
    static KEY: std::sync::OnceLock<Key> = std::sync::OnceLock::new();
    KEY.get_or_init(Key::generate)
}

fn peer_id() -> String {
    key().id().peer_id()
}

/// A repository with one file, in the form of `ipfs init`.
fn repository(folder: &Path, config: &Value) -> Cid {
    let tree = Tree::new();
    let cid = testing::file(b"a note\n", &FilePlan::default(), &mut |block| tree.put(&block)).cid;
    let copied = Command::new("cp").arg("-r").arg(tree.root()).arg(folder.join("blocks")).status();
    assert!(copied.unwrap().success());
    let spec = json!({"type": "mount", "mounts": [
        {"mountpoint": "/blocks", "type": "flatfs", "path": "blocks",
         "shardFunc": "/repo/flatfs/shard/v1/next-to-last/2"},
        {"mountpoint": "/", "type": "levelds", "path": "datastore"}]});
    fs::write(folder.join("datastore_spec"), spec.to_string()).unwrap();
    fs::write(folder.join("version"), "18\n").unwrap();
    fs::write(folder.join("config"), config.to_string()).unwrap();
    fs::create_dir(folder.join("keystore")).unwrap();
    cid
}

fn config(api: Value) -> Value {
    let secret = data_encoding::BASE64.encode(key().to_protobuf());
    json!({"Identity": {"PeerID": peer_id(), "PrivKey": secret}, "API": api,
        "Addresses": {"API": "/ip4/127.0.0.1/tcp/0", "Gateway": ["/ip4/127.0.0.1/tcp/0"]}})
}

fn command(repository: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coldfront-gateway"));
    command.env_clear().env("IPFS_PATH", repository).stdin(Stdio::null());
    command.args(["kubo-daemon", "--init", "--migrate=true", "--offline", "--enable-gc"]);
    command
}

struct Daemon {
    child: Child,
    lines: Vec<String>,
    api: String,
    gateway: String,
    repository: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    fn start(repository: &Path) -> Daemon {
        let mut child = command(repository).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        for line in stdout.lines().map_while(Result::ok) {
            let is_last = line == "Daemon is ready";
            lines.push(line);
            if is_last {
                break;
            }
        }
        let socket = |file| {
            let text: String = fs::read_to_string(repository.join(file)).unwrap();
            match text.strip_prefix("/ip4/127.0.0.1/tcp/") {
                Some(port) => format!("127.0.0.1:{port}"),
                None => text.strip_prefix("http://").unwrap().to_owned(),
            }
        };
        let (api, gateway) = (socket("api"), socket("gateway"));
        Daemon { child, lines, api, gateway, repository: repository.to_owned() }
    }

    fn post(&self, target: &str, headers: &str) -> (u16, String) {
        ask(&self.api, &format!("POST /api/v0/{target}"), headers)
    }

    /// The status when it has ended by itself, and that within a second.
    fn ends(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let took = began.elapsed();
                assert!(took < Duration::from_millis(1000), "it took {took:?}");
                for file in ["api", "gateway", "repo.lock"] {
                    assert!(!self.repository.join(file).exists(), "{file} was left behind");
                }
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it never ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
}

fn ask(address: &str, line: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), answer)
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn it_says_what_a_kubo_says_serves_the_blocks_and_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let note = repository(folder.path(), &config(json!({})));
    let before = files(&folder.path().join("blocks"));
    let mut daemon = Daemon::start(folder.path());
    assert_eq!(daemon.lines.len(), 3, "{:?}", daemon.lines);
    assert_eq!(
        daemon.lines[0],
        format!("RPC API server listening on /ip4/{}", daemon.api.replace(':', "/tcp/"))
    );
    assert_eq!(
        daemon.lines[1],
        format!("Gateway server listening on /ip4/{}", daemon.gateway.replace(':', "/tcp/"))
    );
    let (status, answer) = daemon.post("id", "");
    assert!(status == 200 && answer.contains(&format!("\"ID\":\"{}\"", peer_id())), "{answer}");
    assert!(answer.contains(&format!("/http/p2p/{}", peer_id())), "{answer}");
    assert!(daemon.post(&format!("cat?arg={note}"), "").1.contains("a note\n"));
    let (status, answer) = ask(&daemon.gateway, &format!("GET /ipfs/{note}"), "");
    assert!(status == 200 && answer.contains("a note\n"), "{answer}");
    let (_, shown) = daemon.post("config/show", "");
    assert!(shown.contains("Addresses") && !shown.contains("PrivKey"), "{shown}");
    assert_eq!(daemon.post("shutdown", "").0, 200);
    assert!(daemon.ends().success());
    assert_eq!(files(&folder.path().join("blocks")), before);
}

#[test]
fn a_signal_ends_it_within_a_second_whatever_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path(), &config(json!({})));
    let mut daemon = Daemon::start(folder.path());
    let mut slow = TcpStream::connect(&daemon.api).unwrap();
    slow.write_all(b"POST /api/v0/add HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    daemon.terminate();
    daemon.ends();
}

#[test]
fn the_authorizations_of_a_kubo_hold_by_whole_segments() {
    let folder = tempfile::tempdir().unwrap();
    let users = json!({"Authorizations": {
        "a": {"AuthSecret": "bearer:secret-a", "AllowedPaths": ["/api/v0/pin"]},
        "b": {"AuthSecret": "basic:user:secret-b", "AllowedPaths": ["/api/v0"]}}});
    let mut config = config(users);
    // Whoever needs a token may come from anywhere.
    config["Addresses"]["API"] = json!(["/ip4/0.0.0.0/tcp/0"]);
    repository(folder.path(), &config);
    let mut child = command(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let port = line.rsplit('/').next().unwrap();
    let status = |target: &str, headers: &str| {
        ask(&format!("127.0.0.1:{port}"), &format!("POST /api/v0/{target}"), headers)
    };
    let (a, b) =
        ("Authorization: Bearer secret-a\r\n", "Authorization: Basic dXNlcjpzZWNyZXQtYg==\r\n");
    assert_eq!(status("id", "").0, 403);
    assert_eq!(status("id", a).0, 403);
    assert_eq!(status("pin/ls?type=recursive", a).0, 200);
    assert_eq!(status("id", b).0, 200);
    for secret in ["secret-a", "secret-b", "PrivKey", "AuthSecret"] {
        let (_, shown) = status("config/show", b);
        assert!(!shown.contains(secret), "{shown}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_cannot_be_served_is_a_sentence_with_a_way_out() {
    let mut open = config(json!({}));
    open["Addresses"]["API"] = json!("/ip4/0.0.0.0/tcp/0");
    let mut odd = config(json!({}));
    odd["Addresses"]["Gateway"] = json!("/unix/run/x");
    for (config, code, part) in
        [(open, 2, "--tokens"), (odd, 1, "expected an address such as /ip4/127.0.0.1/tcp/5001")]
    {
        let folder = tempfile::tempdir().unwrap();
        repository(folder.path(), &config);
        let output = command(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && said.contains(part), "{said}");
        assert!(!folder.path().join("api").exists());
    }
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("IPFS_PATH"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The repository that a real Kubo 0.42 wrote, where it lies beside the project.
fn golden(into: &Path) -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let archive = above.find_map(|folder| {
        [
            folder.join("shared/golden/flatfs-0.42.tar.gz"),
            folder.join("../shared/golden/flatfs-0.42.tar.gz"),
        ]
        .into_iter()
        .find(|path| path.exists())
    });
    let Some(archive) = archive else {
        eprintln!("skipped: no golden repository beside the project");
        return None;
    };
    let unpacked = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(into).status();
    assert!(unpacked.unwrap().success());
    let repository = into.join("flatfs-0.42");
    let path = repository.join("config");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["Addresses"]["API"] = json!("/ip4/127.0.0.1/tcp/0");
    config["Addresses"]["Gateway"] = json!("/ip4/127.0.0.1/tcp/0");
    fs::write(path, config.to_string()).unwrap();
    Some(repository)
}

#[test]
fn pins_are_taken_over_once_so_that_one_that_is_removed_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let Some(repository) = golden(folder.path()) else { return };
    let pins = |daemon: &Daemon| {
        let (_, answer) = daemon.post("pin/ls?stream=true&type=recursive", "");
        let cids = answer.split("\"Cid\":\"").skip(1);
        cids.map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut daemon = Daemon::start(&repository);
    let first = pins(&daemon);
    assert!(first.len() >= 10, "{first:?}");
    let gone = first[3].clone();
    assert_eq!(daemon.post(&format!("pin/rm?arg={gone}"), "").0, 200);
    daemon.terminate();
    daemon.ends();
    let daemon = Daemon::start(&repository);
    let again = pins(&daemon);
    assert_eq!(again.len(), first.len() - 1);
    assert!(!again.contains(&gone));
    let (status, answer) = daemon.post("files/ls", "");
    assert!(status == 200 && answer.contains("shows"), "{answer}");
    let (status, answer) = daemon.post("key/list", "");
    assert!(status == 200 && answer.contains("\"Name\":\"site\""), "{answer}");
    // What was published under it is known, though it may have ended by now.
    let id = answer.split("\"Name\":\"site\",\"Id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let (status, answer) = daemon.post(&format!("name/get?arg={id}"), "");
    assert!(status == 200 && answer.contains("/ipfs/"), "{answer}");
    // A key that is made here is one of Kubo's, and one that is removed is gone.
    let keys = || fs::read_dir(repository.join("keystore")).unwrap().count();
    let before = keys();
    assert_eq!(daemon.post("key/gen?arg=new", "").0, 200);
    assert_eq!(keys(), before + 1);
    assert_eq!(daemon.post("key/rm?arg=new", "").0, 200);
    assert_eq!(keys(), before);
}
