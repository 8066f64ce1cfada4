//! Lists of pins, as Kubo, IPFS Cluster and operators write them, read as a stream.
//!
//! Owns telling the forms apart and what each of their fields means for a pin here. Must not know where pins go.
//! One record is held at a time, whatever the length of the list. Rules: kubo `core/commands/pin/pin.go`, ipfs-cluster
//! `api/types.go`, and the entries of its changelog on exports.
//!
//! | form | looks like |
//! |---|---|
//! | plain list | a CID or `/ipfs/CID` a line; `#` begins a comment |
//! | `ipfs pin ls` as text | `CID recursive NAME` |
//! | `ipfs pin ls --enc=json` | `{"Keys":{"CID":{"Type":"recursive","Name":""}}}` |
//! | the same with `--stream` | `{"Cid":"CID","Type":"recursive"}` a line |
//! | (A) `ipfs-cluster-service state export`, (C) `GET /allocations` | one object a line |
//! | (B) `ipfs-cluster-ctl --enc=json pin ls` | the same objects over many lines each; before 1.0 in an array |
//! | (D) `GET /pins`, `ipfs-cluster-ctl --enc=json status` | objects with a `peer_map` |
//!
//! Forms may follow one another in one list. Nothing is passed over silently: what is no pin comes as
//! [`Listed::Skipped`] with its line, and what was understood with a doubt has [`ListedPin::notes`].
//!
//! ```
//! use coldfront::migrate::pin_lists::{Listed, PinList, PinListOptions, Tally};
//!
//! let list = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy recursive holidays\nnonsense\n";
//! let mut tally = Tally::default();
//! for listed in PinList::new(list.as_bytes(), PinListOptions::default()) {
//!     let listed = listed?;
//!     tally.count(&listed);
//!     if let Listed::Pin(pin) = listed {
//!         assert_eq!(pin.name, "holidays");
//!     }
//! }
//! assert_eq!((tally.pins(), tally.skipped()), (1, 1));
//! # Ok::<(), std::io::Error>(())
//! ```

mod object;
mod split;
mod tally;
mod text;
mod time;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

pub use split::MAX_RECORD_LEN;
pub use tally::{Lines, MAX_LINES_TOLD, Tally};
pub use write::{write_cluster_pin, write_text_pin};

use split::{Piece, Splitter};

use crate::block::Cid;
use crate::pin::{MAX_NAME_LEN, PinMode};

/// A pin of a list, whatever form it stood in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPin {
    /// The line on which it begins, counted from 1.
    pub line: u64,
    /// The root, as it is spelled there.
    pub cid: Cid,
    /// How much is to be kept.
    pub mode: PinMode,
    /// Its name; empty for none. At most [`MAX_NAME_LEN`] bytes.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: Option<u64>,
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
    /// Labels of its owner.
    pub metadata: BTreeMap<String, String>,
    /// Addresses of peers that had the content.
    pub origins: Vec<String>,
    /// What only IPFS Cluster knows of it.
    pub cluster: ClusterPin,
    /// What is doubtful about it.
    pub notes: Vec<Note>,
}

impl ListedPin {
    /// A recursive pin of which nothing else is known.
    pub fn new(cid: Cid) -> ListedPin {
        ListedPin {
            line: 0,
            cid,
            mode: PinMode::Recursive,
            name: String::new(),
            created: None,
            expires: None,
            metadata: BTreeMap::new(),
            origins: Vec::new(),
            cluster: ClusterPin::default(),
            notes: Vec::new(),
        }
    }

    /// Gives it a name, cut where one may not be longer.
    fn set_name(&mut self, name: &str) {
        let mut end = name.len().min(MAX_NAME_LEN);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        if end < name.len() {
            self.notes.push(Note::NameCut);
        }
        self.name = name.get(..end).unwrap_or_default().to_owned();
    }
}

/// What IPFS Cluster knows of a pin beside what it keeps. Has no meaning here; it is kept so that a state that is
/// written for the way back says it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPin {
    /// The fewest peers that should hold it; -1 for all.
    pub replication_min: i64,
    /// The most; -1 for all.
    pub replication_max: i64,
    /// Peers that hold it; empty for all.
    pub allocations: Vec<String>,
    /// Peers that its owner asked for.
    pub user_allocations: Vec<String>,
    /// The CID that it took the place of.
    pub update: Option<Cid>,
    /// Bytes of a shard, of content that was added in shards.
    pub shard_size: u64,
}

/// Held by all peers.
impl Default for ClusterPin {
    fn default() -> Self {
        ClusterPin {
            replication_min: -1,
            replication_max: -1,
            allocations: Vec::new(),
            user_allocations: Vec::new(),
            update: None,
            shard_size: 0,
        }
    }
}

