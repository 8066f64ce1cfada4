//! Kubo: the writer of the archives, and its gateway as the server that coldfront takes over from.
//! Its daemon runs offline with the defaults of its `test` profile; Go uses as many threads as it likes (GOMAXPROCS is
//! left alone), because that is how operators run it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Launch, free_address, leashed, version_line};
use crate::caller::BELOW;

/// The version that the figures speak of.
pub const VERSION: &str = "0.42.0";

/// The `ipfs` program: `COLDFRONT_BENCH_KUBO`, or the one that the interop tests build, or the one on the path.
pub fn program() -> Result<PathBuf> {
    let cache = std::env::var_os("COLDFRONT_CACHE").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/coldfront"));
    let cached = cache.or(home).map(|cache| cache.join(format!("kubo-v{VERSION}/ipfs")));
    let named = std::env::var_os("COLDFRONT_BENCH_KUBO").map(PathBuf::from);
    let places = [named, cached, Some(PathBuf::from("ipfs"))];
    let found = places
        .into_iter()
        .flatten()
        .find(|place| Command::new(place).arg("--version").output().is_ok());
    found.with_context(|| {
        format!("there is no Kubo {VERSION}; build it with `make test`, or name it with COLDFRONT_BENCH_KUBO")
    })
}

/// What Kubo says about its version.
pub fn version() -> String {
    program()
        .map_or_else(|_| "-".into(), |program| version_line(Command::new(program).arg("--version")))
}

/// Runs one Kubo command over the repository `repo` and returns what it printed, without the last newline.
pub fn run(repo: &Path, arguments: &[&str]) -> Result<String> {
    let output = command(Command::new(program()?), repo).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "ipfs {} over {}: {}",
        arguments.join(" "),
        repo.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A command of Kubo's over the repository `repo`, to be given its words and started.
pub fn over(repo: &Path) -> Result<Command> {
    Ok(command(Command::new(program()?), repo))
}

/// Kubo's gateway over the repository `repo`, whose folder `root` holds the file `ready`.
pub fn launch(name: &str, repo: &Path, root: &str, ready: &str, scratch: &Path) -> Result<Launch> {
    let address = free_address()?;
    run(repo, &["config", "Addresses.API", "/ip4/127.0.0.1/tcp/0"])?;
    run(repo, &["config", "Addresses.Gateway", &format!("/ip4/127.0.0.1/tcp/{}", address.port())])?;
    let mut daemon = command(leashed(program()?), repo);
    daemon.args(["daemon", "--offline"]);
    let prefix = format!("/ipfs/{root}");
    Ok(Launch {
        name: name.to_owned(),
        command: daemon,
        address,
        ready: format!("{prefix}/{ready}"),
        prefix,
        log: scratch.join(format!("{name}.log")),
    })
}

/// A kind of store of Kubo's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Pebble, as its profile `pebbleds` makes it.
    Pebble,
    /// flatfs, as it comes: nothing is synced.
    Flatfs,
    /// flatfs with `sync: true`, as older Kubo wrote it.
    FlatfsSynced,
}

impl Store {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pebble, Self::Flatfs, Self::FlatfsSynced];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pebble => "Kubo, pebbleds",
            Self::Flatfs => "Kubo, flatfs",
            Self::FlatfsSynced => "Kubo, flatfs, sync: true",
        }
    }
}

/// A daemon over a new repository, and where its RPC API listens.
pub fn launch_rpc(store: Store, repo: &Path, scratch: &Path) -> Result<(Launch, SocketAddr)> {
    make(store, repo)?;
    let launch = launch_api(store, repo, scratch)?;
    let address = launch.address;
    Ok((launch, address))
}

/// A new repository over a store of this kind.
pub fn make(store: Store, repo: &Path) -> Result<()> {
    let profile = if store == Store::Pebble { "pebbleds,test" } else { "test" };
    run(repo, &["init", &format!("--profile={profile}")])?;
    if store == Store::FlatfsSynced {
        let file = repo.join("config");
        let config = fs::read_to_string(&file)?;
        ensure!(config.contains("\"sync\": false"), "{} has another form", file.display());
        fs::write(&file, config.replace("\"sync\": false", "\"sync\": true"))?;
    }
    Ok(())
}

/// A daemon over a repository that is there. Its address is that of the RPC API.
pub fn launch_api(store: Store, repo: &Path, scratch: &Path) -> Result<Launch> {
    let mut launch = launch(store.name(), repo, "", "", scratch)?;
    launch.address = free_address()?;
    launch.ready = format!("{BELOW}version");
    launch.log = scratch.join("kubo-rpc.log");
    let api = format!("/ip4/127.0.0.1/tcp/{}", launch.address.port());
    run(repo, &["config", "Addresses.API", &api])?;
    Ok(launch)
}

fn command(mut command: Command, repo: &Path) -> Command {
    command.env("IPFS_PATH", repo).env("IPFS_TELEMETRY", "off");
    command
}
