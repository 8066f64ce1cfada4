//! The header of a CAR of either version.

use std::io::{self, Read};

use super::error::CarFault;
use crate::block::Cid;
use crate::cbor::{Item, Items, put_cid, put_head};

/// The longest header, in bytes: it holds some 800,000 roots. go-car has the same bound.
pub const MAX_HEADER_LEN: u64 = 32 * 1024 * 1024;

/// Where the two headers of version 2 end.
pub(crate) const V2_HEADER_END: u64 = 11 + 40;

/// What a CAR says before its first section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    V1 {
        roots: Vec<Cid>,
        /// Bytes of the header with its length.
        len: u64,
    },
    V2 {
        /// Where the payload, a whole version 1, lies in the file.
        data: std::ops::Range<u64>,
        /// Where the index lies; `None` when there is none.
        index: Option<u64>,
    },
}

/// Why a header could not be read: the stream, or what it says.
#[derive(Debug)]
pub(crate) enum HeaderError {
    Read(io::Error),
    Fault(CarFault),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => HeaderError::Fault(CarFault::NotACar),
            _ => HeaderError::Read(error),
        }
    }
}

/// Reads a header: of version 1 just that, of version 2 up to [`V2_HEADER_END`].
pub(crate) fn read_start(reader: &mut impl Read) -> Result<Start, HeaderError> {
    let fault = HeaderError::Fault;
    let (len, prefix) = read_varint(reader)?.ok_or(fault(CarFault::NotACar))?;
    if len == 0 {
        return Err(fault(CarFault::NotACar));
    }
    if len > MAX_HEADER_LEN {
        return Err(fault(CarFault::HeaderTooLong(len)));
    }
    let mut header = Vec::new();
    // Grows with what comes, not with what is claimed.
    reader.take(len).read_to_end(&mut header)?;
    if (header.len() as u64) < len {
        return Err(fault(CarFault::NotACar));
    }
    match parse(&header).ok_or(fault(CarFault::NotACar))? {
        (1, roots) => Ok(Start::V1 { roots, len: prefix + len }),
        (2, _) => read_v2(reader),
        (version, _) => Err(fault(CarFault::Version(version))),
    }
}

/// The version and the roots.
fn parse(header: &[u8]) -> Option<(u64, Vec<Cid>)> {
    let mut items = Items::new(header);
    let Item::Map(pairs) = items.next()? else { return None };
    let (mut version, mut roots) = (None, Vec::new());
    for _ in 0..pairs {
        match items.next()? {
            Item::Text(b"version") => {
                let Item::Unsigned(number) = items.next()? else { return None };
                version = Some(number);
            }
            Item::Text(b"roots") => roots = parse_roots(&mut items)?,
            _ => return None,
        }
    }
    items.is_empty().then_some((version?, roots))
}

/// A list of CIDs, or null where somebody has none.
fn parse_roots(items: &mut Items<'_>) -> Option<Vec<Cid>> {
    match items.next()? {
        Item::Array(len) => (0..len)
            .map(|_| match items.next()? {
                Item::Tag(crate::cbor::TAG_CID) => items.cid(),
                _ => None,
            })
            .collect(),
        Item::Simple => Some(Vec::new()),
        _ => None,
    }
}

fn read_v2(reader: &mut impl Read) -> Result<Start, HeaderError> {
    let mut fixed = [0; 40];
    reader.read_exact(&mut fixed)?;
    // Behind 16 bytes of characteristics, which say nothing that a reader needs.
    let (numbers, _) = fixed.as_chunks::<8>();
    let number = |at: usize| numbers.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (offset, len, index) = (number(2), number(3), number(4));
    let fault = HeaderError::Fault(CarFault::Payload { offset, len });
    match offset.checked_add(len) {
        Some(end) if offset >= V2_HEADER_END => {
            Ok(Start::V2 { data: offset..end, index: (index >= end).then_some(index) })
        }
        _ => Err(fault),
    }
}

/// The header of a version 1, with its length in front.
pub(crate) fn encode(roots: &[Cid]) -> Vec<u8> {
    let mut header = Vec::new();
    put_head(&mut header, 5, 2);
    put_text(&mut header, "roots");
    put_head(&mut header, 4, roots.len() as u64);
    roots.iter().for_each(|root| put_cid(&mut header, root));
    put_text(&mut header, "version");
    put_head(&mut header, 0, 1);
    let mut out = Vec::with_capacity(header.len() + 10);
    crate::unixfs::wire::put_varint(&mut out, header.len() as u64);
    out.extend(header);
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, 3, text.len() as u64);
    out.extend(text.as_bytes());
}

/// A varint and the bytes it took; `None` if the stream ends before it.
pub(super) fn read_varint(reader: &mut impl Read) -> Result<Option<(u64, u64)>, HeaderError> {
    let (mut value, mut len) = (0u64, 0u64);
    loop {
        let mut byte = [0];
        match reader.read(&mut byte) {
            Ok(0) if len == 0 => return Ok(None),
            Ok(0) => return Err(HeaderError::Fault(CarFault::Cut(len))),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HeaderError::Read(error)),
        }
        let [byte] = byte;
        // Nine bytes of seven bits: what multiformats allow.
        if len == 9 {
            return Err(HeaderError::Fault(CarFault::Length));
        }
        value |= u64::from(byte & 0x7f) << (7 * len);
        len += 1;
        if byte < 0x80 {
            return Ok(Some((value, len)));
        }
    }
}
