//! Our own gateway, built from this checkout in release mode, with one runtime thread.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

use super::{Launch, free_address, leashed, version_line};
use crate::caller::BELOW;

/// How much of what it serves the gateway checks against its CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: the file system is trusted.
    Off,
    /// Each block once since the start.
    FirstRead,
    /// Each block at each read.
    Always,
}

impl Verify {
    fn flag(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::FirstRead => "first-read",
            Self::Always => "always",
        }
    }
}

/// What the gateway serves from.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A flatfs tree.
    Archive(&'a Path),
    /// A hot store, its memory the default.
    Hot(&'a Path),
}

/// `coldfront-gateway serve` over the archive `blocks`. `ready` is a whole path that it can answer.
pub fn launch(
    name: &str,
    blocks: &Path,
    prefix: &str,
    ready: &str,
    verify: Verify,
    scratch: &Path,
) -> Result<Launch> {
    launch_over(name, Content::Archive(blocks), prefix, ready, verify, scratch)
}

/// The same over a tier of either kind.
pub fn launch_over(
    name: &str,
    content: Content<'_>,
    prefix: &str,
    ready: &str,
    verify: Verify,
    scratch: &Path,
) -> Result<Launch> {
    let address = free_address()?;
    let mut command = serve()?;
    match content {
        Content::Archive(blocks) => command.arg("--archive").arg(blocks),
        Content::Hot(folder) => command.arg("--hot").arg(folder),
    };
    command.arg("--gateway").arg(address.to_string()).args([
        "--workers",
        "1",
        "--verify",
        verify.flag(),
    ]);
    Ok(Launch {
        name: name.to_owned(),
        command,
        address,
        prefix: prefix.to_owned(),
        ready: ready.to_owned(),
        log: scratch.join(format!("{name}.log")),
    })
}

/// `coldfront-gateway serve` with its RPC API over the hot store in `folder`, defaults otherwise: Kubo's daemon takes all
/// processors as well.
pub fn launch_rpc(folder: &Path, scratch: &Path) -> Result<Launch> {
    let address = free_address()?;
    let mut command = serve()?;
    command.arg("--hot").arg(folder).arg("--rpc").arg(address.to_string());
    Ok(Launch {
        name: "coldfront".into(),
        command,
        address,
        prefix: String::new(),
        ready: format!("{BELOW}version"),
        log: scratch.join("coldfront-rpc.log"),
    })
}

/// `coldfront-gateway serve` without what the caller configures for a gateway of their own: that must not decide what is
/// measured.
fn serve() -> Result<Command> {
    let mut command = leashed(program()?);
    let foreign = std::env::vars_os().map(|(name, _)| name);
    foreign.filter(|name| name.to_string_lossy().starts_with("COLDFRONT_")).for_each(|name| {
        command.env_remove(name);
    });
    command.arg("serve");
    Ok(command)
}

/// What the gateway says about its version.
pub fn version() -> String {
    program()
        .map_or_else(|_| "-".into(), |program| version_line(Command::new(program).arg("version")))
}

/// The gateway: `COLDFRONT_BENCH_GATEWAY`, or the one that cargo builds from this checkout, once a run.
fn program() -> Result<&'static PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let program = match std::env::var_os("COLDFRONT_BENCH_GATEWAY") {
        Some(program) => PathBuf::from(program),
        None => build()?,
    };
    ensure!(program.is_file(), "{} is not there; what should be measured?", program.display());
    Ok(PROGRAM.get_or_init(|| program))
}

fn build() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let target = folder.parent().context("this program lies in no target folder")?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "coldfront-gateway", "--manifest-path"])
        .arg(workspace)
        .arg("--target-dir")
        .arg(target)
        .status()
        .context(
            "cannot run cargo to build coldfront-gateway; name a built one with COLDFRONT_BENCH_GATEWAY",
        )?;
    ensure!(
        status.success(),
        "coldfront-gateway does not build; `--peers nginx,kubo` measures without it"
    );
    Ok(target.join("release").join("coldfront-gateway"))
}
