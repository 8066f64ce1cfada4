//! `repo/…` and `stats/repo`: the repository as a whole. Twin of kubo `core/commands/repo.go`.
//!
//! Nothing here lists an archive unless that is asked for. The size is known without looking.

mod archives;
mod verify;

use std::ops::ControlFlow;

use coldfront::gc::{CollectOptions, collect};
use coldfront::store::hot::DEFAULT_GARBAGE_RATIO;
use serde::Serialize;

use super::call::Call;
use super::dag::LinkValue;
use super::error::Failed;
use super::table::{Class, Command, Effect, Opt};
use super::time::rfc3339_of;
use super::version::REPO_VERSION;

/// Bytes of blocks that a collection must have removed before space is given back to the disk at once: that rewrites files.
const RECLAIM_FROM: u64 = 64 * 1024 * 1024;

const STAT_OPTIONS: &[Opt] = &[
    Opt::flag(&["size-only", "s"], "Size and bound alone"),
    Opt::flag(&["human", "H"], "Used by clients"),
];

const STAT_OUTPUT: &str = r#"{"RepoSize","StorageMax","NumObjects","RepoPath","Version"}, and where there are archives {"ArchiveSize","ArchiveSizeOf"}: their share, and the date it is of"#;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        options: STAT_OPTIONS,
        output: STAT_OUTPUT,
        ..Command::new("repo/stat", "Size and bound of the repository", stat)
    },
    Command {
        options: STAT_OPTIONS,
        output: STAT_OUTPUT,
        ..Command::new("stats/repo", "The same as repo/stat", stat)
    },
    Command {
        options: &[
            Opt::flag(&["stream-errors"], "Report failures among the values"),
            Opt::flag(&["quiet", "q"], "Used by clients"),
            Opt::flag(&["silent"], "Report nothing"),
        ],
        output: r#"{"Key":{"/":…}} for each block, one a line"#,
        effect: Effect::Removes,
        class: Class::Stream,
        ..Command::new("repo/gc", "Remove the blocks of the hot store that nothing keeps", gc)
    },
    archives::COMMAND,
    verify::COMMAND,
    Command {
        options: &[Opt::flag(&["quiet", "q"], "Used by clients")],
        output: r#"{"Version"}"#,
        ..Command::new("repo/version", "The version of Kubo's repository that is spoken", version)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    repo_size: u64,
    storage_max: u64,
    num_objects: u64,
    repo_path: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_size_of: Option<String>,
}

fn stat(call: &mut Call) -> Result<(), Failed> {
    let size_only = call.options.flag("size-only");
    let daemon = call.daemon.clone();
    let archives = daemon.archives();
    let (mut size, mut blocks) = (archives.map_or(0, |known| known.bytes), 0);
    if let Ok(hot) = daemon.hot() {
        let space = hot.space()?;
        let (held, bytes) = hot.held();
        // What came lately is in memory and in the log alone.
        size += (space.blobs + space.tables).max(bytes);
        blocks = held;
    }
    let whole = !size_only;
    call.once(&Stat {
        repo_size: size,
        storage_max: daemon.storage().max_for(size),
        num_objects: if whole { blocks } else { 0 },
        repo_path: if whole { daemon.storage().path.clone() } else { String::new() },
        version: if whole { format!("fs-repo@{REPO_VERSION}") } else { String::new() },
        archive_size: archives.map(|known| known.bytes),
        archive_size_of: archives.map(|known| rfc3339_of(known.at)),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Collected {
    key: LinkValue,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CollectError {
    error: String,
}

fn gc(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let silent = call.options.flag("silent");
    let mut failed = None;
    let done = collect(daemon.pins()?, &CollectOptions::default(), &mut |progress| {
        let told = match silent {
            true => call.check(),
            false => progress
                .removed
                .iter()
                .try_for_each(|cid| call.emit(&Collected { key: LinkValue::of(cid) })),
        };
        match told.and_then(|()| call.check()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    daemon.repo().forget_nodes();
    if let Some(failed) = failed {
        return Err(failed);
    }
    match done {
        Ok(done) if done.bytes >= RECLAIM_FROM => {
            daemon.hot()?.reclaim(DEFAULT_GARBAGE_RATIO)?;
        }
        Ok(_) => {}
        Err(error) if call.options.flag("stream-errors") => {
            call.emit(&CollectError { error: Failed::from(error).message })?;
            return Err(Failed::new("encountered errors during gc run"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: &'static str,
}

fn version(call: &mut Call) -> Result<(), Failed> {
    call.once(&Version { version: REPO_VERSION })
}
