//! Roots with a name: what a program keeps for itself, such as the root of MFS, and nobody pinned.
//!
//! Owns the change of such a root from one DAG to the next. It is kept as a recursive pin is, by the same edges, but no
//! list of pins shows it, and blocks that are nowhere are left out: Kubo lets a folder of MFS name content that it
//! does not hold. Must not know what a root is for.

use std::ops::ControlFlow;

use super::record::{Record, State};
use super::walk::Absent;
use super::{NewPin, PinError, PinIndex, check_name, new_record, now};
use crate::block::Cid;
use crate::store::hot::{PinKey, Spelling};

impl PinIndex {
    /// The root of this name, if there is one. Two look-ups.
    pub fn root(&self, name: &str) -> Result<Option<Cid>, PinError> {
        let Some(key) = self.hot().named_root(name)? else { return Ok(None) };
        let record = self.record(key)?.ok_or_else(|| self.hot().damaged_pin(key))?;
        self.cid_of(key, &record).map(Some)
    }

    /// All names and their roots: as many as the program has uses for.
    pub fn roots(&self) -> Result<Vec<(String, Cid)>, PinError> {
        let roots = self.hot().named_roots()?;
        let with_cid = |(name, key)| {
            let record = self.record(key)?.ok_or_else(|| self.hot().damaged_pin(key))?;
            Ok((name, self.cid_of(key, &record)?))
        };
        roots.into_iter().map(with_cid).collect()
    }

    /// Gives a name another root, or none. In one step: whoever looks, also after a crash, finds the old one or the new
    /// one, and either is kept with everything below it. Durable on return.
    ///
    /// Costs a walk of what the new DAG does not share with the old one, or with anything else that is kept, and a read
    /// of each block with links that only the old one had. Blocks below that are nowhere are left out, and looked for
    /// again by the next call; the root itself must be held. New blocks are no garbage meanwhile if the caller put them
    /// under a lease. One caller at a time; the others wait.
    pub fn set_root(&self, name: &str, cid: Option<&Cid>) -> Result<(), PinError> {
        check_name(name)?;
        let _alone = self.hot().naming();
        let old = self.hot().named_root(name)?;
        match cid {
            None => self.rename(name, old, None)?,
            Some(cid) => self.replace(name, old, cid)?,
        }
        self.hot().make_durable()?;
        // It is done, whatever this meets: what cannot be read now is released by a later call or a collection.
        self.release_all().or(Ok(()))
    }

    fn replace(&self, name: &str, old: Option<PinKey>, cid: &Cid) -> Result<(), PinError> {
        let _claim = self.hot().claims().wait(cid);
        let _lease = self.adopting();
        let (key, serial) = self.begin_root(cid)?;
        let walked =
            self.walk(cid, key, serial, Absent::IsLeftOut, &mut |_| ControlFlow::Continue(()));
        if let Err(error) = walked {
            self.give_up(key, serial)?;
            // What is in the way of it is met again by the next collection; this error says more.
            self.release_all().ok();
            return Err(error);
        }
        self.rename(name, old, Some((key, serial, cid)))
    }

    /// Writes a record that keeps the root while it is walked. One that is there for another name, or this one, stays.
    fn begin_root(&self, cid: &Cid) -> Result<(PinKey, u64), PinError> {
        let place = self.look(cid)?;
        self.hot().flush_below(cid)?;
        let mut edit = self.hot().edit();
        let entry = self.entry_for(&mut edit, cid, place)?;
        let key = PinKey::root(entry.id, Spelling::of(cid));
        if let Some(old) = self.record(key)?.filter(|old| old.state == State::Done) {
            return Ok((key, old.serial));
        }
        let serial = edit.serial()?;
        let record = new_record(&NewPin::new(*cid), State::Walking, now(), serial);
        self.write(&mut edit, key, &record)?;
        edit.commit()?;
        Ok((key, serial))
    }

    /// Lets a name lead to a record that is walked, or nowhere, and lets go of what it led to.
    fn rename(
        &self,
        name: &str,
        old: Option<PinKey>,
        new: Option<(PinKey, u64, &Cid)>,
    ) -> Result<(), PinError> {
        let mut edit = self.hot().edit();
        if let Some((key, serial, cid)) = new {
            let record = self.record(key)?.filter(|record| record.serial == serial);
            let record = record.ok_or(PinError::Removed(*cid))?;
            self.write(&mut edit, key, &Record { state: State::Done, ..record })?;
        }
        let new = new.map(|(key, ..)| key);
        edit.name_root(name, new)?;
        if let Some(old) = old.filter(|old| Some(*old) != new) {
            let others = self.hot().named_roots()?;
            if !others.iter().any(|(other, key)| other != name && *key == old) {
                edit.erase_pin(old)?;
                // ORDER: in the same batch, so that no crash leaves edges below a root that is gone.
                edit.loosen(old.id)?;
            }
        }
        edit.commit()?;
        Ok(())
    }
}
