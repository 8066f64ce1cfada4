//! A flatfs tree that is being written.
//!
//! Owns where a block's file goes and how it appears: under a name that Kubo passes by, then by one rename. Must not know
//! where blocks come from. Nothing is durable before the file system is synced. Rules: go-ds-flatfs `flatfs.go`,
//! `shard.go`; the functions themselves are `coldfront-flatfs`'s.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use coldfront_flatfs::{Key, ShardFn};
use serde_json::json;

use super::error::ExportError;
use super::files::{
    ensure_folder, read_if_there, remove_folder_if_there, sync_folder, write_whole,
};
use crate::block::{Cid, MultihashBytes};

/// Files are written here first. Kubo lists no folder whose name begins with a dot, and empties only its own.
const TEMPORARY: &str = ".coldfront-export";

/// The longest file of those that describe a tree, in bytes.
const MAX_DESCRIPTION_LEN: u64 = 4096;

/// A tree and its shard function.
#[derive(Debug)]
pub(super) struct FlatFsWriter {
    root: PathBuf,
    temporary: PathBuf,
    shards: ShardFn,
}

impl FlatFsWriter {
    /// Begins a tree, or goes on with one.
    pub(super) fn open(root: &Path, shards: ShardFn) -> Result<FlatFsWriter, ExportError> {
        ensure_folder(root)?;
        let temporary = root.join(TEMPORARY);
        // What a crash left half written.
        remove_folder_if_there(&temporary)?;
        ensure_folder(&temporary)?;
        write_description(root, shards)?;
        Ok(FlatFsWriter { root: root.to_owned(), temporary, shards })
    }

    /// Length of the file of a block, `None` when there is none.
    pub(super) fn len_of(&self, cid: &Cid) -> Result<Option<u64>, ExportError> {
        let path = self.path(cid);
        match fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ExportError::io("looking at", &path)(error)),
        }
    }

    /// Writes the file of a block, in the place of one that may be there. `worker` tells callers apart that write at the
    /// same time.
    pub(super) fn put(&self, worker: usize, cid: &Cid, data: &[u8]) -> Result<(), ExportError> {
        let path = self.path(cid);
        let new = self.temporary.join(worker.to_string());
        let write = || -> io::Result<()> {
            File::create(&new)?.write_all(data)?;
            match fs::rename(&new, &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                    fs::rename(&new, &path)
                }
                done => done,
            }
        };
        write().map_err(ExportError::io("writing", &path))
    }

    /// Ends the tree. `usage` is the sum of the lengths of its files: without it Kubo would look at each of them when it
    /// opens the tree.
    pub(super) fn finish(&self, usage: u64) -> Result<(), ExportError> {
        remove_folder_if_there(&self.temporary)?;
        let usage = json!({ "diskUsage": usage, "accuracy": "initial-exact" });
        write_whole(&usage_path(&self.root), format!("{usage}\n").as_bytes(), 0o600)?;
        sync_folder(&self.root)
    }

    fn path(&self, cid: &Cid) -> PathBuf {
        let multihash = MultihashBytes::of(cid);
        let text = Key::new(multihash.as_slice()).text();
        let shard = self.shards.shard_of(&text);
        self.root.join(OsStr::from_bytes(&shard)).join(text + ".data")
    }
}

/// The shard function of a tree.
pub(super) fn shard_fn_of(root: &Path) -> Result<Option<ShardFn>, ExportError> {
    let path = root.join("SHARDING");
    let Some(text) = read_if_there(&path, MAX_DESCRIPTION_LEN)? else { return Ok(None) };
    let shards = ShardFn::parse(&text);
    shards.map(Some).map_err(|source| ExportError::Sharding { path, source })
}

/// The bytes of all files of a tree, as far as Kubo wrote it down.
pub(super) fn usage_of(root: &Path) -> Result<Option<u64>, ExportError> {
    let Some(text) = read_if_there(&usage_path(root), MAX_DESCRIPTION_LEN)? else {
        return Ok(None);
    };
    let usage: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    Ok(usage.and_then(|usage| usage.get("diskUsage")?.as_u64()))
}

fn usage_path(root: &Path) -> PathBuf {
    root.join("diskUsage.cache")
}

fn write_description(root: &Path, shards: ShardFn) -> Result<(), ExportError> {
    if shard_fn_of(root)? != Some(shards) {
        write_whole(&root.join("SHARDING"), format!("{shards}\n").as_bytes(), 0o644)?;
    }
    let readme = root.join("_README");
    if shards == ShardFn::default() && !readme.exists() {
        write_whole(&readme, README.as_bytes(), 0o444)?;
    }
    Ok(())
}

/// Kubo puts a text of its own here; nothing reads it but people.
const README: &str = "\
Blocks of a Kubo (IPFS) repository in the layout of go-ds-flatfs, one file a block.

A file's name is the block's multihash in base32, upper case, without padding, and `.data`. It lies in the folder that is
named by the two characters before the last one of that text, which is what `next-to-last/2` in the file SHARDING says.
Files are never changed once they are there. Do not rename or move any.
";
