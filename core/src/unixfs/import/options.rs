//! How content becomes blocks: every option of Kubo's `add` that changes a CID.
//!
//! Owns the defaults, what goes together and what does not, in Kubo's own words where it has some. Must
//! not know readers, stores or paths. Rules: kubo `config/import.go`, `core/commands/add.go` and
//! `core/coreiface/options/unixfs.go`, version 0.42.

use super::chunker::{Chunker, ChunkerError};
use crate::multihash;

/// Code of the hash function that CIDv0 allows alone.
const SHA2_256: u64 = 0x12;

/// The longest block that may become an identity CID, in bytes (boxo `verifcid`).
pub const MAX_INLINE: usize = multihash::MAX_DIGEST_LEN;

/// The most links a node of a file may have. Kubo sets no bound; this many make a block of less than
/// 2 MiB, which is what peers exchange.
pub const MAX_FILE_LINKS: usize = 32_768;

/// How content becomes blocks. The default is what Kubo does without any configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Where content is cut into leaves. Default: every 256 KiB.
    pub chunker: Chunker,
    /// How leaves hang below the root of a file. Default: balanced.
    pub layout: Layout,
    /// Version of the CIDs of dag-pb blocks, 0 or 1 (raw leaves always have 1). Default: 0, and 1 where
    /// the hash function is not sha2-256.
    pub cid_version: Option<u8>,
    /// The hash function. Default: sha2-256.
    pub hash: HashFunction,
    /// Whether leaves are raw blocks or dag-pb nodes. Default: raw with CIDs of version 1.
    pub raw_leaves: Option<bool>,
    /// Blocks of at most so many bytes become identity CIDs and are not stored. Default: none. At most
    /// [`MAX_INLINE`].
    pub inline_limit: Option<usize>,
    /// The most links of a node of a file, at least 2. Default: 174.
    pub max_file_links: usize,
    /// When and how directories are sharded.
    pub directories: DirectoryOptions,
    /// Entries come with a mode or a time of modification, which have no place in a raw block: leaves
    /// are dag-pb nodes then, and asking for raw ones is an error. Default: no.
    pub metadata: bool,
    /// Directories without entries are kept, but for the root, which always is. Default: yes.
    pub empty_directories: bool,
    /// Threads that hash leaves. Default: as many as there are cores. With 1 everything happens on the
    /// thread of the caller; the blocks are the same ones in the same order.
    pub threads: Option<usize>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions {
            chunker: Chunker::default(),
            layout: Layout::Balanced,
            cid_version: None,
            hash: HashFunction::default(),
            raw_leaves: None,
            inline_limit: None,
            max_file_links: 174,
            directories: DirectoryOptions::default(),
            metadata: false,
            empty_directories: true,
            threads: None,
        }
    }
}

impl ImportOptions {
    /// The defaults with CIDs of version 1 and raw leaves: `ipfs add --cid-version 1`.
    pub fn cid_v1() -> Self {
        ImportOptions { cid_version: Some(1), ..ImportOptions::default() }
    }
}

/// How leaves hang below the root of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    /// All at the same depth, filled from the left: for reading anywhere.
    #[default]
    Balanced,
    /// Leaves first, then ever deeper subtrees: for reading from the front.
    Trickle,
}

/// When a directory is spread over many blocks, and over how many a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// A directory with more entries than this is sharded whatever its size; 0 sets no such bound.
    /// Default: 0.
    pub max_links: usize,
    /// Slots of a HAMT shard, a power of two from 8 to 1024. Default: 256.
    pub max_fanout: u32,
    /// A directory whose size is more than this, in bytes, is sharded; 0 shards none, whatever
    /// `max_links` says. Default: 262,144.
    pub threshold: u64,
    /// What is taken for the size of a directory.
    pub estimate: SizeEstimate,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        DirectoryOptions {
            max_links: 0,
            max_fanout: 256,
            threshold: 256 * 1024,
            estimate: SizeEstimate::Links,
        }
    }
}

/// What is taken for the size of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SizeEstimate {
    /// The bytes of its names and binary CIDs.
    #[default]
    Links,
    /// The length of the block that it would be.
    Block,
    /// Nothing: only the number of entries counts.
    Disabled,
}

/// A hash function that may make CIDs, with its usual digest length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashFunction {
    code: u64,
    len: usize,
}

