//! The program as its users meet it: flags, files, sentences, exit codes and signals.

#![allow(clippy::unwrap_used)]

#[path = "../../core/tests/tree/mod.rs"]
mod tree;

use std::fs::{self, File, FileTimes};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::{self, FilePlan};
use coldfront::{BlockStore, Cid};
use tree::Tree;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coldfront-gateway"));
    // What the tester's own environment says must not play a role.
    command.env_clear().stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// Runs a command that must end by itself; its exit code and the last line it says.
fn ends(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code().unwrap(), last)
}

/// Fails unless the program ends with this code and a sentence with all of these parts.
fn assert_ends(args: &[&str], code: i32, says: &[&str]) {
    let (ended, sentence) = ends(program().args(args));
    assert_eq!(ended, code, "{args:?}: {sentence}");
    assert!(sentence.starts_with("coldfront-gateway: "), "{args:?}: {sentence}");
    for part in says {
        assert!(sentence.contains(part), "{args:?}: {sentence:?} does not say {part:?}");
    }
}

/// A tree with a note and a film of 48 MiB, more than sockets take up.
struct World {
    tree: Tree,
    note: Cid,
    film: Cid,
    film_len: usize,
}

impl World {
    fn new() -> Self {
        let tree = Tree::new();
        let file = |content: &[u8]| {
            testing::file(content, &FilePlan::default(), &mut |block| tree.put(&block)).cid
        };
        let film = tree::content(256 * 1024, 1).repeat(192);
        let (note, film_cid) = (file(b"a note\n"), file(&film));
        World { note, film: film_cid, film_len: film.len(), tree }
    }

    fn archive(&self) -> String {
        self.tree.root().display().to_string()
    }

    fn serve(&self, args: &[&str]) -> Gateway {
        let archive = self.archive();
        let mut command = program();
        command.args(["serve", "--archive", &archive, "--gateway", "127.0.0.1:0"]).args(args);
        Gateway::start(command)
    }

    fn note(&self) -> String {
        format!("/ipfs/{}", self.note)
    }
}

/// The program while it serves.
struct Gateway {
    child: Child,
    address: String,
    lines: Receiver<String>,
}

impl Gateway {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut gateway = Gateway { child, address: String::new(), lines };
        let line = gateway.says("gateway: http://");
        gateway.address =
            line.trim_start_matches("gateway: http://").trim_end_matches('/').to_owned();
        gateway
    }

    /// Waits for a line with this in it.
    fn says(&self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => all.push(line),
                Err(_) => panic!("never said {part:?}, but {all:#?}"),
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The answer to one GET, whole.
    fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        ask(&mut stream, path);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
}

/// Reads the head of an answer and leaves its body where it is.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

// Words and codes.

