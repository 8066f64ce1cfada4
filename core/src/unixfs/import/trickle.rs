//! The trickle layout: a node holds leaves first, then four subtrees of each depth, ever deeper.
//!
//! Rules: boxo `ipld/unixfs/importer/trickle/trickledag.go`. The root's subtrees have no greatest
//! depth; a subtree of depth d holds leaves and subtrees of the depths below d.

use super::blocks::Output;
use super::encode::{Child, Inner};
use super::error::ImportError;
use super::options::{Metadata, Plan};

/// Subtrees of each depth.
const REPEAT: usize = 4;

/// A file under construction: the path of open nodes from the root to where the next leaf goes.
#[derive(Debug)]
pub(super) struct Trickle {
    root: Open,
    below: Vec<Open>,
}

/// A node that is being filled.
#[derive(Debug, Default)]
struct Open {
    node: Inner,
    /// Subtrees in it.
    subtrees: usize,
    /// Its subtrees are less deep than this; the root has no bound.
    depth: Option<usize>,
}

impl Open {
    /// The depth of the next subtree; `None` when there is no room for one.
    fn next_depth(&self) -> Option<usize> {
        let next = 1 + self.subtrees / REPEAT;
        self.depth.is_none_or(|depth| next < depth).then_some(next)
    }

    fn add_subtree(&mut self, subtree: &Child) {
        self.node.push(subtree);
        self.subtrees += 1;
    }
}

impl Trickle {
    pub(super) fn new() -> Self {
        Trickle { root: Open::default(), below: Vec::new() }
    }

    /// Takes in the next leaf.
    pub(super) fn push(
        &mut self,
        leaf: Child,
        plan: &Plan,
        output: &mut Output,
    ) -> Result<(), ImportError> {
        loop {
            let open = self.below.last_mut().unwrap_or(&mut self.root);
            // Leaves come before subtrees, so as long as there are leaves alone they are counted here.
            if open.node.len() < plan.file_links {
                open.node.push(&leaf);
                return Ok(());
            }
            match open.next_depth() {
                depth @ Some(_) => self.below.push(Open { depth, ..Open::default() }),
                None => self.close_last(plan, output)?,
            }
        }
    }

    /// Closes the deepest open node below the root into the one above it.
    fn close_last(&mut self, plan: &Plan, output: &mut Output) -> Result<(), ImportError> {
        let Some(last) = self.below.pop() else { return Ok(()) };
        let subtree = output.keep(plan.inner(last.node, &Metadata::NONE)?)?;
        self.below.last_mut().unwrap_or(&mut self.root).add_subtree(&subtree);
        Ok(())
    }

    /// Closes all open nodes; the root gets the metadata.
    pub(super) fn finish(
        mut self,
        meta: &Metadata,
        plan: &Plan,
        output: &mut Output,
    ) -> Result<Child, ImportError> {
        while !self.below.is_empty() {
            self.close_last(plan, output)?;
        }
        output.keep(plan.inner(self.root.node, meta)?)
    }
}
