//! `bootstrap/…`: a list of peers in the configuration. Twin of kubo `core/commands/bootstrap.go`.
//!
//! Nothing is dialled here; the list is kept for the Kubo that may run on this configuration again.

use serde::Serialize;
use serde_json::Value;

use super::call::Call;
use super::error::Failed;
use super::swarm::checked_address;
use super::table::{Arg, Command, Effect, Opt};

const PEERS: &str = r#"{"Peers":[…]}"#;
const KEY: &str = "Bootstrap";

/// What Kubo takes for the peers that its makers run.
const AUTO: &str = "auto";

/// Addresses that are kept, at most.
const MAX_PEERS: usize = 10_000;

const NO_AUTO: &str = "cannot add default bootstrap peers: AutoConf is disabled (AutoConf.Enabled=false). Enable AutoConf by setting AutoConf.Enabled=true in your config, or add specific peer addresses instead";

const ADDRESSES: &[Arg] =
    &[Arg::text("peer", "Multiaddrs with the ID of a peer at the end").optional().many().stdin()];

pub(super) const COMMANDS: &[Command] = &[
    Command { output: PEERS, ..Command::new("bootstrap", "Peers to begin with", list) },
    Command {
        options: &[Opt::flag(&["expand-auto"], "Ignored: nothing is set by a service")],
        output: PEERS,
        ..Command::new("bootstrap/list", "Peers to begin with", list)
    },
    Command {
        args: ADDRESSES,
        options: &[Opt::flag(&["default"], "Ignored, as by Kubo")],
        output: PEERS,
        effect: Effect::Controls,
        ..Command::new("bootstrap/add", "Put peers into the list, which nobody dials here", add)
    },
    Command {
        args: ADDRESSES,
        options: &[Opt::flag(&["all"], "All of them")],
        output: PEERS,
        effect: Effect::Controls,
        ..Command::new("bootstrap/rm", "Take peers out of the list", remove)
    },
    Command {
        output: PEERS,
        effect: Effect::Controls,
        ..Command::new("bootstrap/rm/all", "Take all peers out of the list", remove_all)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Peers {
    peers: Vec<String>,
}

fn of(value: &Value) -> Vec<String> {
    let all = value.get(KEY).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn list(call: &mut Call) -> Result<(), Failed> {
    let config = call.daemon.settings().shown();
    call.once(&Peers { peers: of(&config) })
}

fn add(call: &mut Call) -> Result<(), Failed> {
    let mut new: Vec<String> = Vec::new();
    for peer in std::mem::take(&mut call.args) {
        let peer = if peer == "default" { AUTO.to_owned() } else { peer };
        if !new.contains(&peer) {
            new.push(peer);
        }
        if new.len() > MAX_PEERS {
            return Err(Failed::client(format!("more than {MAX_PEERS} peers at once")));
        }
    }
    if new.is_empty() {
        return Err(Failed::new("no bootstrap peers to add"));
    }
    for peer in new.iter().filter(|peer| *peer != AUTO) {
        checked_bootstrap(peer)?;
    }
    call.daemon.settings().change(|config| {
        let off = config.pointer("/AutoConf/Enabled") == Some(&Value::Bool(false));
        if off && new.iter().any(|peer| peer == AUTO) {
            return Err(Failed::new(NO_AUTO));
        }
        let old = of(config).into_iter().filter(|peer| !new.contains(peer));
        let all: Vec<String> = new.iter().cloned().chain(old).take(MAX_PEERS).collect();
        put(config, all)
    })?;
    call.once(&Peers { peers: new })
}

fn checked_bootstrap(peer: &str) -> Result<(), Failed> {
    checked_address(peer)?;
    match peer.split_once("/p2p/") {
        Some(("", _)) => Err(Failed::new(format!("bootstrap address without a transport: {peer}"))),
        Some((_, id)) if !id.contains('/') => Ok(()),
        _ => Err(Failed::new(format!("invalid bootstrap address: {peer}"))),
    }
}

fn put(config: &mut Value, peers: Vec<String>) -> Result<(), Failed> {
    let config = config.as_object_mut();
    let config = config.ok_or_else(|| Failed::new("the configuration is no map"))?;
    config.insert(KEY.to_owned(), Value::from(peers));
    Ok(())
}

fn remove(call: &mut Call) -> Result<(), Failed> {
    if call.options.flag("all") {
        return remove_all(call);
    }
    let named = std::mem::take(&mut call.args);
    for peer in &named {
        checked_address(peer)?;
    }
    // An address goes with its peer; a peer without an address takes all of its own along.
    let goes = |peer: &String| {
        named
            .iter()
            .any(|name| peer == name || name.starts_with("/p2p/") && peer.ends_with(name.as_str()))
    };
    let removed = call.daemon.settings().change(|config| {
        let (gone, left): (Vec<_>, Vec<_>) = of(config).into_iter().partition(goes);
        if !gone.is_empty() {
            put(config, left)?;
        }
        Ok(gone)
    })?;
    call.once(&Peers { peers: removed })
}

fn remove_all(call: &mut Call) -> Result<(), Failed> {
    let removed = call.daemon.settings().change(|config| {
        let all = of(config);
        if let Some(place) = config.get_mut(KEY) {
            *place = Value::Null;
        }
        Ok(all)
    })?;
    call.once(&Peers { peers: removed })
}
