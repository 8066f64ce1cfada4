//! `block/…`: single blocks. Twin of kubo `core/commands/block.go`.

use std::io::Read;

use bytes::Bytes;
use coldfront::block::{DAG_CBOR, DAG_PB, IDENTITY, RAW};
use coldfront::gc::{Removal, remove};
use coldfront::pin::{PinIndex, PinStatus};
use coldfront::{Block, BlockStore, Cid, ContentPath, ReadError};
use serde::Serialize;

use super::call::Call;
use super::cid_text::CidText;
use super::error::Failed;
use super::import_settings::ImportSettings;
use super::multihash::multihash;
use super::table::{Arg, Class, Command, Effect, Opt};

/// The longest block that other peers take, in bytes.
pub(crate) const SOFT_LIMIT: u64 = 2 * 1024 * 1024;

pub(crate) const TOO_BIG: &str = "produced block is over 2MiB: big blocks can't be exchanged with other peers. consider using UnixFS for automatic chunking of bigger files, or pass --allow-big-block to override";

pub(crate) const ALLOW_BIG: Opt =
    Opt::flag(&["allow-big-block"], "Allow blocks of more than 2 MiB, which peers do not exchange")
        .or("false");

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg::text("cid", "The block").stdin()],
        output: "bytes",
        class: Class::Stream,
        ..Command::new("block/get", "The bytes of a block", get)
    },
    Command {
        args: &[Arg::text("cid", "The block").stdin()],
        output: r#"{"Key","Size"}"#,
        ..Command::new("block/stat", "The CID and the length of a block", stat)
    },
    Command {
        args: &[Arg::files("data", "The bytes, a part each")],
        options: &[
            Opt::text(&["cid-codec"], "The multicodec of the CIDs").or("raw"),
            Opt::text(
                &["mhtype"],
                "The hash function; sha2-256 unless Import.HashFunction says otherwise",
            ),
            Opt::int(&["mhlen"], "The length of the digest in bytes; -1 for the usual one")
                .or("-1"),
            Opt::flag(&["pin"], "Pin the blocks recursively").or("false"),
            ALLOW_BIG,
            Opt::text(&["format", "f"], "An older way to say the codec: v0, protobuf, cbor, raw"),
        ],
        output: r#"{"Key","Size"} for each part, as soon as it is stored"#,
        effect: Effect::Writes,
        class: Class::Upload,
        ..Command::new("block/put", "Store blocks", put)
    },
    Command {
        args: &[Arg::text("cid", "The blocks").many().stdin()],
        options: &[
            Opt::flag(&["force", "f"], "Say nothing of blocks that are not held").or("false"),
            Opt::flag(&["quiet", "q"], "Report failures alone").or("false"),
        ],
        output: r#"{"Hash","Error"?} for each, one a line"#,
        effect: Effect::Removes,
        class: Class::Stream,
        ..Command::new("block/rm", "Remove blocks of the hot store that nothing keeps", rm)
    },
];

/// A block of so many bytes is sent from where it lies, as files are; a shorter one is read here.
const LONG: u64 = 32 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BlockStat {
    key: String,
    size: u64,
}

fn get(call: &mut Call) -> Result<(), Failed> {
    let cid = call.resolve_cid(call.arg(0))?;
    let missing = || Failed::not_found(&cid);
    let size = call.repo().size(&cid)?.unwrap_or(0);
    if size < LONG {
        let block = call.repo().block(&cid)?.ok_or_else(missing)?;
        call.begin_bytes("application/vnd.ipld.raw", None)?;
        return call.bytes(block.into_data());
    }
    let found = call.repo().resolve_block(&ContentPath::new(cid)).map_err(|error| match error {
        ReadError::Missing(_) => missing(),
        error => error.into(),
    })?;
    let reader = call.repo().read(&found.node, ..);
    call.begin_bytes("application/vnd.ipld.raw", None)?;
    call.files_to_client(vec![reader])
}