#[test]
fn version_and_help_are_printed_with_code_0() {
    let version = run(&["version"]);
    let expected = concat!("coldfront-gateway ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(
        (version.status.code(), String::from_utf8(version.stdout).unwrap().as_str()),
        (Some(0), expected)
    );
    let help = run(&["serve", "--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    for part in [
        "--archive <PATH>",
        "COLDFRONT_ARCHIVE",
        "--gateway <ADDR>",
        "--limit <NAME=VALUE>",
        "COLDFRONT_LOG",
        "drain_time",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn wrong_usage_ends_with_code_2_and_the_way_out() {
    let world = World::new();
    let archive = world.archive();
    assert_ends(&["serve"], 2, &["--gateway"]);
    assert_ends(&["serve", "--gateway", "0"], 2, &["--archive DIR"]);
    assert_ends(&["serve", "--archive", &archive], 2, &["nowhere to listen", "--gateway 8080"]);
    assert_ends(
        &["serve", "--gateway", "example.com:80"],
        2,
        &["the flag --gateway", "127.0.0.1:8080"],
    );
    assert_ends(
        &["serve", "--workers", "none"],
        2,
        &["the flag --workers", "\"none\"", "from 1 to"],
    );
    assert_ends(&["serve", "--limit", "conections=3"], 2, &["did you mean \"connections\""]);
    assert_ends(&["serve", "--limit", "head_time=0"], 2, &["head_time is \"0\"", "1ms"]);
    let same = format!("{archive}/../blocks/");
    assert_ends(
        &["serve", "--gateway", "0", "--archive", &archive, "--archive", &same],
        2,
        &["are the same tree", &same],
    );
    for args in [vec![], vec!["sreve"], vec!["serve", "--archve", "x"], vec!["emit"]] {
        assert_eq!(ends(program().args(&args)).0, 2, "{args:?}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    let config = path.display().to_string();
    let args = ["serve", "--config", &config];
    assert_ends(&args, 2, &["cannot read the configuration file", &config]);
    fs::write(&path, "gateway = \"0\"\nworkers = = 2\n").unwrap();
    assert_ends(&args, 2, &[&config, "line 2", "not valid TOML"]);
    fs::write(&path, "gateway = \"0\"\n\n[limits]\nconections = 2\n").unwrap();
    assert_ends(&args, 2, &[&config, "line 4", "did you mean \"connections\""]);
    fs::write(&path, "workers = 0\n").unwrap();
    assert_ends(&args, 2, &[&config, "line 1", "workers is \"0\""]);
    fs::write(&path, b"gateway = \"\xFF\"").unwrap();
    assert_ends(&args, 2, &["cannot read the configuration file", "UTF-8"]);
}

#[test]
fn an_archive_that_is_none_is_told_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |path: &Path, says: &[&str]| {
        let path = path.display().to_string();
        let says = [says, &[path.as_str()]].concat();
        assert_ends(&["serve", "--gateway", "0", "--archive", &path], 1, &says);
    };
    serve(&folder.path().join("nothing"), &["is not there", "mounted"]);
    serve(folder.path(), &["blocks"]);
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    serve(&file, &["CAR"]);
    serve(Path::new("/dev/null"), &["neither a directory nor a file", "blocks"]);
    let strange = folder.path().join("strange");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("SHARDING"), "/repo/flatfs/shard/v1/sideways/2\n").unwrap();
    serve(&strange, &["sideways"]);
}

#[test]
fn a_car_file_is_served_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let data = b"in a CAR\n";
    let cid = testing::cid_of(coldfront::block::RAW, data);
    let header = [&b"\xa2\x65roots\x80\x67version\x01"[..]].concat();
    let section = [&cid.to_bytes()[..], data].concat();
    let path = folder.path().join("one.car");
    let parts = [&[header.len() as u8][..], &header, &[section.len() as u8], &section];
    fs::write(&path, parts.concat()).unwrap();
    let mut command = program();
    command.args(["serve", "--gateway", "127.0.0.1:0", "--archive"]).arg(&path);
    let gateway = Gateway::start(command);
    let answer = gateway.get(&format!("/ipfs/{cid}"));
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nin a CAR\n"),
        "{answer}"
    );
}

#[test]
fn a_port_that_is_taken_is_told_with_code_1() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--archive", &world.archive(), "--gateway", &address];
    assert_ends(&args, 1, &["cannot listen on", &address, "choose another port"]);
}

// Settings.

#[test]
fn emit_config_prints_what_serve_takes() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let emit = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = emit(
        program()
            .args(["emit", "config", "--archive", &world.archive(), "--limit", "connections=7"])
            .env("COLDFRONT_GATEWAY", "127.0.0.1:0")
            .env("COLDFRONT_LIMIT_IDLE_TIME", "3s"),
    );
    for line in [
        "gateway = \"127.0.0.1:0\" # the environment variable COLDFRONT_GATEWAY",
        "connections = 7 # the flag --limit",
        "idle_time = \"3s\" # the environment variable COLDFRONT_LIMIT_IDLE_TIME",
        "head_time = \"10s\" # default",
    ] {
        assert!(first.lines().any(|l| l == line), "no {line} in {first}");
    }
    let path = folder.path().join("x.toml");
    fs::write(&path, &first).unwrap();
    let again = emit(program().args(["emit", "config", "--config", &path.display().to_string()]));
    let bare = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(bare(&again), bare(&first));
    assert!(
        again.contains(&format!("connections = 7 # the file {}, line ", path.display())),
        "{again}"
    );

    let mut command = program();
    command.arg("serve").env("COLDFRONT_CONFIG", &path);
    let gateway = Gateway::start(command);
    assert!(gateway.get(&world.note()).ends_with("a note\n"));
}

