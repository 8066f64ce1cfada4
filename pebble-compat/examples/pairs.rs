//! Prints what a stopped store holds, a line a pair: the key (escaped), the value's length and its SHA-256.
//!
//!     cargo run -p coldfront-pebble --example pairs -- DIRECTORY [--salvage]

use std::io::Write;

use coldfront_pebble::{Options, Store};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: pairs DIRECTORY [--salvage]")?;
    let salvage = args.next().as_deref() == Some("--salvage");
    let store = Store::open_with(dir, Options::new().salvage(salvage))?;
    for note in store.notes() {
        eprintln!("{note}");
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for pair in store.scan(b"") {
        match pair {
            Ok((key, value)) => {
                let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&value));
                writeln!(out, "{} {} {digest}", key.escape_ascii(), value.len())?;
            }
            Err(error) if salvage => eprintln!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(out.flush()?)
}
