//! `key/…`: keys with names. Twin of kubo `core/commands/keystore.go`.
//!
//! No command gives a private key away: Kubo refuses `key export` over its API as well.

use std::io::Read as _;

use cid::multibase::{Base, decode, encode};
use coldfront::keys::{Key, KeyForm, KeyId, MAX_KEY_LEN, Named, SELF};
use serde::Serialize;

use super::call::Call;
use super::cid_text::base_named;
use super::error::Failed;
use super::table::{Arg, Class, Command, Effect, Opt};

pub(super) const IPNS_BASE: Opt =
    Opt::text(&["ipns-base"], "How names are written: b58mh for a peer ID, or a multibase")
        .or("base36");

const LONG: Opt = Opt::flag(&["l"], "For clients that print: names as well");

const KEY: &str = r#"{"Name","Id"}"#;
const KEYS: &str = r#"{"Keys":[{"Name","Id"}]}"#;

/// What stands in front of bytes that are signed, so that no signature is good for anything else.
const SIGNED: &[u8] = b"libp2p-key signed message:";

/// The most bytes that are signed or checked: they are hashed in one piece.
const MAX_SIGNED: u64 = 16 * 1024 * 1024;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg::text("name", "The name of the new key")],
        options: &[
            Opt::text(&["type", "t"], "The kind of key: ed25519").or("ed25519"),
            Opt::int(&["size", "s"], "Ignored: keys of this kind have one size"),
            IPNS_BASE,
        ],
        output: KEY,
        effect: Effect::Writes,
        ..Command::new("key/gen", "Make a key", generate)
    },
    Command {
        options: &[LONG, IPNS_BASE],
        output: KEYS,
        ..Command::new("key/ls", "All keys", list)
    },
    Command {
        options: &[LONG, IPNS_BASE],
        output: KEYS,
        ..Command::new("key/list", "All keys; key/ls by its older name", list)
    },
    Command {
        args: &[
            Arg::text("name", "The name that the key gets"),
            Arg { variadic: false, ..Arg::files("key", "The key") },
        ],
        options: &[
            IPNS_BASE,
            Opt::text(&["format", "f"], "libp2p-protobuf-cleartext or pem-pkcs8-cleartext")
                .or("libp2p-protobuf-cleartext"),
            Opt::flag(&["allow-any-key-type"], "Take keys that are neither RSA nor Ed25519")
                .or("false"),
        ],
        output: KEY,
        effect: Effect::Writes,
        class: Class::Upload,
        ..Command::new("key/import", "Keep a key that was made elsewhere", import)
    },
    Command {
        args: &[Arg::text("name", "The key"), Arg::text("newName", "Its new name")],
        options: &[
            Opt::flag(&["force", "f"], "Take the name of another key, which is lost"),
            IPNS_BASE,
        ],
        output: r#"{"Was","Now","Id","Overwrite"}"#,
        effect: Effect::Writes,
        ..Command::new("key/rename", "Give a key another name", rename)
    },
    Command {
        args: &[Arg::text("name", "The keys").many().stdin()],
        options: &[LONG, IPNS_BASE],
        output: KEYS,
        effect: Effect::Removes,
        ..Command::new("key/rm", "Remove keys", remove)
    },
    Command {
        args: &[Arg { variadic: false, ..Arg::files("data", "What to sign") }],
        options: &[
            Opt::text(&["key", "k"], "The name of the key; none for the node's own"),
            IPNS_BASE,
        ],
        output: r#"{"Key":{"Name","Id"},"Signature"}"#,
        // A signature is power over a name.
        effect: Effect::Writes,
        class: Class::Upload,
        ..Command::new("key/sign", "Sign bytes", sign)
    },
    Command {
        args: &[Arg { variadic: false, ..Arg::files("data", "What was signed") }],
        options: &[
            Opt::text(&["key", "k"], "The name of the key, or its public name"),
            Opt::text(&["signature", "s"], "The signature in a multibase"),
            IPNS_BASE,
        ],
        output: r#"{"Key":{"Name","Id"},"SignatureValid"}"#,
        class: Class::Upload,
        ..Command::new("key/verify", "Check a signature", verify)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    name: String,
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AllShown {
    keys: Vec<Shown>,
}

/// A public name as the call asks for it.
fn id_text(call: &Call, id: &KeyId) -> Result<String, Failed> {
    match call.options.text("ipns-base").unwrap_or("base36") {
        "b58mh" | "v0" => Ok(id.peer_id()),
        name => base_named(name)
            .map(|base| id.in_base(base))
            .ok_or_else(|| Failed::new(format!("unsupported multibase encoding: {name}"))),
    }
}

fn shown(call: &Call, key: &Named) -> Result<Shown, Failed> {
    Ok(Shown { name: key.name.clone(), id: id_text(call, &key.id)? })
}

fn generate(call: &mut Call) -> Result<(), Failed> {
    // What is wrong with the base is said before a key is made.
    let own = call.daemon.names()?.keys().own().id();
    id_text(call, &own)?;
    let kind = call.options.text("type").unwrap_or_default();
    let key = call.daemon.names()?.keys().generate(call.arg(0), kind)?;
    let shown = shown(call, &key)?;
    call.once(&shown)
}

fn list(call: &mut Call) -> Result<(), Failed> {
    let keys = call.daemon.names()?.keys().list()?;
    let keys = keys.iter().map(|key| shown(call, key)).collect::<Result<_, _>>()?;
    call.once(&AllShown { keys })
}

/// The only file of the body, up to a length.
pub(super) fn only_file(call: &mut Call, max: u64) -> Result<Vec<u8>, Failed> {
    let mut parts = call.files()?;
    if parts.next_part()?.is_none() {
        return Err(Failed::new("expected a file argument"));
    }
    let mut bytes = Vec::new();
    parts.by_ref().take(max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(Failed::new(format!("more than {max} bytes, which is all that is read here"))),
        false => Ok(bytes),
    }
}

fn import(call: &mut Call) -> Result<(), Failed> {
    let name = call.arg(0).to_owned();
    let own = call.daemon.names()?.keys().own().id();
    id_text(call, &own)?;
    let form = KeyForm::by_name(call.options.text("format").unwrap_or_default())?;
    let bytes = only_file(call, MAX_KEY_LEN as u64)?;
    let any = call.options.flag("allow-any-key-type");
    let key = call.daemon.names()?.keys().import(&name, &Key::import(&bytes, form)?, any)?;
    let shown = shown(call, &key)?;
    call.once(&shown)
}

fn rename(call: &mut Call) -> Result<(), Failed> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Renamed {
        was: String,
        now: String,
        id: String,
        overwrite: bool,
    }
    let (was, now) = (call.arg(0).to_owned(), call.arg(1).to_owned());
    let keys = call.daemon.names()?.keys();
    let (key, overwrite) = keys.rename(&was, &now, call.options.flag("force"))?;
    let id = id_text(call, &key.id)?;
    call.once(&Renamed { was, now, id, overwrite })
}

