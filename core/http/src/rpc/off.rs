//! What Kubo has and this is not: commands that answer as Kubo answers where a feature is off, so that nothing hangs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Command, Effect, Opt};

const ONLINE: &str = "this command must be run in online mode. Try running 'ipfs daemon' first";
const PUBSUB: &str =
    "experimental pubsub feature not enabled, run daemon with --enable-pubsub-experiment to use";
const NAME_PUBSUB: &str = "IPNS pubsub subsystem is not enabled";
const FILESTORE: &str = "filestore is not enabled, see https://git.io/vNItf";
const OBJECT: &str = "removed, use 'ipfs dag' or 'ipfs files' instead";
const DHT: &str = "removed, use 'ipfs routing' instead";
const P2P: &str = "libp2p stream mounting not enabled";
const RESOURCES: &str =
    "missing ResourceMgr: make sure the daemon is running with Swarm.ResourceMgr.Enabled";
const NO_SERVICE: &str = "a service name must be passed";
const UNKNOWN_SERVICE: &str = "service not known";
const NO_REMOTE: &str = "no remote pinning service is used here, so none is kept: run `ipfs pin remote` against a Kubo, or let the service fetch from this gateway";

/// The words for levels of a log, as Go's zap reads them.
const LEVELS: [&str; 8] = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal", ""];

const ANY: &[Arg] = &[Arg::text("arg", "Ignored").optional().many()];

const fn off(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Call) -> Result<(), Failed>,
) -> Command {
    Command { args: ANY, output: "an error", ..Command::new(name, about, run) }
}

const NO_ROUTING: &str = "Fails: there is no routing";
const NO_SWARM: &str = "Fails: there is no swarm";
const NO_PUBSUB: &str = "Fails: there is no pubsub";
const NO_FILESTORE: &str = "Fails: there is no filestore";
const NO_OBJECT: &str = "Fails: removed from Kubo, or superseded by files/…";
const NO_DHT: &str = "Fails: removed from Kubo";
const NO_P2P: &str = "Fails: there are no streams between peers";
const NO_PROVIDING: &str = "Fails: nothing is announced";
const NO_SERVICES: &str = "Fails: there are no remote pinning services";

pub(super) const COMMANDS: &[Command] = &[
    off("ping", NO_ROUTING, online),
    off("mount", "Fails: there is no FUSE", online),
    off("routing/findprovs", NO_ROUTING, online),
    off("routing/findpeer", NO_ROUTING, online),
    off("routing/get", NO_ROUTING, action),
    off("routing/put", NO_ROUTING, action),
    off("routing/provide", NO_ROUTING, online),
    off("routing/reprovide", NO_ROUTING, online),
    off("dht/query", NO_DHT, no_dht),
    off("dht/findprovs", NO_DHT, dht),
    off("dht/findpeer", NO_DHT, dht),
    off("dht/get", NO_DHT, dht),
    off("dht/put", NO_DHT, dht),
    off("dht/provide", NO_DHT, dht),
    off("stats/dht", NO_ROUTING, online),
    off("stats/provide", NO_PROVIDING, online),
    off("stats/reprovide", NO_PROVIDING, online),
    off("provide/stat", NO_PROVIDING, online),
    off("provide/once", NO_PROVIDING, online),
    Command {
        output: "0",
        ..Command::new("provide/clear", "Forget what waits to be announced: nothing", nothing_left)
    },
    off("bitswap/ledger", NO_SWARM, online),
    off("bitswap/reprovide", NO_PROVIDING, online),
    off("swarm/addrs/autonat", NO_SWARM, online),
    off("swarm/filters", NO_SWARM, online),
    off("swarm/filters/add", NO_SWARM, online),
    off("swarm/filters/rm", NO_SWARM, online),
    off("swarm/resources", NO_SWARM, resources),
    off("pubsub/ls", NO_PUBSUB, pubsub),
    off("pubsub/peers", NO_PUBSUB, pubsub),
    off("pubsub/pub", NO_PUBSUB, pubsub),
    off("pubsub/sub", NO_PUBSUB, pubsub),
    Command {
        output: r#"{"deleted"}"#,
        ..Command::new("pubsub/reset", "Forget sequence numbers: there are none", reset)
    },
    Command {
        output: r#"{"Enabled":false}"#,
        ..Command::new("name/pubsub/state", "Whether names come by pubsub: no", name_state)
    },
    off("name/pubsub/subs", NO_PUBSUB, name_pubsub),
    off("name/pubsub/cancel", NO_PUBSUB, name_pubsub),
    off("p2p/ls", NO_P2P, p2p),
    off("p2p/listen", NO_P2P, p2p),
    off("p2p/forward", NO_P2P, p2p),
    off("p2p/close", NO_P2P, p2p),
    off("p2p/stream/ls", NO_P2P, p2p),
    off("p2p/stream/close", NO_P2P, p2p),
    off("filestore/ls", NO_FILESTORE, filestore),
    off("filestore/verify", NO_FILESTORE, filestore),
    off("filestore/dups", NO_FILESTORE, filestore),
    off("object/stat", NO_OBJECT, object),
    off("object/get", NO_OBJECT, object),
    off("object/put", NO_OBJECT, object),
    off("object/new", NO_OBJECT, object),
    off("object/data", NO_OBJECT, object),
    off("object/links", NO_OBJECT, object),
    off("object/diff", NO_OBJECT, object),
    off("object/patch/add-link", NO_OBJECT, object),
    off("object/patch/rm-link", NO_OBJECT, object),
    off("object/patch/set-data", NO_OBJECT, object),
    off("object/patch/append-data", NO_OBJECT, object),
    Command { options: SERVICE, ..off("pin/remote/add", NO_SERVICES, service) },
    Command { options: SERVICE, ..off("pin/remote/ls", NO_SERVICES, service) },
    Command { options: SERVICE, ..off("pin/remote/rm", NO_SERVICES, service) },
    off("pin/remote/service/add", NO_SERVICES, no_remote),
    Command {
        output: "nothing",
        ..off("pin/remote/service/rm", "Forget a service: there are none", nothing)
    },
    Command {
        options: &[Opt::flag(&["stat"], "Ignored")],
        output: r#"{"RemoteServices":[]}"#,
        ..Command::new("pin/remote/service/ls", "Remote pinning services: none", services)
    },
    off("version/check", "Fails: no peers tell which versions they run", online),
    Command {
        args: &[
            Arg::text("subsystem", "all, or a part").optional(),
            Arg::text("level", "debug, info, warn, error").optional(),
        ],
        output: r#"{"Message"}, or without a level {"Levels":{…}}"#,
        effect: Effect::Controls,
        ..Command::new(
            "log/level",
            "Tells the level of the log; another one is taken and ignored, since the operator chooses with COLDFRONT_LOG",
            log_level,
        )
    },
    Command {
        output: r#"{"Strings":[…]}"#,
        ..Command::new("log/ls", "The parts that log", log_ls)
    },
    Command {
        options: &[Opt::text(&["log-level", "l"], "Ignored")],
        output: "an error",
        ..Command::new("log/tail", "Fails: the log is the operator's", log_tail)
    },
];

