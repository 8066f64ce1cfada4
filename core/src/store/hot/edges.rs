//! What keeps a block: edges from parents, records of pins, and the marks of walks.
//!
//! Owns the rows of the families `refs`, `walked` and `pins` and of the list of loose blocks. Must not know what a pin means or how a DAG is
//! walked, which is `pin`'s matter; a pin's record is bytes here.

use super::HotStore;
use super::database::{Database, Rows};
use super::error::HotError;
use super::schema::{
    Entry, Family, Id, Spelling, after_prefix, meta, parse_ref_key, prefixed, ref_key,
};
use super::writer::Edit;
use crate::block::Cid;

/// How far a walk has come with the links out of a block, as one codec reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// All edges out of it are written.
    Expanded,
    /// And so are those of everything below it: a walk that comes by need not go on.
    Complete,
}

impl Walked {
    fn byte(self) -> u8 {
        match self {
            Walked::Expanded => 0,
            Walked::Complete => 1,
        }
    }

    fn parse(bytes: &[u8]) -> Option<Walked> {
        match bytes {
            [0] => Some(Walked::Expanded),
            [1] => Some(Walked::Complete),
            _ => None,
        }
    }
}

/// The key of a record of a pin, or of a root that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PinKey {
    /// The block.
    pub(crate) id: Id,
    /// How it is spelled.
    pub(crate) spelling: Spelling,
    /// No pin: some name in meta leads here.
    pub(crate) is_root: bool,
}

/// Set in the byte of the version, which is 0 or 1, where the record is no pin.
const IS_ROOT: u8 = 0x80;

impl PinKey {
    /// That of a pin.
    pub(crate) fn pin(id: Id, spelling: Spelling) -> PinKey {
        PinKey { id, spelling, is_root: false }
    }

    /// That of a root with a name.
    pub(crate) fn root(id: Id, spelling: Spelling) -> PinKey {
        PinKey { id, spelling, is_root: true }
    }
}

fn pin_key(key: PinKey) -> Vec<u8> {
    let mut bytes = key.id.key().to_vec();
    key.spelling.write(&mut bytes);
    if let Some(version) = bytes.get_mut(8).filter(|_| key.is_root) {
        *version |= IS_ROOT;
    }
    bytes
}

fn parse_pin_key(key: &[u8]) -> Option<PinKey> {
    let (id, rest) = key.split_at_checked(8)?;
    let (version, codec) = rest.split_first()?;
    let mut spelling = vec![version & !IS_ROOT];
    spelling.extend_from_slice(codec);
    let (spelling, rest) = Spelling::take(&spelling).ok()?;
    let (id, is_root) = (Id::parse(id).ok()?, version & IS_ROOT != 0);
    rest.is_empty().then_some(PinKey { id, spelling, is_root })
}

/// A key that is read is the one that was written, or a longer spelling of it.
#[cfg(feature = "fuzzing")]
pub(super) fn check_pin_key(bytes: &[u8]) {
    if let Some(key) = parse_pin_key(bytes) {
        assert!(pin_key(key).len() <= bytes.len());
        assert_eq!(parse_pin_key(&pin_key(key)), Some(key));
    }
}

/// The key of a mark: the block's id, and the codec that its links were read with.
fn walked_key(id: Id, codec: u64) -> Vec<u8> {
    prefixed(&id.key(), &codec.to_be_bytes())
}

/// An edge as one row of `refs` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EdgeRow {
    pub(crate) child: Id,
    pub(crate) parent: Id,
    /// How the parent spells its links to the child: each once, sorted.
    pub(crate) spellings: Vec<Spelling>,
}

impl HotStore {
    /// How far the links out of a block are in, as a codec reads them.
    pub(crate) fn walked(&self, id: Id, codec: u64) -> Result<Option<Walked>, HotError> {
        let key = walked_key(id, codec);
        let Some(value) = self.database().get(Family::Walked, &key)? else { return Ok(None) };
        let walked = Walked::parse(&value);
        walked.map(Some).ok_or_else(|| self.database().damaged(Family::Walked, &key))
    }