#[test]
fn the_environment_alone_will_do() {
    let world = World::new();
    let mut command = program();
    command
        .arg("serve")
        .env("COLDFRONT_ARCHIVE", world.archive())
        .env("COLDFRONT_GATEWAY", "127.0.0.1:0")
        .env("COLDFRONT_VERIFY", "always")
        .env("COLDFRONT_WORKERS", "1");
    assert!(Gateway::start(command).get(&world.note()).ends_with("a note\n"));
}

#[test]
fn an_address_of_the_sixth_version_is_taken_where_there_is_one() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this machine has no [::1]");
        return;
    }
    let world = World::new();
    let mut command = program();
    command.args(["serve", "--archive", &world.archive(), "--gateway", "[::1]:0"]);
    let gateway = Gateway::start(command);
    assert!(gateway.address.starts_with("[::1]:"), "{}", gateway.address);
    assert!(gateway.get(&world.note()).ends_with("a note\n"));
}

#[test]
fn a_limit_is_kept() {
    let world = World::new();
    let gateway = world.serve(&["--limit", "connections=1"]);
    let mut first = gateway.connect();
    write!(first, "GET {} HTTP/1.1\r\nHost: x\r\n\r\n", world.note()).unwrap();
    assert!(read_head(&mut first).starts_with("HTTP/1.1 200 "));
    assert!(gateway.get(&world.note()).starts_with("HTTP/1.1 503 "));
}

#[test]
fn limits_are_lowered_to_the_handles_that_there_are_with_a_warning() {
    let world = World::new();
    let with_handles = |count: u32| {
        let mut command = Command::new("sh");
        let line = format!(
            "ulimit -n {count} && exec '{}' serve --archive '{}' --gateway 127.0.0.1:0",
            env!("CARGO_BIN_EXE_coldfront-gateway"),
            world.archive()
        );
        command.args(["-c", &line]).env_remove("COLDFRONT_LOG");
        command
    };
    let few = with_handles(300).stderr(Stdio::piped()).spawn().unwrap();
    let pid = few.id();
    std::thread::sleep(Duration::from_millis(500));
    let stopped = Command::new("kill").args(["-s", "TERM", &pid.to_string()]).status().unwrap();
    assert!(stopped.success());
    let output = few.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("the system grants 300 open files") && said.contains("LimitNOFILE"),
        "{said}"
    );
    let (code, sentence) = ends(&mut with_handles(100));
    assert_eq!(code, 1, "{sentence}");
    assert!(
        sentence.contains("the system grants 100 open files, expected 176 at least"),
        "{sentence}"
    );
}

// Signals.

#[test]
fn either_signal_ends_an_idle_gateway_with_code_0() {
    let world = World::new();
    for name in ["TERM", "INT"] {
        let mut gateway = world.serve(&[]);
        let idle = gateway.connect();
        assert!(gateway.get(&world.note()).ends_with("a note\n"));
        gateway.signal(name);
        assert_eq!(gateway.wait().code(), Some(0), "{name}");
        drop(idle);
    }
}

