//! `name/…`: IPNS names. Twin of kubo `core/commands/name`.
//!
//! Names are kept here and sent nowhere, as by a Kubo that is offline: who publishes has to say that this is what is wanted.

use std::time::{Duration, SystemTime};

use coldfront::ipns::{MAX_RECORD_LEN, NameError, PublishOptions, Record, RecordError};
use coldfront::keys::KeyId;
use serde::Serialize;

use super::args::duration;
use super::call::Call;
use super::error::Failed;
use super::key::{IPNS_BASE, only_file};
use super::table::{Arg, Class, Command, Effect, Kind, Opt};
use super::time::rfc3339_of;

const OFFLINE: &str = "can't publish while offline: pass `--allow-offline` to override or `--allow-delegated` if Ipns.DelegatedPublishers are set up";

const PUT_OFFLINE: &str = "can't put while offline: pass `--allow-offline` to store locally or `--allow-delegated` if Ipns.DelegatedPublishers are set up";

const NO_DELEGATES: &str = "no delegated publishers configured: add Ipns.DelegatedPublishers or use --allow-offline for local-only publishing";

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg::text("ipfs-path", "Where the name leads to").stdin()],
        options: &[
            Opt::text(&["key", "k"], "The key: its name, or its public name").or("self"),
            Opt::flag(&["resolve"], "Look first whether the path leads anywhere").or("true"),
            Opt::text(&["lifetime", "t"], "How long the record is valid, such as 24h")
                .or("48h0m0s"),
            Opt::text(&["ttl"], "How long the record may be cached").or("5m0s"),
            Opt::flag(&["quieter", "Q"], "For clients that print: the name alone"),
            Opt::flag(&["v1compat"], "With the fields of older readers").or("true"),
            Opt::flag(&["allow-offline"], "Keep the record here, and send it nowhere"),
            Opt::flag(&["allow-delegated"], "Refused: nobody is configured to publish for us"),
            Opt::new(&["sequence"], Kind::Int64, "The sequence number; greater than the last one"),
            IPNS_BASE,
        ],
        output: r#"{"Name","Value"}"#,
        effect: Effect::Writes,
        ..Command::new("name/publish", "Let a name lead to a path", publish)
    },
    Command {
        args: &[Arg::text("name", "The name; none for the node's own").optional()],
        options: &[
            Opt::flag(&["recursive", "r"], "Go on until it is no name").or("true"),
            Opt::flag(&["nocache", "n"], "Ignored: nothing is cached"),
            Opt::new(&["dht-record-count", "dhtrc"], Kind::Uint, "Ignored"),
            Opt::text(&["dht-timeout", "dhtt"], "Ignored"),
            Opt::flag(&["stream", "s"], "Answer with each value that is found: one"),
        ],
        output: r#"{"Path"}"#,
        ..Command::new("name/resolve", "What a name that was published here leads to", resolve)
    },
    Command {
        args: &[Arg::text("name", "The name")],
        output: "bytes",
        class: Class::Stream,
        ..Command::new("name/get", "The record of a name that was published here", get)
    },
    Command {
        args: &[
            Arg::text("name", "The name"),
            Arg { variadic: false, ..Arg::files("record", "The record, signed") },
        ],
        options: &[
            Opt::flag(&["force", "f"], "Also one that has ended, or has a lower sequence number"),
            Opt::flag(&["allow-offline"], "Keep the record here, and send it nowhere"),
            Opt::flag(&["allow-delegated"], "Refused: nobody is configured to publish for us"),
            Opt::flag(&["quiet", "q"], "Used by clients"),
        ],
        output: r#"{"Name","Value"}"#,
        effect: Effect::Writes,
        class: Class::Upload,
        ..Command::new("name/put", "Keep a record that was signed elsewhere", put)
    },
    Command {
        args: &[Arg { variadic: false, ..Arg::files("record", "The record") }],
        options: &[
            Opt::text(&["verify"], "A name: whether the record is one of it"),
            Opt::flag(&["dump"], "For clients that print: the bytes").or("true"),
        ],
        output: r#"{"Entry":{"Value","ValidityType","Validity","Sequence","TTL"},"PbSize","SignatureType","HexDump","Validation"}"#,
        class: Class::Upload,
        ..Command::new("name/inspect", "What a record says", inspect)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Published {
    name: String,
    value: String,
}

fn publish(call: &mut Call) -> Result<(), Failed> {
    let offline = call.options.flag("allow-offline");
    let delegated = call.options.flag("allow-delegated");
    if offline && delegated {
        return Err(Failed::new("cannot use both --allow-offline and --allow-delegated flags"));
    }
    let time = |name: &str| -> Result<Duration, String> {
        let text = call.options.text(name).unwrap_or_default();
        duration(text).ok_or_else(|| format!("time: invalid duration {text:?}"))
    };
    let lifetime =
        time("lifetime").map_err(|e| Failed::new(format!("error parsing lifetime option: {e}")))?;
    let ttl = time("ttl").map_err(Failed::new)?;
    let sequence = call.options.int("sequence").and_then(|number| u64::try_from(number).ok());
    let options = PublishOptions { lifetime, ttl, sequence, v1: call.options.flag("v1compat") };
    let value = value(call)?;
    if delegated {
        return Err(Failed::new(NO_DELEGATES));
    }
    if !offline {
        return Err(Failed::new(OFFLINE));
    }
    let names = call.daemon.names()?;
    let key = names.keys().find(call.options.text("key").unwrap_or("self"))?;
    names.publish(&key, &value, &options)?;
    let name = key.id().to_string();
    call.once(&Published { name, value })
}

/// The path that a name is to lead to, which leads somewhere if that is asked for.
fn value(call: &Call) -> Result<String, Failed> {
    let text = call.arg(0);
    let looked = call.options.flag("resolve");
    if let Some(name) = text.strip_prefix("/ipns/") {
        if looked {
            let path = call.daemon.names()?.resolve(name, true)?;
            call.resolve_cid(&path)?;
        }
        return Ok(text.to_owned());
    }
    let path = call.path(text)?;
    if looked {
        let cid = call.resolve_cid(text)?;
        if call.repo().size(&cid)?.is_none() {
            return Err(Failed::not_found(&cid));
        }
    }
    Ok(path.to_string())
}

fn resolve(call: &mut Call) -> Result<(), Failed> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Resolved {
        path: String,
    }
    let names = call.daemon.names()?;
    let name = match call.args.first() {
        Some(name) => name.clone(),
        None => names.keys().own().id().to_string(),
    };
    let path = names.resolve(&name, call.options.flag("recursive"))?;
    match call.options.flag("stream") {
        true => call.emit(&Resolved { path }),
        false => call.once(&Resolved { path }),
    }
}

