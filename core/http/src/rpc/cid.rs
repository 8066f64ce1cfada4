//! `cid/…`: CIDs taken apart and written differently. Twin of kubo `core/commands/cid.go`.
//!
//! Touches no block. A CID that cannot be read is told beside the others, as Kubo does. Rules: go-cidutil `format.go`.

use cid::Version;
use cid::multibase::Base;
use coldfront::block::{DAG_PB, IDENTITY};
use coldfront::{Cid, parse_cid};
use serde::Serialize;

use super::block::codec;
use super::call::Call;
use super::cid_text::{BASES, base_named};
use super::codes::{CODECS, codec_name, hash_name, hashes};
use super::error::Failed;
use super::table::{Arg, Command, Opt};

const CIDS: &[Arg] = &[Arg::text("cid", "CIDs").many().stdin()];
const FORMATTED: &str = r#"{"CidStr","Formatted","ErrorMsg"} for each, one a line"#;
pub(super) const CODES: &str = r#"[{"Code","Name"}]"#;

const NUMERIC: Opt = Opt::flag(&["numeric", "n"], "Used by clients");

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: CIDS,
        options: &[
            Opt::text(&["f"], "The form, with %s and its like in it").or("%s"),
            Opt::text(&["v"], "The version they get"),
            Opt::text(&["mc"], "The codec they get"),
            Opt::text(&["b"], "The multibase they are written in"),
        ],
        output: FORMATTED,
        ..Command::new("cid/format", "CIDs in another form", format)
    },
    Command {
        args: CIDS,
        output: FORMATTED,
        ..Command::new("cid/base32", "CIDs as version 1 in base32", base32)
    },
    Command {
        args: &[Arg::text("cid", "A CID").stdin()],
        output: r#"{"cid","version","multibase","multicodec","multihash","cidV0","cidV1"}, or {"cid","errorMsg"}"#,
        ..Command::new("cid/inspect", "What a CID consists of", inspect)
    },
    Command {
        options: &[
            Opt::flag(&["prefix"], "Used by clients"),
            Opt::flag(&["numeric"], "Used by clients"),
        ],
        output: CODES,
        ..Command::new("cid/bases", "Multibases", bases)
    },
    Command {
        options: &[NUMERIC, Opt::flag(&["supported", "s"], "Those that commands read here")],
        output: CODES,
        ..Command::new("cid/codecs", "Codecs of CIDs", codecs)
    },
    Command {
        options: &[NUMERIC, Opt::flag(&["supported", "s"], "Ignored")],
        output: CODES,
        ..Command::new("cid/hashes", "Hash functions of CIDs", list_hashes)
    },
];

/// Codecs that commands read or write here.
const SUPPORTED: [u64; 7] = [0x51, 0x55, 0x70, 0x71, 0x72, 0x129, 0x200];

/// Bases that Kubo does not have.
const NOT_KUBOS: [&str; 3] = ["base8", "base10", "base32z"];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Coded {
    code: u64,
    name: String,
}

/// `multibase/list` as well.
pub(super) fn bases(call: &mut Call) -> Result<(), Failed> {
    let known = BASES.iter().filter(|(name, _)| !NOT_KUBOS.contains(name));
    let identity = [("identity", '\0')];
    let all = identity.iter().chain(known);
    let all: Vec<_> = all
        .map(|(name, letter)| Coded { code: u64::from(u32::from(*letter)), name: (*name).into() })
        .collect();
    call.once(&all)
}

fn codecs(call: &mut Call) -> Result<(), Failed> {
    let supported = call.options.flag("supported");
    let some = CODECS.iter().filter(|(code, _)| !supported || SUPPORTED.contains(code));
    let some: Vec<_> =
        some.map(|(code, name)| Coded { code: *code, name: (*name).into() }).collect();
    call.once(&some)
}