#[test]
fn a_download_under_way_ends_well_after_the_signal_and_nobody_new_gets_in() {
    let world = World::new();
    let mut gateway = world.serve(&[]);
    let mut stream = gateway.connect();
    ask(&mut stream, &format!("/ipfs/{}?filename=film.bin", world.film));
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    gateway.signal("TERM");
    gateway.says("stopping");
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(&gateway.address).is_ok() {
        assert!(Instant::now() < end, "it still listens");
    }
    let mut film = Vec::new();
    stream.read_to_end(&mut film).unwrap();
    assert_eq!(film.len(), world.film_len);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once_with_code_1() {
    let world = World::new();
    let mut gateway = world.serve(&["--limit", "drain_time=1h", "--limit", "stall_time=1h"]);
    let mut stream = gateway.connect();
    ask(&mut stream, &format!("/ipfs/{}?filename=film.bin", world.film));
    read_head(&mut stream);
    gateway.signal("TERM");
    gateway.says("stopping");
    std::thread::sleep(Duration::from_millis(100));
    assert!(gateway.child.try_wait().unwrap().is_none(), "it waits for the answer under way");
    gateway.signal("INT");
    gateway.says("second signal");
    assert_eq!(gateway.wait().code(), Some(1));
}

// Archives that come and go.

#[test]
fn an_archive_that_goes_away_is_told_once_and_serves_again_when_it_is_back() {
    let world = World::new();
    let gateway = world.serve(&[]);
    let film = format!("/ipfs/{}?filename=film.bin", world.film);
    assert!(gateway.get(&world.note()).ends_with("a note\n"));
    let (here, away) = (world.tree.root(), world.tree.root().with_file_name("away"));
    fs::rename(&here, &away).unwrap();
    let line = gateway.says("answered with 503 until it is back");
    assert!(line.contains(&world.archive()), "{line}");
    let answer = gateway.get(&film);
    assert!(answer.starts_with("HTTP/1.1 503 ") && !answer.contains(&world.archive()), "{answer}");
    fs::rename(&away, &here).unwrap();
    gateway.says("the archive is back");
    assert!(gateway.get(&film).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_bad_block_is_told_with_its_file_and_once() {
    let world = World::new();
    let gateway = world.serve(&["--verify", "always"]);
    tree::flip(&world.tree.path(&world.note), 3);
    for _ in 0..2 {
        assert!(gateway.get(&world.note()).starts_with("HTTP/1.1 500 "));
    }
    let line = gateway.says("bad copy");
    assert!(line.contains(&world.tree.path(&world.note).display().to_string()), "{line}");
}

// Killed.

/// All that can be told of what lies at a path without reading it, the time of the last access included.
fn trace(path: &Path) -> (u64, u32, u64, u64, [(i64, i64); 3]) {
    let meta = path.symlink_metadata().unwrap();
    let times = [
        (meta.atime(), meta.atime_nsec()),
        (meta.mtime(), meta.mtime_nsec()),
        (meta.ctime(), meta.ctime_nsec()),
    ];
    (meta.ino(), meta.mode(), meta.nlink(), meta.len(), times)
}

/// Every path at and below a folder.
fn every_path(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        if path.is_dir() {
            let mut inside: Vec<_> =
                fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
            inside.sort();
            found.extend(inside);
        }
        next += 1;
    }
    found
}

fn hashes(paths: &[PathBuf]) -> Vec<Cid> {
    let files = paths.iter().filter(|path| path.is_file());
    files.map(|path| testing::cid_of(coldfront::block::RAW, &fs::read(path).unwrap())).collect()
}

/// Asks again and again until the server is gone; how many answers began.
fn ask_until_it_is_gone(address: &str, path: &str) -> u32 {
    let mut begun = 0;
    while let Ok(mut stream) = TcpStream::connect(address) {
        let sent = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut first = [0; 12];
        if sent.is_err() || stream.read_exact(&mut first).is_err() {
            continue;
        }
        // Somebody else's server, on the port that is free again.
        if first != *b"HTTP/1.1 200" {
            break;
        }
        begun += 1;
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    begun
}

#[test]
fn killed_under_load_it_leaves_the_archive_as_it_was_and_serves_at_once_again() {
    let world = World::new();
    let film = format!("/ipfs/{}?filename=film.bin", world.film);
    let paths = every_path(world.tree.root().parent().unwrap());
    let bytes = hashes(&paths);
    // So long ago that a read would show, where the file system notes reads at all.
    let long_ago = FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
    paths.iter().for_each(|path| File::open(path).unwrap().set_times(long_ago).unwrap());
    let before: Vec<_> = paths.iter().map(|path| trace(path)).collect();
    for verify in ["off", "first-read", "always"] {
        let started = Instant::now();
        let mut gateway = world.serve(&["--verify", verify]);
        assert!(gateway.get(&world.note()).ends_with("a note\n"));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let begun: u32 = std::thread::scope(|scope| {
            let ask = || ask_until_it_is_gone(&gateway.address, &film);
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            std::thread::sleep(Duration::from_millis(300));
            Command::new("kill").args(["-9", &gateway.child.id().to_string()]).status().unwrap();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert!(begun > 0, "nothing was under way");
        assert_eq!(gateway.wait().code(), None, "it ended by the signal");
    }
    let after: Vec<_> = paths.iter().map(|path| trace(path)).collect();
    for ((path, before), after) in paths.iter().zip(&before).zip(&after) {
        assert_eq!(before, after, "{}", path.display());
    }
    assert_eq!(every_path(world.tree.root().parent().unwrap()), paths);
    assert_eq!(hashes(&paths), bytes);
    let gateway = world.serve(&["--verify", "always"]);
    assert!(gateway.get(&world.note()).ends_with("a note\n"));
}

// The hot store.

/// Puts a file into the hot store at `path`, which is closed again.
fn upload(path: &Path, content: &[u8]) -> Cid {
    let hot = HotStore::open(&HotOptions::new(path)).unwrap();
    let put = &mut |block| hot.put(&[block]).unwrap();
    let cid = testing::file(content, &FilePlan::default(), put).cid;
    hot.sync().unwrap();
    cid
}

#[test]
fn a_hot_store_and_an_archive_are_served_as_one_namespace() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hot");
    let in_hot = upload(&path, b"an upload\n");
    let in_both = upload(&path, b"a note\n");
    assert_eq!(in_both, world.note);
    let directory = {
        let hot = HotStore::open(&HotOptions::new(&path)).unwrap();
        let entry = |cid, size| testing::Made { cid, size, tsize: size };
        let film = entry(world.film, world.film_len as u64);
        let entries = [("film", film), ("upload", entry(in_hot, 10))];
        testing::directory(entries, &mut |block| hot.put(&[block]).unwrap()).cid
    };
    let hot = path.display().to_string();
    for verify in ["off", "always"] {
        let gateway = world.serve(&["--hot", &hot, "--verify", verify]);
        assert!(gateway.get(&format!("/ipfs/{in_hot}")).ends_with("\r\n\r\nan upload\n"));
        assert!(gateway.get(&world.note()).ends_with("\r\n\r\na note\n"));
        assert!(gateway.get(&format!("/ipfs/{directory}/upload")).ends_with("an upload\n"));
        let film = gateway.get(&format!("/ipfs/{directory}/film"));
        assert!(film.starts_with("HTTP/1.1 200 "), "a directory above, leaves below");
        let absent = testing::cid_of(coldfront::block::RAW, b"absent");
        assert!(gateway.get(&format!("/ipfs/{absent}")).starts_with("HTTP/1.1 404 "));
    }
}

#[test]
fn a_hot_store_alone_is_served_and_closed_when_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hot");
    let cid = upload(&path, b"an upload\n");
    let mut command = program();
    command.env("COLDFRONT_HOT", &path).args(["serve", "--gateway", "127.0.0.1:0"]);
    let mut gateway = Gateway::start(command);
    assert!(gateway.get(&format!("/ipfs/{cid}")).ends_with("an upload\n"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(HotStore::open(&HotOptions::new(&path)).is_ok());
}

#[test]
fn a_hot_store_that_cannot_be_used_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("CURRENT"), "").unwrap();
    let path = folder.path().display().to_string();
    let serve = ["serve", "--gateway", "127.0.0.1:0", "--hot", &path];
    assert_ends(&serve, 1, &["LevelDB", "coldfront-migrate"]);
    let small = [&serve[..], &["--limit", "hot_memory=1MiB"]].concat();
    assert_ends(&small, 2, &["hot_memory", "16MiB"]);
}

#[test]
fn what_is_adopted_is_copied_beside_serving_and_goes_on_after_a_stop() {
    use coldfront::migrate::{jobs, jobs_told};
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hot");
    let (hot, archive) = (path.display().to_string(), world.archive());
    let slow = ["--hot", &hot, "--adopt", &archive, "--adopt-rate", "16KiB"];
    let mut gateway = world.serve(&slow);
    gateway.says("beginning");
    assert!(gateway.get(&world.note()).ends_with("\r\n\r\na note\n"), "it serves meanwhile");
    // For others, who cannot open the store, it says how far it is.
    let end = Instant::now() + PATIENCE;
    while jobs_told(&path).unwrap().is_empty() {
        assert!(Instant::now() < end, "it never told how far it is");
        std::thread::sleep(Duration::from_millis(50));
    }
    gateway.signal("TERM");
    gateway.says("to go on at the next start");
    assert_eq!(gateway.wait().code(), Some(0));
    let copied = jobs(&HotStore::open(&HotOptions::new(&path)).unwrap()).unwrap();
    assert!(!copied[0].finished && copied[0].blocks < 5, "{copied:?}");

    let mut gateway = world.serve(&["--hot", &hot, "--adopt", &archive, "--adopt-rate", "1GiB"]);
    gateway.says("at its end");
    assert!(jobs_told(&path).unwrap()[0].finished);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    // The hot store alone has it all.
    let mut command = program();
    command.args(["serve", "--hot", &hot, "--gateway", "127.0.0.1:0"]);
    let gateway = Gateway::start(command);
    assert!(gateway.get(&world.note()).ends_with("\r\n\r\na note\n"));
    let film = gateway.get(&format!("/ipfs/{}", world.film));
    assert!(film.starts_with("HTTP/1.1 200 ") && film.len() > world.film_len / 2);
}

#[test]
fn what_cannot_be_adopted_is_a_sentence() {
    let world = World::new();
    let archive = world.archive();
    let serve = ["serve", "--archive", &archive, "--gateway", "127.0.0.1:0", "--adopt", &archive];
    assert_ends(&serve, 2, &["--adopt", "--hot"]);
    let folder = tempfile::tempdir().unwrap();
    let hot = folder.path().join("hot").display().to_string();
    let empty = folder.path().display().to_string();
    let serve = ["serve", "--hot", &hot, "--gateway", "127.0.0.1:0", "--adopt", &empty];
    assert_ends(&serve, 1, &["cannot adopt", "expected a Kubo repository"]);
    let rate = [&serve[..], &["--adopt-rate", "fast"]].concat();
    assert_ends(&rate, 2, &["--adopt-rate", "fast"]);
}

#[test]
fn a_hot_store_above_its_limit_is_collected_while_it_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hot");
    let film: Vec<u8> = (0..4_000_000u32).flat_map(|n| n.to_be_bytes()).collect();
    let garbage = upload(&path, &film);
    let note = upload(&path, b"a note that is kept\n");
    {
        let hot = HotStore::open(&HotOptions::new(&path)).unwrap();
        hot.bulk("flush").flush().unwrap();
        let pins = coldfront::pin::PinIndex::new(&hot, Vec::new());
        pins.add(&coldfront::pin::NewPin::new(note)).unwrap();
    }
    let config = folder.path().join("config.toml");
    let text = format!("hot = {path:?}\ngateway = '127.0.0.1:0'\n[gc]\nhigh = '1MiB'\nlow = 0\n");
    fs::write(&config, text).unwrap();
    let mut command = program();
    command.args(["serve", "--config"]).arg(&config);
    let mut gateway = Gateway::start(command);
    assert!(gateway.says("collected garbage").contains("blocks=63"));
    assert!(gateway.get(&format!("/ipfs/{garbage}")).starts_with("HTTP/1.1 404 "));
    assert!(gateway.get(&format!("/ipfs/{note}")).ends_with("a note that is kept\n"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_tree_without_pins_is_not_adopted_where_garbage_is_collected() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("blocks");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("SHARDING"), "/repo/flatfs/shard/v1/next-to-last/2\n").unwrap();
    let mut command = program();
    command.args(["serve", "--gateway", "127.0.0.1:0", "--adopt"]).arg(&tree);
    command.arg("--hot").arg(folder.path().join("hot")).env("COLDFRONT_GC_AT", "03:00");
    let (code, sentence) = ends(&mut command);
    assert_eq!(code, 2, "{sentence}");
    for part in ["copies blocks that nothing pins", "[gc] would remove them", "name the repository"]
    {
        assert!(sentence.contains(part), "{sentence}");
    }
}
