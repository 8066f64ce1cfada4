//! The UnixFS message inside a dag-pb node: what kind of thing it is, its bytes and sizes.
//!
//! Owns the message `Data` and its timestamp. Must not know dag-pb or links. Borrowed: nothing is
//! copied. Rules: the UnixFS specification and boxo `ipld/unixfs/pb/unixfs.proto`, read as Go's
//! protobuf reads it for boxo: unknown fields and fields of another wire type are stepped over, of a
//! repeated single field the last one counts, and only the type (and a timestamp's seconds) must be there.

use super::wire::{self, FIXED32, LEN, PbError, PbFault, Reader, VARINT, fault};

pub(super) const TYPE: u32 = 1;
pub(super) const DATA: u32 = 2;
pub(super) const FILESIZE: u32 = 3;
const BLOCKSIZES: u32 = 4;
const HASH_TYPE: u32 = 5;
const FANOUT: u32 = 6;
const MODE: u32 = 7;
const MTIME: u32 = 8;

const MTIME_SECONDS: u32 = 1;
const MTIME_NANOS: u32 = 2;

pub(super) const TYPE_RAW: u64 = 0;
pub(super) const TYPE_FILE: u64 = 2;

/// The kinds of UnixFS node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// A leaf of a file, as trickle layouts have them; reads as a file does.
    Raw,
    /// A directory whose entries are the node's links.
    Directory,
    /// A file, or a part of one.
    File,
    /// A file with a MIME type beside it; nothing writes it any more.
    Metadata,
    /// A symbolic link; the data is its target.
    Symlink,
    /// A part of a directory that is spread over many blocks.
    HamtShard,
}

impl DataType {
    fn from_number(number: u64) -> Option<DataType> {
        Some(match u64::from(number as u32) {
            TYPE_RAW => DataType::Raw,
            1 => DataType::Directory,
            TYPE_FILE => DataType::File,
            3 => DataType::Metadata,
            4 => DataType::Symlink,
            5 => DataType::HamtShard,
            _ => return None,
        })
    }

    fn number(self) -> u64 {
        match self {
            DataType::Raw => TYPE_RAW,
            DataType::Directory => 1,
            DataType::File => TYPE_FILE,
            DataType::Metadata => 3,
            DataType::Symlink => 4,
            DataType::HamtShard => 5,
        }
    }
}

/// A time of last modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtime {
    /// Seconds since 1970-01-01T00:00:00Z; may be negative.
    pub seconds: i64,
    /// Nanoseconds to add, below 1,000,000,000.
    pub nanos: u32,
}

/// A UnixFS message. The numbers are as the writer gave them; none has been compared with another.
#[derive(Debug, Clone, Copy)]
pub struct UnixFsData<'a> {
    /// What the node is.
    pub data_type: DataType,
    /// File bytes, the target of a symlink, or the bitfield of a HAMT shard.
    pub data: Option<&'a [u8]>,
    /// The size of the file below and in this node, in bytes.
    pub filesize: Option<u64>,
    /// The multicodec of the hash function of a HAMT shard.
    pub hash_type: Option<u64>,
    /// The number of slots of a HAMT shard.
    pub fanout: Option<u64>,
    /// Unix permissions in the low 12 bits; the rest is the writer's own.
    pub mode: Option<u32>,
    /// When the content was last changed. `None` too where the nanoseconds are written and not within
    /// 1 to 999,999,999: boxo takes such a time for none.
    pub mtime: Option<Mtime>,
    pub(crate) blocksizes: Blocksizes<'a>,
}