    /// The codecs that the links out of a block were read with: none or one, but for oddities.
    pub(crate) fn codecs_walked(&self, id: Id) -> Result<Vec<u64>, HotError> {
        let mut rows = self.database().scan_block(Family::Walked, id, &id.key())?;
        let mut codecs = Vec::new();
        while let Some((key, _)) = rows.next()? {
            let codec = key.get(8..).and_then(|rest| rest.try_into().ok());
            let codec = codec.ok_or_else(|| self.database().damaged(Family::Walked, key))?;
            codecs.push(u64::from_be_bytes(codec));
        }
        Ok(codecs)
    }

    /// What an id stands for: its entry, and its CID as it is spelled there. `None`: it was removed.
    pub(crate) fn named(
        &self,
        id: Id,
        spelling: Spelling,
    ) -> Result<Option<(Entry, Cid)>, HotError> {
        let database = self.database();
        let key = id.key();
        let Some(row) = database.get(Family::Ids, &key)? else { return Ok(None) };
        let named = Entry::parse_id_row(&key, &row)
            .and_then(|(entry, multihash)| Ok((entry, spelling.cid(multihash)?)));
        named.map(Some).map_err(|_| database.damaged(Family::Ids, &key))
    }

    /// At most `most` edges that lead to a block, those with parents above `after`.
    pub(crate) fn parents(
        &self,
        child: Id,
        after: Id,
        most: usize,
    ) -> Result<Vec<EdgeRow>, HotError> {
        let from = ref_key(child, after.next());
        self.edges(self.database().scan_block(Family::Refs, child, &from)?, most)
    }

    /// At most `most` edges in the order of child and parent, from `(child, parent)` on.
    pub(crate) fn edges_from(
        &self,
        child: Id,
        parent: Id,
        most: usize,
    ) -> Result<Vec<EdgeRow>, HotError> {
        self.edges(self.database().scan(Family::Refs, &ref_key(child, parent), None)?, most)
    }

    fn edges(&self, mut rows: Rows<'_>, most: usize) -> Result<Vec<EdgeRow>, HotError> {
        let database = self.database();
        let mut edges = Vec::new();
        while edges.len() < most {
            let Some((key, value)) = rows.next()? else { break };
            edges.push(edge_row(database, key, value)?);
        }
        Ok(edges)
    }

    /// The children of a block by looking at every edge there is: for a parent whose own bytes, which say
    /// it at once, cannot be read.
    pub(crate) fn children_by_looking(&self, parent: Id) -> Result<Vec<Id>, HotError> {
        let database = self.database();
        let mut rows = database.scan(Family::Refs, &[], None)?;
        let mut children = Vec::new();
        while let Some((key, _)) = rows.next()? {
            let row = parse_ref_key(key).map_err(|_| database.damaged(Family::Refs, key))?;
            if row.1 == parent {
                children.push(row.0);
            }
        }
        Ok(children)
    }

    /// The record of a pin.
    pub(crate) fn pin_record(&self, key: PinKey) -> Result<Option<Vec<u8>>, HotError> {
        Ok(self.database().get(Family::Pins, &pin_key(key))?.map(|bytes| bytes.to_vec()))
    }

    /// A record of a pin that cannot be read.
    pub(crate) fn damaged_pin(&self, key: PinKey) -> HotError {
        self.database().damaged(Family::Pins, &pin_key(key))
    }

    /// At most `most` records behind `after`, in the order in which their roots came here.
    pub(crate) fn pins_after(
        &self,
        after: Option<PinKey>,
        most: usize,
    ) -> Result<Vec<(PinKey, Vec<u8>)>, HotError> {
        let from = after.map_or(Vec::new(), |key| prefixed(&pin_key(key), &[0]));
        self.pin_rows(self.database().scan(Family::Pins, &from, None)?, most)
    }

    /// All records of one block: one for each spelling, and whether it is a root with a name.
    pub(crate) fn pins_of(&self, id: Id) -> Result<Vec<(PinKey, Vec<u8>)>, HotError> {
        self.pin_rows(self.database().scan_block(Family::Pins, id, &id.key())?, usize::MAX)
    }

