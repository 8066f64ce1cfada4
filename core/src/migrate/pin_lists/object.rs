//! A JSON object: which form it is of, and what its fields mean for a pin.
//!
//! Pure. Owns the words of the wire, today's and those of older releases:
//!
//! - `cid` is a string; `{"/": "…"}` in IPFS Cluster 0.10 to 0.14.
//! - `type` is a word; before that a number: 2 pin, 4 meta, 8 cluster DAG, 16 shard.
//! - `allocations` and others may be null; times may be absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{ClusterPin, ListedPin, Note, Reason, cid, time};
use crate::block::Cid;
use crate::pin::PinMode;

/// The pin that an object of any form is.
pub(super) fn pin(bytes: &[u8]) -> Result<ListedPin, Reason> {
    let object = parse(bytes)?;
    if object.contains_key("peer_map") {
        status(&object)
    } else if object.contains_key("Cid") {
        let mut pin = ListedPin::new(cid_at(&object, "Cid")?);
        kubo(&object, &mut pin)?;
        Ok(pin)
    } else if object.contains_key("cid") {
        cluster(&object)
    } else {
        Err(Reason::NoPin)
    }
}

/// A pair of `{"Keys":{…}}`.
pub(super) fn keyed_pin(key: &[u8], value: &[u8]) -> Result<ListedPin, Reason> {
    let key = std::str::from_utf8(key).map_err(|_| Reason::BadCid)?;
    let mut pin = ListedPin::new(cid(key)?);
    kubo(&parse(value)?, &mut pin)?;
    Ok(pin)
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Reason> {
    serde_json::from_slice(bytes).map_err(|_| Reason::NotReadable)
}

/// `Type` and `Name`, as Kubo has them.
fn kubo(object: &Map<String, Value>, pin: &mut ListedPin) -> Result<(), Reason> {
    match text(object, "Type") {
        "recursive" | "" => {}
        "direct" => pin.mode = PinMode::Direct,
        indirect if indirect.starts_with("indirect") => return Err(Reason::Indirect),
        _ => return Err(Reason::UnknownType),
    }
    pin.set_name(text(object, "Name"));
    Ok(())
}

/// The forms A, B and C.
fn cluster(object: &Map<String, Value>) -> Result<ListedPin, Reason> {
    let mut pin = ListedPin::new(cid_at(object, "cid")?);
    kind(object, &mut pin)?;
    // Cluster itself pins the shards, and the root of what is in shards to no depth.
    if !pin.notes.contains(&Note::Sharded) {
        pin.mode = mode(object, &mut pin.notes);
    }
    common(object, &mut pin);
    pin.created = time_at(object, "timestamp", &mut pin.notes);
    pin.expires = time_at(object, "expire_at", &mut pin.notes);
    let replication = |key| {
        let of = object.get(key).or_else(|| object.get("replication_factor"));
        of.and_then(Value::as_i64).unwrap_or(-1)
    };
    pin.cluster = ClusterPin {
        replication_min: replication("replication_factor_min"),
        replication_max: replication("replication_factor_max"),
        allocations: texts(object, "allocations"),
        user_allocations: texts(object, "user_allocations"),
        update: cid_at(object, "pin_update").ok(),
        shard_size: object.get("shard_size").and_then(Value::as_u64).unwrap_or(0),
    };
    Ok(pin)
}

/// The form D: what peers make of a pin.
fn status(object: &Map<String, Value>) -> Result<ListedPin, Reason> {
    let mut pin = ListedPin::new(cid_at(object, "cid")?);
    pin.notes.push(Note::ModeUnknown);
    common(object, &mut pin);
    pin.created = time_at(object, "created", &mut pin.notes);
    pin.cluster.allocations = texts(object, "allocations");
    Ok(pin)
}

fn common(object: &Map<String, Value>, pin: &mut ListedPin) {
    pin.set_name(text(object, "name"));
    pin.origins = texts(object, "origins");
    pin.metadata = match object.get("metadata") {
        Some(Value::Object(pairs)) => labels(pairs),
        _ => BTreeMap::new(),
    };
}

fn labels(pairs: &Map<String, Value>) -> BTreeMap<String, String> {
    let label = |(key, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (key.clone(), value)
    };
    pairs.iter().map(label).collect()
}

fn kind(object: &Map<String, Value>, pin: &mut ListedPin) -> Result<(), Reason> {
    let kind = match object.get("type") {
        None | Some(Value::Null) => "pin",
        Some(Value::String(word)) => word,
        Some(number) => match number.as_u64() {
            Some(2) => "pin",
            Some(4) => "meta-pin",
            Some(8) => "clusterdag-pin",
            Some(16) => "shard-pin",
            _ => "",
        },
    };
    match kind {
        "pin" => {}
        "meta-pin" => pin.notes.push(Note::Sharded),
        "clusterdag-pin" => return Err(Reason::ClusterDag),
        "shard-pin" => return Err(Reason::Shard),
        _ => return Err(Reason::UnknownType),
    }
    Ok(())
}

fn mode(object: &Map<String, Value>, notes: &mut Vec<Note>) -> PinMode {
    let direct = match text(object, "mode") {
        "direct" => Some(true),
        "recursive" => Some(false),
        _ => None,
    };
    let depth = object.get("max_depth").and_then(Value::as_i64);
    match (depth, direct) {
        (None, Some(true)) | (Some(0), Some(true) | None) => return PinMode::Direct,
        (Some(1..), _) => notes.push(Note::DepthLimited),
        (Some(0), Some(false)) | (Some(_), Some(true)) => notes.push(Note::ModesDiffer),
        _ => {}
    }
    PinMode::Recursive
}

fn cid_at(object: &Map<String, Value>, key: &str) -> Result<Cid, Reason> {
    let value = object.get(key).ok_or(Reason::BadCid)?;
    let text = value.as_str().or_else(|| value.get("/").and_then(Value::as_str));
    cid(text.ok_or(Reason::BadCid)?)
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn texts(object: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = object.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// A time as text, or as a number of seconds; `None` where it says never.
fn time_at(object: &Map<String, Value>, key: &str, notes: &mut Vec<Note>) -> Option<u64> {
    let seconds = match object.get(key)? {
        Value::Null => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::String(text) => time::parse(text),
        number => number.as_u64(),
    };
    match seconds {
        Some(0) => None,
        None => {
            notes.push(Note::BadTime);
            None
        }
        some => some,
    }
}
