//! `swarm/…`: there is no swarm here, and what is asked of it has an answer. Twin of kubo `core/commands/swarm.go`.
//!
//! A node that said it is offline would alarm what watches over it, so it says that it has no peers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Command, Effect, Opt};

/// What Kubo says where nothing is dialled.
pub(super) const OFFLINE: &str =
    "this action must be run in online mode, try running 'ipfs daemon' first";

pub(super) const COMMANDS: &[Command] = &[
    Command {
        options: &[
            Opt::flag(&["verbose", "v"], "Ignored"),
            Opt::flag(&["streams"], "Ignored"),
            Opt::flag(&["latency"], "Ignored"),
            Opt::flag(&["direction"], "Ignored"),
            Opt::flag(&["identify"], "Ignored"),
        ],
        output: r#"{"Peers":null}"#,
        ..Command::new("swarm/peers", "Peers: none", peers)
    },
    Command {
        args: &[Arg::text("address", "Multiaddrs with the ID of a peer at the end").many().stdin()],
        output: r#"{"Strings":[…]}"#,
        effect: Effect::Controls,
        ..Command::new("swarm/connect", "Fails: nothing is dialled", connect)
    },
    Command {
        args: &[Arg::text("address", "Multiaddrs with the ID of a peer at the end").many().stdin()],
        output: r#"{"Strings":[…]}"#,
        effect: Effect::Controls,
        ..Command::new("swarm/disconnect", "Fails: there are no connections", disconnect)
    },
    Command {
        output: r#"{"Addrs":{ID:[…]}}"#,
        ..Command::new("swarm/addrs", "Addresses of known peers: those of this node", addrs)
    },
    Command {
        options: &[Opt::flag(&["id"], "With the peer ID")],
        output: r#"{"Strings":[…]}"#,
        ..Command::new("swarm/addrs/local", "Addresses of this node", local)
    },
    Command {
        output: r#"{"Strings":[…]}"#,
        ..Command::new("swarm/addrs/listen", "Addresses of this node", local)
    },
    Command {
        output: r#"{"Peers":[]}"#,
        ..Command::new("swarm/peering/ls", "Peers to stay connected with: none", peering)
    },
    Command {
        args: &[Arg::text("address", "A peer").many().stdin()],
        output: "an error",
        effect: Effect::Controls,
        ..Command::new("swarm/peering/add", "Fails: nothing is dialled", add_peering)
    },
    Command {
        args: &[Arg::text("ID", "A peer").many().stdin()],
        output: "an error",
        effect: Effect::Controls,
        ..Command::new("swarm/peering/rm", "Fails: nothing is dialled", super::off::online)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Peers {
    peers: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Strings {
    strings: Vec<String>,
}

fn peers(call: &mut Call) -> Result<(), Failed> {
    call.once(&Peers { peers: None })
}

fn peering(call: &mut Call) -> Result<(), Failed> {
    call.once(&Peers { peers: Some(Vec::new()) })
}

fn add_peering(call: &mut Call) -> Result<(), Failed> {
    call.args.iter().try_for_each(|address| checked_address(address))?;
    super::off::online(call)
}

/// That an address is one as far as its form goes, in the words of Go's `multiaddr`.
pub(super) fn checked_address(address: &str) -> Result<(), Failed> {
    let reason = match address {
        "" => "empty multiaddr",
        address if !address.starts_with('/') => "must begin with /",
        "/" => "empty multiaddr",
        _ => return Ok(()),
    };
    Err(Failed::new(format!("failed to parse multiaddr {address:?}: {reason}")))
}

/// The peer that an address ends with.
fn peer_of(address: &str) -> Result<&str, Failed> {
    let (_, id) = address
        .rsplit_once("/p2p/")
        .or_else(|| address.rsplit_once("/ipfs/"))
        .filter(|(_, id)| !id.is_empty() && !id.contains('/'))
        .ok_or_else(|| Failed::new(format!("invalid p2p multiaddr: {address:?}")))?;
    Ok(id)
}

fn connect(call: &mut Call) -> Result<(), Failed> {
    let id = peer_of(call.arg(0))?;
    Err(Failed::new(format!("connect {id} failure: {OFFLINE}")))
}

fn disconnect(call: &mut Call) -> Result<(), Failed> {
    let strings: Result<Vec<String>, Failed> = call
        .args
        .iter()
        .map(|address| Ok(format!("disconnect {} failure: conn not found", peer_of(address)?)))
        .collect();
    call.once(&Strings { strings: strings? })
}

/// The addresses of this node without its ID.
fn own(call: &Call) -> Vec<String> {
    let end = format!("/p2p/{}", call.daemon.identity().peer_id);
    let bare = |address: &String| address.strip_suffix(&end).unwrap_or(address).to_owned();
    call.daemon.addresses().iter().map(bare).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Addrs {
    addrs: BTreeMap<String, Vec<String>>,
}

fn addrs(call: &mut Call) -> Result<(), Failed> {
    let own = own(call);
    let id = call.daemon.identity().peer_id.clone();
    let addrs = if own.is_empty() { BTreeMap::new() } else { BTreeMap::from([(id, own)]) };
    call.once(&Addrs { addrs })
}

fn local(call: &mut Call) -> Result<(), Failed> {
    let strings = match call.options.flag("id") {
        true => call.daemon.addresses().to_vec(),
        false => own(call),
    };
    call.once(&Strings { strings })
}