const SERVICE: &[Opt] = &[Opt::text(&["service"], "The name of a service")];

/// For what needs peers.
pub(super) fn online(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(ONLINE))
}

fn action(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(super::swarm::OFFLINE))
}

fn pubsub(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(PUBSUB))
}

fn name_pubsub(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::client(NAME_PUBSUB))
}

fn filestore(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(FILESTORE))
}

fn object(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(OBJECT))
}

fn dht(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(DHT))
}

fn no_dht(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new("routing service is not a DHT"))
}

fn p2p(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(P2P))
}

fn resources(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(RESOURCES))
}

fn service(call: &mut Call) -> Result<(), Failed> {
    match call.options.text("service") {
        None | Some("") => Err(Failed::new(NO_SERVICE)),
        Some(_) => Err(Failed::new(UNKNOWN_SERVICE)),
    }
}

fn no_remote(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new(NO_REMOTE))
}

fn log_tail(_: &mut Call) -> Result<(), Failed> {
    Err(Failed::new("the log is written to the server's stderr and not sent to clients"))
}

fn nothing(_: &mut Call) -> Result<(), Failed> {
    Ok(())
}

fn nothing_left(call: &mut Call) -> Result<(), Failed> {
    call.once(&0)
}

#[derive(Serialize)]
struct Deleted {
    deleted: u64,
}

fn reset(call: &mut Call) -> Result<(), Failed> {
    call.once(&Deleted { deleted: 0 })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    enabled: bool,
}

fn name_state(call: &mut Call) -> Result<(), Failed> {
    call.once(&State { enabled: false })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Services {
    remote_services: [u8; 0],
}

fn services(call: &mut Call) -> Result<(), Failed> {
    call.once(&Services { remote_services: [] })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Levels {
    levels: BTreeMap<&'static str, String>,
}

fn log_level(call: &mut Call) -> Result<(), Failed> {
    if call.args.len() < 2 {
        let level = tracing::level_filters::LevelFilter::current().to_string();
        let name = if call.args.is_empty() { "" } else { "(default)" };
        return call.once(&Levels { levels: BTreeMap::from([(name, level)]) });
    }
    let level = call.arg(1).to_ascii_lowercase();
    if !LEVELS.contains(&level.as_str()) {
        return Err(Failed::new(format!("unrecognized level: {:?}", call.arg(1))));
    }
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
