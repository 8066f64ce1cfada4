//! A line of text: a CID, perhaps with what `ipfs pin ls` writes behind it.
//!
//! Pure. Owns nothing but the order of the words.

use super::{ListedPin, Reason, cid};
use crate::pin::PinMode;

/// `CID`, `/ipfs/CID`, `CID MODE` or `CID MODE NAME`; a name may have spaces.
pub(super) fn pin(line: &[u8]) -> Result<ListedPin, Reason> {
    let line = std::str::from_utf8(line).map_err(|_| Reason::BadCid)?.trim();
    let (first, rest) = word(line);
    let mut pin = ListedPin::new(cid(first)?);
    let (mode, name) = word(rest);
    match mode {
        "recursive" | "" => {}
        "direct" => pin.mode = PinMode::Direct,
        // `indirect through CID`
        "indirect" => return Err(Reason::Indirect),
        // A remark behind a CID.
        remark if remark.starts_with('#') => return Ok(pin),
        _ => return Err(Reason::UnknownType),
    }
    pin.set_name(name);
    Ok(pin)
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (word, rest.trim_start())
}