impl<'a> UnixFsData<'a> {
    /// A message of nothing but its type, to be filled and encoded.
    pub fn new(data_type: DataType) -> UnixFsData<'a> {
        UnixFsData {
            data_type,
            data: None,
            filesize: None,
            hash_type: None,
            fanout: None,
            mode: None,
            mtime: None,
            blocksizes: Blocksizes::NONE,
        }
    }

    /// Reads the data of a dag-pb node. One pass over the fields.
    ///
    /// Fails when a field is cut short, the type is missing or unknown, or a time has no seconds.
    pub fn parse(message: &'a [u8]) -> Result<UnixFsData<'a>, PbError> {
        let mut reader = Reader::new(message);
        let mut data_type = None;
        let mut mtime = RawMtime::default();
        let mut parsed = UnixFsData::new(DataType::Raw);
        while !reader.is_empty() {
            let field_start = reader;
            match reader.key()? {
                (TYPE, VARINT) => data_type = Some((field_start.at(), reader.varint()?)),
                (DATA, LEN) => parsed.data = Some(reader.bytes()?.rest()),
                (FILESIZE, VARINT) => parsed.filesize = Some(reader.varint()?),
                (BLOCKSIZES, VARINT | LEN) => parsed.blocksizes.grow(field_start, &mut reader)?,
                (HASH_TYPE, VARINT) => parsed.hash_type = Some(reader.varint()?),
                (FANOUT, VARINT) => parsed.fanout = Some(reader.varint()?),
                // Protobuf keeps the low 32 bits of a longer number; of the type too.
                (MODE, VARINT) => parsed.mode = Some(reader.varint()? as u32),
                (MTIME, LEN) => mtime.merge(reader.bytes()?)?,
                (field, wire) => reader.skip(field, wire)?,
            }
        }
        let (at, number) = data_type.ok_or(fault(0, PbFault::Missing("the UnixFS type")))?;
        parsed.data_type =
            DataType::from_number(number).ok_or(fault(at, PbFault::UnknownType(number)))?;
        parsed.mtime = mtime.checked()?;
        Ok(parsed)
    }

    /// The content sizes of the node's children, in bytes and in the order of its links.
    pub fn blocksizes(&self) -> Blocksizes<'a> {
        self.blocksizes
    }

    /// Writes the message as Go does: fields in the order of their numbers, `blocksizes` each on its
    /// own. The sizes come from the argument alone, not from a message that was parsed.
    pub fn encode(&self, blocksizes: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, field, value: Option<u64>| {
            if let Some(value) = value {
                wire::put_number(out, field, value);
            }
        };
        number(&mut out, TYPE, Some(self.data_type.number()));
        if let Some(data) = self.data {
            wire::put_bytes(&mut out, DATA, data);
        }
        number(&mut out, FILESIZE, self.filesize);
        for size in blocksizes {
            number(&mut out, BLOCKSIZES, Some(size));
        }
        number(&mut out, HASH_TYPE, self.hash_type);
        number(&mut out, FANOUT, self.fanout);
        number(&mut out, MODE, self.mode.map(u64::from));
        if let Some(mtime) = self.mtime {
            wire::put_bytes(&mut out, MTIME, &mtime.encode());
        }
        out
    }
}

/// The sizes recorded for a node's children, read as they are asked for. The number left is known.
#[derive(Debug, Clone, Copy)]
pub struct Blocksizes<'a> {
    // From the first field of sizes to the end of the last; other fields may lie between.
    fields: Reader<'a>,
    // What is left of a field that holds several.
    packed: Reader<'a>,
    left: usize,
}

impl<'a> Blocksizes<'a> {
    const NONE: Blocksizes<'static> =
        Blocksizes { fields: Reader::new(&[]), packed: Reader::new(&[]), left: 0 };

    /// Takes in a field whose key begins at `start` and which `reader` is about to read the value of.
    fn grow(&mut self, start: Reader<'a>, reader: &mut Reader<'a>) -> Result<(), PbError> {
        if self.left == 0 {
            self.fields = start;
        }
        let mut ahead = Blocksizes { fields: start, packed: Reader::new(&[]), left: usize::MAX };
        ahead.open_field()?;
        while !ahead.packed.is_empty() {
            ahead.packed.varint()?;
            self.left += 1;
        }
        *reader = ahead.fields;
        Ok(())
    }

    /// Steps to the next field of sizes and opens it.
    fn open_field(&mut self) -> Result<(), PbError> {
        loop {
            match self.fields.key()? {
                (BLOCKSIZES, LEN) => {
                    self.packed = self.fields.bytes()?;
                    return Ok(());
                }
                (BLOCKSIZES, VARINT) => {
                    let start = self.fields;
                    self.fields.varint()?;
                    self.packed = start.up_to(&self.fields);
                    return Ok(());
                }
                (field, wire) => self.fields.skip(field, wire)?,
            }
        }
    }
}

impl Iterator for Blocksizes<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        // Neither read can fail: `UnixFsData::parse` has read and counted the same bytes.
        while self.packed.is_empty() {
            self.open_field().ok()?;
        }
        self.packed.varint().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Blocksizes<'_> {}
impl std::iter::FusedIterator for Blocksizes<'_> {}

