//! Badger's manifest: which tables are alive, at which level, with which checksum. Rules: Badger 1.6 `manifest.go`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Fault, Feature, Notes, Trouble};
use crate::parse::Parser;
use crate::source::SourceFile;

/// Its name.
pub(super) const NAME: &str = "MANIFEST";

/// What it begins with.
const MAGIC: &[u8] = b"Bdgr";

/// The version of Badger 1.
const VERSION: u32 = 4;

/// Longest manifest that is read. Badger writes it anew before most of it is history.
const MAX_LEN: u64 = 256 << 20;

const WHAT: &str = "manifest record";

/// A live table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) level: u64,
    /// SHA-256 of the file; empty where an older version left it out.
    pub(super) checksum: Vec<u8>,
}

/// Whether a folder with a file of this name may be Badger's.
pub(crate) fn is_manifest(name: &str) -> bool {
    name == NAME
}

/// The live tables by number. An unfinished record at the end was never in force.
pub(super) fn read(path: &Path, notes: &mut Notes) -> Result<BTreeMap<u64, Live>, Error> {
    let bytes = SourceFile::read_all(path.to_owned(), MAX_LEN, "manifest")?;
    let mut parser = Parser::new(&bytes, "manifest head");
    let head = parse_head(&mut parser);
    head.map_err(|trouble| trouble.at(path, 0))?;
    let mut live = BTreeMap::new();
    while !parser.is_empty() {
        let offset = (bytes.len() - parser.rest().len()) as u64;
        let Some((checksum, record)) = next_record(&mut parser) else {
            notes.push(Error::TornTail { path: path.to_owned(), offset });
            break;
        };
        if crc32c::crc32c(record) != checksum {
            return Err(Fault::Checksum(WHAT).at(path, offset));
        }
        apply(&mut live, record).map_err(|fault| fault.at(path, offset))?;
    }
    Ok(live)
}

fn parse_head(parser: &mut Parser<'_>) -> Result<(), Trouble> {
    if parser.take(MAGIC.len())? != MAGIC {
        return Err(parser.fault().into());
    }
    match parser.u32_be()? {
        VERSION => Ok(()),
        other => Err(Feature::BadgerVersion(other).into()),
    }
}

/// A record and its checksum; `None` when the file ends inside it.
fn next_record<'a>(parser: &mut Parser<'a>) -> Option<(u32, &'a [u8])> {
    let len = usize::try_from(parser.u32_be().ok()?).ok()?;
    let checksum = parser.u32_be().ok()?;
    Some((checksum, parser.take(len).ok()?))
}

/// Applies a record, which is a protobuf message with changes as its field 1.
fn apply(live: &mut BTreeMap<u64, Live>, record: &[u8]) -> Result<(), Fault> {
    let mut parser = Parser::new(record, WHAT);
    while !parser.is_empty() {
        match field(&mut parser)? {
            (1, Value::Bytes(change)) => apply_change(live, change)?,
            _ => return Err(parser.fault()),
        }
    }
    Ok(())
}

fn apply_change(live: &mut BTreeMap<u64, Live>, change: &[u8]) -> Result<(), Fault> {
    let mut parser = Parser::new(change, WHAT);
    let (mut id, mut op, mut level, mut checksum) = (0, 0, 0, Vec::new());
    while !parser.is_empty() {
        match field(&mut parser)? {
            (1, Value::Number(value)) => id = value,
            (2, Value::Number(value)) => op = value,
            (3, Value::Number(value)) => level = value,
            (4, Value::Bytes(value)) => checksum = value.to_vec(),
            _ => {}
        }
    }
    match op {
        0 if live.insert(id, Live { level, checksum }).is_none() => Ok(()),
        1 if live.remove(&id).is_some() => Ok(()),
        _ => Err(parser.fault()),
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The next field of a protobuf message: its number and value.
fn field<'a>(parser: &mut Parser<'a>) -> Result<(u64, Value<'a>), Fault> {
    let tag = parser.varint()?;
    let value = match tag & 7 {
        0 => Value::Number(parser.varint()?),
        2 => Value::Bytes(parser.prefixed()?),
        _ => return Err(parser.fault()),
    };
    Ok((tag >> 3, value))
}