fn list_hashes(call: &mut Call) -> Result<(), Failed> {
    let all: Vec<_> = hashes().into_iter().map(|(code, name)| Coded { code, name }).collect();
    call.once(&all)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Formatted {
    cid_str: String,
    formatted: String,
    error_msg: String,
}

/// What CIDs are turned into.
struct Wish {
    form: String,
    codec: Option<u64>,
    version: Option<Version>,
    base: Option<Base>,
}

fn base32(call: &mut Call) -> Result<(), Failed> {
    let base = Some(Base::Base32Lower);
    each(call, &Wish { form: "%s".into(), codec: None, version: Some(Version::V1), base })
}

fn format(call: &mut Call) -> Result<(), Failed> {
    let text = |name| call.options.text(name).filter(|text| !text.is_empty());
    let form = text("f").unwrap_or_default().to_owned();
    if !form.contains('%') {
        return Err(Failed::new(format!("invalid format string: {form:?}")));
    }
    let codec = text("mc").map(codec).transpose()?;
    let version = match text("v") {
        None => text("b").map(|_| Version::V1),
        Some("0") if codec.is_some_and(|codec| codec != DAG_PB) => {
            return Err(Failed::new("cannot convert to CIDv0 with any codec other than dag-pb"));
        }
        Some("0") if text("b").is_some_and(|base| base != "base58btc") => {
            return Err(Failed::new(
                "cannot convert to CIDv0 with any multibase other than the implicit base58btc",
            ));
        }
        Some("0") => Some(Version::V0),
        Some("1") => Some(Version::V1),
        Some(other) => return Err(Failed::new(format!("invalid cid version: {other:?}"))),
    };
    let base = text("b").map(base_of).transpose()?;
    let wish = Wish { form, codec, version, base };
    each(call, &wish)
}

pub(super) fn base_of(name: &str) -> Result<Base, Failed> {
    base_named(name).ok_or_else(|| Failed::new(format!("unsupported multibase encoding: {name}")))
}

fn each(call: &mut Call, wish: &Wish) -> Result<(), Failed> {
    for cid_str in std::mem::take(&mut call.args) {
        let (formatted, error_msg) = match turned(&cid_str, wish) {
            Ok((cid, base)) => (written(&wish.form, base, &cid)?, String::new()),
            Err(reason) => (String::new(), reason),
        };
        call.emit(&Formatted { cid_str, formatted, error_msg })?;
    }
    Ok(())
}

/// A text as the CID that is wanted, and the base in which it is to be written.
fn turned(text: &str, wish: &Wish) -> Result<(Cid, Base), String> {
    let read: Cid = parse_cid(text).map_err(|reason| format!("invalid cid: {reason}"))?;
    let cid = match wish.codec.filter(|codec| *codec != read.codec()) {
        Some(codec) => Cid::new_v1(codec, *read.hash()),
        None => read,
    };
    let cid = match wish.version {
        Some(Version::V0) if cid.codec() != DAG_PB => {
            return Err("can't convert non-dag-pb nodes to cidv0".into());
        }
        Some(Version::V0) => Cid::new_v0(*cid.hash()).map_err(|error| error.to_string())?,
        Some(Version::V1) => Cid::new_v1(cid.codec(), *cid.hash()),
        None => cid,
    };
    let base = match (wish.base, cid.version()) {
        (Some(base), _) => base,
        (None, Version::V0) => Base::Base58Btc,
        (None, Version::V1) => base_of_text(text),
    };
    Ok((cid, base))
}

/// The base in which the text of a CID is.
fn base_of_text(text: &str) -> Base {
    let letter = text.chars().next().filter(|_| !text.starts_with("Qm"));
    letter.and_then(|letter| Base::from_code(letter).ok()).unwrap_or(Base::Base58Btc)
}

fn base_name(base: Base) -> &'static str {
    BASES.iter().find(|(_, letter)| *letter == base.code()).map_or("identity", |(name, _)| name)
}

