//! The masked CRC-32C that LevelDB and Pebble put behind blocks and before log chunks.

/// What the mask adds after its rotation. LevelDB `util/crc32c.h`.
const MASK_DELTA: u32 = 0xa282_ead8;

/// The masked checksum of `parts`, one after the other. Masked, so that data which itself holds checksums does not
/// check by accident.
pub(crate) fn masked(parts: &[&[u8]]) -> u32 {
    let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
    crc.rotate_right(15).wrapping_add(MASK_DELTA)
}