impl Mtime {
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        wire::put_number(&mut out, MTIME_SECONDS, self.seconds.cast_unsigned());
        if self.nanos > 0 {
            wire::put_varint(&mut out, u64::from(MTIME_NANOS) << 3 | u64::from(FIXED32));
            out.extend_from_slice(&self.nanos.to_le_bytes());
        }
        out
    }
}

/// A timestamp as it is written, which may be in several pieces: protobuf merges repeated messages.
#[derive(Default)]
struct RawMtime {
    seen: bool,
    seconds: Option<i64>,
    nanos: Option<u32>,
}

impl RawMtime {
    fn merge(&mut self, mut reader: Reader<'_>) -> Result<(), PbError> {
        self.seen = true;
        while !reader.is_empty() {
            match reader.key()? {
                (MTIME_SECONDS, VARINT) => self.seconds = Some(reader.varint()?.cast_signed()),
                (MTIME_NANOS, FIXED32) => self.nanos = Some(reader.fixed32()?),
                (field, wire) => reader.skip(field, wire)?,
            }
        }
        Ok(())
    }

    fn checked(self) -> Result<Option<Mtime>, PbError> {
        match (self.seconds, self.nanos) {
            (None, _) if self.seen => Err(fault(0, PbFault::Missing("the seconds of mtime"))),
            (None, _) => Ok(None),
            (Some(seconds), None) => Ok(Some(Mtime { seconds, nanos: 0 })),
            (Some(seconds), Some(nanos @ 1..=999_999_999)) => Ok(Some(Mtime { seconds, nanos })),
            (Some(_), Some(_)) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: [u8; 2] = [0x08, 0x02];

    fn parse(tail: &[u8]) -> Result<(), PbFault> {
        let message = [&FILE, tail].concat();
        UnixFsData::parse(&message).map(drop).map_err(|error| error.fault)
    }

    fn sizes(tail: &[u8]) -> Vec<u64> {
        let message = [&FILE, tail].concat();
        let sizes = UnixFsData::parse(&message).unwrap().blocksizes();
        assert_eq!(sizes.len(), sizes.count());
        sizes.collect()
    }

    #[test]
    fn every_type_keeps_its_number() {
        use DataType::{Directory, File, HamtShard, Metadata, Raw, Symlink};
        for (number, data_type) in
            [Raw, Directory, File, Metadata, Symlink, HamtShard].iter().enumerate()
        {
            let message = UnixFsData::new(*data_type).encode([]);
            assert_eq!(message, [0x08, number as u8]);
            assert_eq!(UnixFsData::parse(&message).unwrap().data_type, *data_type);
        }
        assert_eq!(UnixFsData::parse(&[0x08, 6]).unwrap_err().fault, PbFault::UnknownType(6));
    }

    #[test]
    fn a_message_without_a_type_is_refused() {
        for message in [&[][..], &[0x18, 0x00]] {
            let error = UnixFsData::parse(message).unwrap_err();
            assert_eq!(error.fault, PbFault::Missing("the UnixFS type"));
        }
    }

    #[test]
    fn every_field_comes_back() {
        let data = UnixFsData {
            data: Some(b"bytes"),
            filesize: Some(1),
            hash_type: Some(2),
            fanout: Some(3),
            mode: Some(0o100_644),
            mtime: Some(Mtime { seconds: -4, nanos: 5 }),
            ..UnixFsData::new(DataType::File)
        };
        let message = data.encode([6, 7 << 40]);
        let parsed = UnixFsData::parse(&message).unwrap();
        assert_eq!(parsed.blocksizes().collect::<Vec<_>>(), [6, 7 << 40]);
        let same = UnixFsData { blocksizes: Blocksizes::NONE, ..parsed };
        assert_eq!(format!("{same:?}"), format!("{data:?}"));
    }

    #[test]
    fn a_leaf_is_written_as_kubo_writes_it() {
        let data =
            UnixFsData { data: Some(b"hi"), filesize: Some(2), ..UnixFsData::new(DataType::File) };
        assert_eq!(data.encode([]), [0x08, 0x02, 0x12, 0x02, b'h', b'i', 0x18, 0x02]);
    }

    #[test]
    fn sizes_are_read_one_by_one_packed_and_mixed_and_across_other_fields() {
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[0x20, 5, 0x20, 0x80, 0x01]), [5, 128]);
        assert_eq!(sizes(&[0x22, 3, 5, 0x80, 0x01]), [5, 128]);
        assert!(sizes(&[0x22, 0]).is_empty());
        assert_eq!(
            sizes(&[0x22, 0, 0x20, 1, 0x38, 9, 0x22, 0, 0x22, 2, 2, 3, 0x20, 4]),
            [1, 2, 3, 4]
        );
    }

