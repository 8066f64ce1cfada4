//! Servers under test as child processes: start, wait for the first answer, measure, stop.
//! Knows that a server is a process that answers GET on a loopback port, and nothing of what it does inside.

pub mod coldfront;
pub mod kubo;
pub mod nginx;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::caller::{BELOW, Caller};
use crate::client::Connection;
use crate::process::{Memory, Usage, field};

/// A server that has not answered after this long will not.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A server that has not ended this long after SIGTERM is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often a starting server is asked. It bounds how exact a measured start is.
const START_POLL: Duration = Duration::from_micros(500);

/// How to start one server.
#[derive(Debug)]
pub struct Launch {
    /// What the tables call it.
    pub name: String,
    /// The program with its arguments.
    pub command: Command,
    /// Where it will listen.
    pub address: SocketAddr,
    /// What stands before a file's name in its paths: nothing for nginx, `/ipfs/CID` for a gateway.
    pub prefix: String,
    /// A path that answers 200 as soon as the server serves: to GET, or to POST where it is a command of the RPC API.
    pub ready: String,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A running server. Stopped when dropped.
#[derive(Debug)]
pub struct Server {
    /// What the tables call it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What stands before a file's name in its paths.
    pub prefix: String,
    /// From the start of the process to its first 200, to half a millisecond.
    pub start_time: Duration,
    child: Child,
}

impl Launch {
    /// Starts the server and waits for its first 200. The error carries the end of its log.
    pub fn start(mut self) -> Result<Server> {
        let log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        self.command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let begin = Instant::now();
        let child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start {:?}", self.command.get_program()))?;
        let Self { name, address, prefix, .. } = self;
        let mut server = Server { name, address, prefix, start_time: Duration::ZERO, child };
        server.wait_until_ready(&self.ready, begin).with_context(|| {
            format!("{} did not start; its last words: {}", server.name, tail(&self.log))
        })?;
        Ok(server)
    }

    /// The same server, started by a shell that first enters the cgroup whose `cgroup.procs` is `procs`, so that
    /// nothing it allocates is charged elsewhere.
    pub fn inside(mut self, procs: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg("echo $$ >\"$0\" && exec \"$@\"")
            .arg(procs)
            .arg(self.command.get_program());
        shell.args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        self.command = shell;
        self
    }
}

impl Server {
    /// The path of a file of the data set on this server.
    pub fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.prefix)
    }

    /// A new keep-alive connection to it.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(self.address)
    }

    /// Forgets the peak of its memory, so that the next one is that of what follows.
    pub fn forget_peak(&self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")
            .context("the kernel lets no peak be forgotten")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Bytes that it and its children had the system write to disks.
    pub fn written(&self) -> Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        field(&io, "write_bytes:").context("the kernel counts writes")
    }

    /// The memory it holds now.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id())
    }

    fn wait_until_ready(&mut self, path: &str, begin: Instant) -> Result<()> {
        loop {
            let answer = self.ask(path);
            self.start_time = begin.elapsed();
            let Err(error) = answer else { return Ok(()) };
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if self.start_time > START_LIMIT {
                return Err(error.context(format!("no 200 within {} s", START_LIMIT.as_secs())));
            }
            sleep(START_POLL);
        }
    }

    fn ask(&self, path: &str) -> Result<()> {
        match path.strip_prefix(BELOW) {
            Some(target) => Caller::open(self.address)?.text(target).map(drop),
            None => self.connect()?.fetch(path, None).map(drop),
        }
    }

    fn stop(&mut self) {
        let asked =
            Pid::from_raw(self.child.id().cast_signed()).map(|pid| kill_process(pid, Signal::TERM));
        let begin = Instant::now();
        while asked.is_some() && begin.elapsed() < STOP_LIMIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        eprintln!(
            "{} did not end within {} s of SIGTERM and is killed",
            self.name,
            STOP_LIMIT.as_secs()
        );
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command that the kernel ends when this thread ends, so that a killed run leaves no server behind.
fn leashed(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig").arg("TERM").arg(program);
    command
}

/// A loopback address that nobody listens on at this moment.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free loopback port")?;
    Ok(listener.local_addr()?)
}

/// What a program says about its version: the first line of either output, or a dash.
fn version_line(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return "-".into();
    };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("-").trim().to_owned()
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
