//! Leaves hashed side by side, and given back in the order of the content.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::encode::Made;
use super::error::ImportError;
use super::options::Plan;
use crate::pool::InOrder;

/// Makes a leaf of every chunk and gives them to `each` in order. Holds as many chunks as the pool takes
/// of one task.
pub(super) fn make_leaves(
    plan: &Arc<Plan>,
    chunks: impl Iterator<Item = io::Result<Bytes>>,
    mut each: impl FnMut(Made) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let Some(mut under_way) = InOrder::new(plan.threads) else {
        for chunk in chunks {
            each(plan.leaf(chunk.map_err(ImportError::Read)?)?)?;
        }
        return Ok(());
    };
    for chunk in chunks {
        let chunk = chunk.map_err(ImportError::Read)?;
        while under_way.is_full(chunk.len()) {
            under_way.next().map_or(Ok(()), |leaf| each(leaf.unwrap_or_else(gone)?))?;
        }
        let plan = plan.clone();
        under_way.submit(chunk.len(), move || plan.leaf(chunk));
    }
    under_way.try_for_each(|leaf| each(leaf.unwrap_or_else(gone)?))
}

/// A leaf whose thread is gone.
fn gone() -> Result<Made, ImportError> {
    Err(ImportError::Poisoned)
}
