//! The pins that a token made.
//!
//! Owns a list beside the file of tokens: a line for each pin that was made or removed, only ever added to. In memory it
//! is a set of short hashes. A line that is lost costs the owner the right to remove that pin, and never gives
//! anyone a right. Must not know what a pin is beyond its CID.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use coldfront::{Cid, parse_cid};
use sha2::{Digest as _, Sha256};

/// The pins that are remembered of one token: some 32 MB when all are there. With more it makes none.
pub const MAX_OWN_PINS: usize = 1_000_000;

/// The longest line of the list that is read, in bytes: a CID with the longest digest there is.
const MAX_LINE: usize = 512;

/// The pins of one token.
#[derive(Debug)]
pub(crate) struct OwnPins {
    path: PathBuf,
    /// Read at the first use.
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    pins: HashSet<Short>,
    file: File,
}

/// A CID as it is spelled, by half of its SHA-256.
type Short = [u8; 16];

fn short(cid: &Cid) -> Short {
    let hash: [u8; 32] = Sha256::digest(cid.to_bytes()).into();
    let mut short = Short::default();
    short.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    short
}

impl OwnPins {
    pub(super) fn new(path: PathBuf) -> OwnPins {
        OwnPins { path, known: Mutex::new(None) }
    }

    /// Whether the token made this pin. Reads the list once. Blocks.
    pub(crate) fn holds(&self, cid: &Cid) -> io::Result<bool> {
        self.with(|known| Ok(known.pins.contains(&short(cid))))
    }

    /// Whether it may make so many more.
    pub(crate) fn has_room(&self, more: usize) -> io::Result<bool> {
        self.with(|known| Ok(known.pins.len().saturating_add(more) <= MAX_OWN_PINS))
    }

    /// Notes that the token made these. To be called once they are pinned. Blocks.
    pub(crate) fn made(&self, cids: &[Cid]) -> io::Result<()> {
        self.with(|known| {
            let new = cids.iter().filter(|cid| known.pins.insert(short(cid)));
            let lines: String = new.map(|cid| format!("+{cid}\n")).collect();
            known.file.write_all(lines.as_bytes())
        })
    }

    /// Notes that one was removed. Blocks.
    pub(crate) fn removed(&self, cid: &Cid) -> io::Result<()> {
        self.with(|known| match known.pins.remove(&short(cid)) {
            true => known.file.write_all(format!("-{cid}\n").as_bytes()),
            false => Ok(()),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> io::Result<T>) -> io::Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_mut() {
            Some(known) => work(known),
            None => work(known.insert(self.read()?)),
        }
    }

    fn read(&self) -> io::Result<Known> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        let mut pins = HashSet::new();
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = io::Read::take(&mut lines, MAX_LINE as u64).read_until(b'\n', &mut line)?;
            if n == 0 {
                break;
            }
            let text = std::str::from_utf8(&line).ok().map(str::trim_end);
            let Some((sign, cid)) = text.and_then(|text| text.split_at_checked(1)) else {
                continue;
            };
            let Ok(cid) = parse_cid(cid) else { continue };
            match sign {
                "+" if pins.len() < MAX_OWN_PINS => drop(pins.insert(short(&cid))),
                "-" => drop(pins.remove(&short(&cid))),
                _ => {}
            }
        }
        // A line that a crash cut short is ended, so that the next one stands alone.
        let mut file = file;
        if line_is_open(&self.path)? {
            file.write_all(b"\n")?;
        }
        Ok(Known { pins, file })
    }
}

fn line_is_open(path: &std::path::Path) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    const B: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";

    fn cid(text: &str) -> Cid {
        parse_cid(text).unwrap()
    }

    #[test]
    fn what_was_made_is_known_after_a_restart_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins/ci");
        let pins = OwnPins::new(path.clone());
        assert!(!pins.holds(&cid(A)).unwrap());
        pins.made(&[cid(A), cid(B), cid(A)]).unwrap();
        pins.removed(&cid(B)).unwrap();
        let again = OwnPins::new(path.clone());
        assert!(again.holds(&cid(A)).unwrap() && !again.holds(&cid(B)).unwrap());
        assert_eq!(fs::read_to_string(path).unwrap(), format!("+{A}\n+{B}\n-{B}\n"));
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ci");
        fs::write(&path, format!("+{A}\n\u{fffd}\n+{}", &B[..20])).unwrap();
        let pins = OwnPins::new(path.clone());
        assert!(pins.holds(&cid(A)).unwrap());
        pins.made(&[cid(B)]).unwrap();
        assert!(OwnPins::new(path).holds(&cid(B)).unwrap());
    }
}