    fn pin_rows(
        &self,
        mut rows: Rows<'_>,
        most: usize,
    ) -> Result<Vec<(PinKey, Vec<u8>)>, HotError> {
        let database = self.database();
        let mut pins = Vec::new();
        while pins.len() < most {
            let Some((key, value)) = rows.next()? else { break };
            let parsed = parse_pin_key(key).ok_or_else(|| database.damaged(Family::Pins, key))?;
            pins.push((parsed, value.to_vec()));
        }
        Ok(pins)
    }

    /// At most `most` pins that are not finished, behind `after`.
    pub(crate) fn unfinished_after(
        &self,
        after: Option<PinKey>,
        most: usize,
    ) -> Result<Vec<PinKey>, HotError> {
        let database = self.database();
        let mut from = meta::UNFINISHED.to_vec();
        if let Some(key) = after {
            from.extend_from_slice(&pin_key(key));
            from.push(0);
        }
        let mut rows = database.scan(Family::Meta, &from, after_prefix(meta::UNFINISHED))?;
        let mut keys = Vec::new();
        while keys.len() < most {
            let Some((key, _)) = rows.next()? else { break };
            let pin = key.get(meta::UNFINISHED.len()..).and_then(parse_pin_key);
            keys.push(pin.ok_or_else(|| database.damaged(Family::Meta, key))?);
        }
        Ok(keys)
    }

    /// The record that a name leads to.
    pub(crate) fn named_root(&self, name: &str) -> Result<Option<PinKey>, HotError> {
        let key = prefixed(meta::ROOT, name.as_bytes());
        let Some(value) = self.database().get(Family::Meta, &key)? else { return Ok(None) };
        let parsed = parse_pin_key(&value);
        parsed.map(Some).ok_or_else(|| self.database().damaged(Family::Meta, &key))
    }

    /// All names of roots, and the records that they lead to. There are as many as the program has uses for.
    pub(crate) fn named_roots(&self) -> Result<Vec<(String, PinKey)>, HotError> {
        let database = self.database();
        let mut rows = database.scan_prefix(Family::Meta, meta::ROOT)?;
        let mut roots = Vec::new();
        while let Some((key, value)) = rows.next()? {
            let name = key.get(meta::ROOT.len()..).map(<[u8]>::to_vec).unwrap_or_default();
            let root = String::from_utf8(name).ok().zip(parse_pin_key(value));
            roots.push(root.ok_or_else(|| database.damaged(Family::Meta, key))?);
        }
        Ok(roots)
    }

    /// At most `most` blocks of the list of loose ones.
    pub(crate) fn loose(&self, most: usize) -> Result<Vec<Id>, HotError> {
        let database = self.database();
        let mut rows = database.scan_prefix(Family::Meta, meta::LOOSE)?;
        let mut ids = Vec::new();
        while ids.len() < most {
            let Some((key, _)) = rows.next()? else { break };
            let id = key.get(meta::LOOSE.len()..).unwrap_or_default();
            ids.push(Id::parse(id).map_err(|_| database.damaged(Family::Meta, key))?);
        }
        Ok(ids)
    }
}

fn edge_row(database: &Database, key: &[u8], value: &[u8]) -> Result<EdgeRow, HotError> {
    let row = parse_ref_key(key).and_then(|(child, parent)| {
        Ok(EdgeRow { child, parent, spellings: Spelling::parse_all(value)? })
    });
    row.map_err(|_| database.damaged(Family::Refs, key))
}