/// Something about a pin that whoever imports it may want to know. The pin was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Note {
    /// The name was longer than a pin's name may be, and was cut.
    NameCut,
    /// It was pinned to a depth that nothing else knows; taken as recursive.
    DepthLimited,
    /// Its mode and its depth say different things; taken as recursive.
    ModesDiffer,
    /// The form does not tell its mode; taken as recursive.
    ModeUnknown,
    /// The content was added to a cluster in shards: this is its root, of which each peer may hold a part only.
    Sharded,
    /// A time in it could not be read, and was left out.
    BadTime,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Note::NameCut => "name cut to 255 bytes",
            Note::DepthLimited => "pinned to a limited depth, taken as recursive",
            Note::ModesDiffer => "mode and depth differ, taken as recursive",
            Note::ModeUnknown => "the form tells no mode, taken as recursive",
            Note::Sharded => "root of content in shards, which this peer may hold in part",
            Note::BadTime => "a time that cannot be read, left out",
        })
    }
}

/// Something in a list that makes no pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The line on which it begins, counted from 1.
    pub line: u64,
    /// Why.
    pub reason: Reason,
    /// The CID, or the beginning of what stands there.
    pub text: String,
}

/// Why something in a list makes no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its time is over.
    Expired,
    /// It is allocated to other peers.
    OtherPeer,
    /// An indirect pin: it hangs below another one.
    Indirect,
    /// A piece of content in shards; the root of the content is listed as well.
    Shard,
    /// The list of the shards of some content; its root is listed as well.
    ClusterDag,
    /// A kind of pin that is not known.
    UnknownType,
    /// What stands in the place of a CID is none.
    BadCid,
    /// It is JSON without a CID.
    NoPin,
    /// It begins like JSON and is not.
    NotReadable,
    /// It is longer than [`MAX_RECORD_LEN`].
    TooLong,
    /// The list, or what begins behind it, comes before its end.
    CutShort,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Expired => "expired",
            Reason::OtherPeer => "allocated to other peers",
            Reason::Indirect => "indirect, below another pin",
            Reason::Shard => "a shard, below a root that is listed as well",
            Reason::ClusterDag => "a list of shards",
            Reason::UnknownType => "of an unknown type",
            Reason::BadCid => "no CID",
            Reason::NoPin => "JSON without a CID",
            Reason::NotReadable => "not readable",
            Reason::TooLong => "longer than a record may be",
            Reason::CutShort => "cut short",
        })
    }
}

/// What a list says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A pin.
    Pin(Box<ListedPin>),
    /// Something that makes none.
    Skipped(Skipped),
}

/// How a list is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PinListOptions {
    /// The ID of one's own peer in a cluster: pins that are allocated to others only are skipped. `None` takes all.
    pub peer: Option<String>,
    /// What is over at this time is skipped, in seconds since 1970. The time of the call by default.
    pub now: u64,
}

impl Default for PinListOptions {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        PinListOptions { peer: None, now: since.map_or(0, |since| since.as_secs()) }
    }
}

/// The pins of a list, in its order. Repeats come as often as they stand there. Holds one record and a buffer of 64 KiB.
///
/// Fails only when reading does, and ends then.
pub struct PinList<R> {
    pieces: Splitter<R>,
    options: PinListOptions,
    ended: bool,
}

impl<R: Read> PinList<R> {
    /// Reads a list. No buffer is needed below.
    pub fn new(input: R, options: PinListOptions) -> PinList<R> {
        PinList { pieces: Splitter::new(input), options, ended: false }
    }

    fn understand(&self, line: u64, piece: Piece) -> Listed {
        let (text, pin) = match piece {
            Piece::Line(text) => (excerpt(&text), text::pin(&text)),
            Piece::Object(bytes) => (excerpt(&bytes), object::pin(&bytes)),
            Piece::Keyed { key, value } => (excerpt(&key), object::keyed_pin(&key, &value)),
            Piece::Bad { reason, start } => (excerpt(&start), Err(reason)),
        };
        let skipped = |text: String, reason| Listed::Skipped(Skipped { line, reason, text });
        match pin {
            Err(reason) => skipped(text, reason),
            Ok(pin) => match self.unwanted(&pin) {
                Some(reason) => skipped(pin.cid.to_string(), reason),
                None => Listed::Pin(Box::new(ListedPin { line, ..pin })),
            },
        }
    }

    fn unwanted(&self, pin: &ListedPin) -> Option<Reason> {
        if pin.expires.is_some_and(|at| at <= self.options.now) {
            return Some(Reason::Expired);
        }
        let peer = self.options.peer.as_ref()?;
        let held = &pin.cluster.allocations;
        (!held.is_empty() && !held.contains(peer)).then_some(Reason::OtherPeer)
    }
}

impl<R: Read> Iterator for PinList<R> {
    type Item = io::Result<Listed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.pieces.next_piece().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        Some(next?.map(|(line, piece)| self.understand(line, piece)))
    }
}

impl<R> fmt::Debug for PinList<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinList").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Enough of something foreign to find it again.
fn excerpt(bytes: &[u8]) -> String {
    /// Characters that are repeated.
    const SHOWN: usize = 80;
    let text = String::from_utf8_lossy(bytes.get(..SHOWN * 4).unwrap_or(bytes));
    text.trim().chars().flat_map(char::escape_debug).take(SHOWN).collect()
}

/// A CID as lists spell it: bare, or behind `/ipfs/`.
fn cid(text: &str) -> Result<Cid, Reason> {
    let text = text.trim();
    let text = text.strip_prefix("/ipfs/").unwrap_or(text).trim_end_matches('/');
    crate::path::parse_cid(text).map_err(|_| Reason::BadCid)
}
