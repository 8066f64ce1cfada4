//! What Kubo has and this is not: commands that answer as Kubo answers where a feature is off, so that nothing hangs.

use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Command, Effect, Opt};

const ONLINE: &str = "this command must be run in online mode. Try running 'ipfs daemon' first";
const PUBSUB: &str =
    "experimental pubsub feature not enabled, run daemon with --enable-pubsub-experiment to use";
const FILESTORE: &str = "filestore is not enabled, see https://git.io/vNItf";
const OBJECT: &str = "removed, use 'ipfs dag' or 'ipfs files' instead";

const ANY: &[Arg] = &[Arg::text("arg", "Ignored").optional().many()];

const fn off(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Call) -> Result<(), Failed>,
) -> Command {
    Command { args: ANY, output: "an error", ..Command::new(name, about, run) }
}

const NO_ROUTING: &str = "Fails: there is no routing";
const NO_PUBSUB: &str = "Fails: there is no pubsub";
const NO_FILESTORE: &str = "Fails: there is no filestore";
const NO_OBJECT: &str = "Fails: removed from Kubo";

pub(super) const COMMANDS: &[Command] = &[
    off("ping", NO_ROUTING, online),
    off("routing/findprovs", NO_ROUTING, online),
    off("routing/findpeer", NO_ROUTING, online),
    off("routing/get", NO_ROUTING, online),
    off("routing/put", NO_ROUTING, online),
    off("routing/provide", NO_ROUTING, online),
    off("routing/reprovide", NO_ROUTING, online),
    off("dht/query", NO_ROUTING, online),
    off("pubsub/ls", NO_PUBSUB, pubsub),
    off("pubsub/peers", NO_PUBSUB, pubsub),
    off("pubsub/pub", NO_PUBSUB, pubsub),
    off("pubsub/sub", NO_PUBSUB, pubsub),
    off("filestore/ls", NO_FILESTORE, filestore),
    off("filestore/verify", NO_FILESTORE, filestore),
    off("filestore/dups", NO_FILESTORE, filestore),
    off("object/stat", NO_OBJECT, object),
    off("object/get", NO_OBJECT, object),
    off("object/put", NO_OBJECT, object),
    off("object/new", NO_OBJECT, object),
    off("object/data", NO_OBJECT, object),
    off("object/links", NO_OBJECT, object),
    Command {
        output: r#"{"Peers":[]}"#,
        ..Command::new("bootstrap", "Peers to begin with: none", bootstrap)
    },
    Command {
        output: r#"{"Peers":[]}"#,
        ..Command::new("bootstrap/list", "Peers to begin with: none", bootstrap)
    },
    Command {
        args: &[
            Arg::text("subsystem", "all, or a part"),
            Arg::text("level", "debug, info, warn, error").optional(),
        ],
        output: r#"{"Message"}"#,
        effect: Effect::Controls,
        ..Command::new(
            "log/level",
            "Taken and ignored: the operator chooses with COLDFRONT_LOG",
            log_level,
        )
    },
    Command {
        output: r#"{"Strings":[…]}"#,
        ..Command::new("log/ls", "The parts that log", log_ls)
    },
    Command {
        options: &[Opt::text(&["log-level"], "Ignored")],
        output: "an error",
        ..Command::new("log/tail", "Fails: the log is the operator's", log_tail)
    },
];

fn online(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(ONLINE))
}

fn pubsub(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(PUBSUB))
}

fn filestore(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(FILESTORE))
}

fn object(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(OBJECT))
}

fn log_tail(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new("the log is written to the server's stderr and not sent to clients"))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Peers {
    peers: [u8; 0],
}

fn bootstrap(call: &mut Call) -> Result<(), Failed> {
    call.once(&Peers { peers: [] })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message: String,
}

fn log_level(call: &mut Call) -> Result<(), Failed> {
    let name = match call.arg(0) {
        "all" | "*" => "*",
        other => other,
    };
    let message = format!("Changed log level of '{name}' to '{}'\n", call.arg(1));
    call.once(&Message { message })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Strings {
    strings: [&'static str; 2],
}

fn log_ls(call: &mut Call) -> Result<(), Failed> {
    call.once(&Strings { strings: ["coldfront", "coldfront_http"] })
}
