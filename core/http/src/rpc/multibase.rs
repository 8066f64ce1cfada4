//! `multibase/…`: bytes as text in a base, and back. Twin of kubo `core/commands/multibase.go`.

use cid::multibase::{Base, decode as decoded, encode as encoded};

use super::call::Call;
use super::cid::{CODES, base_of, bases};
use super::error::Failed;
use super::key::only_file;
use super::table::{Arg, Class, Command, Opt};

/// The most bytes that are turned into text or back, since that is done in one piece.
const MAX_BYTES: u64 = 1024 * 1024;

const BASE: Opt = Opt::text(&["b"], "The multibase of the answer").or("base64url");
const TEXT: &[Arg] = &[Arg { variadic: false, ..Arg::files("encoded_file", "The text") }];

const fn command(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Call) -> Result<(), Failed>,
) -> Command {
    Command { args: TEXT, output: "bytes", class: Class::Upload, ..Command::new(name, about, run) }
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg { variadic: false, ..Arg::files("file", "The bytes") }],
        options: &[BASE],
        ..command("multibase/encode", "Bytes as text in a multibase", encode)
    },
    command("multibase/decode", "The bytes that a text in a multibase says", decode),
    Command {
        options: &[BASE],
        ..command("multibase/transcode", "A text in a multibase in another one", transcode)
    },
    Command {
        options: &[
            Opt::flag(&["prefix"], "Used by clients"),
            Opt::flag(&["numeric"], "Used by clients"),
        ],
        output: CODES,
        ..Command::new("multibase/list", "Multibases", bases)
    },
];

/// The base of the answer: wrong ones are named before the body is read.
fn base(call: &Call) -> Result<Base, Failed> {
    base_of(call.options.text("b").unwrap_or_default())
}

fn bytes_of_text(call: &mut Call) -> Result<Vec<u8>, Failed> {
    let text = only_file(call, MAX_BYTES)?;
    let failed = |reason: String| Failed::new(format!("failed to decode multibase: {reason}"));
    let text = String::from_utf8(text).map_err(|_| failed("it is no text".into()))?;
    decoded(&text).map(|(_, bytes)| bytes).map_err(|error| failed(error.to_string()))
}

fn answer(call: &mut Call, bytes: Vec<u8>) -> Result<(), Failed> {
    call.begin_bytes("text/plain", None)?;
    call.bytes(bytes.into())
}

fn encode(call: &mut Call) -> Result<(), Failed> {
    let base = base(call)?;
    let bytes = only_file(call, MAX_BYTES)?;
    answer(call, encoded(base, bytes).into_bytes())
}

fn decode(call: &mut Call) -> Result<(), Failed> {
    let bytes = bytes_of_text(call)?;
    answer(call, bytes)
}

fn transcode(call: &mut Call) -> Result<(), Failed> {
    let base = base(call)?;
    let bytes = bytes_of_text(call)?;
    answer(call, encoded(base, bytes).into_bytes())
}
