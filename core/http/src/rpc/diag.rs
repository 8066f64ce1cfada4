//! `diag/…` and `shutdown`. Twins of kubo `core/commands/diag.go`, `active.go`, `sysdiag.go` and `shutdown.go`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::args::duration;
use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Command, Effect, Opt};
use super::time::rfc3339_of;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        options: &[Opt::flag(&["verbose", "v"], "Used by clients")],
        output: r#"[{"StartTime","EndTime","Active","Command","Options","Args","ID"}]"#,
        ..Command::new("diag/cmds", "Calls under way, and those that ended lately", cmds)
    },
    Command {
        effect: Effect::Controls,
        ..Command::new("diag/cmds/clear", "Forget calls that ended", clear)
    },
    Command {
        args: &[Arg::text("time", "How long, such as 1h")],
        effect: Effect::Controls,
        ..Command::new("diag/cmds/set-time", "How long calls that ended are remembered", set_time)
    },
    Command { output: "a map", ..Command::new("diag/sys", "What the server runs on", sys) },
    Command {
        output: r#""ok""#,
        ..Command::new("diag/healthy", "Whether the server answers", healthy)
    },
    Command { effect: Effect::Controls, ..Command::new("shutdown", "End the server", shutdown) },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Cmd {
    start_time: String,
    end_time: String,
    active: bool,
    command: &'static str,
    options: BTreeMap<&'static str, Value>,
    args: Vec<String>,
    #[serde(rename = "ID")]
    id: u64,
}

fn cmds(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let all: Vec<Cmd> = daemon
        .calls()
        .all()
        .into_iter()
        .map(|one| Cmd {
            start_time: rfc3339_of(one.began),
            end_time: one.ended.map_or_else(|| "0001-01-01T00:00:00Z".into(), rfc3339_of),
            active: one.ended.is_none(),
            command: one.command,
            options: one.options.into_iter().collect(),
            args: one.args,
            id: one.id,
        })
        .collect();
    call.once(&all)
}

fn clear(call: &mut Call) -> Result<(), Failed> {
    call.daemon.calls().forget_ended();
    Ok(())
}

fn set_time(call: &mut Call) -> Result<(), Failed> {
    let text = call.arg(0);
    let time =
        duration(text).ok_or_else(|| Failed::new(format!("time: invalid duration {text:?}")))?;
    call.daemon.calls().remember_for(time);
    Ok(())
}

fn sys(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let size = daemon.archives().map_or(0, |known| known.bytes);
    let sys = json!({
        "diskinfo": {"free_space": daemon.storage().max_for(size).saturating_sub(size)},
        "environment": {},
        "ipfs_commit": concat!("coldfront-", env!("CARGO_PKG_VERSION")),
        "ipfs_version": super::version::KUBO_VERSION,
        "memory": {},
        "net": {"online": true},
        "runtime": {
            "arch": std::env::consts::ARCH,
            "os": std::env::consts::OS,
            "numcpu": std::thread::available_parallelism().map_or(1, usize::from),
        },
        "started": rfc3339_of(daemon.began()),
    });
    call.once(&sys)
}

fn healthy(call: &mut Call) -> Result<(), Failed> {
    call.once(&"ok")
}

fn shutdown(call: &mut Call) -> Result<(), Failed> {
    call.daemon.end();
    Ok(())
}
