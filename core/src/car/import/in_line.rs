//! Blocks checked one after another, where the caller is.

use std::io::Read;

use crate::block::Block;
use crate::car::error::CarError;
use crate::car::reader::CarReader;

/// Gives every block to `each`, in order.
pub(super) fn for_each(
    reader: &mut CarReader<impl Read>,
    each: &mut dyn FnMut(Block) -> Result<(), CarError>,
) -> Result<(), CarError> {
    reader.try_for_each(|block| each(block?))
}