impl Edit<'_> {
    /// Adds an edge, or more spellings to one. `spellings` is sorted and holds each once.
    pub(crate) fn add_edge(
        &mut self,
        child: Id,
        parent: Id,
        spellings: &[Spelling],
    ) -> Result<(), HotError> {
        let key = ref_key(child, parent);
        let mut all = spellings.to_vec();
        if let Some(old) = self.store().database().get(Family::Refs, &key)? {
            let old = edge_row(self.store().database(), &key, &old)?;
            all.extend(old.spellings);
            all.sort_unstable();
            all.dedup();
        }
        let mut value = Vec::with_capacity(all.len() * 3);
        all.iter().for_each(|spelling| spelling.write(&mut value));
        self.rests_on(child);
        self.write(Family::Refs, &key, &value)
    }

    /// Removes an edge with all its spellings.
    pub(crate) fn erase_edge(&mut self, child: Id, parent: Id) -> Result<(), HotError> {
        self.erase(Family::Refs, &ref_key(child, parent))
    }

    /// Marks how far the links out of a block are in.
    pub(crate) fn mark_walked(
        &mut self,
        id: Id,
        codec: u64,
        walked: Walked,
    ) -> Result<(), HotError> {
        self.rests_on(id);
        self.write(Family::Walked, &walked_key(id, codec), &[walked.byte()])
    }

    /// Removes such a mark.
    pub(crate) fn erase_walked(&mut self, id: Id, codec: u64) -> Result<(), HotError> {
        self.erase(Family::Walked, &walked_key(id, codec))
    }

    /// Writes the record of a pin. `unfinished` puts it on the list of those that need more work.
    pub(crate) fn write_pin(
        &mut self,
        key: PinKey,
        record: &[u8],
        unfinished: bool,
    ) -> Result<(), HotError> {
        self.rests_on(key.id);
        let pin = pin_key(key);
        let listed = prefixed(meta::UNFINISHED, &pin);
        match unfinished {
            true => self.write(Family::Meta, &listed, &[])?,
            false => self.erase(Family::Meta, &listed)?,
        }
        self.write(Family::Pins, &pin, record)
    }

    /// Removes the record of a pin.
    pub(crate) fn erase_pin(&mut self, key: PinKey) -> Result<(), HotError> {
        let pin = pin_key(key);
        self.erase(Family::Meta, &prefixed(meta::UNFINISHED, &pin))?;
        self.erase(Family::Pins, &pin)
    }

    /// Lets a name lead to a record, or nowhere.
    pub(crate) fn name_root(&mut self, name: &str, key: Option<PinKey>) -> Result<(), HotError> {
        let row = prefixed(meta::ROOT, name.as_bytes());
        match key {
            Some(key) => self.write(Family::Meta, &row, &pin_key(key)),
            None => self.erase(Family::Meta, &row),
        }
    }

    /// Puts a block on the list of those that may have lost what kept them.
    pub(crate) fn loosen(&mut self, id: Id) -> Result<(), HotError> {
        self.write(Family::Meta, &prefixed(meta::LOOSE, &id.key()), &[])
    }

    /// Takes it off again.
    pub(crate) fn erase_loose(&mut self, id: Id) -> Result<(), HotError> {
        self.erase(Family::Meta, &prefixed(meta::LOOSE, &id.key()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::block::{DAG_PB, RAW};
    use crate::unixfs::testing::cid_of;

    #[test]
    fn keys_of_pins_and_of_roots_are_read_as_they_were_written_and_are_others() {
        let v1 = Spelling::of(&cid_of(RAW, b"x"));
        let v0 = Spelling::of(&Cid::new_v0(*cid_of(DAG_PB, b"x").hash()).unwrap());
        let keys =
            [v0, v1].map(|spelling| [PinKey::pin, PinKey::root].map(|of| of(Id(7), spelling)));
        let bytes: std::collections::BTreeSet<_> =
            keys.iter().flatten().copied().map(pin_key).collect();
        assert_eq!(bytes.len(), 4);
        for key in keys.into_iter().flatten() {
            assert_eq!(parse_pin_key(&pin_key(key)), Some(key));
        }
    }

    #[test]
    fn a_key_that_is_cut_or_says_what_nobody_knows_is_none() {
        let key = pin_key(PinKey::root(Id(7), Spelling::v1(0x1234)));
        assert!((0..key.len()).all(|len| parse_pin_key(&key[..len]).is_none()));
        assert_eq!(parse_pin_key(&[&key[..], &[0]].concat()), None);
        let mut other = key.clone();
        other[8] = 2;
        assert_eq!(parse_pin_key(&other), None);
    }
}
