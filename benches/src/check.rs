//! Byte for byte: what a server answers is what the plain files hold. Nothing is measured before this passes, and it
//! leaves every file of the set in the page cache.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::fixtures::video::{self, BIG, BIG_BYTES, LEAF_BYTES, SEGMENT_BYTES, SEGMENTS, Video};
use crate::load::RANGE_BYTES;
use crate::server::Server;

/// Compares every segment, ranges about the borders of leaves, and the whole large file.
pub fn compare(server: &Server, video: &Video) -> Result<()> {
    segments(server, video)
        .and_then(|()| ranges(server, video))
        .and_then(|()| whole(server, video))
        .with_context(|| {
            format!("{} does not answer with the bytes of the plain files", server.name)
        })
}

fn segments(server: &Server, video: &Video) -> Result<()> {
    let mut connection = server.connect()?;
    for name in (0..SEGMENTS).map(video::segment) {
        let body = connection.fetch(&server.path(&name), None)?;
        ensure!(body == video.bytes(&name)?, "{name} differs");
    }
    Ok(())
}

fn ranges(server: &Server, video: &Video) -> Result<()> {
    let mut connection = server.connect()?;
    for (name, length) in [(BIG, BIG_BYTES), (video::segment(0).as_str(), SEGMENT_BYTES)] {
        let plain = video.file(name)?;
        for range in borders(length) {
            let mut expected = vec![0; (range.end - range.start) as usize];
            plain.read_exact_at(&mut expected, range.start)?;
            let body = connection.fetch(&server.path(name), Some(range.clone()))?;
            ensure!(body == expected, "bytes {}..{} of {name} differ", range.start, range.end);
        }
    }
    Ok(())
}

/// Ranges that touch, cross and span the borders of leaves of a file of `length` bytes, and its two ends.
fn borders(length: u64) -> Vec<std::ops::Range<u64>> {
    let leaf = LEAF_BYTES;
    let mut ranges = vec![0..1, length - 1..length, 0..RANGE_BYTES, length - RANGE_BYTES..length];
    let far = length / leaf / 2 * leaf;
    for border in [leaf, far].into_iter().filter(|border| *border > 0) {
        ranges.extend([border - 1..border, border..border + 1, border - 1..border + 1]);
        ranges.push(border - RANGE_BYTES / 3..border + RANGE_BYTES / 3);
    }
    if length > 8 * leaf {
        ranges.push(leaf - 7..5 * leaf + 7);
    }
    ranges
}

fn whole(server: &Server, video: &Video) -> Result<()> {
    let mut plain = video.file(BIG)?;
    let mut expected = Vec::new();
    let mut offset = 0;
    let mut difference = None;
    server.connect()?.get(&server.path(BIG), None, &mut |piece| {
        if difference.is_none() && !same(&mut plain, &mut expected, piece) {
            difference = Some(offset);
        }
        offset += piece.len() as u64;
    })?;
    ensure!(offset == BIG_BYTES, "{BIG} is {offset} bytes long, expected {BIG_BYTES}");
    ensure!(difference.is_none(), "{BIG} differs behind byte {}", difference.unwrap_or_default());
    Ok(())
}

fn same(plain: &mut File, expected: &mut Vec<u8>, piece: &[u8]) -> bool {
    expected.resize(piece.len(), 0);
    plain.read_exact(expected).is_ok() && expected == piece
}

#[cfg(test)]
mod tests {
    use super::borders;
    use crate::fixtures::video::{BIG_BYTES, LEAF_BYTES, SEGMENT_BYTES};

    #[test]
    fn ranges_lie_within_the_file_and_some_cross_a_border() {
        for length in [BIG_BYTES, SEGMENT_BYTES] {
            let ranges = borders(length);
            assert!(
                ranges.iter().all(|range| range.start < range.end && range.end <= length),
                "{ranges:?}"
            );
            assert!(
                ranges.iter().any(|range| range.start / LEAF_BYTES < (range.end - 1) / LEAF_BYTES)
            );
        }
    }
}
