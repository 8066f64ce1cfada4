//! What is to be served, from flags, environment and file.
//!
//! Owns the merge: flags beat environment beats file beats defaults. Must not open anything but the
//! configuration file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use coldfront::{ArchiveOptions, RepoOptions, Verify};
use coldfront_http::Limits;
use serde::Deserialize;

/// Serve very large IPFS repositories in place: never listed, never written.
#[derive(Debug, Parser)]
#[command(name = "coldfront-gateway", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve archives as an IPFS gateway until SIGTERM or Ctrl-C.
    Serve(Flags),
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A Kubo repository, or the `blocks` directory of one. May be given several times; asked in order.
    #[arg(long, value_name = "DIR", env = "COLDFRONT_ARCHIVE", value_delimiter = ':')]
    archive: Vec<PathBuf>,
    /// Where to listen for gateway requests: PORT, :PORT or HOST:PORT. Without a host: loopback.
    #[arg(long, value_name = "ADDR", env = "COLDFRONT_GATEWAY")]
    gateway: Option<String>,
    /// A file of settings in TOML.
    #[arg(long, value_name = "FILE", env = "COLDFRONT_CONFIG")]
    config: Option<PathBuf>,
    /// When to hash blocks before their bytes are sent.
    #[arg(long, value_name = "WHEN", env = "COLDFRONT_VERIFY")]
    verify: Option<VerifyFlag>,
    /// The archives may hold files named by whole CIDs, as repositories before version 12 do.
    #[arg(long, env = "COLDFRONT_MIXED")]
    mixed: bool,
    /// Threads that serve connections. Default: one a processor.
    #[arg(long, value_name = "N", env = "COLDFRONT_WORKERS")]
    workers: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum VerifyFlag {
    Off,
    FirstRead,
    Always,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    gateway: Option<String>,
    verify: Option<VerifyFlag>,
    workers: Option<usize>,
    archive: Vec<FileArchive>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileArchive {
    path: PathBuf,
    #[serde(default)]
    mixed: bool,
}

/// What is in force.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) gateway: SocketAddr,
    pub(crate) repo: RepoOptions,
    pub(crate) limits: Limits,
    pub(crate) workers: Option<usize>,
}

impl Config {
    pub(crate) fn read(flags: Flags) -> anyhow::Result<Config> {
        let file: File = match &flags.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
                toml::from_str(&text)
                    .with_context(|| format!("the configuration file {} is not valid", path.display()))?
            }
            None => File::default(),
        };
        let archives: Vec<ArchiveOptions> = if flags.archive.is_empty() {
            file.archive.into_iter().map(|a| ArchiveOptions { path: a.path, mixed: a.mixed || flags.mixed }).collect()
        } else {
            flags.archive.into_iter().map(|path| ArchiveOptions { path, mixed: flags.mixed }).collect()
        };
        if archives.is_empty() {
            bail!("nothing to serve: name an archive with --archive DIR");
        }
        let Some(gateway) = flags.gateway.or(file.gateway) else {
            bail!("nowhere to listen: name an address with --gateway ADDR, for example --gateway 8080");
        };
        let limits = Limits::default();
        let mut repo = RepoOptions { archives, ..RepoOptions::default() };
        repo.tiers.open_files = limits.open_files;
        repo.verify = match flags.verify.or(file.verify) {
            None | Some(VerifyFlag::Off) => Verify::Off,
            Some(VerifyFlag::FirstRead) => Verify::FirstRead,
            Some(VerifyFlag::Always) => Verify::Always,
        };
        Ok(Config { gateway: address(&gateway)?, repo, limits, workers: flags.workers.or(file.workers) })
    }
}

/// `8080`, `:8080` and `localhost:8080` are loopback; a public address must be spelled out.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let loopback = |port: &str| {
        port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    };
    let parsed = text
        .parse()
        .ok()
        .or_else(|| loopback(text.strip_prefix(':').unwrap_or(text)))
        .or_else(|| loopback(text.strip_prefix("localhost:")?));
    parsed.with_context(|| {
        format!("\"{text}\" is not an address: expected PORT, :PORT, or an IP address with a port such as 127.0.0.1:8080")
    })
}
