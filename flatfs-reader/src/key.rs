//! The name of a block in the tree: raw key bytes and the file name made of them.
//!
//! Knows base32 and the length of a file name. Must not know what the bytes mean: a multihash since Kubo's
//! repository version 12, a whole CID before. Rules: boxo `datastore/dshelp/key.go` (base32, upper case, no padding),
//! go-ds-flatfs `key.go` and `flatfs.go` (`<text>.data`).

use std::fmt;

use data_encoding::BASE32_NOPAD;

/// What go-ds-flatfs appends to the text of a key.
pub(crate) const EXTENSION: &str = ".data";

/// Longest key in bytes whose file name fits the 255 bytes that Linux file systems allow: 250 base32 digits and `.data`.
///
/// Kubo's own keys end at about 134 bytes (a 128-byte digest and its prefix).
pub const MAX_KEY_LEN: usize = 156;

/// The raw bytes under which a block is stored: a multihash, or a whole CID in repositories older than version 12.
///
/// Any bytes make a key; whether one can be held is decided at the look-up. The text form is made there too,
/// so making and copying a key is free.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// Takes the bytes as they are. Free.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Key(bytes)
    }

    /// The bytes it was made of.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text that go-ds-flatfs uses: base32, upper case, without padding. One allocation of 8/5 of the key's length.
    #[must_use]
    pub fn text(self) -> String {
        BASE32_NOPAD.encode(self.0)
    }

    /// No tree holds the empty key: go-ds-flatfs calls it invalid and answers "not found".
    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether the file name made of it is one that a file system accepts.
    pub(crate) const fn fits_a_file_name(self) -> bool {
        self.0.len() <= MAX_KEY_LEN
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key of megabytes must not become a log line of megabytes.
        let shown = self.0.get(..MAX_KEY_LEN).unwrap_or(self.0);
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "Key({}{more})", BASE32_NOPAD.encode(shown))
    }
}