/// A CID in a form, in which `%` and a letter stand for a part of it.
fn written(form: &str, base: Base, cid: &Cid) -> Result<String, Failed> {
    let hash = cid.hash();
    let with_letter = |bytes: &[u8]| cid::multibase::encode(base, bytes);
    let mut out = String::new();
    let mut letters = form.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let Some(wish) = letters.next() else {
            return Err(Failed::new("premature end of format string"));
        };
        match wish {
            '%' => out.push('%'),
            'b' => out += base_name(base),
            'B' => out.push(base.code()),
            'v' => out += &format!("cidv{}", u64::from(cid.version())),
            'V' => out += &u64::from(cid.version()).to_string(),
            'c' => out += &codec_name(cid.codec()),
            'C' => out += &cid.codec().to_string(),
            'h' => out += &hash_name(hash.code()),
            'H' => out += &hash.code().to_string(),
            'L' => out += &hash.size().to_string(),
            'm' => out += &with_letter(&hash.to_bytes()),
            'M' => out += &base.encode(hash.to_bytes()),
            'd' => out += &with_letter(hash.digest()),
            'D' => out += &base.encode(hash.digest()),
            's' if cid.version() == Version::V0 => out += &cid.to_string(),
            's' => out += &with_letter(&cid.to_bytes()),
            'S' => out += &base.encode(cid.to_bytes()),
            'P' => {
                let (version, codec) = (u64::from(cid.version()), codec_name(cid.codec()));
                out += &format!("cidv{version}-{codec}-{}-{}", hash_name(hash.code()), hash.size());
            }
            other => {
                return Err(Failed::new(format!(
                    "unrecognized specifier in format string: %{other}"
                )));
            }
        }
    }
    Ok(out)
}

#[derive(Default, Serialize)]
struct Named {
    code: u64,
    name: String,
}

#[derive(Default, Serialize)]
struct InBase {
    prefix: String,
    name: &'static str,
}

#[derive(Default, Serialize)]
struct Hash {
    code: u64,
    name: String,
    length: usize,
    digest: String,
}

#[derive(Default, Serialize)]
struct Inspected {
    cid: String,
    version: u64,
    multibase: InBase,
    multicodec: Named,
    multihash: Hash,
    #[serde(rename = "cidV0", skip_serializing_if = "String::is_empty")]
    cid_v0: String,
    #[serde(rename = "cidV1")]
    cid_v1: String,
    #[serde(rename = "errorMsg", skip_serializing_if = "String::is_empty")]
    error_msg: String,
}

fn inspect(call: &mut Call) -> Result<(), Failed> {
    let text = call.arg(0).to_owned();
    let inspected = match parse_cid(&text) {
        Ok(cid) => inspected(text, &cid),
        Err(reason) => {
            let mut error_msg = format!("invalid CID: invalid cid: {reason}");
            if let Some(peer) = coldfront::keys::KeyId::parse(&text) {
                error_msg += &format!(
                    "\nNote: the value is a PeerID; inspect its CID representation instead:\n  {peer}"
                );
            }
            Inspected { cid: text, error_msg, ..Inspected::default() }
        }
    };
    call.once(&inspected)
}

fn inspected(text: String, cid: &Cid) -> Inspected {
    let (base, hash) = (base_of_text(&text), cid.hash());
    // A version 0 is always of SHA-256, 32 bytes.
    let is_v0 = cid.codec() == DAG_PB && hash.code() != IDENTITY;
    let cid_v0 = is_v0.then(|| Cid::new_v0(*hash).ok()).flatten();
    let v1 = Cid::new_v1(cid.codec(), *hash).to_bytes();
    let in_v1 = if cid.version() == Version::V0 { Base::Base32Lower } else { base };
    Inspected {
        cid: text,
        version: cid.version().into(),
        multibase: InBase { prefix: base.code().to_string(), name: base_name(base) },
        multicodec: Named { code: cid.codec(), name: codec_name(cid.codec()) },
        multihash: Hash {
            code: hash.code(),
            name: hash_name(hash.code()),
            length: hash.digest().len(),
            digest: data_encoding::HEXLOWER.encode(hash.digest()),
        },
        cid_v0: cid_v0.map(|cid| cid.to_string()).unwrap_or_default(),
        cid_v1: cid::multibase::encode(in_v1, v1),
        error_msg: String::new(),
    }
}
