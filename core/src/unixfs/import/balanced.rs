//! The balanced layout: all leaves at one depth, every node full but those on the right edge.
//!
//! Rules: boxo `ipld/unixfs/importer/balanced/builder.go`. A full node is closed only when another
//! child comes, so that exactly as many leaves as a node holds make a tree of one level.

use super::blocks::Output;
use super::encode::{Child, Inner};
use super::error::ImportError;
use super::options::{Metadata, Plan};

/// A file under construction: one open node a level, the lowest first.
#[derive(Debug)]
pub(super) struct Balanced {
    levels: Vec<Inner>,
}

impl Balanced {
    pub(super) fn new() -> Self {
        Balanced { levels: vec![Inner::default()] }
    }

    /// Takes in the next leaf.
    pub(super) fn push(
        &mut self,
        leaf: Child,
        plan: &Plan,
        output: &mut Output,
    ) -> Result<(), ImportError> {
        self.push_at(0, leaf, plan, output)
    }

    /// Adds a child to the open node of a level; full nodes are closed into the level above, on and on.
    fn push_at(
        &mut self,
        level: usize,
        mut child: Child,
        plan: &Plan,
        output: &mut Output,
    ) -> Result<(), ImportError> {
        for node in self.levels.iter_mut().skip(level) {
            if node.len() < plan.file_links {
                node.push(&child);
                return Ok(());
            }
            let full = std::mem::take(node);
            node.push(&child);
            child = output.keep(plan.inner(full, &Metadata::NONE)?)?;
        }
        let mut above = Inner::default();
        above.push(&child);
        self.levels.push(above);
        Ok(())
    }

    /// Closes all levels; the root gets the metadata.
    pub(super) fn finish(
        mut self,
        meta: &Metadata,
        plan: &Plan,
        output: &mut Output,
    ) -> Result<Child, ImportError> {
        let mut level = 0;
        loop {
            let open = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default();
            if level + 1 >= self.levels.len() {
                return output.keep(plan.inner(open, meta)?);
            }
            let closed = output.keep(plan.inner(open, &Metadata::NONE)?)?;
            level += 1;
            self.push_at(level, closed, plan, output)?;
        }
    }
}
