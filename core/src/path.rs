//! A content path: a root CID and the names below it.
//!
//! Owns what an already decoded `/ipfs/CID/a/b` means. Must not know URLs, percent signs or HTTP:
//! names are bytes here, since link names of real archives are not always UTF-8.

use std::fmt;
use std::str::FromStr;

use cid::multibase::Base;

use crate::block::Cid;

/// `/ipfs/CID/a/b`: where to start and which links to follow. Holds no empty, `.` or `..` segment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ContentPath {
    root: Cid,
    segments: Vec<Box<[u8]>>,
}

/// Why a text is no content path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// The root is not a CID.
    #[error("invalid path \"{path}\": \"{root}\" is not a CID: {reason}")]
    InvalidCid {
        /// The whole path.
        path: String,
        /// The part that should be a CID.
        root: String,
        /// What the CID parser said.
        reason: String,
    },
    /// It does not begin with `/ipfs/`.
    #[error("invalid path \"{0}\": expected /ipfs/CID/name/...")]
    NoNamespace(String),
    /// Its `..` leave no root of it.
    #[error("invalid path \"{0}\": it leaves its root with \"..\"")]
    LeavesRoot(String),
}

impl ContentPath {
    /// A path that is the root itself.
    pub fn new(root: Cid) -> Self {
        ContentPath { root, segments: Vec::new() }
    }

    /// A path from a root and names. Empty names are left out; `.` and `..` are names like others.
    pub fn with_segments<S: AsRef<[u8]>>(root: Cid, segments: impl IntoIterator<Item = S>) -> Self {
        let segments = segments
            .into_iter()
            .filter(|s| !s.as_ref().is_empty())
            .map(|s| s.as_ref().into())
            .collect();
        ContentPath { root, segments }
    }

    /// The CID it starts from.
    pub fn root(&self) -> &Cid {
        &self.root
    }

    /// The names below the root, in order.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.segments.iter().map(|s| &**s)
    }

    /// The same path with one more name at its end.
    pub fn join(&self, name: &[u8]) -> Self {
        let mut longer = self.clone();
        if !name.is_empty() {
            longer.segments.push(name.into());
        }
        longer
    }

    /// The path without its last name; `None` for a bare root.
    pub fn parent(&self) -> Option<Self> {
        let mut shorter = self.clone();
        shorter.segments.pop().map(|_| shorter)
    }
}

impl FromStr for ContentPath {
    type Err = PathError;

    /// Parses `/ipfs/CID/a/b` or `CID/a/b` as Kubo's commands do (boxo `path.NewPath`, then the same with
    /// `/ipfs/` in front): slashes collapse wherever they stand, and `.` and `..` are resolved over the
    /// whole path, so that `..` may even lead from one root to another. No percent-decoding.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let given = cleaned(text.split('/'));
        let is_named = text.starts_with('/') && given.first() == Some(&"ipfs");
        let names = match is_named {
            true => given,
            false => cleaned(std::iter::once("ipfs").chain(text.split('/'))),
        };
        let (root, below) = match names.as_slice() {
            ["ipfs", root, below @ ..] => (*root, below),
            _ if text.split('/').any(|name| name == "..") => {
                return Err(PathError::LeavesRoot(text.into()));
            }
            _ => ("", &[][..]),
        };
        let cid = parse_cid(root).map_err(|reason| match text.starts_with('/') && !is_named {
            true => PathError::NoNamespace(text.into()),
            false => PathError::InvalidCid { path: text.into(), root: root.into(), reason },
        })?;
        Ok(ContentPath::with_segments(cid, below))
    }
}

/// The names of a path without those that say nothing, and without those that `..` takes back; it leads
/// nowhere above the first (Go's `path.Clean` of a rooted path).
fn cleaned<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut kept = Vec::new();
    for name in names {
        match name {
            "" | "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    kept
}

/// The longest text that is looked at as a CID, in bytes: 128 bytes of identity digest with their
/// framing, in the widest base anybody uses (base2 would be eight times longer; nobody does).
const MAX_CID_TEXT: usize = 512;

/// Parses a CID from text with bounded work; the error is a phrase that fits after "is not a CID: ".
pub fn parse_cid(text: &str) -> Result<Cid, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > MAX_CID_TEXT {
        return Err(format!("it has {} characters, more than {MAX_CID_TEXT}", text.len()));
    }
    // The parser would look for a CID behind the last "/ipfs/" of its text.
    if text.contains('/') {
        return Err("it has a slash".into());
    }
    // Multibase has a prefix for bytes as they are, NUL; such a CID is no text.
    if text.starts_with('\0') {
        return Err("it begins with a NUL byte".into());
    }
    let cid = Cid::from_str(text).map_err(|e| e.to_string())?;
    if spelled_len(&cid, text) != Some(text.len()) {
        return Err("bytes follow the CID in it".into());
    }
    Ok(cid)
}

