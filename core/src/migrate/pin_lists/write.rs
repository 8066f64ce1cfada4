//! Writing pins in the forms that Kubo's and IPFS Cluster's own programs read: the way back.

use std::io::{self, Write};

use serde_json::json;

use super::{ListedPin, time};
use crate::pin::PinMode;

/// Writes a pin as `ipfs-cluster-service state import` reads it: one line of the form that `state export` writes.
pub fn write_cluster_pin(out: &mut dyn Write, pin: &ListedPin) -> io::Result<()> {
    let (mode, depth) = match pin.mode {
        PinMode::Recursive => ("recursive", -1),
        PinMode::Direct => ("direct", 0),
    };
    let cluster = &pin.cluster;
    let time = |seconds: Option<u64>| seconds.map_or_else(|| time::NEVER.into(), time::format);
    let pin = json!({
        "replication_factor_min": cluster.replication_min,
        "replication_factor_max": cluster.replication_max,
        "name": pin.name,
        "mode": mode,
        "shard_size": cluster.shard_size,
        "user_allocations": cluster.user_allocations,
        "expire_at": time(pin.expires),
        "metadata": pin.metadata,
        "pin_update": cluster.update.map(|cid| cid.to_string()),
        "origins": pin.origins,
        "cid": pin.cid.to_string(),
        "type": "pin",
        "allocations": cluster.allocations,
        "max_depth": depth,
        "reference": null,
        "timestamp": time(pin.created),
    });
    writeln!(out, "{pin}")
}

/// Writes a pin as `ipfs pin ls --names` does: CID, mode, and the name if there is one.
pub fn write_text_pin(out: &mut dyn Write, pin: &ListedPin) -> io::Result<()> {
    let mode = match pin.mode {
        PinMode::Recursive => "recursive",
        PinMode::Direct => "direct",
    };
    // A name with a line break would make a second line of its rest.
    let name: String = pin.name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match name.is_empty() {
        true => writeln!(out, "{} {mode}", pin.cid),
        false => writeln!(out, "{} {mode} {name}", pin.cid),
    }
}
