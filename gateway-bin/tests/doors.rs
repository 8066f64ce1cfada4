//! Who gets in at the RPC API, as operators and their clients meet it: `token add`, the doors, and what is refused.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file `hello` as Kubo 0.42 adds it with its defaults.
const HELLO: &str = "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coldfront-gateway"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A server over an empty hot store, and its file of tokens.
struct Server {
    child: Child,
    rpc: String,
    upload: Option<String>,
    lines: Receiver<String>,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tokens(folder: &Path) -> PathBuf {
    folder.join("tokens.json")
}

fn token(folder: &Path, args: &[&str]) -> Output {
    program().arg("token").args(args).arg("--tokens").arg(tokens(folder)).output().unwrap()
}

/// The secret of a new token.
fn add(folder: &Path, name: &str, args: &[&str]) -> String {
    let output = token(folder, &[&["add", name][..], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Server {
    fn start(folder: tempfile::TempDir, args: &[&str]) -> Server {
        let mut command = program();
        command.args(["serve", "--rpc", "127.0.0.1:0"]).arg("--hot").arg(folder.path().join("hot"));
        command.arg("--tokens").arg(tokens(folder.path())).args(args);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut server = Server { child, rpc: String::new(), upload: None, lines, folder };
        server.rpc = address(&server.says("rpc: http"));
        if args.contains(&"--upload") {
            server.upload = Some(address(&server.says("upload: http")));
        }
        server
    }

    fn says(&self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(_) => panic!("never said {part:?}"),
            }
        }
    }

    /// Status and body of a call with a token.
    fn call(&self, secret: &str, target: &str) -> (u16, String) {
        call(&self.rpc, secret, target, "", "")
    }

    /// The same, until it has this status: tokens that are new or gone are known within a second.
    fn call_until(&self, secret: &str, target: &str, status: u16) {
        let end = Instant::now() + PATIENCE;
        while self.call(secret, target).0 != status {
            assert!(Instant::now() < end, "{target} never got {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn address(line: &str) -> String {
    line.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

fn call(address: &str, secret: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let len = body.len();
    let request = format!(
        "POST /api/v0/{target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
    );
    // Whoever refuses may close before all of it is sent.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn upload(address: &str, secret: &str, target: &str, content: &str) -> (u16, String) {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{content}\r\n--b--\r\n"
    );
    call(address, secret, target, "Content-Type: multipart/form-data; boundary=b\r\n", &body)
}

#[test]
fn nobody_listens_beyond_loopback_without_tokens_unless_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |args: &[&str]| {
        let mut command = program();
        command.arg("serve").arg("--hot").arg(folder.path().join("hot")).args(args);
        command
    };
    for args in [
        &["--rpc", "0.0.0.0:0"][..],
        &["--rpc", "[::]:0"],
        &["--upload", "0.0.0.0:0"],
        &["--rpc", "127.0.0.1:0", "--upload", "0.0.0.0:0"],
    ] {
        let output = serve(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for part in ["token add", "--tokens", "loopback", "--open-rpc"] {
            assert!(said.contains(part), "{said}");
        }
    }
    for args in [&["--rpc", "0.0.0.0:0", "--open-rpc"][..], &["--rpc", "[::ffff:127.0.0.1]:0"]] {
        let mut child = serve(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains("http://")));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(line.is_some(), "{args:?}");
    }
}

#[test]
fn a_token_is_printed_once_and_lets_in_while_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let secret = add(folder.path(), "ci", &["--commands", "id"]);
    let server = Server::start(folder, &[]);
    assert_eq!(server.call(&secret, "id").0, 200);
    assert_eq!(server.call("wrong", "id").0, 403);
    let folder = server.folder.path();
    let listed = String::from_utf8(token(folder, &["ls"]).stdout).unwrap();
    assert_eq!(listed, "ci id streams=64 queue=64\n");
    assert!(!std::fs::read_to_string(tokens(folder)).unwrap().contains(&secret[3..]));
    let second = add(folder, "b", &["--commands", "all", "--rate", "10MiB", "--own-pins"]);
    server.call_until(&second, "id", 200);
    assert!(token(folder, &["rm", "ci"]).status.success());
    server.call_until(&secret, "id", 403);
    assert_eq!(server.call(&second, "id").0, 200);
}

#[test]
fn wrong_tokens_are_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    for (args, code, part) in [
        (&["add", "ci", "--commands", "pinxyz"][..], 2, "there is no command \"pinxyz\""),
        (&["add", "ci", "--commands", "add", "--rate", "fast"], 2, "such as 10MiB"),
        (&["add", "a/b", "--commands", "add"], 1, "expected letters"),
        (&["rm", "ci"], 1, "there is no token \"ci\""),
    ] {
        let output = token(folder.path(), args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "{said}");
    }
    let output = program().args(["token", "ls"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let mut command = program();
    command.args(["serve", "--rpc", "0", "--hot"]).arg(folder.path().join("hot"));
    let output = command.arg("--tokens").arg(folder.path().join("none")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("none: cannot be read"));
}

#[test]
fn the_door_for_uploads_serves_uploads_alone() {
    let folder = tempfile::tempdir().unwrap();
    let all = add(folder.path(), "all", &["--commands", "all"]);
    let server = Server::start(folder, &["--upload", "127.0.0.1:0"]);
    let door = server.upload.as_deref().unwrap();
    let (status, answer) = upload(door, &all, "add", "hello");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(call(door, "wrong", "add", "", "").0, 403);
    assert_eq!(call(door, &all, "version", "", "").0, 200);
    for target in ["id", "cat?arg=x", "config/show", "repo/gc", "shutdown", "block/rm?arg=x"] {
        let (status, answer) = call(door, &all, target, "", "");
        assert_eq!(status, 403, "{target}: {answer}");
    }
    assert_eq!(server.call(&all, "id").0, 200);
}

#[test]
fn a_token_removes_its_own_pins_and_no_others_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let own = add(folder.path(), "own", &["--commands", "upload", "--own-pins"]);
    let all = add(folder.path(), "all", &["--commands", "all"]);
    let server = Server::start(folder, &[]);
    let added = |secret: &str, content: &str| {
        let (status, answer) = upload(&server.rpc, secret, "add?quieter=true", content);
        assert_eq!(status, 200, "{answer}");
        let at = answer.find("\"Hash\":\"").unwrap() + 8;
        answer[at..at + 46].to_owned()
    };
    let (mine, others) = (added(&own, "mine"), added(&all, "of others"));
    // Adding what is pinned already makes nobody its owner.
    assert_eq!(added(&own, "of others"), others);
    let (status, answer) = server.call(&own, &format!("pin/rm?arg={others}"));
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("was not pinned with this token"), "{answer}");
    // The name of another's pin stays as it is.
    assert_eq!(server.call(&all, &format!("pin/add?arg={others}&name=theirs")).0, 200);
    let named = || server.call(&all, "pin/ls?names=true").1.contains("theirs");
    assert_eq!(server.call(&own, &format!("pin/add?arg={others}&name=mine")).0, 400);
    assert_eq!(added(&own, "of others"), others);
    assert_eq!(server.call(&own, &format!("pin/add?arg={others}")).0, 200);
    assert!(named());
    assert_eq!(server.call(&own, &format!("pin/add?arg={mine}&name=mine")).0, 200);
    let update = format!("pin/update?arg={others}&arg={mine}");
    assert_eq!(server.call(&own, &update).0, 400);
    assert_eq!(server.call(&own, &format!("pin/rm?arg={mine}")).0, 200);
    let again = added(&own, "mine");
    assert_eq!(again, mine);
    // What is no pin of anyone's is not removed either.
    let folder = std::mem::replace(&mut { server }.folder, tempfile::tempdir().unwrap());
    let server = Server::start(folder, &[]);
    assert_eq!(server.call(&own, &format!("pin/rm?arg={others}")).0, 400);
    assert_eq!(server.call(&own, &format!("pin/rm?arg={mine}")).0, 200);
    assert_eq!(server.call(&own, "repo/gc").0, 403);
}

#[test]
fn the_log_says_who_changed_what_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = add(folder.path(), "ci", &["--commands", "all"]);
    let server = Server::start(folder, &[]);
    let (status, _) = upload(&server.rpc, &secret, "add", "hello");
    assert_eq!(status, 200);
    let line = server.says("coldfront::changes");
    for part in ["ci", "add", HELLO, "done"] {
        assert!(line.contains(part), "{line}");
    }
    server.call(&secret, &format!("pin/rm?arg={HELLO}%0aforged"));
    let line = server.says("coldfront::changes");
    assert!(line.contains("pin/rm") && line.contains("?forged"), "{line}");
    server.call(&secret, "config?arg=API.Authorizations&arg=hunter2");
    server.call(&secret, "id");
    server.call(&secret, &format!("pin/rm?arg={HELLO}"));
    let end = Instant::now() + PATIENCE;
    loop {
        let line =
            server.lines.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap();
        assert!(!line.contains("hunter2") && !line.contains(&secret), "{line}");
        if line.contains("coldfront::changes") && line.contains("pin/rm") {
            break;
        }
    }
    for target in ["config/show", "diag/cmds"] {
        let (_, answer) = server.call(&secret, target);
        assert!(!answer.contains("hunter2") && !answer.contains(&secret[3..]), "{answer}");
    }
}

#[test]
fn a_token_beyond_its_calls_gets_429_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let few = ["--commands", "all", "--streams", "1", "--queue", "0"];
    let (narrow, wide) = (add(folder.path(), "narrow", &few), add(folder.path(), "wide", &few));
    let server = Server::start(folder, &[]);
    // An upload whose client takes its time.
    let mut slow = TcpStream::connect(&server.rpc).unwrap();
    let upload = format!(
        "POST /api/v0/add HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {narrow}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    );
    slow.write_all(upload.as_bytes()).unwrap();
    // It has the place of the token when its body is asked for.
    let mut asked = String::new();
    BufReader::new(&slow).read_line(&mut asked).unwrap();
    assert!(asked.contains("100 Continue"), "{asked}");
    slow.write_all(b"--b\r\n").unwrap();
    server.call_until(&narrow, "id", 429);
    let (_, answer) = server.call(&narrow, "id");
    assert!(answer.to_ascii_lowercase().contains("retry-after: 2"), "{answer}");
    assert_eq!(server.call(&wide, "id").0, 200);
    drop(slow);
    server.call_until(&narrow, "id", 200);
}

#[test]
fn settings_of_the_doors_are_shown_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(
        &file,
        "rpc = \"5001\"\nupload = \"0.0.0.0:5002\"\nupload_commands = \"add,pin/ls\"\ntokens = \"/t.json\"\nrpc_origins = \"https://a.example\"\nopen_rpc = true\n",
    )
    .unwrap();
    let emit = |file: &Path| {
        let output = program().args(["emit", "config", "--config"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = emit(&file);
    for line in [
        "upload = \"0.0.0.0:5002\" # the file",
        "upload_commands = \"add,pin/ls\" # the file",
        "tokens = \"/t.json\" # the file",
        "rpc_origins = \"https://a.example\" # the file",
        "open_rpc = true # the file",
        "# tls_key = ",
        "rpc_body_bytes = \"128MiB\" # default",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    std::fs::write(&file, &printed).unwrap();
    assert!(emit(&file).contains("upload_commands = \"add,pin/ls\""));
    for (args, part) in [
        (&["--upload-commands", "nope"][..], "there is no command \"nope\""),
        (&["--rpc-origins", "example.org"], "https://app.example.org"),
        (&["--rpc-origins", "https://a/b"], "without a path"),
    ] {
        let output = program().args(["emit", "config"]).args(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(part), "{said}");
    }
}

/// A certificate for localhost and its key, as files.
fn certificate(folder: &Path) -> rustls::pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join(name)).unwrap();
    };
    write("server.crt", made.cert.pem());
    write("server.key", made.signing_key.serialize_pem());
    made.cert.der().clone()
}

/// The status of a call through TLS, by a client that knows this certificate alone.
fn call_tls(
    address: &str,
    known: &rustls::pki_types::CertificateDer<'static>,
    secret: &str,
) -> std::io::Result<u16> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(known.clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = rustls::Stream::new(&mut client, &mut socket);
    write!(
        stream,
        "POST /api/v0/id HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer)[9..].parse().unwrap_or(0))
}

#[test]
fn the_api_goes_through_tls_and_takes_a_new_certificate_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let secret = add(folder.path(), "ci", &["--commands", "id"]);
    let first = certificate(folder.path());
    let (crt, key) = (folder.path().join("server.crt"), folder.path().join("server.key"));
    let args = ["--tls-certificate", crt.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = Server::start(folder, &args);
    assert_eq!(call_tls(&server.rpc, &first, &secret).unwrap(), 200);
    assert_eq!(call_tls(&server.rpc, &first, "wrong").unwrap(), 403);
    // In the clear nobody is answered, and whoever says nothing keeps nobody else out.
    assert_eq!(server.call(&secret, "id").0, 0);
    let _silent = TcpStream::connect(&server.rpc).unwrap();
    let second = certificate(server.folder.path());
    let end = Instant::now() + PATIENCE;
    while !matches!(call_tls(&server.rpc, &second, &secret), Ok(200)) {
        assert!(Instant::now() < end, "the new certificate is not used");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(call_tls(&server.rpc, &first, &secret).is_err());
}

#[test]
fn half_of_a_pair_for_tls_is_told() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    for (name, part) in [("--tls-certificate", "--tls-key"), ("--tls-key", "--tls-certificate")] {
        let mut command = program();
        command.args(["serve", "--rpc", "0", "--hot"]).arg(folder.path().join("hot"));
        let output = command.arg(name).arg(folder.path().join("server.crt")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(part), "{said}");
    }
}

#[test]
fn a_hangup_reads_the_settings_again_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let secret = add(folder.path(), "a", &["--commands", "all"]);
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "verify = \"off\"\n").unwrap();
    let server = Server::start(folder, &["--config", config.to_str().unwrap()]);
    let hang_up = || {
        let pid = server.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "HUP", &pid]).status().unwrap().success());
    };
    hang_up();
    server.says("SIGHUP: tokens and certificates were looked at; the settings are those in force");
    std::fs::write(&config, "verify = \"always\"\n").unwrap();
    hang_up();
    server.says("take effect when the program is started again: verify");
    std::fs::write(&config, "verify = \"sometimes\"\n").unwrap();
    hang_up();
    assert!(server.says("the settings in force stay").contains("sometimes"));
    // A token that is new is let in at once, and the old one still is.
    let new = add(server.folder.path(), "b", &["--commands", "all"]);
    hang_up();
    server.says("the tokens were read again");
    for secret in [secret.as_str(), new.as_str()] {
        assert_eq!(server.call(secret, "id").0, 200);
    }
}

#[test]
fn where_asks_through_tls_whom_it_knows_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let secret = add(folder.path(), "ci", &["--commands", "all"]);
    certificate(folder.path());
    let (crt, key) = (folder.path().join("server.crt"), folder.path().join("server.key"));
    let args = ["--tls-certificate", crt.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = Server::start(folder, &args);
    let ask = |args: &[&str]| {
        let mut command = program();
        command.args(["where", "--rpc", &server.rpc, HELLO]).args(args);
        let output = command.env("COLDFRONT_TOKEN", &secret).output().unwrap();
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let known = ["--tls-certificate", crt.to_str().unwrap(), "--tls-name", "localhost"];
    let (done, said) = ask(&known);
    assert!(done && said.contains("held nowhere here"), "{said}");
    let (done, said) = ask(&known[..2]);
    assert!(!done && said.contains("over TLS with 127.0.0.1"), "{said}");
    let (done, said) = ask(&[]);
    assert!(!done && said.contains("--tls-certificate"), "{said}");
    // Somebody else's certificate is no good.
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    let other = other.path().join("server.crt");
    let (done, said) =
        ask(&["--tls-certificate", other.to_str().unwrap(), "--tls-name", "localhost"]);
    assert!(!done && said.contains("certificate"), "{said}");
}
