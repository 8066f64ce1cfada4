//! Kubo: the writer of the archives, and its gateway as the server that coldfront takes over from.
//! Its daemon runs offline with the defaults of its `test` profile; Go uses as many threads as it likes (GOMAXPROCS is
//! left alone), because that is how operators run it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Launch, free_address, leashed, version_line};

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

fn command(mut command: Command, repo: &Path) -> Command {
    command.env("IPFS_PATH", repo).env("IPFS_TELEMETRY", "off");
    command
}
