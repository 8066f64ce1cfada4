//! `id`: who the node is. Twin of kubo `core/commands/id.go`.

use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Command, Opt};

/// What the node calls itself. Its first part is the Kubo whose API it speaks.
pub(crate) const AGENT: &str = concat!("kubo/", "0.42.0", "/coldfront-", env!("CARGO_PKG_VERSION"));

pub(super) const COMMANDS: &[Command] = &[Command {
    args: &[Arg::text("peerid", "The node to ask about; none for this one").optional()],
    options: &[
        Opt::text(&["format", "f"], "How a client shows it"),
        Opt::text(&["peerid-base"], "The base of peer IDs: b58mh or a multibase").or("b58mh"),
    ],
    output: r#"{"ID","PublicKey","Addresses":[…],"AgentVersion","Protocols":[…]}"#,
    ..Command::new("id", "Who this node is", id)
}];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Id<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    public_key: &'a str,
    addresses: Option<&'a [String]>,
    agent_version: &'a str,
    protocols: &'a [&'a str],
}

fn id(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let me = daemon.identity();
    let asked = call.arg(0);
    if !asked.is_empty() && asked != me.peer_id {
        return Err(Failed::new(
            "this action must be run in online mode, try running 'ipfs daemon' first",
        ));
    }
    call.once(&Id {
        id: &me.peer_id,
        public_key: &me.public_key,
        addresses: Some(daemon.addresses()).filter(|addresses| !addresses.is_empty()),
        agent_version: AGENT,
        protocols: &[],
    })
}
