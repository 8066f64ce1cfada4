//! What the threads of a copy do: read, hash, write.
//!
//! Owns what goes through the channels between them. Each ends when the channel that it listens to does.

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::Job;
use super::limit::Limit;
use super::neighbours::Neighbours;
use crate::block::{Block, Cid};
use crate::error::StoreError;
use crate::migrate::order::{At, Wanted};
use crate::migrate::report::FaultKind;
use crate::migrate::source::{Part, Source, Unread, read_key, read_path};
use crate::multihash::{self, Verdict};
use crate::store::BlockSource as _;
use crate::store::hot::{Change, HotStore};

/// A block to be read.
pub(super) struct Request {
    pub(super) wanted: Box<Wanted>,
    pub(super) from_target: bool,
    pub(super) answer: Sender<Answer>,
}

/// A block that was read, to be hashed.
pub(super) struct Answered {
    pub(super) cid: Cid,
    pub(super) data: Bytes,
    /// It is the target's own, which was hashed when it was written.
    pub(super) trusted: bool,
    pub(super) answer: Sender<Answer>,
}

pub(super) type Answer = Result<Good, Unread>;

/// A block that is right, or of which nobody can tell.
pub(super) struct Good {
    pub(super) data: Bytes,
    pub(super) verified: bool,
    /// The target had it.
    pub(super) held: bool,
}

/// What is written at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) blocks: Vec<Block>,
    pub(super) bytes: usize,
    pub(super) changes: Vec<Change>,
    /// Everything up to here is to be durable; told when it is.
    pub(super) flushed: Option<Sender<()>>,
}

pub(super) fn read_all(
    job: &Job<'_>,
    asked: &Receiver<Request>,
    read: &Sender<Answered>,
    limit: &Limit,
    neighbours: Option<&Neighbours>,
) {
    let mut reader = neighbours.map(Neighbours::reader);
    for Request { wanted, from_target, answer } in asked {
        // What was asked for ahead is not wanted any more.
        if limit.is_stopped() {
            continue;
        }
        let fetch = || fetch(job.source, &wanted);
        let bytes = match &mut reader {
            _ if from_target => held(job.hot, &wanted.cid),
            Some(reader) => reader.read(limit, fetch),
            None => fetch(),
        };
        // Where the caller has stopped, nobody waits for what is answered.
        match bytes {
            Err(unread) => drop(answer.send(Err(unread))),
            Ok(data) => {
                limit.wait(data.len());
                let next = Answered { cid: wanted.cid, data, trusted: from_target, answer };
                drop(read.send(next));
            }
        }
    }
}

fn held(hot: &HotStore, cid: &Cid) -> Result<Bytes, Unread> {
    match hot.get(cid) {
        Ok(Some(block)) => Ok(block.into_data()),
        Ok(None) => Err(Unread::new(FaultKind::Missing, "the target lost it".into())),
        Err(error) => Err(Unread::new(FaultKind::Unreadable, error.to_string())),
    }
}

fn fetch(source: &Source, wanted: &Wanted) -> Result<Bytes, Unread> {
    let bytes = match &wanted.at {
        At::File { folder, text } => read_listed(source, wanted, folder, text)?,
        At::Anywhere | At::Given(_) => source.find(&wanted.cid)?,
    };
    Ok(bytes.into())
}

/// A file that was listed: by its name, which leaves no trace in its access time, and by its path if that is another.
fn read_listed(
    source: &Source,
    wanted: &Wanted,
    folder: &std::path::Path,
    text: &[u8],
) -> Result<Vec<u8>, Unread> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = folder.join(std::ffi::OsStr::from_bytes(&[text, b".data"].concat()));
    let name = data_encoding::BASE32_NOPAD.decode(text).unwrap_or_default();
    let tree = source.parts().into_iter().find_map(|part| match part {
        Part::Tree(tree) if folder.starts_with(tree.root()) => Some(tree),
        _ => None,
    });
    match tree {
        Some(tree) if tree.path_of(coldfront_flatfs::Key::new(&name)) == path => {
            read_key(tree, &name)
        }
        _ => read_path(&path),
    }
    .map_err(|unread| match unread.kind {
        FaultKind::Missing => {
            let detail = format!("{} was removed since it was listed", wanted.cid);
            Unread::new(FaultKind::Missing, detail)
        }
        _ => unread,
    })
}

pub(super) fn hash_all(to_hash: &Receiver<Answered>) {
    for Answered { cid, data, trusted, answer } in to_hash {
        let checked = if trusted { Ok(true) } else { check(&cid, &data) };
        // The caller may have stopped: then nobody waits for it.
        drop(answer.send(checked.map(|verified| Good { data, verified, held: trusted })));
    }
}

/// Whether the bytes are right (`true`) or nobody can tell.
pub(in crate::migrate) fn check(cid: &Cid, data: &[u8]) -> Result<bool, Unread> {
    match multihash::verify(cid.hash().code(), cid.hash().digest(), data) {
        Verdict::Match => Ok(true),
        Verdict::UnknownFunction => Ok(false),
        Verdict::Mismatch if data.is_empty() => {
            let detail = "it is empty, as after a power cut";
            Err(Unread::new(FaultKind::Short, detail.into()))
        }
        Verdict::Mismatch => {
            let detail = format!("its {} bytes do not hash to its name", data.len());
            Err(Unread::new(FaultKind::Corrupt, detail))
        }
    }
}

pub(super) fn write_all(job: &Job<'_>, batches: &Receiver<Batch>) -> Result<(), StoreError> {
    for batch in batches {
        crate::fail::point("before a batch of a migration");
        job.bulk.put_with_records(&batch.blocks, job.records, &batch.changes)?;
        if let Some(flushed) = batch.flushed {
            job.bulk.flush()?;
            let _ = flushed.send(());
        }
    }
    Ok(())
}