/// The length of the CID in the base that `text` is in. The parser steps over what follows a CID, which
/// go-cid (`Cast`) refuses: a longer text would be a second name of the same block.
fn spelled_len(cid: &Cid, text: &str) -> Option<usize> {
    if text.starts_with("Qm") {
        return Some(cid.to_string().len());
    }
    let base = text.chars().next().and_then(|letter| Base::from_code(letter).ok())?;
    Some(cid::multibase::encode(base, cid.to_bytes()).len())
}

impl fmt::Display for ContentPath {
    /// `/ipfs/CID/a/b`; names that are not UTF-8 are shown with replacement characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/ipfs/{}", self.root)?;
        for segment in &self.segments {
            write!(f, "/{}", String::from_utf8_lossy(segment))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ROOT: &str = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

    fn shown(text: &str) -> String {
        text.parse::<ContentPath>().unwrap().to_string()
    }

    #[test]
    fn slashes_collapse_and_dots_are_resolved() {
        assert_eq!(shown(&format!("/ipfs/{ROOT}//a/./b/../c/")), format!("/ipfs/{ROOT}/a/c"));
        assert_eq!(shown(&format!("{ROOT}/a")), format!("/ipfs/{ROOT}/a"));
    }

    /// What `ipfs resolve` of Kubo 0.42 takes for which path, and what it refuses.
    #[test]
    fn a_path_means_what_kubo_takes_it_for() {
        let accepted = [
            ("/ipfs/R/a", "R/a"),
            ("//ipfs//R//a", "R/a"),
            ("/ipfs//R/a/", "R/a"),
            ("R/a", "R/a"),
            ("R//a/", "R/a"),
            ("/R/a", "R/a"),
            ("//R/a", "R/a"),
            ("./R/a", "R/a"),
            ("/ipfs/R/a/../x", "R/x"),
            ("/ipfs/R/../R/x", "R/x"),
            ("/ipfs/R/a/../../R/x", "R/x"),
            ("R/a/../../R/x", "R/x"),
            ("/ipfs/R/./a/./b", "R/a/b"),
            ("/ipfs/./R/a", "R/a"),
            ("/./ipfs/R/a", "R/a"),
            ("/../ipfs/R/a", "R/a"),
            ("/x/../ipfs/R/a", "R/a"),
            ("/ipfs/../ipfs/R/a", "R/a"),
            ("../ipfs/R", "R"),
            ("/ipfs/R/", "R"),
        ];
        for (text, path) in accepted {
            let (text, path) = (text.replace('R', ROOT), path.replace('R', ROOT));
            assert_eq!(shown(&text), format!("/ipfs/{path}"), "{text}");
        }
        let refused = [
            "ipfs/R/a",
            "ipfs://R/a",
            "/IPFS/R/a",
            "/ipfs/R/a/../..",
            "/ipfs/R/..",
            "R/..",
            "R/../x",
            "/ipfs/",
            "/ipfs",
            "/",
            "",
        ];
        for text in refused {
            let text = text.replace('R', ROOT);
            let error = text.parse::<ContentPath>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("invalid path \"{text}\": ")), "{error}");
        }
    }

    #[test]
    fn a_path_cannot_climb_above_its_root() {
        let text = format!("/ipfs/{ROOT}/a/../..");
        assert_eq!(text.parse::<ContentPath>(), Err(PathError::LeavesRoot(text)));
    }

    #[test]
    fn a_bad_root_names_the_path_and_the_root() {
        let error = "/ipfs/QmInvalidCID/x".parse::<ContentPath>().unwrap_err().to_string();
        assert!(
            error.starts_with("invalid path \"/ipfs/QmInvalidCID/x\": \"QmInvalidCID\""),
            "{error}"
        );
        assert!("/ipns/x".parse::<ContentPath>().is_err());
        assert!("".parse::<ContentPath>().is_err());
        assert!(parse_cid(&"b".repeat(100_000)).is_err());
    }

    #[test]
    fn bytes_as_they_are_are_no_cid_in_text() {
        assert!(parse_cid("\0\u{1}\u{16} \u{1}љ").is_err());
    }

    #[test]
    fn a_cid_has_one_spelling_in_each_base_and_nothing_around_it() {
        let cid = parse_cid(ROOT).unwrap();
        let spelled = |base| cid::multibase::encode(base, cid.to_bytes());
        for base in [
            Base::Base32Lower,
            Base::Base32Upper,
            Base::Base58Btc,
            Base::Base36Lower,
            Base::Base64Url,
        ] {
            assert_eq!(parse_cid(&spelled(base)).unwrap(), cid);
        }
        let v0 = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH";
        assert_eq!(parse_cid(v0).unwrap().to_string(), v0);
        let with_more = [&cid.to_bytes()[..], b"!"].concat();
        let with_more = cid::multibase::encode(Base::Base32Lower, with_more);
        // As long as the CID is in the base that its first letter names.
        let hex = spelled(Base::Base16Lower).len();
        let padded = format!("f{:0>width$}", format!("/ipfs/{ROOT}"), width = hex - 1);
        assert_eq!(padded.len(), hex);
        for other in [&format!("/ipfs/{ROOT}"), &format!("x/ipfs/{ROOT}"), &with_more, &padded] {
            assert!(parse_cid(other).is_err(), "{other}");
        }
    }
}