fn get(call: &mut Call) -> Result<(), Failed> {
    let name = call.arg(0).trim_start_matches("/ipns/");
    let id = KeyId::parse(name).ok_or_else(|| Failed::new("not a valid domain name"))?;
    let record = call.daemon.names()?.record(&id)?;
    let record = record.ok_or_else(|| Failed::new("routing: not found"))?;
    call.begin_bytes("application/vnd.ipfs.ipns-record", None)?;
    call.bytes(record.bytes().to_vec().into())
}

fn put(call: &mut Call) -> Result<(), Failed> {
    let (offline, delegated) =
        (call.options.flag("allow-offline"), call.options.flag("allow-delegated"));
    if offline && delegated {
        return Err(Failed::new("cannot use both --allow-offline and --allow-delegated flags"));
    }
    if delegated {
        return Err(Failed::new(NO_DELEGATES));
    }
    let name = call.arg(0).trim_start_matches("/ipns/").to_owned();
    let id = KeyId::parse(&name)
        .ok_or_else(|| Failed::new(format!("invalid IPNS name: {name:?} is not made of a key")))?;
    let bytes = only_file(call, MAX_RECORD_LEN as u64)?;
    if bytes.is_empty() {
        return Err(Failed::new("record is empty"));
    }
    let invalid = |error: RecordError| Failed::new(format!("invalid IPNS record: {error}"));
    Record::parse(&bytes).map_err(invalid)?;
    if !offline {
        return Err(Failed::new(PUT_OFFLINE));
    }
    let kept = call.daemon.names()?.put(&id, &bytes, call.options.flag("force"));
    let record = kept.map_err(|error| match error {
        NameError::Record(error) => Failed::new(format!("record validation failed: {error}")),
        error => error.into(),
    })?;
    let value = record.path().unwrap_or_default();
    call.once(&Published { name: id.to_string(), value })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    value: String,
    validity_type: u8,
    validity: String,
    sequence: u64,
    #[serde(rename = "TTL")]
    ttl: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Validation {
    valid: bool,
    reason: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    entry: Entry,
    pb_size: usize,
    signature_type: &'static str,
    hex_dump: String,
    validation: Option<Validation>,
}

fn inspect(call: &mut Call) -> Result<(), Failed> {
    let bytes = only_file(call, MAX_RECORD_LEN as u64)?;
    let record = Record::parse(&bytes).map_err(|error| Failed::new(error.to_string()))?;
    let validation = match call.options.text("verify") {
        None => None,
        Some(text) => {
            let id = KeyId::parse(text.trim_start_matches("/ipns/"));
            let id = id.ok_or_else(|| Failed::new(format!("{text:?} is not an IPNS name")))?;
            let checked = record.check(&id, SystemTime::now());
            let reason = checked.as_ref().err().map(ToString::to_string).unwrap_or_default();
            Some(Validation { valid: checked.is_ok(), reason, name: id.to_string() })
        }
    };
    let entry = Entry {
        value: record.path().unwrap_or_default(),
        validity_type: 0,
        validity: rfc3339_of(record.end()),
        sequence: record.sequence(),
        ttl: u64::try_from(record.ttl().as_nanos()).unwrap_or(u64::MAX),
    };
    let hex_dump = match call.options.flag("dump") {
        true => hex_dump(&bytes),
        false => String::new(),
    };
    call.once(&Inspected {
        entry,
        pb_size: bytes.len(),
        signature_type: if record.has_v1() { "V1+V2" } else { "V2" },
        hex_dump,
        validation,
    })
}

/// Bytes as Go's `hex.Dump` shows them.
fn hex_dump(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for (number, line) in bytes.chunks(16).enumerate() {
        // Writing to memory does not fail.
        let _ = write!(out, "{:08x} ", number * 16);
        for at in 0..16 {
            let gap = if at % 8 == 0 { " " } else { "" };
            let _ = match line.get(at) {
                Some(byte) => write!(out, "{gap}{byte:02x} "),
                None => write!(out, "{gap}   "),
            };
        }
        let text: String = line
            .iter()
            .map(|byte| if (32..127).contains(byte) { char::from(*byte) } else { '.' })
            .collect();
        let _ = writeln!(out, " |{text}|");
    }
    out
}