fn remove(call: &mut Call) -> Result<(), Failed> {
    let mut keys = Vec::new();
    for name in &call.args {
        let key = call.daemon.names()?.keys().remove(name)?;
        keys.push(shown(call, &key)?);
    }
    call.once(&AllShown { keys })
}

/// The key that a call names, and what it is called in the answer.
fn named(call: &Call) -> Result<(String, Key), Failed> {
    let name = call.options.text("key").filter(|name| !name.is_empty()).unwrap_or(SELF);
    let keys = call.daemon.names()?.keys();
    let key = keys.list()?.iter().any(|key| key.name == name).then(|| keys.find(name));
    let key = key.ok_or_else(|| Failed::new("no key by the given name was found"))??;
    Ok((name.to_owned(), key))
}

fn sign(call: &mut Call) -> Result<(), Failed> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Signed {
        key: Shown,
        signature: String,
    }
    let bytes = only_file(call, MAX_SIGNED)?;
    let (name, key) = named(call)?;
    let signature = encode(Base::Base64Url, key.sign(&[SIGNED, &bytes].concat())?);
    let key = shown(call, &Named { name, id: key.id() })?;
    call.once(&Signed { key, signature })
}

fn verify(call: &mut Call) -> Result<(), Failed> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Verified {
        key: Shown,
        signature_valid: bool,
    }
    let text = call.options.text("signature").unwrap_or_default();
    let (_, signature) =
        decode(text).map_err(|_| Failed::new("selected encoding not supported"))?;
    let bytes = [SIGNED, &only_file(call, MAX_SIGNED)?].concat();
    let (key, valid) = match named(call) {
        Ok((name, key)) => (Named { name, id: key.id() }, key.verify(&bytes, &signature)),
        Err(_) => {
            let name = call.options.text("key").unwrap_or_default();
            let unknown = || {
                Failed::new(format!(
                    "'{name:?}' is not a known key, an IPNS Name, or a valid PeerID"
                ))
            };
            let id = KeyId::parse(name).ok_or_else(unknown)?;
            let valid = id.verify(&bytes, &signature);
            let valid =
                valid.ok_or_else(|| Failed::new("public key is not embedded in peer ID"))?;
            (Named { name: String::new(), id }, valid)
        }
    };
    let key = shown(call, &key)?;
    call.once(&Verified { key, signature_valid: valid })
}
