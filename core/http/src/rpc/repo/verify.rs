//! `repo/verify`: blocks read and hashed. Twin of kubo `core/commands/repo.go`.
//!
//! The hot store always; archives where that is asked for, all of them or a sample, at a pace that leaves their disks to
//! viewers. Paths of bad blocks are in the log alone: whoever may call this need not know the machine.

use std::ops::ControlFlow;

use coldfront::migrate::{Fault, ScrubOptions, scrub};
use coldfront::{Block, Cid};
use serde::Serialize;

use super::super::args::duration;
use super::super::call::Call;
use super::super::error::Failed;
use super::super::table::{Class, Command, Effect, Kind, Opt};

pub(super) const COMMAND: Command = Command {
    options: &[
        Opt::flag(&["drop"], "Remove damaged blocks of the hot store; archives are never touched"),
        Opt::flag(&["heal"], "Refused: there is no network here to fetch from"),
        Opt::text(&["heal-timeout"], "Used with heal").or("30s"),
        Opt::text(&["archives"], "Ours: archives as well: all, or a number of blocks of each"),
        Opt::new(
            &["archives-rate"],
            Kind::Int64,
            "Ours: bytes a second read of archives; 0: no bound",
        )
        .or("67108864"),
    ],
    output: r#"{"Msg","Progress"}, one a line"#,
    effect: Effect::Removes,
    class: Class::Stream,
    ..Command::new("repo/verify", "Read and hash every block of the hot store", verify)
};

const NO_HEAL: &str = "blocks are healed from a network, and there is none here: remove what is damaged with --drop, and put a good copy with block/put or dag/import; what kept the block keeps that";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Progress {
    msg: String,
    progress: u64,
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    seen: u64,
    corrupt: u64,
    removed: u64,
    not_removed: u64,
}

/// What of archives is looked at.
struct Archives {
    sample: Option<u64>,
    bytes_per_second: Option<u64>,
}

fn verify(call: &mut Call) -> Result<(), Failed> {
    let timeout = call.options.text("heal-timeout").unwrap_or_default();
    if duration(timeout).is_none() {
        return Err(Failed::new(format!(
            "invalid heal-timeout: time: invalid duration {timeout:?}"
        )));
    }
    if call.options.flag("heal") {
        return Err(Failed::new(NO_HEAL));
    }
    let archives = archives(call)?;
    let drop = call.options.flag("drop");
    let mut tally = Tally::default();
    // A server of archives alone has nothing else to verify.
    match call.daemon.repo().hot() {
        Some(_) => hot(call, drop, &mut tally)?,
        None if archives.is_some() => {}
        None => drop_error(call.daemon.hot())?,
    }
    if let Some(archives) = archives {
        of_archives(call, &archives, &mut tally)?;
    }
    if tally.corrupt == 0 {
        return say(call, "verify complete, all blocks validated.".to_owned());
    }
    let summary = summary(&tally);
    match drop && tally.removed == tally.corrupt {
        true => say(call, summary),
        false => Err(Failed::new(summary)),
    }
}

fn drop_error<T>(result: Result<T, Failed>) -> Result<(), Failed> {
    result.map(|_| ())
}

fn archives(call: &Call) -> Result<Option<Archives>, Failed> {
    let sample = match call.options.text("archives") {
        None | Some("") => return Ok(None),
        Some("all") => None,
        Some(number) => Some(number.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
            Failed::client(format!(
                "archives is {number:?}, expected all or the number of blocks to look at in each"
            ))
        })?),
    };
    let rate = call.options.int("archives-rate").unwrap_or_default();
    Ok(Some(Archives {
        sample,
        bytes_per_second: u64::try_from(rate).ok().filter(|rate| *rate > 0),
    }))
}

fn summary(tally: &Tally) -> String {
    let mut text = format!("verify complete, {} blocks corrupt", tally.corrupt);
    if tally.removed > 0 {
        text += &format!(", {} removed", tally.removed);
    }
    if tally.not_removed > 0 {
        text += &format!(", {} failed to remove", tally.not_removed);
    }
    text
}

fn say(call: &mut Call, msg: String) -> Result<(), Failed> {
    call.emit(&Progress { msg, progress: 0 })
}

impl Tally {
    /// A block was looked at; `bad` says what of it is to be told.
    fn count(&mut self, call: &mut Call, bad: Option<String>) -> Result<(), Failed> {
        if let Some(msg) = bad {
            self.corrupt += 1;
            say(call, msg)?;
        }
        self.seen += 1;
        call.emit(&Progress { msg: String::new(), progress: self.seen })
    }
}

fn hot(call: &mut Call, drop: bool, tally: &mut Tally) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let hot = daemon.hot()?;
    for held in hot.blocks() {
        let cid = held?.cid;
        let good = coldfront::BlockSource::get(hot, &cid).and_then(|block| match block {
            Some(block) => Block::verified(cid, block.into_data()).map(std::mem::drop),
            // Removed since.
            None => Ok(()),
        });
        let bad = match good {
            Ok(()) => None,
            Err(error) => {
                let mut msg = corrupt(&cid, &Failed::from(error).message);
                if drop {
                    msg += &dropped(call, &cid, tally);
                }
                Some(msg)
            }
        };
        tally.count(call, bad)?;
    }
    Ok(())
}

fn corrupt(cid: &Cid, why: &str) -> String {
    format!("block {cid} was corrupt ({why})")
}

/// Removes a damaged block, and says what came of it.
fn dropped(call: &mut Call, cid: &Cid, tally: &mut Tally) -> String {
    let result = call.daemon.hot().and_then(|hot| Ok(hot.drop_damaged(cid)?));
    match result {
        Ok(_) => {
            call.changed(cid);
            call.repo().forget_nodes();
            tally.removed += 1;
            ", removed".to_owned()
        }
        Err(error) => {
            tally.not_removed += 1;
            format!(", failed to remove ({})", error.message)
        }
    }
}

fn of_archives(call: &mut Call, archives: &Archives, tally: &mut Tally) -> Result<(), Failed> {
    let options =
        ScrubOptions { sample: archives.sample, bytes_per_second: archives.bytes_per_second };
    let daemon = call.daemon.clone();
    for source in daemon.repo().sources() {
        let source = source.map_err(cannot_list)?;
        let mut told = Ok(());
        let walked = scrub(&source, &options, &mut |one| {
            told = call.check().and_then(|()| tally.count(call, one.fault.as_ref().map(bad)));
            if told.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        told?;
        walked.map_err(cannot_list)?;
    }
    Ok(())
}

/// A bad block of an archive. Where it lies is the operator's to know.
fn bad(fault: &Fault) -> String {
    let what = fault.kind.name();
    tracing::warn!(place = fault.place, what, detail = fault.detail, "a bad block in an archive");
    let name = fault.cid.map(|cid| cid.to_string()).unwrap_or_default();
    format!("block {name} was corrupt ({what}, in an archive: {})", fault.detail)
}

/// An archive cannot be looked at as a whole.
pub(super) fn cannot_list(error: coldfront::migrate::MigrateError) -> Failed {
    tracing::warn!(error = %crate::body::Causes(&error), "an archive cannot be listed");
    Failed::new("an archive cannot be listed; the server's log says which and why")
}
