//! CIDs in answers.
//!
//! Owns which base they are written in. Rules: kubo `core/commands/cmdenv/cidbase.go`.

use cid::multibase::{Base, encode};
use coldfront::Cid;

use super::args::Options;
use super::error::Failed;

/// Names of multibases and their letters, as in the multibase table.
pub(super) const BASES: [(&str, char); 23] = [
    ("base2", '0'),
    ("base8", '7'),
    ("base10", '9'),
    ("base16", 'f'),
    ("base16upper", 'F'),
    ("base32", 'b'),
    ("base32upper", 'B'),
    ("base32pad", 'c'),
    ("base32padupper", 'C'),
    ("base32hex", 'v'),
    ("base32hexupper", 'V'),
    ("base32hexpad", 't'),
    ("base32hexpadupper", 'T'),
    ("base32z", 'h'),
    ("base36", 'k'),
    ("base36upper", 'K'),
    ("base58btc", 'z'),
    ("base58flickr", 'Z'),
    ("base64", 'm'),
    ("base64pad", 'M'),
    ("base64url", 'u'),
    ("base64urlpad", 'U'),
    ("base256emoji", '🚀'),
];

/// The multibase of a name, or of a letter.
pub(crate) fn base_named(name: &str) -> Option<Base> {
    let mut letters = name.chars();
    let letter = match (letters.next(), letters.next()) {
        (Some(letter), None) => Some(letter),
        _ => BASES.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter),
    };
    Base::from_code(letter?).ok()
}

/// How CIDs are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CidText {
    base: Base,
    upgrade: bool,
}

impl CidText {
    /// By the options `cid-base` and `upgrade-cidv0-in-output`.
    pub(crate) fn of(options: &Options) -> Result<CidText, Failed> {
        let name = options.text("cid-base").filter(|name| !name.is_empty());
        let base = match name {
            None => Base::Base32Lower,
            Some(name) => base_named(name)
                .ok_or_else(|| Failed::new(format!("unsupported multibase encoding: {name}")))?,
        };
        // Version 0 has one base only; in any other it is written as version 1.
        let other = name.is_some() && base != Base::Base58Btc;
        let upgrade = options.bool("upgrade-cidv0-in-output").unwrap_or(other);
        Ok(CidText { base, upgrade })
    }

    pub(crate) fn show(&self, cid: &Cid) -> String {
        match cid.version() {
            cid::Version::V0 if self.upgrade => {
                encode(self.base, Cid::new_v1(cid.codec(), *cid.hash()).to_bytes())
            }
            cid::Version::V0 => cid.to_string(),
            cid::Version::V1 => encode(self.base, cid.to_bytes()),
        }
    }
}