fn stat(call: &mut Call) -> Result<(), Failed> {
    let cid = call.resolve_cid(call.arg(0))?;
    let size = call.repo().size(&cid)?.ok_or_else(|| Failed::not_found(&cid))?;
    let key = call.cids()?.show(&cid);
    call.once(&BlockStat { key, size })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Removed {
    hash: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

fn rm(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let pins = daemon.pins()?;
    let (force, quiet) = (call.options.flag("force"), call.options.flag("quiet"));
    let cids = call.cids()?;
    for path in call.args.clone() {
        let cid = call.resolve_cid(&path)?;
        let error = match remove(pins, &cid)? {
            Removal::Removed => {
                call.repo().forget_nodes();
                String::new()
            }
            Removal::Kept => why_kept(pins, &cid, &cids)?,
            Removal::NotHeld if call.repo().size(&cid)?.is_some() => {
                "block is in the read-only archive".into()
            }
            Removal::NotHeld if force => String::new(),
            Removal::NotHeld => format!("ipld: could not find {cid}"),
        };
        if !quiet || !error.is_empty() {
            call.emit(&Removed { hash: cids.show(&cid), error })?;
        }
    }
    Ok(())
}

/// What keeps a block, in Kubo's words where it has some.
fn why_kept(pins: &PinIndex, cid: &Cid, cids: &CidText) -> Result<String, Failed> {
    Ok(match pins.status(cid)? {
        PinStatus::Recursive => "pinned: recursive".into(),
        PinStatus::Direct => "pinned: direct".into(),
        PinStatus::Indirect { through } => format!("pinned via {}", cids.show(&through)),
        // Pinned under another spelling, below the root of MFS, or in the hands of a writer at work.
        _ => match pins.why(cid)?.and_then(|way| way.first().copied()) {
            Some(root) => format!("pinned via {}", cids.show(&root)),
            None => "it is kept by a call that is under way".into(),
        },
    })
}

/// How the CID of a block is made.
struct Prefix {
    v0: bool,
    codec: u64,
    function: u64,
    len: Option<usize>,
}

/// The multicodec of the hash function that CIDs of version 0 have.
const SHA2_256: u64 = 0x12;

fn prefix(call: &Call) -> Result<Prefix, Failed> {
    let text = |name| call.options.text(name).unwrap_or_default();
    let name = text("mhtype").to_lowercase();
    let function = match name.as_str() {
        "" => ImportSettings::of(call.daemon.settings())?.hash.unwrap_or_default().code(),
        name => coldfront::multihash::code_of(name)
            .ok_or_else(|| Failed::new(format!("unrecognized multihash function: {name}")))?,
    };
    let len = call.options.int("mhlen").and_then(|len| usize::try_from(len).ok());
    let mut prefix = Prefix { v0: false, codec: RAW, function, len };
    if let Some(format) = call.options.text("format") {
        (prefix.v0, prefix.codec) = match format {
            "" | "v0" => {
                if function != SHA2_256 || len.is_some_and(|len| len != 32) {
                    return Err(Failed::new("only sha2-255-32 is allowed with CIDv0"));
                }
                (true, DAG_PB)
            }
            "protobuf" => (false, DAG_PB),
            "cbor" => (false, DAG_CBOR),
            other => (false, codec(other)?),
        };
    } else {
        prefix.codec = codec(text("cid-codec"))?;
    }
    Ok(prefix)
}

/// A multicodec by its name or number.
pub(crate) fn codec(name: &str) -> Result<u64, Failed> {
    let known = [
        ("raw", RAW),
        ("dag-pb", DAG_PB),
        ("dag-cbor", DAG_CBOR),
        ("dag-json", coldfront::block::DAG_JSON),
        ("cbor", 0x51),
        ("json", 0x0200),
        ("libp2p-key", coldfront::block::LIBP2P_KEY),
        ("git-raw", 0x78),
    ];
    let named = known.iter().find(|(known, _)| *known == name).map(|(_, code)| *code);
    let number = || match name.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => name.parse().ok(),
    };
    named.or_else(number).ok_or_else(|| Failed::new(format!("unknown multicodec: {name:?}")))
}

fn put(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let store = daemon.hot()?.leased();
    let prefix = prefix(call)?;
    let (pin, big) = (call.options.flag("pin"), call.options.flag("allow-big-block"));
    let cids = call.cids()?;
    let mut parts = call.files()?;
    let mut came = false;
    while parts.next_part()?.is_some() {
        came = true;
        let data = read_block(&mut parts, big)?;
        let size = data.len() as u64;
        let cid = prefix.cid(&data)?;
        if cid.hash().code() != IDENTITY {
            store.put(&[Block::verified(cid, data)?])?;
        }
        if pin {
            let mut pin = coldfront::pin::NewPin::new(cid);
            let claim = call.claim(std::slice::from_mut(&mut pin))?;
            daemon.pins()?.add(&pin)?;
            call.pinned(&[cid], claim)?;
        } else {
            call.changed(&cid);
            store.sync()?;
        }
        call.emit(&BlockStat { key: cids.show(&cid), size })?;
    }
    if came { Ok(()) } else { Err(Failed::new("expected a file argument")) }
}

impl Prefix {
    fn cid(&self, data: &[u8]) -> Result<Cid, Failed> {
        let hash = multihash(self.function, self.len, data)?;
        Ok(match self.v0 {
            true => Cid::new_v0(hash).map_err(|error| Failed::new(error.to_string()))?,
            false => Cid::new_v1(self.codec, hash),
        })
    }
}

/// The bytes of a part that is to be one block.
pub(crate) fn read_block(part: &mut impl Read, big: bool) -> Result<Bytes, Failed> {
    let max = if big { coldfront::block::MAX_BLOCK_LEN } else { SOFT_LIMIT };
    let mut data = Vec::new();
    part.take(max + 1).read_to_end(&mut data)?;
    match (data.len() as u64 > max, big) {
        (false, _) => Ok(data.into()),
        (true, false) => Err(Failed::new(TOO_BIG)),
        (true, true) => Err(Failed::new(format!(
            "a block of more than {max} bytes is not stored here, whatever is allowed; cut the content into smaller ones"
        ))),
    }
}
