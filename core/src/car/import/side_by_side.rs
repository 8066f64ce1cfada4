//! Blocks checked side by side, given back in order.

use std::io::{self, Read};

use crate::block::Block;
use crate::car::error::CarError;
use crate::car::reader::{CarReader, Section};
use crate::pool::{InOrder, cores};

type Checked = Result<Block, CarError>;

/// Gives every block to `each`, in order. Blocks before a place where the CAR is broken come first.
pub(super) fn for_each(
    reader: &mut CarReader<impl Read>,
    each: &mut dyn FnMut(Block) -> Result<(), CarError>,
) -> Result<(), CarError> {
    let Some(mut under_way) = InOrder::<Checked>::new(cores()) else {
        return reader.try_for_each(|block| each(block?));
    };
    let at = reader.offset();
    let mut take = |checked: Option<Checked>| each(checked.unwrap_or_else(|| gone(at))?);
    let broken = loop {
        match reader.next_section() {
            Ok(Some(section)) => {
                while under_way.is_full(section.data.len()) {
                    under_way.next().map_or(Ok(()), &mut take)?;
                }
                under_way.submit(section.data.len(), move || Section::verified(section));
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    under_way.try_for_each(take)?;
    broken
}

/// A block whose thread is gone.
fn gone(at: u64) -> Checked {
    Err(CarError::Read { at, source: io::Error::other("a thread that checks blocks is gone") })
}
