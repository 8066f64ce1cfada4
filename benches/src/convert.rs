//! ipfs-ds-convert 0.6.0, the tool that moved repositories between stores until Kubo's repository version 12, as it came
//! from its authors: flatfs to badger. It reads keys and values and checks neither.
//!
//! It works on a copy that shares the block files (hard links): it reads them, puts their folder aside, and in the end
//! removes its names for them. Everything else is copied, since it writes there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::fixtures::Cache;

/// The version that the figures speak of.
pub const VERSION: &str = "0.6.0";
/// The only repository version that it takes.
const REPOSITORY: &str = "11";
/// What Kubo's profile `badgerds` wrote into configurations when that version was the newest.
const BADGER: &str = r#"{"type": "measure", "prefix": "badger.datastore", "child":
    {"type": "badgerds", "path": "badgerds", "syncWrites": true, "truncate": true}}"#;
/// Its name.
const MODULE: &str = "ipfs-ds-convert";

/// The program: `COLDFRONT_BENCH_CONVERT`, or built in the cache from the Go module proxy with what it was released with.
pub fn program(cache: &Cache) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("COLDFRONT_BENCH_CONVERT") {
        return Ok(named.into());
    }
    let folder = cache.folder("ds-convert")?;
    let program = folder.join(MODULE);
    if !program.exists() {
        let module = folder.join("build");
        fs::create_dir_all(&module)?;
        let required =
            format!("module bench\n\ngo 1.17\n\nrequire github.com/ipfs/{MODULE} v{VERSION}\n");
        fs::write(module.join("go.mod"), required)?;
        eprintln!("building {MODULE} {VERSION}");
        let built = Command::new("go")
            .args(["build", "-mod=mod", "-o"])
            .arg(&program)
            .arg(format!("github.com/ipfs/{MODULE}"))
            .current_dir(&module)
            .status()
            .context("there is no go; name the program with COLDFRONT_BENCH_CONVERT")?;
        ensure!(built.success(), "go build of {MODULE} failed");
    }
    Ok(program)
}

/// Makes `copy` of the repository `repo`, which the tool will convert.
pub fn prepare(repo: &Path, copy: &Path) -> Result<()> {
    fs::create_dir_all(copy)?;
    cp(&["-al"], &repo.join("blocks"), copy)?;
    // Written in place when it is opened, so not to be shared.
    let usage = copy.join("blocks/diskUsage.cache");
    fs::remove_file(&usage)?;
    cp(&["-a"], &repo.join("blocks/diskUsage.cache"), &usage)?;
    for name in ["datastore", "keystore", "datastore_spec"] {
        cp(&["-a"], &repo.join(name), copy)?;
    }
    fs::write(copy.join("version"), format!("{REPOSITORY}\n"))?;
    let config = fs::read_to_string(repo.join("config"))?;
    fs::write(copy.join("config"), with_badger(&config)?)?;
    Ok(())
}

/// The configuration with another store. Its parser is that of its time, so nothing but what it asks for stays.
fn with_badger(config: &str) -> Result<String> {
    let start = config.find("\"Identity\"").context("a configuration names its node")?;
    let identity = config.get(start..).and_then(|rest| rest.get(..=rest.find('}')?));
    let identity = identity.context("the identity has no end")?;
    Ok(format!(
        "{{{identity}, \"Datastore\": {{\"StorageMax\": \"10GB\", \"StorageGCWatermark\": 90,
          \"GCPeriod\": \"1h\", \"HashOnRead\": false, \"BloomFilterSize\": 0, \"Spec\": {BADGER}}}}}"
    ))
}

/// Converts the copy.
pub fn run(program: &Path, copy: &Path) -> Result<()> {
    let done = Command::new(program)
        .arg("convert")
        .env("IPFS_PATH", copy)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{MODULE}: {}", said.trim());
    ensure!(copy.join("badgerds/MANIFEST").exists(), "{MODULE} made no store: {}", said.trim());
    Ok(())
}

fn cp(flags: &[&str], from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").args(flags).arg(from).arg(to).status()?;
    ensure!(copied.success(), "cp of {} failed", from.display());
    Ok(())
}
