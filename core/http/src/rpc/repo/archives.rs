//! How large archives are: what `repo/stat` tells of them, and `repo/measure`, which is ours.
//!
//! Nothing is listed to answer `repo/stat`: the size is Kubo's own note, or the estimate of somebody who asked for one.

use std::time::SystemTime;

use coldfront::migrate::plan;
use serde::Serialize;

use super::super::call::Call;
use super::super::error::Failed;
use super::super::table::{Class, Command, Effect};
use super::super::time::rfc3339_of;
use super::verify::cannot_list;
use crate::rpc::daemon::Measured;

pub(super) const COMMAND: Command = Command {
    output: r#"{"Archive","Blocks","Bytes","Exact","Measured"} for each archive, one a line"#,
    effect: Effect::Controls,
    class: Class::Stream,
    ..Command::new(
        "repo/measure",
        "Ours: estimate how much each archive holds, by listing some of its folders and reading some hundred blocks; repo/stat tells it from then on",
        measure,
    )
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Archive {
    archive: usize,
    blocks: u64,
    bytes: u64,
    exact: bool,
    measured: String,
}

fn measure(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    for (archive, source) in daemon.repo().sources().enumerate() {
        call.check()?;
        let found = source.and_then(|source| plan(&source, None)).map_err(cannot_list)?;
        let at = SystemTime::now();
        daemon.measured(archive, Measured { bytes: found.bytes.value, at })?;
        call.emit(&Archive {
            archive,
            blocks: found.blocks.value,
            bytes: found.bytes.value,
            exact: found.bytes.exact,
            measured: rfc3339_of(at),
        })?;
    }
    Ok(())
}