    #[test]
    fn packed_sizes_must_end_with_their_field() {
        assert_eq!(parse(&[0x22, 2, 5, 0x80]), Err(PbFault::Cut));
        assert_eq!(parse(&[0x22, 3, 5]), Err(PbFault::TooLong { len: 3, left: 1 }));
    }

    #[test]
    fn of_a_repeated_field_the_last_one_counts() {
        let message = [0x08, 0x01, 0x12, 1, b'a', 0x18, 1, 0x12, 1, b'b', 0x18, 2, 0x08, 0x02];
        let parsed = UnixFsData::parse(&message).unwrap();
        assert_eq!(parsed.data_type, DataType::File);
        assert_eq!((parsed.data, parsed.filesize), (Some(&b"b"[..]), Some(2)));
    }

    #[test]
    fn unknown_fields_and_other_wire_types_are_stepped_over() {
        let unknown = [
            &[0x48, 0x80, 0x01][..],
            &[0x4a, 2, 1, 2],
            &[0x4d, 1, 2, 3, 4],
            &[0x49, 1, 2, 3, 4, 5, 6, 7, 8],
            // filesize as bytes, Data as a number
            &[0x1a, 1, 9],
            &[0x10, 9],
        ];
        for field in unknown {
            let message = [&FILE, field, &[0x18, 3]].concat();
            let parsed = UnixFsData::parse(&message).unwrap();
            assert_eq!((parsed.filesize, parsed.data), (Some(3), None), "{field:?}");
            assert!(parse(&field[..field.len() - 1]).is_err(), "{field:?}");
        }
        assert_eq!(parse(&[0x4b, 0x4c]), Err(PbFault::WireType { field: 9, wire: 3 }));
    }

    #[test]
    fn a_mode_and_a_type_have_32_bits() {
        let message = [0x08, 0x82, 0x80, 0x80, 0x80, 0x10, 0x38, 0xa4, 0x83, 0x80, 0x80, 0x10];
        let parsed = UnixFsData::parse(&message).unwrap();
        assert_eq!((parsed.data_type, parsed.mode), (DataType::File, Some(0o644)));
    }

    #[test]
    fn only_the_last_type_must_be_a_known_one() {
        assert!(UnixFsData::parse(&[0x08, 9, 0x08, 2]).is_ok());
        let error = UnixFsData::parse(&[0x08, 2, 0x08, 9]).unwrap_err();
        assert_eq!(error, fault(2, PbFault::UnknownType(9)));
    }

    #[test]
    fn a_time_needs_seconds_and_sensible_nanoseconds() {
        let mtime = |field: &[u8]| {
            let mut message = FILE.to_vec();
            wire::put_bytes(&mut message, MTIME, field);
            UnixFsData::parse(&message).map(|data| data.mtime).map_err(|error| error.fault)
        };
        let nanos = |nanos: u32| [&[0x08, 5, 0x15][..], &nanos.to_le_bytes()].concat();
        let time = |seconds, nanos| Ok(Some(Mtime { seconds, nanos }));
        assert_eq!(mtime(&[0x08, 5]), time(5, 0));
        assert_eq!(mtime(&nanos(1)), time(5, 1));
        assert_eq!(mtime(&nanos(999_999_999)), time(5, 999_999_999));
        assert_eq!(mtime(&nanos(0)), Ok(None));
        assert_eq!(mtime(&nanos(1_000_000_000)), Ok(None));
        let minus_one = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(mtime(&minus_one), time(-1, 0));
        assert_eq!(mtime(&[]), Err(PbFault::Missing("the seconds of mtime")));
        assert_eq!(mtime(&nanos(1)[2..]), Err(PbFault::Missing("the seconds of mtime")));
        assert_eq!(mtime(&nanos(1)[..5]), Err(PbFault::Cut));
    }

    #[test]
    fn a_time_in_two_pieces_is_one_time() {
        let message = [&FILE[..], &[0x42, 2, 0x08, 5, 0x42, 5, 0x15, 7, 0, 0, 0]].concat();
        let mtime = UnixFsData::parse(&message).unwrap().mtime;
        assert_eq!(mtime, Some(Mtime { seconds: 5, nanos: 7 }));
    }
}