impl Default for HashFunction {
    fn default() -> Self {
        HashFunction { code: SHA2_256, len: 32 }
    }
}

impl HashFunction {
    /// By its name in the multicodec table, such as `sha2-256` or `blake2b-256`; upper case is allowed.
    pub fn by_name(name: &str) -> Result<Self, OptionsError> {
        let name = name.to_lowercase();
        let Some(code) = multihash::code_of(&name) else {
            return Err(OptionsError::UnknownHash(name));
        };
        Self::by_code(code).ok_or(OptionsError::HashNotAllowed(name))
    }

    /// By its multicodec; `None` if Kubo does not let it into CIDs.
    pub fn by_code(code: u64) -> Option<Self> {
        multihash::usual_len(code).map(|len| HashFunction { code, len })
    }

    /// Its multicodec.
    pub fn code(&self) -> u64 {
        self.code
    }

    /// Bytes of its digests.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// What the owner of a file said of it, beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Unix permissions, of which the low 12 bits are kept; 0 is none, as in Kubo. Symbolic links
    /// keep none.
    pub mode: Option<u32>,
    /// The time of modification.
    pub mtime: Option<super::Mtime>,
}

impl Metadata {
    /// No mode and no time.
    pub const NONE: Metadata = Metadata { mode: None, mtime: None };

    pub(super) fn permissions(&self) -> Option<u32> {
        self.mode.map(|mode| mode & 0o7777).filter(|mode| *mode != 0)
    }

    /// A time whose nanoseconds make another second is none, which is how boxo reads it.
    pub(super) fn time(&self) -> Option<super::Mtime> {
        self.mtime.filter(|time| time.nanos < 1_000_000_000)
    }
}

/// Options that do not go together, or that nothing can be made with. Where Kubo refuses the same, the
/// sentence is Kubo's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The chunker's text or bounds.
    #[error(transparent)]
    Chunker(#[from] ChunkerError),
    /// No function has this name.
    #[error("unrecognized hash function: {0:?}")]
    UnknownHash(String),
    /// A function that must not make CIDs.
    #[error("hash function {0:?} is not allowed for use in IPFS")]
    HashNotAllowed(String),
    /// CIDv0 with another function than sha2-256.
    #[error("CIDv0 only supports sha2-256")]
    CidV0Hash,
    /// A version that CIDs do not have.
    #[error("unknown CID version: {0}")]
    CidVersion(u8),
    /// Raw blocks cannot hold a mode or a time.
    #[error("raw-leaves can't be used with UnixFS metadata like mode or modification time")]
    RawLeavesMetadata,
    /// An identity CID has room for less.
    #[error("inline-limit {0} exceeds maximum allowed size of {max} bytes", max = MAX_INLINE)]
    InlineLimit(usize),
    /// A node of a file with too few links to ever hold a file, or too many for a block.
    #[error("max-file-links is {0}, expected 2 to {max}", max = MAX_FILE_LINKS)]
    FileLinks(usize),
    /// A number of slots that no shard has.
    #[error("HAMT fanout must be a power of 2, between 8 and 1024 (got {0})")]
    Fanout(u32),
}

/// Options that go together, with every default filled in.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) chunker: Chunker,
    pub(super) layout: Layout,
    /// dag-pb blocks get CIDs of version 0.
    pub(super) cid_v0: bool,
    pub(super) hash: HashFunction,
    pub(super) raw_leaves: bool,
    pub(super) inline_limit: Option<usize>,
    pub(super) file_links: usize,
    pub(super) directories: DirectoryOptions,
    pub(super) empty_directories: bool,
    pub(super) threads: usize,
}

impl Plan {
    /// Fills in the defaults that depend on other options. Fails where Kubo fails.
    pub(super) fn of(options: &ImportOptions) -> Result<Plan, OptionsError> {
        let cid_v0 = match (options.cid_version, options.hash.code) {
            (None, SHA2_256) | (Some(0), SHA2_256) => true,
            (None, _) | (Some(1), _) => false,
            (Some(0), _) => return Err(OptionsError::CidV0Hash),
            (Some(version), _) => return Err(OptionsError::CidVersion(version)),
        };
        let raw_leaves = match (options.raw_leaves, options.metadata) {
            (Some(true), true) => return Err(OptionsError::RawLeavesMetadata),
            (_, true) => false,
            (Some(raw), false) => raw,
            (None, false) => !cid_v0,
        };
        let plan = Plan {
            chunker: options.chunker,
            layout: options.layout,
            cid_v0,
            hash: options.hash,
            raw_leaves,
            inline_limit: options.inline_limit,
            file_links: options.max_file_links,
            directories: options.directories,
            empty_directories: options.empty_directories,
            threads: options.threads.unwrap_or_else(crate::pool::cores).max(1),
        };
        plan.checked()
    }

