//! The shard function: which directory of the tree a key's file lies in, and the one line of text that says so.
//!
//! Pure: bytes in, bytes out, no I/O. Knows nothing of keys beyond their text. Rules: go-ds-flatfs `shard.go`.

use std::fmt;
use std::iter::repeat_n;
use std::str::FromStr;

/// Longest shard directory name in bytes. go-ds-flatfs sets no bound, but a wider one names no directory that
/// a file system could hold, so no block could ever have been written under it.
pub const MAX_SHARD_LEN: u8 = u8::MAX;

/// What every shard identifier begins with.
const PREFIX: &str = "/repo/flatfs/shard/";

/// The only version there is.
const VERSION: &str = "v1";

/// Fills up keys that are shorter than the shard directory's name.
const PADDING: u8 = b'_';

/// Bytes of a malformed identifier that its error repeats.
const EXCERPT_LEN: usize = 80;

/// How go-ds-flatfs spreads keys over directories. The parameter is the length of the directory's name in bytes;
/// with 0 all files lie in the root.
///
/// `Display` and [`ShardFn::parse`] are inverse: the canonical form is what a `SHARDING` file holds, without its newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShardFn {
    /// The first bytes of the key text (`prefix/N`; Kubo before 0.4.5).
    Prefix(u8),
    /// The last bytes of the key text (`suffix/N`).
    Suffix(u8),
    /// The bytes before the last one of the key text (`next-to-last/N`; Kubo's default is 2).
    NextToLast(u8),
}

impl ShardFn {
    /// Reads a shard identifier such as `/repo/flatfs/shard/v1/next-to-last/2`; white space around it is ignored.
    ///
    /// # Errors
    /// [`ShardFnError`] when the text does not follow go-ds-flatfs's grammar, or when its parameter is negative
    /// (go-ds-flatfs would crash) or above [`MAX_SHARD_LEN`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ShardFnError> {
        let text = str::from_utf8(bytes).map_err(|_| ShardFnError::NotText)?.trim();
        let rest = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| ShardFnError::Shape { found: excerpt(text) })?;
        let mut parts = rest.split('/');
        let (Some(version), Some(name), Some(param), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ShardFnError::Shape { found: excerpt(text) });
        };
        if version != VERSION {
            return Err(ShardFnError::Version { found: excerpt(version) });
        }
        let make = match name {
            "prefix" => ShardFn::Prefix,
            "suffix" => ShardFn::Suffix,
            "next-to-last" => ShardFn::NextToLast,
            _ => {
                return Err(ShardFnError::Function { found: excerpt(name) });
            }
        };
        parse_param(param).map(make)
    }

    /// The shard directory of a key's text (base32, without slash and extension): exactly the parameter's number of
    /// bytes, padded with `_` where the key is shorter. Works on bytes, so any text will do. One allocation.
    #[must_use]
    pub fn shard_of(&self, key_text: impl AsRef<[u8]>) -> Vec<u8> {
        let text = key_text.as_ref();
        match *self {
            ShardFn::Prefix(n) => {
                let n = usize::from(n);
                let padding = repeat_n(PADDING, n.saturating_sub(text.len()));
                text.iter().copied().take(n).chain(padding).collect()
            }
            ShardFn::Suffix(n) => last_bytes(text, n),
            ShardFn::NextToLast(n) => last_bytes(text.split_last().map_or(text, |(_, t)| t), n),
        }
    }

    fn name(self) -> &'static str {
        match self {
            ShardFn::Prefix(_) => "prefix",
            ShardFn::Suffix(_) => "suffix",
            ShardFn::NextToLast(_) => "next-to-last",
        }
    }

    fn param(self) -> u8 {
        match self {
            ShardFn::Prefix(n) | ShardFn::Suffix(n) | ShardFn::NextToLast(n) => n,
        }
    }
}

/// Kubo's default, `next-to-last/2`.
impl Default for ShardFn {
    fn default() -> Self {
        ShardFn::NextToLast(2)
    }
}

impl FromStr for ShardFn {
    type Err = ShardFnError;

    fn from_str(text: &str) -> Result<Self, ShardFnError> {
        ShardFn::parse(text.as_bytes())
    }
}

impl fmt::Display for ShardFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{VERSION}/{}/{}", self.name(), self.param())
    }
}

/// The parameter as Go's `Atoi` reads it (a sign and leading zeros are allowed), within our bound.
fn parse_param(text: &str) -> Result<u8, ShardFnError> {
    let wide: i64 = text.parse().map_err(|_| ShardFnError::Param { found: excerpt(text) })?;
    u8::try_from(wide).map_err(|_| ShardFnError::OutOfBounds { found: wide })
}

/// The last `n` bytes of `text`, padded in front.
fn last_bytes(text: &[u8], n: u8) -> Vec<u8> {
    let n = usize::from(n);
    let padding = repeat_n(PADDING, n.saturating_sub(text.len()));
    let skipped = text.len().saturating_sub(n);
    padding.chain(text.iter().copied().skip(skipped)).collect()
}

/// Enough of a foreign text to recognise it, escaped, so that an error stays one short line.
fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().flat_map(char::escape_debug).take(EXCERPT_LEN).collect();
    if text.len() > EXCERPT_LEN {
        shown.push_str("...");
    }
    shown
}

/// Why a text is no shard identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardFnError {
    /// The bytes are not UTF-8.
    #[error("it is not text, expected a line like \"/repo/flatfs/shard/v1/next-to-last/2\"")]
    NotText,
    /// The prefix is not there, or not exactly three parts follow it.
    #[error("it says \"{found}\", expected a line like \"/repo/flatfs/shard/v1/next-to-last/2\"")]
    Shape {
        /// The whole identifier, shortened.
        found: String,
    },
    /// A version other than `v1`.
    #[error("its version is \"{found}\", expected \"v1\"; a newer format needs a newer reader")]
    Version {
        /// The version found, shortened.
        found: String,
    },
    /// A function other than the three.
    #[error("its function is \"{found}\", expected \"prefix\", \"suffix\" or \"next-to-last\"")]
    Function {
        /// The name found, shortened.
        found: String,
    },
    /// The parameter is no decimal number.
    #[error("its parameter is \"{found}\", expected a decimal number such as 2")]
    Param {
        /// The parameter found, shortened.
        found: String,
    },
    /// The parameter is a number that names no directory.
    #[error(
        "its parameter is {found}, expected 0 to {MAX_SHARD_LEN}, the length of a directory's name"
    )]
    OutOfBounds {
        /// The number found.
        found: i64,
    },
}