    fn checked(self) -> Result<Plan, OptionsError> {
        self.chunker.check()?;
        if let Some(limit) = self.inline_limit.filter(|limit| *limit > MAX_INLINE) {
            return Err(OptionsError::InlineLimit(limit));
        }
        if !(2..=MAX_FILE_LINKS).contains(&self.file_links) {
            return Err(OptionsError::FileLinks(self.file_links));
        }
        let fanout = self.directories.max_fanout;
        if !(8..=1024).contains(&fanout) || !fanout.is_power_of_two() {
            return Err(OptionsError::Fanout(fanout));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(options: ImportOptions) -> String {
        Plan::of(&options).unwrap_err().to_string()
    }

    fn hash(name: &str) -> HashFunction {
        HashFunction::by_name(name).unwrap()
    }

    #[test]
    fn the_version_of_cids_and_the_form_of_leaves_follow_from_what_is_given() {
        let plan = |options: ImportOptions| {
            let plan = Plan::of(&options).unwrap();
            (plan.cid_v0, plan.raw_leaves)
        };
        let default = ImportOptions::default;
        assert_eq!(plan(default()), (true, false));
        assert_eq!(plan(ImportOptions::cid_v1()), (false, true));
        assert_eq!(plan(ImportOptions { raw_leaves: Some(true), ..default() }), (true, true));
        assert_eq!(plan(ImportOptions { hash: hash("sha1"), ..default() }), (false, true));
        assert_eq!(
            plan(ImportOptions { metadata: true, ..ImportOptions::cid_v1() }),
            (false, false)
        );
        let pb = ImportOptions { raw_leaves: Some(false), ..ImportOptions::cid_v1() };
        assert_eq!(plan(pb), (false, false));
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_kubos_words() {
        let default = ImportOptions::default;
        let v0 = ImportOptions { cid_version: Some(0), hash: hash("sha2-512"), ..default() };
        assert_eq!(refused(v0), "CIDv0 only supports sha2-256");
        let v2 = ImportOptions { cid_version: Some(2), ..default() };
        assert_eq!(refused(v2), "unknown CID version: 2");
        let raw = ImportOptions { raw_leaves: Some(true), metadata: true, ..default() };
        assert_eq!(
            refused(raw),
            "raw-leaves can't be used with UnixFS metadata like mode or modification time"
        );
        let inline = ImportOptions { inline_limit: Some(129), ..default() };
        assert_eq!(refused(inline), "inline-limit 129 exceeds maximum allowed size of 128 bytes");
        let fanout = |max_fanout| ImportOptions {
            directories: DirectoryOptions { max_fanout, ..DirectoryOptions::default() },
            ..default()
        };
        for bad in [0, 4, 100, 2048] {
            let sentence =
                format!("HAMT fanout must be a power of 2, between 8 and 1024 (got {bad})");
            assert_eq!(refused(fanout(bad)), sentence);
        }
        let chunker = ImportOptions { chunker: Chunker::Size(0), ..default() };
        assert_eq!(refused(chunker), "chunker size must be greater than 0");
    }

    #[test]
    fn a_file_node_needs_two_links_or_there_would_be_no_end_of_levels() {
        for bad in [0, 1, MAX_FILE_LINKS + 1] {
            let options = ImportOptions { max_file_links: bad, ..ImportOptions::default() };
            assert!(
                matches!(Plan::of(&options), Err(OptionsError::FileLinks(links)) if links == bad)
            );
        }
    }

    #[test]
    fn hash_functions_are_those_that_kubo_lets_into_cids() {
        assert_eq!(
            HashFunction::by_name("nope").unwrap_err().to_string(),
            "unrecognized hash function: \"nope\""
        );
        for known in ["md5", "murmur3-x64-64", "shake-128", "blake2b-8"] {
            let error = HashFunction::by_name(known).unwrap_err();
            assert!(matches!(error, OptionsError::HashNotAllowed(_)), "{known}");
        }
        assert_eq!(hash("SHA2-256"), HashFunction::default());
    }
}
